"""The checks of scripts/formats, which installs what they need."""

import csv
import io
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from datetime import datetime

from libnmap.parser import NmapParser

BINARY, NMAPTOCSV = sys.argv[1:]
# Any address of 127.0.0.0/8 is local; nothing else listens on this one.
HOST = f"127.{random.randint(1, 250)}.{random.randint(1, 250)}.{random.randint(2, 250)}"
DTD = pathlib.Path("/usr/share/nmap/nmap.dtd")


def listen(count):
    """Sockets that listen; the kernel accepts for them."""
    sockets = []
    for _ in range(count):
        listener = socket.socket()
        listener.bind((HOST, 0))
        listener.listen(64)
        sockets.append(listener)
    return sockets


def scan(output_format, ports):
    command = [BINARY, "scan", HOST, "-p", ",".join(map(str, ports)), "--format", output_format]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def libnmap(text):
    report = NmapParser.parse(text)
    (host,) = report.hosts
    assert host.address == HOST and host.is_up(), host
    assert report.hosts_total == 1 and report.numservices == len(asked), report
    for service in host.services:
        assert (service.protocol, service.state, service.reason) == ("tcp", "open", "syn-ack")
    return [service.port for service in host.services]


def validated(text):
    # The DTD knows one scanner only.
    text = text.replace('scanner="open-ports"', 'scanner="nmap"')
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
        file.write(text)
        file.flush()
        command = ["xmllint", "--noout", "--dtdvalid", str(DTD), file.name]
        subprocess.run(command, check=True)


def nmap_to_csv(text):
    command = [NMAPTOCSV, "-f", "ip-port-protocol-service", "-d", ","]
    found = subprocess.run(command, check=True, input=text, stdout=subprocess.PIPE, text=True)
    rows = list(csv.DictReader(io.StringIO(found.stdout.strip())))
    assert all((row["IP"], row["PROTOCOL"]) == (HOST, "tcp") for row in rows), rows
    return [int(row["PORT"]) for row in rows]


def records(text):
    records = [json.loads(line) for line in text.splitlines()]
    # How much there is on progress depends on the machine.
    *ports, end = [record for record in records if record["type"] != "progress"]
    assert end["type"] == "end" and end["summary"]["complete"], end
    assert end["summary"]["closed"] == len(asked) - len(listeners), end
    for record in ports:
        assert (record["type"], record["host"], record["address"]) == ("port", HOST, HOST), record
        datetime.strptime(record["timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ")
    return [record["port"] for record in ports]


def csv_rows(text):
    rows = list(csv.DictReader(io.StringIO(text)))
    assert all((row["host"], row["state"]) == (HOST, "open") for row in rows), rows
    return [int(row["port"]) for row in rows]


def json_document(text):
    (host,) = json.loads(text)["hosts"]
    (address,) = host["addresses"]
    assert host["complete"] and address["closed"] == len(asked) - len(listeners), host
    return host["open_ports"]


listeners = listen(40)
expected = sorted(listener.getsockname()[1] for listener in listeners)
# With closed ports among them: the kernel never chooses 1 to 20 for a listener.
asked = list(range(1, 21)) + expected

READERS = {
    "xml": libnmap,
    "grepable": nmap_to_csv,
    "ndjson": records,
    "csv": csv_rows,
    "json": json_document,
}
for output_format, read in READERS.items():
    text = scan(output_format, asked)
    found = sorted(read(text))
    if found != expected:
        sys.exit(f"{output_format}: {read.__name__} reads {found}, open are {expected}")
    print(f"{output_format:9} read by {read.__name__}: {len(found)} of {len(expected)} ports")
    if output_format == "xml" and DTD.exists() and shutil.which("xmllint"):
        validated(text)
        print(f"{output_format:9} valid by {os.path.basename(DTD)}")

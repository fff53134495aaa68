"""The checks of scripts/formats."""

import csv
import io
import json
import pathlib
import random
import re
import socket
import subprocess
import sys
import tempfile
from datetime import datetime

from libnmap.parser import NmapParser

BINARY, NMAPTOCSV = sys.argv[1:]
# Any address of 127.0.0.0/8 is local; nothing else listens on this one.
HOST = f"127.{random.randint(1, 250)}.{random.randint(1, 250)}.{random.randint(2, 250)}"
# Of nmap-common.
NMAP = pathlib.Path("/usr/share/nmap")


def listen(count):
    """Sockets that listen; the kernel accepts for them."""
    sockets = []
    for _ in range(count):
        listener = socket.socket()
        listener.bind((HOST, 0))
        listener.listen(64)
        sockets.append(listener)
    return sockets


def scan(output_format, ports, *more, hosts=(HOST,), statuses=(0,)):
    command = [BINARY, "scan", *hosts, "-p", ",".join(map(str, ports)), "--format", output_format]
    run = subprocess.run([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert run.returncode in statuses, run
    return run.stdout


def libnmap(text):
    report = NmapParser.parse(text)
    (host,) = report.hosts
    assert host.address == HOST and host.is_up(), host
    assert report.hosts_total == 1 and report.numservices == len(asked), report
    for service in host.services:
        assert (service.protocol, service.state, service.reason) == ("tcp", "open", "syn-ack")
    return [service.port for service in host.services]


def stylesheet(text):
    """The rows of the page that nmap's stylesheet makes, as browsers show it."""
    command = ["xsltproc", "--nonet", str(NMAP / "nmap.xsl"), "-"]
    page = subprocess.run(command, check=True, input=text, stdout=subprocess.PIPE, text=True).stdout
    assert HOST in page, page
    rows = re.findall(r'<tr class="open">(.*?)</tr>', page, re.DOTALL)
    cells = [[re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)]
             for row in rows]
    assert all("open" in row and "tcp" in row for row in cells), cells
    return [int(row[0]) for row in cells]


def ndiff(text):
    """The ports of the host that was not there before, by ndiff."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = pathlib.Path(folder, "before.xml"), pathlib.Path(folder, "after.xml")
        # The same scan without the open ports.
        before.write_text(scan("xml", sorted(set(asked) - set(expected))))
        after.write_text(text)
        same = subprocess.run(["ndiff", after, after], stdout=subprocess.PIPE, text=True)
        # The versions of both scans are always shown.
        assert same.returncode == 0 and f"{HOST}:" not in same.stdout, same
        differs = subprocess.run(["ndiff", before, after], stdout=subprocess.PIPE, text=True)
    assert differs.returncode == 1, differs
    return [int(port) for port in re.findall(r"^\+(\d+)/tcp +open\b", differs.stdout, re.MULTILINE)]


def complaints(text):
    """What xmllint has against a document by nmap's DTD."""
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
        file.write(text)
        file.flush()
        command = ["xmllint", "--noout", "--nonet", "--dtdvalid", str(NMAP / "nmap.dtd"), file.name]
        run = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    lines = [line for line in run.stderr.splitlines() if "error" in line]
    assert (run.returncode == 0) == (not lines), run
    return lines


def check_validity():
    """A document is valid but for the name of its scanner: the DTD knows nmap alone."""
    name = re.compile(r'Value "open-ports" for attribute scanner of nmaprun is not among the enumerated set')
    closed = range(1, 21)
    documents = {
        "open ports": scan("xml", asked),
        "details": scan("xml", asked, "--details"),
        "no open port": scan("xml", closed),
        "an expectation": scan("xml", asked, "--expect", "1", statuses=(5,)),
        "a name, and one that is unknown": scan(
            "xml", closed, hosts=("localhost", "no-such-name.invalid", "::1"), statuses=(3, 4)
        ),
        "an incomplete scan": scan(
            "xml", range(1, 200), "--rate", "20", "--deadline-ms", "300", statuses=(4,)
        ),
    }
    for what, text in documents.items():
        found = complaints(text)
        if not (len(found) == 1 and name.search(found[0])):
            sys.exit(f"xml with {what}: xmllint says {found}")
        renamed = complaints(text.replace('scanner="open-ports"', 'scanner="nmap"', 1))
        if renamed:
            sys.exit(f"xml with {what}: xmllint says {renamed}")
        print(f"xml       valid by nmap.dtd but for the scanner's name: {what}")


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

READERS = [
    ("xml", libnmap),
    ("xml", stylesheet),
    ("xml", ndiff),
    ("grepable", nmap_to_csv),
    ("ndjson", records),
    ("csv", csv_rows),
    ("json", json_document),
]
for output_format, read in READERS:
    found = sorted(read(scan(output_format, asked)))
    if found != expected:
        sys.exit(f"{output_format}: {read.__name__} reads {found}, open are {expected}")
    print(f"{output_format:9} read by {read.__name__}: {len(found)} of {len(expected)} ports")
check_validity()

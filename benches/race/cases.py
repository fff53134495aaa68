"""What is to be scanned, and who really listens there."""

import contextlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass, field

from judge import ANY, listening

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Skipped(Exception):
    """Why a case cannot be had here."""


@dataclass
class Case:
    name: str
    title: str
    about: str
    hosts: str
    ports: str
    ours: set
    # The limit on descriptors, where it is not what the race was started with.
    descriptors: "int | None" = None
    # What leads to the host that scans, and to the one that is scanned.
    enter: list = field(default_factory=list)
    enter_target: list = field(default_factory=list)
    # What a scanner has to be told that makes its own frames.
    interface: str = "lo"
    source: str = "127.0.0.1"
    source_mac: str = "02:00:00:00:00:01"
    router_mac: str = "00:00:00:00:00:00"

    @property
    def most_descriptors(self):
        return self.descriptors or resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def some(self, count):
        """A few of the open places of one host, as hosts and ports."""
        host = min(self.ours)[0]
        ports = sorted(port for address, port in self.ours if address == host)[:count]
        return host, ",".join(map(str, ports)), {(host, port) for port in ports}

    def others(self):
        """Where others listen, just now."""
        read = [*self.enter_target, "cat", "/proc/net/tcp", "/proc/net/tcp6"]
        tables = subprocess.run(read, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return listening(tables.stdout) - self.ours


@contextlib.contextmanager
def listeners(wanted, places, enter=(), chatter=None):
    """Has a process listen on so many of `places`, which it takes in their
    order, on the host that `enter` leads to."""
    words = [*enter, sys.executable, "-B", str(pathlib.Path(__file__).with_name("listen.py"))]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write(json.dumps([wanted, places, chatter]) + "\n")
        process.stdin.flush()
        taken = {tuple(place) for place in json.loads(process.stdout.readline() or "[]")}
        if len(taken) < wanted:
            raise Skipped(f"could only listen on {len(taken)} of {wanted} ports")
        yield taken, process.pid


@contextlib.contextmanager
def loopback_listeners(wanted, places):
    """The same on loopback, and the way there. As root it is the loopback of a
    network namespace, in which no other program comes and goes."""
    alone = os.geteuid() == 0 and all(map(shutil.which, ["unshare", "nsenter", "ip"]))
    start = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"] if alone else []
    with listeners(wanted, places, start) as (taken, pid):
        # The namespace lives as long as its process.
        way = ["nsenter", f"--net=/proc/{pid}/ns/net"] if alone else []
        yield {"ours": taken, "enter": way, "enter_target": way}


def shuffled(items):
    items = list(items)
    random.shuffle(items)
    return items


@contextlib.contextmanager
def loopback(descriptors=None):
    candidates = [("127.0.0.1", port) for port in shuffled(range(1, 65536))]
    with loopback_listeners(100, candidates) as places:
        limited = descriptors is not None
        yield Case(
            name="few-descriptors" if limited else "loopback",
            title="All ports of loopback" + (f", {descriptors} descriptors" if limited else ""),
            about="65,535 ports of 127.0.0.1, 100 of them open, the others closed"
            + (f"; the scanner may have {descriptors} descriptors (`ulimit -n`)." if limited else "."),
            hosts="127.0.0.1",
            ports="1-65535",
            descriptors=descriptors,
            **places,
        )


@contextlib.contextmanager
def many_hosts():
    network = f"127.{random.randint(16, 250)}.{16 * random.randint(0, 15)}.0"
    first = struct.unpack("!I", socket.inet_aton(network))[0]
    hosts = [socket.inet_ntoa(struct.pack("!I", first + i)) for i in range(4096)]
    first_port = random.randint(1024, 65516)
    ports = range(first_port, first_port + 20)
    places = shuffled((host, port) for host in hosts for port in ports)
    with loopback_listeners(200, places) as places:
        yield Case(
            name="many-hosts",
            title="4,096 hosts, 20 ports each",
            about="81,920 targets on loopback's network, 200 of them open, the others closed.",
            hosts=f"{network}/20",
            ports=f"{ports[0]}-{ports[-1]}",
            **places,
        )


# The scanner of a lab, as those have to know it that make their own frames.
ON_THE_LAB = {
    "interface": "eth0",
    "source": "10.77.0.1",
    "source_mac": "02:00:00:00:77:01",
    "router_mac": "02:00:00:00:77:02",
}


@contextlib.contextmanager
def lab(*options):
    """What leads to the hosts of a lab (`scripts/lab`): the one that scans, and the target."""
    if os.geteuid() != 0:
        raise Skipped("network namespaces need root")
    with subprocess.Popen(
        ["scripts/lab", "hold", *options],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as held:
        ready = re.fullmatch(r"ready (\S+)\n", held.stdout.readline())
        if not ready:
            raise Skipped((held.stderr.read().strip() or "no lab").splitlines()[-1])
        yield [["nsenter", f"--net=/run/netns/{ready[1]}-{host}"] for host in ("scan", "target")]


@contextlib.contextmanager
def filtered():
    places = [("10.77.0.2", port) for port in random.sample(range(1, 10_001), 15)]
    answering = ",".join(str(port) for _, port in sorted(places))
    # The lab's own listeners reset their connections, so they stay out of this.
    with lab("--except", answering, "--rule", "drop") as (scanning, target):
        with listeners(10, places[:10], target, chatter="10.77.0.1") as (ours, _):
            yield Case(
                name="filtered",
                title="10,000 filtered ports",
                about="Ports 1 to 10,000 of a host of its own (`scripts/lab`): 10 are open, 5 closed, and the others "
                "answer nothing. *Fast* is to ask those once; `open-ports` asks twice.",
                hosts="10.77.0.2",
                ports="1-10000",
                ours=ours,
                enter=scanning,
                enter_target=target,
                **ON_THE_LAB,
            )


SPARSE_PORTS = (22, 80, 443, 3306, 8080)


@contextlib.contextmanager
def sparse(prefix, alive):
    """A network behind a router. Few of its addresses are a host's, with three of five ports open."""
    first = struct.unpack("!I", socket.inet_aton("10.92.0.0"))[0]
    drawn = random.sample(range(1 << (32 - prefix)), alive)
    hosts = [socket.inet_ntoa(struct.pack("!I", first + nth)) for nth in drawn]
    places = [(host, port) for host in hosts for port in SPARSE_PORTS[:3]]
    with lab("--routed", ",".join(hosts)) as (scanning, target):
        with listeners(len(places), places, target) as (ours, _):
            yield Case(
                name=f"sparse-{prefix}",
                title=f"A routed /{prefix} with {alive} hosts, 5 ports each",
                about=f"{1 << (32 - prefix):,} addresses of which {alive} answer, each with three ports open and two "
                "closed (`scripts/lab`); nobody answers for the others. *Fast* is to ask those once; `open-ports` "
                "asks twice, and waits 0.4 s for one of the answers, so that it finds hosts that are farther than "
                "their neighbours. zmap lists whatever answers, so the closed ports are its phantoms.",
                hosts=f"10.92.0.0/{prefix}",
                ports=",".join(map(str, SPARSE_PORTS)),
                ours=ours,
                enter=scanning,
                enter_target=target,
                **ON_THE_LAB,
            )


@contextlib.contextmanager
def attached():
    """A network that the scanner is attached to, whose addresses it has to find."""
    first = struct.unpack("!I", socket.inet_aton("10.91.0.0"))[0]
    hosts = [socket.inet_ntoa(struct.pack("!I", first + nth)) for nth in random.sample(range(2, 4095), 64)]
    places = [(host, port) for host in hosts for port in (22, 80, 443)]
    with lab("--attached", ",".join(hosts)) as (scanning, target):
        with listeners(len(places), places, target) as (ours, _):
            yield Case(
                name="attached-20",
                title="An attached /20 with 64 hosts, 4 ports each",
                about="4,094 addresses of the network that the scanner is attached to, of which 64 answer, each with "
                "three ports open and one closed (`scripts/lab`). The kernel looks for each of the others for 3 s, "
                "and its table of neighbours has room for some hundred at once. nmap as root does not ask the kernel: "
                "it looks for hosts with ARP packets of its own.",
                hosts="10.91.0.0/20",
                ports="22,80,443,8080",
                ours=ours,
                enter=scanning,
                enter_target=target,
                interface="eth0",
                source="10.91.0.1",
            )


CASES = {
    "loopback": loopback,
    "few-descriptors": lambda: loopback(256),
    "filtered": filtered,
    "many-hosts": many_hosts,
    "sparse-20": lambda: sparse(20, 64),
    "sparse-16": lambda: sparse(16, 512),
    "attached-20": attached,
}

"""Well-behaved clients that know the right answer."""

import json
import random

from .client import Broken, ask
from .expected import Truth
from .network import FEW, ICMP, RESET, SILENT
from .targets import ABSENT, NEAR_OPEN, UNANSWERED
from .tokens import steady

# Requests that start shortly before the load ends can still finish.
DEADLINE_MS = 40_000

# Refusals that ask to come back are right answers if they say when.
BUSY = (429, 503)


async def scan(tally, asker, caller, host, first, last, *, form="json", details=False, **more):
    """Scans and checks the answer."""
    query = {"domain": host, "fromPort": first, "toPort": last, "format": form,
             "details": str(details).lower(), "deadlineMs": DEADLINE_MS, **more}
    target = "/open-ports?" + "&".join(f"{name}={value}" for name, value in query.items())
    try:
        reply = await ask(target, steady(caller))
    except Broken as broken:
        tally.fail(asker, str(broken))
        return
    answer, problem = judged(reply, Truth(host, first, last), form, details)
    tally.count(asker, answer)
    if problem:
        tally.fail(asker, f"{host} {first}-{last} {form}: {problem}")


def judged(reply, truth, form, details):
    """The kind of answer, and what is wrong with it."""
    if reply.status in BUSY:
        return refusal(reply)
    if reply.status != 200:
        return str(reply.status), f"{reply.status}: {reply.body[:150]!r}"
    if form == "text":
        return judged_text(reply, truth)
    report, told = (reply.json(), None) if form == "json" else streamed(reply.body, form)
    if report is None:
        return "cut", "a stream without its end"
    problem = truth.judge(report, details)
    if told is not None and sorted(told) != report["open_ports"]:
        problem = problem or f"told of {sorted(told)}, reported {report['open_ports']}"
    return ("right" if report["complete"] else f"incomplete: {report.get('reason')}"), problem


def judged_text(reply, truth):
    ports = [int(line) for line in reply.body.split()]
    if reply.headers.get("open-ports-complete") == "true":
        return "right", None if ports == truth.open_ports() else f"{ports}"
    reason = reply.headers.get("open-ports-reason")
    right = reason and set(ports) <= set(truth.open_ports())
    return f"incomplete: {reason}", None if right else f"{ports}, reason {reason}"


def refusal(reply):
    late = reply.headers.get("retry-after", "").isdigit()
    return str(reply.status), None if late else f"{reply.status} without Retry-After"


def streamed(body, form):
    """The report at the end of a stream, and the open ports reported before it."""
    start = b"data: " if form == "sse" else b""
    lines = [line[len(start):] for line in body.split(b"\n") if line.startswith(start) and line]
    records = [json.loads(line) for line in lines]
    told = {record["port"] for record in records
            if record["type"] == "port" and record["state"] == "open"}
    return (records[-1]["report"], told) if records and records[-1]["type"] == "end" else (None, told)


async def answering(tally):
    host = random.choice([*NEAR_OPEN, "web.soak", "pair.soak", "localhost"])
    first, last = random.choice([(1, 65535), (1, 20000), (20001, 65535), (60000, 65535)])
    form = random.choice(["json", "ndjson", "sse"])
    await scan(tally, "answering hosts", "answering", host, first, last, form=form,
               details=random.random() < 0.3)


async def text(tally):
    await scan(tally, "answering hosts, as text", "watch", "127.0.0.16", 1, 2000, form="text")


async def silent(tally):
    host = f"{random.choice([SILENT, FEW])}{random.randint(1, 90)}"
    await scan(tally, "silent hosts", "silent", host, 1, 500, timeoutMs=500,
               form=random.choice(["json", "ndjson"]))


async def short_of_time(tally):
    host = f"{SILENT}{random.randint(91, 180)}"
    await scan(tally, "silent hosts, 300 ms to do so", "silent", host, 1, 65535, deadlineMs=300)


async def rejecting(tally):
    network = random.choice([ICMP, RESET])
    host = f"{network}{random.randint(1, 90)}"
    await scan(tally, "rejecting hosts, details", "rejecting", host, 1, 10000, details=True,
               form=random.choice(["json", "ndjson", "sse"]))


async def expect(tally, asker, caller, target, statuses):
    """Sends a request that has to be answered with one of `statuses`."""
    try:
        reply = await ask(target, steady(caller))
    except Broken as broken:
        tally.fail(asker, str(broken))
        return
    answer, problem = str(reply.status), None
    if reply.status in BUSY:
        answer, problem = refusal(reply)
    elif reply.status not in statuses:
        problem = f"{reply.status} for {target}: {reply.body[:150]!r}"
    tally.count(asker, answer)
    if problem:
        tally.fail(asker, problem)


async def absent_names(tally):
    name = f"n{random.randint(0, 999_999)}.{random.choice([ABSENT, ABSENT, UNANSWERED])}"
    await expect(tally, "names that nobody has", "names", f"/open-ports?domain={name}&toPort=9",
                 [422])


async def known_names(tally):
    """Another client's slow look-up must not keep these names from resolving."""
    await scan(tally, "names in /etc/hosts", "watch",
               random.choice(["localhost", "web.soak", "pair.soak"]), 65000, 65535)


async def refused(tally):
    host = random.choice(["169.254.169.254", "metadata.soak", "192.0.2.7", "[fd00:ec2::254]"])
    await expect(tally, "refused hosts", "hostile", f"/open-ports?domain={host}&toPort=9", [403])


async def nonsense(tally):
    query = random.choice(["", "domain=a%20b&toPort=9", "domain=localhost&toPort=0",
                           "domain=localhost&toPort=9&toPort=9", "domain=%ff&ports=top9999",
                           "domain=localhost&toPort=9&details=perhaps"])
    await expect(tally, "nonsense", "hostile", f"/open-ports?{query}", [400])


# Each with the number of its clients, and how long each of them pauses.
LOAD = [
    (answering, 4, 0.5), (text, 1, 1), (silent, 3, 0.2), (short_of_time, 1, 1),
    (rejecting, 2, 0.5), (absent_names, 8, 0.2), (known_names, 2, 0.3), (refused, 1, 0.2),
    (nonsense, 1, 0.2),
]

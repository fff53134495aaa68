"""Replies of many megabytes, and many clients that request the same one."""

import asyncio
import random
import re

from .client import BIG, Broken, connect, head, pieces, read_head, send
from .expected import Truth
from .network import HOSTS, ICMP
from .scans import BUSY, DEADLINE_MS, refusal
from .tokens import JOINERS, steady

COMPLETE = re.compile(rb'"complete":(true|false)')
ROW = re.compile(rb'"state":"(?:open|filtered)"')

# Longer than what is searched for, so that nothing between two pieces is missed.
OVERLAP = 24


async def count_rows(tally, asker, caller, host):
    """Requests a row for every port; counts the rows and keeps none."""
    truth = Truth(host, 1, 65535)
    target = f"/open-ports?domain={host}&toPort=65535&details=true&deadlineMs={DEADLINE_MS}"
    try:
        reader, writer = await connect(BIG)
        send(writer, head(target, steady(caller), fields=["Connection: close"]))
        reply = await read_head(reader)
        rows, end, complete = 0, b"", None
        async for piece in pieces(reader, reply):
            text = end + piece
            if complete is None and (found := COMPLETE.search(text)):
                complete = found[1] == b"true"
            # Count rows that end in this piece; they were not counted before.
            rows += sum(1 for row in ROW.finditer(text) if row.end() > len(end))
            end = text[-OVERLAP:]
        writer.close()
    except Broken as broken:
        return tally.fail(asker, str(broken))
    if reply.status in BUSY:
        # The body was read above; the head says how to go on.
        answer, problem = refusal(reply)
    elif reply.status != 200:
        answer, problem = str(reply.status), f"{reply.status}"
    elif complete is None or not end.rstrip().endswith(b"}"):
        answer, problem = "cut", f"no end, or no `complete`, after {rows} rows"
    else:
        answer = "right" if complete else "incomplete"
        right = rows == truth.rows() if complete else rows <= truth.rows()
        problem = None if right else f"{rows} rows, not {truth.rows()}; complete: {complete}"
    tally.count(asker, answer)
    if problem:
        tally.fail(asker, problem)


async def sixteen(tally):
    """A million rows."""
    assert len(HOSTS["sixteen.soak"]) == 16
    await count_rows(tally, "16 rejecting addresses, all ports, details", "big", "sixteen.soak")


async def joiners(tally):
    """A hundred clients with the same request, which share one scan."""
    host = f"{ICMP}{random.randint(201, 254)}"
    await asyncio.gather(*(
        count_rows(tally, "100 joiners of one scan, details", f"joiners-{turn % JOINERS}", host)
        for turn in range(100)))


LOAD = [(sixteen, 1, 20), (joiners, 1, 20)]

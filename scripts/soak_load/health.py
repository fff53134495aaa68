"""A health check that asks steadily, whether it was answered or not."""

import asyncio
import time

from .client import CHECKS, Broken, ask

# Each is asked on a connection of its own, as kubelets do.
PERIOD = 0.05


async def once(tally):
    begun = time.monotonic()
    try:
        reply = await ask("/livez", network=CHECKS)
    except Broken as broken:
        return tally.fail("/livez, steadily", str(broken))
    tally.latencies.append(round(time.monotonic() - begun, 5))
    tally.count("/livez, steadily", str(reply.status))
    if reply.status != 200:
        tally.fail("/livez, steadily", str(reply.status))


async def steadily(tally, waiting=set()):
    # A slow answer must not mean fewer questions: those are the ones that count.
    check = asyncio.create_task(once(tally), name="/livez, steadily")
    waiting.add(check)
    check.add_done_callback(waiting.discard)
    await asyncio.sleep(PERIOD)


LOAD = [(steadily, 1, 0)]

"""A health check at a constant rate, whether it is answered or not."""

import asyncio
import time

from .client import CHECKS, Broken, ask

# Each request has its own connection, as with a kubelet.
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
    # A slow reply must not reduce the number of requests: slow replies are what counts.
    check = asyncio.create_task(once(tally), name="/livez, steadily")
    waiting.add(check)
    check.add_done_callback(waiting.discard)
    await asyncio.sleep(PERIOD)


LOAD = [(steadily, 1, 0)]

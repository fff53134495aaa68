"""One process of the load.

    python3 -m soak_load.worker KIND SECONDS TOKENS

Prints its tally when the time is over, or earlier after SIGTERM.
"""

import asyncio
import importlib
import logging
import random
import resource
import signal
import sys

from .client import Broken, ask
from .tally import Tally

# When the time is over, running requests may finish, except those that never would.
# A scan has 40 s, and a reply of megabytes for each of a hundred the rest.
PATIENCE = {"hostile": 3}
DEFAULT_PATIENCE = 120


async def repeat(act, rest, tally, stopping):
    # They do not all begin at once.
    await asyncio.sleep(random.uniform(0, rest))
    while not stopping.is_set():
        try:
            await act(tally)
        except Exception as error:
            tally.fail(act.__name__, f"could not judge: {error!r}")
        await asyncio.sleep(rest * random.uniform(0.5, 1.5))


async def load(kind, seconds, token_file):
    tally, stopping = Tally(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    module = importlib.import_module(f".{kind}", __package__)
    acts = module.load(token_file) if kind == "tokens" else module.LOAD
    own = asyncio.current_task()
    for act, count, rest in acts:
        for _ in range(count):
            asyncio.create_task(repeat(act, rest, tally, stopping), name=act.__name__)
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except asyncio.TimeoutError:
        stopping.set()
    patience = PATIENCE.get(kind, DEFAULT_PATIENCE)
    if working := asyncio.all_tasks() - {own}:
        _, late = await asyncio.wait(working, timeout=patience)
        for task in late:
            # Those without a name are parts of others.
            if kind not in PATIENCE and not task.get_name().startswith("Task-"):
                tally.fail(task.get_name(), f"not answered {patience} s after the end of the load")
            task.cancel()
    return tally


async def warm_up():
    """Waits for the service. Those beside it may not be there: that is for the
    load to find."""
    for _ in range(100):
        try:
            return await ask("/livez")
        except Broken:
            await asyncio.sleep(0.1)
    sys.exit("the service does not answer")


def main():
    # Connections that end in the middle are what this is about.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kind = sys.argv[1]
    if kind == "warm-up":
        asyncio.run(warm_up())
    else:
        print(asyncio.run(load(kind, float(sys.argv[2]), sys.argv[3])).dump())


if __name__ == "__main__":
    main()

"""The token file, which is replaced again and again.

Each file has the steady tokens, this turn's token and the last turn's.
"""

import asyncio
import os
import time

from .client import Broken, ask

# Each is a caller with its own share. There are so many that join a scan that no
# share keeps most of them out.
JOINERS = 13
STEADY = ["answering", "silent", "rejecting", "names", "hostile", "big", "watch",
          *(f"joiners-{number}" for number in range(JOINERS))]

TURN_SECONDS = 4


def steady(name):
    return f"{name}-0123456789abcdef"


def of_turn(turn):
    return f"turn-{turn}-0123456789abcdef"


def write(path, turn):
    """Replaces the file at `path`, as an editor or a Secret's volume does."""
    lines = [f"{name}:{steady(name)}" for name in STEADY]
    lines += [f"turn-{each}:{of_turn(each)}" for each in (turn - 1, turn)]
    new = f"{path}.new"
    with open(new, "w") as file:
        file.write("\n".join(lines) + "\n")
    os.chmod(new, 0o600)
    os.rename(new, path)


class Turns:
    def __init__(self, path):
        # Continues where another process stopped.
        last = open(path).read().split()[-1]
        self.turn = int(last.split(":")[0].removeprefix("turn-"))
        self.path, self.since = path, time.monotonic()

    async def rotate(self, tally):
        await asyncio.sleep(TURN_SECONDS)
        self.turn += 1
        self.since = time.monotonic()
        write(self.path, self.turn)
        tally.count("token file", "replaced")

    async def use(self, tally):
        """The last turn's token is in this file and in the one before."""
        turn = self.turn
        await self.expect(tally, "token in both files", turn - 1, turn, 200)

    async def misuse(self, tally):
        """A removed token works for a second at most; here it has twice that."""
        turn = self.turn
        if time.monotonic() - self.since > 2:
            await self.expect(tally, "token taken out", turn - 2, turn, 401)

    async def expect(self, tally, asker, token, turn, status):
        try:
            reply = await ask("/", of_turn(token))
        except Broken as broken:
            tally.fail(asker, str(broken))
            return
        tally.count(asker, str(reply.status))
        # If the file was replaced meanwhile, either answer is right.
        if reply.status != status and turn == self.turn:
            tally.fail(asker, f"{reply.status}, not {status}")


def load(path):
    turns = Turns(path)
    return [(turns.rotate, 1, 0), (turns.use, 4, 0.1), (turns.misuse, 1, 0.3)]

"""Services whose log cannot be written. They have to answer like any other."""

from .client import Broken, ask
from .expected import Truth
from .scans import judged

# By what their standard error is.
SERVERS = {"/dev/full": "127.0.0.21", "a pipe without a reader": "127.0.0.22"}


async def scan(tally):
    for log, server in SERVERS.items():
        asker = f"beside a log to {log}"
        target = "/open-ports?domain=127.0.0.16&toPort=65535"
        try:
            reply = await ask(target, server=server, host=f"{server}:8080")
            # A refusal is logged as well.
            await ask("/open-ports?domain=169.254.169.254&toPort=9", server=server,
                      host=f"{server}:8080")
        except Broken as broken:
            tally.fail(asker, str(broken))
            continue
        answer, problem = judged(reply, Truth("127.0.0.16", 1, 65535), "json", False)
        tally.count(asker, answer)
        if problem:
            tally.fail(asker, problem)


LOAD = [(scan, 1, 3)]

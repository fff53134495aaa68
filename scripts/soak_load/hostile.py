"""Clients that are malicious or broken.

Each has to get a reply, or to be disconnected when it takes too long. None may make
the service give wrong answers to others, or no answers.
"""

import asyncio
import random
import socket
import struct
import time

from .client import (
    HOLDERS, HOST, ODD, Broken, ask, connect, exchange, head, read_head, read_reply, send)
from .network import ICMP
from .tokens import steady

TOKEN = steady("hostile")

# The service allows 15 s for a request's head, and 60 s for a reply that is not read;
# a busy machine may take longer.
HELD_AT_MOST = 120


async def reply_to(tally, asker, data, statuses, *, half_close=False, method="GET"):
    """Sends `data` and expects one of `statuses`."""
    try:
        reply = await exchange(data, network=ODD, half_close=half_close, method=method)
    except Broken as broken:
        tally.fail(asker, f"{broken}, for {data[:60]!r}")
        return
    tally.count(asker, str(reply.status))
    if reply.status not in statuses:
        tally.fail(asker, f"{reply.status} for {data[:100]!r}, not {statuses}")


async def half_closing(tally):
    """Closes its sending side at once, like `nc -N`."""
    query = random.choice(["/livez", "/open-ports?domain=127.0.0.17&toPort=2000"])
    await reply_to(tally, "half-closing clients", head(query, TOKEN), (200, 429, 503),
                   half_close=True)


async def malformed(tally):
    lines = random.choice([
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS\r\n\r\n",
        b"GET\r\n\r\n", b"GET /livez\r\n\r\n", b"GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /li vez HTTP/1.1\r\nHost: localhost\r\n\r\n",
        # RFC 9112, 3.2.
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    ])
    await reply_to(tally, "malformed heads", lines, (400, 505))


async def too_long(tally):
    long, status = random.choice([
        (head(f"/open-ports?domain={'a' * 9000}&toPort=9", TOKEN), 414),
        (head("/", TOKEN, fields=[f"X-Long: {'a' * 20_000}"]), 431),
    ])
    await reply_to(tally, "too long heads", long, (status,))


async def foreign(tally):
    """Requests that a web page of another origin makes a browser send."""
    target = "/open-ports?domain=127.0.0.17&toPort=9"
    data, status = random.choice([
        (head(target, TOKEN, host="rebound.example:8080"), 421),
        (head(target, TOKEN, host="10.77.0.1:8080"), 421),
        (head(target, TOKEN, fields=["Origin: https://elsewhere.example"]), 403),
        (head(target, TOKEN, fields=["Origin: null"]), 403),
        (head(target, TOKEN, fields=["Sec-Fetch-Site: cross-site"]), 403),
    ])
    await reply_to(tally, "foreign hosts and origins", data, (status,))


async def old(tally):
    host = random.choice([HOST, None])
    # HTTP/1.0 does not require a Host; a service may.
    await reply_to(tally, "HTTP/1.0", head("/livez", version="1.0", host=host),
                   (200,) if host else (200, 400))


async def wrong_token(tally):
    token = random.choice([None, "x" * 32, "hostile", steady("hostile")[:-1], "\x80\xff" * 9])
    await reply_to(tally, "wrong tokens", head("/open-ports?domain=127.0.0.17&toPort=9", token),
                   (401,))


async def wrong_method(tally):
    data = head("/open-ports?domain=127.0.0.17&toPort=9", TOKEN, method="POST",
                fields=["Content-Length: 4"]) + b"body"
    await reply_to(tally, "wrong methods", data, (405,), method="POST")


async def a_byte_a_second(tally):
    """Has to be closed at some time, with or without a reply."""
    asker, begun = "a byte a second", time.monotonic()
    try:
        reader, writer = await connect(HOLDERS)
    except Broken as broken:
        return tally.fail(asker, str(broken))
    ending = asyncio.create_task(reader.read())
    for byte in head("/livez", fields=[f"X-Slow: {'a' * HELD_AT_MOST}"]):
        if ending.done() or time.monotonic() - begun > HELD_AT_MOST:
            break
        writer.write(bytes([byte]))
        await asyncio.wait([ending], timeout=1)
    ended = ending.done()
    ending.cancel()
    writer.transport.abort()
    tally.count(asker, "closed")
    if not ended:
        tally.fail(asker, f"still connected after {HELD_AT_MOST} s")


async def slow_reader(tally):
    """Reads a kilobyte of a big reply at a time, and leaves before its end."""
    form = random.choice(["json", "ndjson", "sse"])
    host = f"{ICMP}{random.randint(120, 200)}"
    await reads_little(tally, "slow readers", host, form, seconds=random.choice([5, 20, 70]))


async def reads_little(tally, asker, host, form, seconds):
    peer = socket.socket()
    # A small receive buffer: what the kernel takes, the service need not hold.
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", 8080))
        reader, writer = await asyncio.open_connection(sock=peer, limit=4096)
        target = f"/open-ports?domain={host}&toPort=65535&details=true&format={form}"
        writer.write(head(target, TOKEN))
        reply = await asyncio.wait_for(read_head(reader), HELD_AT_MOST)
    except (OSError, Broken, asyncio.TimeoutError) as error:
        peer.close()
        return tally.fail(asker, repr(error))
    tally.count(asker, str(reply.status))
    if reply.status not in (200, 429, 503):
        tally.fail(asker, f"{reply.status}")
    until = time.monotonic() + seconds
    try:
        while reply.status == 200 and time.monotonic() < until and await reader.read(1024):
            await asyncio.sleep(1)
    except ConnectionError:
        # The service has closed it, as it should.
        pass
    writer.transport.abort()


async def resetting(tally):
    """Resets its connection in the middle of a reply, or before there is one."""
    asker = "resetting clients"
    host = random.choice(["127.0.0.17", "127.0.0.18", f"{ICMP}{random.randint(120, 200)}"])
    target = f"/open-ports?domain={host}&toPort=65535&details=true&format=ndjson"
    try:
        reader, writer = await connect(HOLDERS)
        send(writer, head(target, TOKEN))
    except Broken as broken:
        return tally.fail(asker, str(broken))
    try:
        await asyncio.wait_for(reader.read(random.choice([1, 10_000])), random.choice([0.05, 3]))
    except (asyncio.TimeoutError, ConnectionError):
        pass
    reset = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    writer.transport.abort()
    tally.count(asker, "reset")


async def horde(tally):
    """More connections than there is room for, each of one request and then idle."""
    async def member():
        try:
            reader, writer = await connect(HOLDERS)
            send(writer, head("/livez"))
            reply = await asyncio.wait_for(read_reply(reader), HELD_AT_MOST)
        except Broken:
            # Connected, but sent nothing yet: then it is idle, and there are too
            # many that are.
            return tally.count("idle horde", "closed")
        except asyncio.TimeoutError:
            return tally.fail("idle horde", f"no reply within {HELD_AT_MOST} s")
        tally.count("idle horde", str(reply.status))
        # An idle connection may be closed at any time.
        await asyncio.wait([asyncio.create_task(reader.read())], timeout=10)
        writer.transport.abort()
    await asyncio.gather(*(member() for _ in range(300)))


async def pipelined(tally):
    """Sends twenty requests at once, which are answered in their order. The one
    whose reply says `Connection: close` is the last of them (RFC 9112, 9.6)."""
    asker, targets = "pipelined", ["/livez", "/nowhere", "/readyz", "/open-ports"] * 5
    expected = [200, 404, 200, 400] * 5
    try:
        reader, writer = await connect(ODD)
        send(writer, b"".join(head(target, TOKEN) for target in targets))
        statuses = []
        for _ in targets:
            reply = await read_reply(reader)
            statuses.append(reply.status)
            if reply.headers.get("connection") == "close":
                break
    except Broken as broken:
        return tally.fail(asker, str(broken))
    writer.close()
    tally.count(asker, "in order" if len(statuses) == len(targets) else "in order, then closed")
    if statuses != expected[:len(statuses)]:
        tally.fail(asker, f"{statuses}")


async def metrics(tally):
    reply = await ask("/metrics", steady("watch"))
    tally.count("metrics", str(reply.status))
    if reply.status != 200 or not reply.body.endswith(b"\n"):
        tally.fail("metrics", f"{reply.status}, {len(reply.body)} bytes")


LOAD = [
    (half_closing, 2, 0.3), (malformed, 2, 0.1), (too_long, 1, 0.2), (foreign, 2, 0.2),
    (old, 1, 0.3), (wrong_token, 2, 0.2), (wrong_method, 1, 0.3), (a_byte_a_second, 20, 1),
    (slow_reader, 4, 1), (resetting, 3, 0.3), (horde, 1, 5), (pipelined, 1, 0.5),
    (metrics, 1, 1),
]

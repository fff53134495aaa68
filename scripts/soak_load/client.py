"""A well-behaved HTTP client, and the parts for others that are not."""

import asyncio
import json
import random

# Where the service under load listens.
SERVER = "127.0.0.1"
HOST = "localhost:8080"

# Far longer than anything here takes. Within it, the service by itself closes only
# connections that are idle or whose replies are not read.
PATIENCE = 180


class Broken(Exception):
    """A connection that ended before the reply was whole."""


class Reply:
    def __init__(self, status, headers):
        self.status, self.headers, self.body = status, headers, b""

    def json(self):
        return json.loads(self.body)


# Clients connect from 127.0.NETWORK.x. The service first closes idle connections of
# the address that has most, so each kind of client has its own network.
CHECKS, POLITE, HOLDERS, BIG, ODD = 1, 2, 3, 4, 5

# Clients that hold useless connections have few addresses.
ADDRESSES = {HOLDERS: 10}


def own_address(network):
    return f"127.0.{network}.{random.randint(1, ADDRESSES.get(network, 250))}"


async def connect(network=POLITE, server=SERVER, **options):
    """A connection to the service: its reader and its writer."""
    connecting = asyncio.open_connection(
        server, 8080, local_addr=(own_address(network), 0), **options)
    try:
        return await asyncio.wait_for(connecting, PATIENCE)
    except (OSError, asyncio.TimeoutError) as error:
        raise Broken(f"cannot connect: {error!r}") from None


def head(target, token=None, *, method="GET", version="1.1", host=HOST, fields=()):
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    if token:
        lines.append(f"Authorization: Bearer {token}")
    lines += fields
    return "\r\n".join([*lines, "", ""]).encode()


async def read_head(reader):
    """The head of the final reply; those before it, 1xx, only say that it takes
    a while (RFC 9110, 15.2)."""
    while (reply := await read_one_head(reader)).status < 200:
        pass
    return reply


async def read_one_head(reader):
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError as error:
        held = f" after {len(error.partial)} bytes" if error.partial else ""
        raise Broken(f"closed without a reply{held}") from None
    except ConnectionError as error:
        raise Broken(f"no reply: {error.strerror}") from None
    fields = (line.split(":", 1) for line in lines[1:] if ":" in line)
    headers = {name.lower(): value.strip() for name, value in fields}
    return Reply(int(lines[0].split()[1]), headers)


async def pieces(reader, reply):
    """The body, piece by piece; `Broken` if it was cut."""
    try:
        if reply.headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                yield (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        elif "content-length" in reply.headers:
            left = int(reply.headers["content-length"])
            while left:
                piece = await reader.readexactly(min(left, 1 << 16))
                left -= len(piece)
                yield piece
        else:
            while piece := await reader.read(1 << 16):
                yield piece
    except asyncio.IncompleteReadError:
        raise Broken(f"a reply with {reply.status} was cut") from None
    except ConnectionError as error:
        raise Broken(f"a reply with {reply.status} was cut: {error.strerror}") from None


async def read_reply(reader, method="GET"):
    reply = await read_head(reader)
    if method != "HEAD" and reply.status not in (204, 304):
        reply.body = b"".join([piece async for piece in pieces(reader, reply)])
    return reply


def send(writer, data):
    try:
        writer.write(data)
    except ConnectionError as error:
        raise Broken(f"cannot send: {error.strerror}") from None


async def exchange(data, *, network=POLITE, method="GET", half_close=False, server=SERVER):
    """Sends `data` on its own connection; returns the whole reply."""
    reader, writer = await connect(network, server)
    try:
        send(writer, data)
        if half_close:
            writer.write_eof()
        return await asyncio.wait_for(read_reply(reader, method), PATIENCE)
    except asyncio.TimeoutError:
        raise Broken(f"no whole reply within {PATIENCE} s") from None
    finally:
        writer.transport.abort() if half_close else writer.close()


async def ask(target, token=None, *, network=POLITE, method="GET", fields=(), server=SERVER, **options):
    data = head(target, token, method=method, fields=("Connection: close", *fields), **options)
    return await exchange(data, network=network, method=method, server=server)

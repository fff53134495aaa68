"""Clients of a service that is being updated. Runs in a pod until SIGTERM, and then prints
as JSON what became of their requests.

The environment has the service's ADDRESS and PORT, and a line `name:token` in TOKENS.
"""

import encodings.idna  # noqa: F401, which socket imports when it is used
import json
import os
import signal
import socket
import sys
import threading
import time

# Where this listens once each client has had its first answer.
READY_PORT = 7000

# Longer than any reply here takes.
PATIENCE = 30

# How many failures are printed in full.
EXAMPLES = 20

stopping = threading.Event()


class Closed(Exception):
    """The connection ended before the reply was whole."""


class Client(threading.Thread):
    """Asks for `target` again and again on one connection, until a reply says that it
    closes. It never looks whether the connection was closed meanwhile."""

    def __init__(self, name, target, pause, keep=True, early=False):
        super().__init__(name=name, daemon=True)
        fields = [f"GET {target} HTTP/1.1", "Host: open-ports"]
        token = os.environ.get("TOKENS", "").strip().partition(":")[2]
        fields += [f"Authorization: Bearer {token}"] if token else []
        fields += [] if keep else ["Connection: close"]
        self.request = "\r\n".join([*fields, "", ""]).encode()
        self.pause, self.keep, self.early = pause, keep, early
        self.stream = self.reader = None
        self.used = self.last = 0
        self.answered = self.announced = 0
        self.lost, self.refused = [], []

    def run(self):
        while not stopping.wait(self.pause):
            begun = time.monotonic()
            try:
                status = self.ask()
            except (OSError, Closed) as error:
                # A new network policy takes some seconds to let the first one in.
                if self.answered:
                    self.lost.append(self.describe(error, begun))
                self.leave()
                continue
            if status == 200:
                self.answered += 1
            elif self.answered:
                self.refused.append(self.describe(f"status {status}", begun))

    def describe(self, what, begun):
        clock = time.strftime("%H:%M:%S", time.gmtime())
        took, idle = time.monotonic() - begun, max(0, begun - self.last)
        return (f"{clock} {self.name}: {what!r} after {took:.1f} s; the connection had {self.used} replies "
                f"and was idle for {idle:.1f} s")

    def ask(self):
        if not self.stream:
            self.connect()
        self.stream.sendall(self.request)
        status, closes = self.read_reply()
        self.used, self.last = self.used + 1, time.monotonic()
        if closes:
            self.announced += self.keep
            self.leave()
            if self.early:
                self.connect()
        return status

    def connect(self):
        address = (os.environ["ADDRESS"], int(os.environ["PORT"]))
        self.used, self.last = 0, time.monotonic()
        self.stream = socket.create_connection(address, PATIENCE)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.stream.makefile("rb")

    def read_reply(self):
        status = int(self.line().split()[1])
        fields = {}
        while line := self.line():
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip().lower()
        if fields.get("transfer-encoding") == "chunked":
            while size := int(self.line(), 16):
                self.exactly(size)
                self.line()
            self.line()
        else:
            self.exactly(int(fields["content-length"]))
        return status, fields.get("connection") == "close"

    def line(self):
        line = self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise Closed(f"closed after {len(line)} bytes of a line")
        return line[:-2].decode("latin-1")

    def exactly(self, size):
        if len(self.reader.read(size)) < size:
            raise Closed("closed in the middle of a body")

    def leave(self):
        if self.stream:
            self.reader.close()
            self.stream.close()
        self.stream = self.reader = None


def clients():
    # A port that answers, and one that mostly does not: such a scan takes a while.
    scan = f"/open-ports?domain={os.environ['ADDRESS']}&ports=80,9&timeoutMs=1000"
    for number in range(4):
        yield Client(f"busy {number}", "/livez", 0.02)
    for number in range(3):
        yield Client(f"scanning {number}", scan, 0.1)
    # The drain delay and 2 s is how long a service that stops keeps an idle connection.
    for rest in (0.5, 1, 2, 3, 5):
        yield Client(f"resting for {rest} s", "/livez", rest)
    yield Client("connecting 2 s before", "/livez", 2, keep=False, early=True)
    yield Client("connecting anew", "/livez", 0.1, keep=False)


def be_ready():
    """Accepts the kubelet's probes until this is to stop."""
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    with socket.create_server(("", READY_PORT), family=family, dualstack_ipv6=dual) as listener:
        listener.settimeout(0.5)
        while not stopping.is_set():
            try:
                listener.accept()[0].close()
            except OSError:
                pass


def main():
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    every = list(clients())
    for client in every:
        client.start()
    while not all(client.answered for client in every) and not stopping.is_set():
        time.sleep(0.1)
    be_ready()
    for client in every:
        client.join(2 * PATIENCE)
    lost = [text for client in every for text in client.lost]
    lost += [f"{client.name}: still waits for its reply" for client in every if client.is_alive()]
    refused = [text for client in every for text in client.refused]
    print(json.dumps({
        "answered": sum(client.answered for client in every),
        "announced": sum(client.announced for client in every),
        "lost": len(lost), "refused": len(refused), "examples": (lost + refused)[:EXAMPLES],
    }))
    sys.exit(0)


if __name__ == "__main__":
    main()

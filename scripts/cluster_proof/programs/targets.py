"""Listens on the PORTS of the environment, in a pod that is swept, until SIGTERM."""

import os
import selectors
import signal
import socket
import sys

# Where the kubelet looks whether this is ready.
READY_PORT = 7000


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    waiting = selectors.DefaultSelector()
    for port in [*map(int, os.environ["PORTS"].split(",")), READY_PORT]:
        waiting.register(socket.create_server(("", port)), selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            try:
                key.fileobj.accept()[0].close()
            except OSError:
                pass


if __name__ == "__main__":
    main()

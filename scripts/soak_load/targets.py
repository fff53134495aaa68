"""The scanned hosts: listeners, and a name server that knows no name.

    python3 -m soak_load.targets near|far    prints "ready" and runs until killed
"""

import random
import selectors
import socket
import sys

from .network import FAR_OPEN

# The open ports of each near host, besides those of the services: anywhere in the
# range, and different for each.
NEAR_OPEN = {
    f"127.0.0.{last}": sorted(random.Random(last).sample(range(1, 65536), 25))
    for last in (11, 12, 13, 14, 15, 16)
}

# Names under the second are never answered, so they take as long as possible.
ABSENT, UNANSWERED = "absent.soak", "unanswered.soak"


def listener(address, port):
    # Most probes are reset before they are established. A few are not, and would fill
    # a queue that nobody empties.
    return socket.create_server((address, port), backlog=4096)


def refuse_name(server):
    """Says that there is no such name (RFC 1035, 4.1.1: RCODE 3)."""
    query, client = server.recvfrom(4096)
    labels = UNANSWERED.split(".")
    if b"".join(bytes([len(label)]) + label.encode() for label in labels) not in query:
        server.sendto(query[:2] + b"\x81\x83" + query[4:6] + b"\0\0\0\0\0\0" + query[12:], client)


def main():
    selector = selectors.DefaultSelector()
    if sys.argv[1] == "near":
        hosts = [(address, port) for address, every in NEAR_OPEN.items() for port in every]
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.53", 53))
        selector.register(server, selectors.EVENT_READ, refuse_name)
    else:
        hosts = [("0.0.0.0", port) for port in FAR_OPEN]
    for address, port in hosts:
        selector.register(listener(address, port), selectors.EVENT_READ,
                          lambda server: server.accept()[0].close())
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            try:
                key.data(key.fileobj)
            except OSError:
                # The connection was reset before it was accepted.
                pass


if __name__ == "__main__":
    main()

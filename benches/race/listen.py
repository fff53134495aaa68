"""Listens, and takes connections until its input ends: what there is to find.

The first line of the input is JSON: how many places are wanted, which there
are, in order of preference, and whom to send a datagram now and then, if anyone.
The first line of the output is the places taken.
"""

import contextlib
import json
import select
import socket
import sys

# The port of the discard service, RFC 863, and the seconds between datagrams.
DISCARD, PERIOD = 9, 0.1


def bind(wanted, places):
    """Sockets that listen on the first of `places` that are free."""
    sockets = {}
    for place in places:
        if len(sockets) == wanted:
            break
        listener = socket.socket()
        try:
            listener.bind(tuple(place))
            listener.listen(4096)
        except OSError:
            listener.close()
            continue
        listener.setblocking(False)
        sockets[listener.fileno()] = listener
    return sockets


def accept(sockets, chatter):
    """Takes connections, and ends each when the other side has. A reset while a
    scanner still looks at its connection makes some believe the port closed."""
    ready, connections = select.epoll(), {}
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for descriptor in [sys.stdin.fileno(), *sockets]:
        ready.register(descriptor, select.EPOLLIN)
    while True:
        # No network is as quiet as one of two hosts, and masscan does not see
        # the time pass until a packet comes.
        if chatter:
            datagrams.sendto(b"", (chatter, DISCARD))
        for descriptor, _ in ready.poll(PERIOD if chatter else None):
            if descriptor == sys.stdin.fileno():
                return
            if descriptor in sockets:
                with contextlib.suppress(OSError):
                    connection, _ = sockets[descriptor].accept()
                    connections[connection.fileno()] = connection
                    ready.register(connection.fileno(), select.EPOLLIN)
            elif ended(connections[descriptor]):
                connections.pop(descriptor).close()


def ended(connection):
    try:
        return not connection.recv(4096)
    except OSError:
        return True


def main():
    wanted, places, chatter = json.loads(sys.stdin.readline())
    sockets = bind(wanted, places)
    print(json.dumps([listener.getsockname() for listener in sockets.values()]), flush=True)
    accept(sockets, chatter)


if __name__ == "__main__":
    main()

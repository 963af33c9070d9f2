"""A client that measures a server from outside: ``python -m benchmarks.ping PORT INTERVAL``.

It says ``ready`` on a line, sends one ``GET /ping`` after the other, ``INTERVAL`` seconds apart, over
one connection, until its standard input ends, and then prints a JSON list of the seconds that each
answer took. It is written on bare sockets, so that it measures the server and not a client library.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

REQUEST = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
ANSWER = b"pong"


def main(port: int, interval: float) -> list[float]:
    """Ping until standard input ends; the seconds that each answer took."""
    seconds = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print("ready", flush=True)
        while not _ended(interval):
            begin = time.perf_counter()
            connection.sendall(REQUEST)
            _receive_answer(connection)
            seconds.append(time.perf_counter() - begin)
    return seconds


def _ended(interval: float) -> bool:
    """Wait ``interval`` seconds, or until there is no more input."""
    return bool(select.select([sys.stdin], [], [], interval)[0])


def _receive_answer(connection: socket.socket) -> None:
    received = b""
    while not received.endswith(ANSWER):
        part = connection.recv(4096)
        if not part:
            raise ConnectionError(f"the server closed the connection after {received!r}")
        received += part


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), float(sys.argv[2]))))

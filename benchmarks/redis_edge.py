"""A graph that is split over two processes and a Redis of their own.

``python -m benchmarks.redis_edge URL ITEMS CAPACITY`` is the sending part; the receiving one is the contender.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines import Plumber

from .jobs import Edge

__all__ = ["graph", "receive"]

ROOT = Path(__file__).parents[1]

STARTED = 1_000
"""Items that are through before the time is taken."""


def numbers(self: Any, count: int) -> range:
    """The items: some to begin with, and those that count."""
    return range(-STARTED, count)


async def note(self: Any, q_elt: tuple[int]) -> None:
    """Take what arrives."""
    self.arrived(q_elt[0])


def graph(items: int, capacity: int) -> dict[str, Any]:
    """One edge, from host a to host b."""
    return {
        "nodes": {
            "in": {"coro": numbers, "args": {"count": items}, "properties": {"host": "a"}},
            "out": {"coro": note, "properties": {"host": "b", "queue_size": capacity}},
        },
        "graph": {"in": ["out"]},
    }


async def _send(url: str, items: str, capacity: str) -> None:
    await Plumber(graph(int(items), int(capacity)), None, {"arrived": None}, host="a", redis=url).run()


@contextmanager
def redis() -> Iterator[str]:
    """The URL of a server on a socket of its own."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder, "redis.sock")
        command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            while not socket.exists():
                time.sleep(0.01)
            try:
                yield f"unix://{socket}"
            finally:
                server.terminate()


async def receive(job: Edge) -> None:
    """Start a Redis and the sending part, and take the time from the first item that counts to the last."""
    with redis() as url:
        await _receive_from(job, url)


async def _receive_from(job: Edge, url: str) -> None:
    arguments = ["-m", "benchmarks.redis_edge", url, str(job.items), str(job.capacity)]
    sender = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT)
    timed = job.timed()

    def arrived(item: int) -> None:
        if item < 0:
            return
        if item == 0:
            timed.__enter__()
        job.recorded.append(item)
        if item == job.items - 1:
            timed.__exit__(None, None, None)

    await Plumber(graph(job.items, job.capacity), None, {"arrived": arrived}, host="b", redis=url).run()
    await sender.wait()


if __name__ == "__main__":
    from benchmarks.redis_edge import _send as send  # not `__main__`: both parts must name the functions alike

    asyncio.run(send(*sys.argv[1:]))

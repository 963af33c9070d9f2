"""streamz: items pushed through a tree of callbacks, with asynchronous nodes where they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from streamz import Stream

from ..bodies import SKIPPED
from ..jobs import BUFFER, Chain, Dag, Diamond, RoundTrips, SkippingDiamond, Sleep

ABOUT = (
    f"Async functions: `map_async` for each node, `parallelism` {BUFFER} (or, sleeping, 500), which is its buffer too, "
    "and awaited `emit`s. Plain functions: `map` for each node and plain `emit`s; it has no buffers then. Its results "
    "are always in order."
)
DISTRIBUTION = "streamz"
CANNOT = {"latency_submit": "no call that returns an item's result", "options": "no such options"}
SHARE = {"chain5": 0.25, "chain20": 0.25, "memory": 0.05}

Function = Callable[..., Any]


class _Arrivals:
    """Counts what comes out at the end of a stream, which has no end of its own."""

    def __init__(self, items: int) -> None:
        self._missing = items
        self.all_there = asyncio.get_running_loop().create_future()

    def count(self, _: object) -> None:
        self._missing -= 1
        if not self._missing:
            self.all_there.set_result(None)


async def _feed(source: Stream, items: int, arrivals: _Arrivals) -> None:
    for x in range(items):
        await source.emit(x)
    await arrivals.all_there


async def chain(job: Chain) -> None:
    """A `map_async` per node."""
    arrivals = _Arrivals(job.items)
    source = stream = Stream(asynchronous=True)
    for _ in range(job.depth - 1):
        stream = stream.map_async(job.node.call, parallelism=BUFFER)
    stream.map_async(job.sink.call, parallelism=BUFFER).sink(arrivals.count)
    await _feed(source, job.items, arrivals)


def plain(job: Chain) -> None:
    """A `map` per node: each emitted item goes all the way at once."""
    source = stream = Stream()
    for _ in range(job.depth - 1):
        stream = stream.map(job.node.plain)
    stream.sink(job.sink.plain)
    for x in range(job.items):
        source.emit(x)


async def _diamond(items: int, left: Function, right: Function, pair: Function) -> None:
    async def zipped(both: tuple[Any, Any]) -> None:
        if both[0] is not SKIPPED:
            await pair(*both)

    arrivals = _Arrivals(items)
    source = Stream(asynchronous=True)
    branches = [source.map_async(node, parallelism=BUFFER) for node in (left, right)]
    branches[0].zip(branches[1], maxsize=BUFFER).map_async(zipped, parallelism=BUFFER).sink(arrivals.count)
    await _feed(source, items, arrivals)


async def diamond(job: Diamond) -> None:
    """Two branches from one stream, and `zip`."""
    await _diamond(job.items, job.left.call, job.right.call, job.pair.call)


async def diamond_skips(job: SkippingDiamond) -> None:
    """The same; a dropped item leaves a marker, which is dropped with its partner."""
    await _diamond(job.items, job.left().call, job.right.call, job.pair.call)


async def sleep_ordered(job: Sleep) -> None:
    """A `map_async` with many calls at once, which keeps the order."""
    arrivals = _Arrivals(job.items)
    source = Stream(asynchronous=True)
    # It has one call more at once than it is told: the one whose result is waited for.
    sleeping = source.map_async(job.node.call, parallelism=job.concurrency - 1)
    sleeping.map_async(job.sink.call, parallelism=BUFFER).sink(arrivals.count)
    await _feed(source, job.items, arrivals)


sleep_unordered = sleep_ordered


def dag(job: Dag) -> None:
    """A `zip` and a `map` of plain functions per node."""
    streams = [Stream()]
    for body, upstreams in zip(job.bodies[1:], job.upstreams[1:], strict=True):
        streams.append(Stream.zip(*(streams[number] for number in upstreams)).map(body.plain))
    for x in range(job.items):
        streams[0].emit(x)


async def latency_put(job: RoundTrips) -> None:
    """An item is emitted, and a sink puts what comes out into a queue."""
    results: asyncio.Queue[Any] = asyncio.Queue()
    source = stream = Stream(asynchronous=True)
    for _ in range(job.depth):
        stream = stream.map_async(job.node.call, parallelism=BUFFER)
    stream.sink(results.put_nowait)

    async def send(x: int) -> Any:
        await source.emit(x)
        return await results.get()

    await job.drive(send)

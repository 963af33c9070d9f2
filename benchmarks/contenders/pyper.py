"""pyper: functions joined to a pipeline by `|`, with queues between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import reduce
from operator import or_
from typing import Any

from pyper import task

from ..jobs import BUFFER, Chain, RoundTrips, Sleep
from ._feed import Feed

ABOUT = (
    f"`task(function, throttle={BUFFER})` for each node, `workers` 1 (or, sleeping, 500), from an asynchronous "
    "generator. Plain functions run in one thread for each node, as it does with them."
)
DISTRIBUTION = "python-pyper"
CANNOT = {
    "diamond": "pipelines are linear",
    "diamond_skips": "pipelines are linear",
    "dag": "pipelines are linear",
    "sleep_ordered": "no ordered results with several workers",
    "latency_submit": "no call that returns an item's result",
    "options": "no such options",
}
SHARE = {"memory": 0.2}

Function = Callable[..., Any]


def _pipeline(source: Function, nodes: list[Function], workers: int = 1) -> Any:
    stages = [task(node, workers=workers, throttle=BUFFER) for node in nodes[:-1]]
    return reduce(or_, [task(source, branch=True, throttle=BUFFER), *stages, task(nodes[-1], throttle=BUFFER)])


def _async_source(items: int) -> Function:
    async def source() -> AsyncIterator[int]:
        for x in range(items):
            yield x

    return source


async def chain(job: Chain) -> None:
    """A task per node."""
    nodes = [*[job.node.call] * (job.depth - 1), job.sink.call]
    async for _ in _pipeline(_async_source(job.items), nodes)():
        pass


def plain(job: Chain) -> None:
    """A thread per node."""
    assert job.node.plain is not None
    assert job.sink.plain is not None

    def source() -> Iterator[int]:
        yield from range(job.items)

    for _ in _pipeline(source, [*[job.node.plain] * (job.depth - 1), job.sink.plain])():
        pass


async def sleep_unordered(job: Sleep) -> None:
    """A node with many workers."""
    nodes = [job.node.call, job.sink.call]
    async for _ in _pipeline(_async_source(job.items), nodes, workers=job.concurrency)():
        pass


async def latency_put(job: RoundTrips) -> None:
    """A pipeline behind an iterable that items are put into."""
    feed = Feed()
    results = _pipeline(feed.items, [job.node.call] * job.depth)()

    async def send(x: int) -> Any:
        feed.put(x)
        return await anext(results)

    await job.drive(send)
    feed.close()
    async for _ in results:
        pass

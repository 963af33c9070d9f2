"""aiostream: asynchronous generators with operators."""

from __future__ import annotations

from typing import Any

from aiostream import pipe, stream

from ..jobs import Chain, RoundTrips, Sleep
from ._feed import Feed

ABOUT = (
    "`stream.range` and one `pipe.map` for each node, `task_limit` 1 (or, sleeping, 500), `ordered` as asked for. "
    "It has no buffers between stages: each asks the one before it for the next item."
)
DISTRIBUTION = "aiostream"
CANNOT = {
    "diamond": "a stream cannot feed two branches without running twice",
    "diamond_skips": "a stream cannot feed two branches without running twice",
    "dag": "a stream cannot feed two branches without running twice",
    "latency_submit": "no call that returns an item's result",
    "options": "no such options",
}
SHARE = {"memory": 0.2}


async def chain(job: Chain) -> None:
    """Operators over a range."""
    items = stream.range(job.items)
    for _ in range(job.depth - 1):
        items |= pipe.map(job.node.call, task_limit=1)
    await (items | pipe.map(job.sink.call, task_limit=1))


async def plain(job: Chain) -> None:
    """The same; plain functions are called in place."""
    assert job.node.plain is not None
    assert job.sink.plain is not None
    items = stream.range(job.items)
    for _ in range(job.depth - 1):
        items |= pipe.map(job.node.plain)
    await (items | pipe.map(job.sink.plain))


async def sleep_ordered(job: Sleep) -> None:
    """`map` with a limit of tasks, which keeps the order by default."""
    items = stream.range(job.items) | pipe.map(job.node.call, ordered=job.ordered, task_limit=job.concurrency)
    await (items | pipe.map(job.sink.call, task_limit=1))


sleep_unordered = sleep_ordered


async def latency_put(job: RoundTrips) -> None:
    """Operators over an iterable that items are put into."""
    feed = Feed()
    items = stream.iterate(feed.items())
    for _ in range(job.depth):
        items |= pipe.map(job.node.call, task_limit=1)
    async with items.stream() as results:

        async def send(x: int) -> Any:
            feed.put(x)
            return await anext(results)

        await job.drive(send)

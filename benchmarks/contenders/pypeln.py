"""pypeln: stages of workers with queues between them; here its asyncio kind, `pypeln.task`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pypeln

from ..away import spin
from ..jobs import BUFFER, Chain, Cores, RoundTrips, Sleep
from ._feed import Feed

ABOUT = (
    f"`pypeln.task.map` for each node, `maxsize` {BUFFER}, `workers` 1 (or, sleeping, 500), from an asynchronous "
    "generator. It starts a task for every item. Ordered results: `pypeln.task.ordered`, which first collects all."
)
DISTRIBUTION = "pypeln"
CANNOT = {
    "diamond": "branches are merged, not zipped",
    "diamond_skips": "branches are merged, not zipped",
    "dag": "branches are merged, not zipped",
    "latency_submit": "no call that returns an item's result",
    "options": "no such options",
}
SHARE = {"cores_20us": 0.1, "chain1": 0.5, "chain5": 0.5, "chain20": 0.5, "plain5": 0.5, "memory": 0.05}


async def _source(items: int) -> AsyncIterator[int]:
    for x in range(items):
        yield x


async def _run(items: int, nodes: list[Any], sink: Any, workers: int, *, ordered: bool) -> None:
    stage = pypeln.task.from_iterable(_source(items), maxsize=BUFFER)
    for node in nodes:
        stage = pypeln.task.map(node, stage, workers=workers, maxsize=BUFFER)
    if ordered:
        stage = pypeln.task.ordered(stage, maxsize=BUFFER)
    await pypeln.task.each(sink, stage, workers=1, maxsize=BUFFER)


async def chain(job: Chain) -> None:
    """A stage per node, with one worker, which keeps the order."""
    await _run(job.items, [job.node.call] * (job.depth - 1), job.sink.call, 1, ordered=False)


async def plain(job: Chain) -> None:
    """The same with plain functions."""
    await _run(job.items, [job.node.plain] * (job.depth - 1), job.sink.plain, 1, ordered=False)


async def sleep_ordered(job: Sleep) -> None:
    """A stage with many workers; the results are put in order behind it where that is asked for."""
    await _run(job.items, [job.node.call], job.sink.call, job.concurrency, ordered=job.ordered)


sleep_unordered = sleep_ordered


async def latency_put(job: RoundTrips) -> None:
    """Stages behind an iterable that items are put into."""
    feed = Feed()
    stage = pypeln.task.from_iterable(feed.items(), maxsize=BUFFER)
    for _ in range(job.depth):
        stage = pypeln.task.map(job.node.call, stage, workers=1, maxsize=BUFFER)
    results = aiter(stage)

    async def send(x: int) -> Any:
        feed.put(x)
        return await anext(results)

    await job.drive(send)
    feed.close()
    async for _ in results:
        pass


def cores(job: Cores) -> None:
    """A stage of processes, with the order restored behind it."""
    with job.timed():  # its processes start with every run
        stage = pypeln.process.map(
            partial(spin, seconds=job.spin), range(job.items), workers=job.workers, maxsize=BUFFER
        )
        job.recorded.extend(pypeln.process.ordered(stage))

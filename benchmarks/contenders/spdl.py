"""spdl: pipelines for loading data, whose stages run in an event loop in a thread of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from queue import SimpleQueue
from typing import Any

from spdl.pipeline import AsyncQueue, PipelineBuilder

from ..jobs import BUFFER, Chain, RoundTrips, Sleep

ABOUT = (
    f"`PipelineBuilder` with a `pipe` for each node, `concurrency` 1 (or, sleeping, 500), `output_order` as asked for, "
    f"from an asynchronous generator. Its queues hold 2 items; here a `queue_class` gives them room for {BUFFER}."
)
DISTRIBUTION = "spdl"
CANNOT = {
    "diamond": "an item takes one path: no fan-out to two branches",
    "diamond_skips": "an item takes one path: no fan-out to two branches",
    "dag": "an item takes one path: no fan-out to two branches",
    "latency_submit": "no call that returns an item's result",
    "options": "no such options",
}
SHARE = {"chain1": 0.2, "chain5": 0.1, "chain20": 0.1, "plain5": 0.05, "memory": 0.02}


class _Buffer(AsyncQueue):
    def __init__(self, info: Any, *, buffer_size: int = 0) -> None:
        super().__init__(info, buffer_size=BUFFER)


async def _source(items: int) -> AsyncIterator[int]:
    for x in range(items):
        yield x


def _run(items: int, nodes: list[Any], sink: Any, concurrency: int, order: str) -> None:
    builder = PipelineBuilder().add_source(_source(items))
    for node in nodes:
        builder.pipe(node, concurrency=concurrency, output_order=order)
    # The sink gives None, which is not handed on: nothing has to cross to this thread.
    pipeline = builder.pipe(sink).add_sink(BUFFER).build(num_threads=1, queue_class=_Buffer)
    with pipeline.auto_stop():
        for _ in pipeline:
            pass


def chain(job: Chain) -> None:
    """A pipe per node."""
    _run(job.items, [job.node.call] * (job.depth - 1), job.sink.call, 1, "completion")


def plain(job: Chain) -> None:
    """A pipe per node; plain functions run in its thread pool, as it does with them."""
    _run(job.items, [job.node.plain] * (job.depth - 1), job.sink.plain, 1, "input")


def sleep_ordered(job: Sleep) -> None:
    """A pipe with many calls at once."""
    # In order it has two calls more at once than it is told: one whose result is waited for, and one without a place.
    _run(job.items, [job.node.call], job.sink.call, job.concurrency - 2, "input")


def sleep_unordered(job: Sleep) -> None:
    """The same, with its results in the order in which they come."""
    _run(job.items, [job.node.call], job.sink.call, job.concurrency, "completion")


async def latency_put(job: RoundTrips) -> None:
    """A pipeline behind an iterable that items are put into; both its ends are in other threads."""
    inbox: SimpleQueue[int | None] = SimpleQueue()
    builder = PipelineBuilder().add_source(iter(inbox.get, None))
    for _ in range(job.depth):
        builder.pipe(job.node.call)
    pipeline = builder.add_sink(BUFFER).build(num_threads=1, queue_class=_Buffer)

    async def send(x: int) -> Any:
        inbox.put(x)
        return pipeline.get_item()

    with pipeline.auto_stop():
        await job.drive(send)
        inbox.put(None)

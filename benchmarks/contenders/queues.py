"""The reference: what one writes by hand with `asyncio.Queue`, one task for each stage."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

from ..away import total
from ..bodies import SKIPPED
from ..jobs import BUFFER, Chain, Dag, Diamond, Hops, RoundTrips, SkippingDiamond, Sleep

ABOUT = (
    f"Written by hand: an `asyncio.Queue({BUFFER})` for every edge, one task for every stage, an end marker through "
    "the queues. Ordered sleeping: tasks are started in order, and their results awaited in order."
)
DISTRIBUTION: str | None = None
CANNOT = {"options": "has no options", "cores": "stays in one process (see limit)"}

Queue = asyncio.Queue[Any]
Function = Callable[..., Any]
END: Final = object()


def _queue() -> Queue:
    return asyncio.Queue(BUFFER)


async def _source(items: int, *outboxes: Queue) -> None:
    for x in range(items):
        for outbox in outboxes:
            await outbox.put(x)
    for outbox in outboxes:
        await outbox.put(END)


async def _stage(node: Function, inbox: Queue, outbox: Queue) -> None:
    while (x := await inbox.get()) is not END:
        await outbox.put(await node(x))
    await outbox.put(END)


async def _sink(node: Function, inbox: Queue) -> None:
    while (x := await inbox.get()) is not END:
        await node(x)


async def chain(job: Chain) -> None:
    """A task per node and one for the source."""
    queues = [_queue() for _ in range(job.depth)]
    async with asyncio.TaskGroup() as group:
        group.create_task(_source(job.items, queues[0]))
        for inbox, outbox in pairwise(queues):
            group.create_task(_stage(job.node.call, inbox, outbox))
        group.create_task(_sink(job.sink.call, queues[-1]))


async def _plain_stage(node: Function, inbox: Queue, outbox: Queue) -> None:
    while (x := await inbox.get()) is not END:
        await outbox.put(node(x))
    await outbox.put(END)


async def _plain_sink(node: Function, inbox: Queue) -> None:
    while (x := await inbox.get()) is not END:
        node(x)


async def plain(job: Chain) -> None:
    """The same; the functions are called, not awaited."""
    assert job.node.plain is not None
    assert job.sink.plain is not None
    queues = [_queue() for _ in range(job.depth)]
    async with asyncio.TaskGroup() as group:
        group.create_task(_source(job.items, queues[0]))
        for inbox, outbox in pairwise(queues):
            group.create_task(_plain_stage(job.node.plain, inbox, outbox))
        group.create_task(_plain_sink(job.sink.plain, queues[-1]))


async def _diamond(items: int, left: Function, right: Function, pair: Function) -> None:
    to_left, to_right, from_left, from_right = (_queue() for _ in range(4))

    async def zipped() -> None:
        while (x := await from_left.get()) is not END:
            y = await from_right.get()
            if x is not SKIPPED:
                await pair(x, y)

    async with asyncio.TaskGroup() as group:
        group.create_task(_source(items, to_left, to_right))
        group.create_task(_stage(left, to_left, from_left))
        group.create_task(_stage(right, to_right, from_right))
        group.create_task(zipped())


async def diamond(job: Diamond) -> None:
    """Source, two branches, and one task that takes from both."""
    await _diamond(job.items, job.left.call, job.right.call, job.pair.call)


async def diamond_skips(job: SkippingDiamond) -> None:
    """The same; a dropped item leaves a marker, which is dropped with its partner."""
    await _diamond(job.items, job.left().call, job.right.call, job.pair.call)


async def sleep_ordered(job: Sleep) -> None:
    """One task starts the sleepers in order, another awaits them in order."""
    inbox = _queue()
    # One sleeper more is awaited by the collector, and one has been started when its place is waited for.
    sleepers: Queue = asyncio.Queue(job.concurrency - 2)

    async def start() -> None:
        while (x := await inbox.get()) is not END:
            await sleepers.put(asyncio.create_task(job.node.call(x)))
        await sleepers.put(END)

    async def collect() -> None:
        while (sleeper := await sleepers.get()) is not END:
            await job.sink.call(await sleeper)

    async with asyncio.TaskGroup() as group:
        group.create_task(_source(job.items, inbox))
        group.create_task(start())
        group.create_task(collect())


async def sleep_unordered(job: Sleep) -> None:
    """As many tasks as may sleep share an inbox and an outbox."""
    inbox, outbox = _queue(), _queue()

    async def worker() -> None:
        while (x := await inbox.get()) is not END:
            await outbox.put(await job.node.call(x))
        await inbox.put(END)  # for the next worker

    async def work() -> None:
        async with asyncio.TaskGroup() as workers:
            for _ in range(job.concurrency):
                workers.create_task(worker())
        await outbox.put(END)

    async with asyncio.TaskGroup() as group:
        group.create_task(_source(job.items, inbox))
        group.create_task(work())
        group.create_task(_sink(job.sink.call, outbox))


async def dag(job: Dag) -> None:
    """A queue per edge and a task per node, which takes one item from each of its upstreams."""
    queues = {(upstream, number): _queue() for number, upstreams in enumerate(job.upstreams) for upstream in upstreams}

    async def run(number: int) -> None:
        body = job.bodies[number].call
        inboxes = [queues[upstream, number] for upstream in job.upstreams[number]]
        outboxes = [queues[number, downstream] for downstream in job.downstreams[number]]
        while END not in (xs := [await inbox.get() for inbox in inboxes]):
            total = await body(xs)
            for outbox in outboxes:
                await outbox.put(total)
        for outbox in outboxes:
            await outbox.put(END)

    async with asyncio.TaskGroup() as group:
        group.create_task(_source(job.items, *(queues[0, number] for number in job.downstreams[0])))
        for number in range(1, job.nodes):
            group.create_task(run(number))


async def latency_put(job: RoundTrips) -> None:
    """A task per node; an item is put into the first queue and taken from the last."""
    queues = [_queue() for _ in range(job.depth + 1)]

    async def send(x: int) -> Any:
        await queues[0].put(x)
        return await queues[-1].get()

    async with asyncio.TaskGroup() as group:
        for inbox, outbox in pairwise(queues):
            group.create_task(_stage(job.node.call, inbox, outbox))
        await job.drive(send)
        await queues[0].put(END)


latency_submit = latency_put


def _adder(inbox: Any, outbox: Any) -> None:
    while (array := inbox.get()) is not None:
        outbox.put(total(array))


def hops(job: Hops) -> None:
    """A plain `multiprocessing.Queue` there and another back; the next array is put before the last sum is there."""
    context = multiprocessing.get_context("forkserver")
    inbox: Any = context.Queue()
    outbox: Any = context.Queue()
    process = context.Process(target=_adder, args=(inbox, outbox))
    process.start()
    given = list(job.arrays())
    for array in given[:2]:
        inbox.put(array)
        outbox.get()
    with job.timed():
        for array in given:
            inbox.put(array)
        job.recorded.extend(outbox.get() for _ in given)
    inbox.put(None)
    process.join()
    for queue in (inbox, outbox):
        queue.close()
        queue.join_thread()

"""anyio: memory object streams between tasks of one task group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream as Receive
from anyio.streams.memory import MemoryObjectSendStream as Send

from ..bodies import SKIPPED
from ..jobs import BUFFER, Chain, Dag, Diamond, RoundTrips, SkippingDiamond, Sleep

ABOUT = (
    f"A memory object stream with room for {BUFFER} items for every edge, one task of a task group for every stage; "
    "streams end by being closed. Sleeping: as many tasks as may sleep share clones of the streams."
)
DISTRIBUTION = "anyio"
CANNOT = {
    "sleep_ordered": "no ordered results: tasks of a task group return none",
    "latency_submit": "no call that returns an item's result",
    "options": "no such options",
}
SHARE = {"memory": 0.1}

Function = Callable[..., Any]


def _stream() -> tuple[Send[Any], Receive[Any]]:
    return anyio.create_memory_object_stream(BUFFER)


async def _source(items: int, *outboxes: Send[Any]) -> None:
    for x in range(items):
        for outbox in outboxes:
            await outbox.send(x)
    for outbox in outboxes:
        outbox.close()


async def _stage(node: Function, inbox: Receive[Any], outbox: Send[Any]) -> None:
    async with inbox, outbox:
        async for x in inbox:
            await outbox.send(await node(x))


async def _sink(node: Function, inbox: Receive[Any]) -> None:
    async with inbox:
        async for x in inbox:
            await node(x)


async def chain(job: Chain) -> None:
    """A task per node and one for the source."""
    async with anyio.create_task_group() as group:
        first, inbox = _stream()
        group.start_soon(_source, job.items, first)
        for _ in range(job.depth - 1):
            outbox, behind = _stream()
            group.start_soon(_stage, job.node.call, inbox, outbox)
            inbox = behind
        group.start_soon(_sink, job.sink.call, inbox)


async def _plain_stage(node: Function, inbox: Receive[Any], outbox: Send[Any]) -> None:
    async with inbox, outbox:
        async for x in inbox:
            await outbox.send(node(x))


async def _plain_sink(node: Function, inbox: Receive[Any]) -> None:
    async with inbox:
        async for x in inbox:
            node(x)


async def plain(job: Chain) -> None:
    """The same; the functions are called, not awaited."""
    assert job.node.plain is not None
    assert job.sink.plain is not None
    async with anyio.create_task_group() as group:
        first, inbox = _stream()
        group.start_soon(_source, job.items, first)
        for _ in range(job.depth - 1):
            outbox, behind = _stream()
            group.start_soon(_plain_stage, job.node.plain, inbox, outbox)
            inbox = behind
        group.start_soon(_plain_sink, job.sink.plain, inbox)


async def _diamond(items: int, left: Function, right: Function, pair: Function) -> None:
    (to_left, left_in), (to_right, right_in), (left_out, from_left), (right_out, from_right) = (
        _stream() for _ in range(4)
    )

    async def zipped() -> None:
        async with from_left, from_right:
            async for x in from_left:
                y = await from_right.receive()
                if x is not SKIPPED:
                    await pair(x, y)

    async with anyio.create_task_group() as group:
        group.start_soon(_source, items, to_left, to_right)
        group.start_soon(_stage, left, left_in, left_out)
        group.start_soon(_stage, right, right_in, right_out)
        group.start_soon(zipped)


async def diamond(job: Diamond) -> None:
    """Source, two branches, and one task that receives from both."""
    await _diamond(job.items, job.left.call, job.right.call, job.pair.call)


async def diamond_skips(job: SkippingDiamond) -> None:
    """The same; a dropped item leaves a marker, which is dropped with its partner."""
    await _diamond(job.items, job.left().call, job.right.call, job.pair.call)


async def sleep_unordered(job: Sleep) -> None:
    """As many tasks as may sleep share two streams."""
    async with anyio.create_task_group() as group:
        first, inbox = _stream()
        outbox, last = _stream()
        group.start_soon(_source, job.items, first)
        group.start_soon(_sink, job.sink.call, last)
        async with inbox, outbox:
            for _ in range(job.concurrency):
                group.start_soon(_stage, job.node.call, inbox.clone(), outbox.clone())


async def dag(job: Dag) -> None:
    """A stream per edge and a task per node, which receives one item from each of its upstreams."""
    streams = {
        (upstream, number): _stream() for number, upstreams in enumerate(job.upstreams) for upstream in upstreams
    }

    async def run(number: int) -> None:
        body = job.bodies[number].call
        inboxes = [streams[upstream, number][1] for upstream in job.upstreams[number]]
        outboxes = [streams[number, downstream][0] for downstream in job.downstreams[number]]
        async for x in inboxes[0]:
            total = await body([x, *[await inbox.receive() for inbox in inboxes[1:]]])
            for outbox in outboxes:
                await outbox.send(total)
        for end in (*inboxes, *outboxes):
            end.close()

    async with anyio.create_task_group() as group:
        group.start_soon(_source, job.items, *(streams[0, number][0] for number in job.downstreams[0]))
        for number in range(1, job.nodes):
            group.start_soon(run, number)


async def latency_put(job: RoundTrips) -> None:
    """A task per node; an item is sent into the first stream and received from the last."""
    async with anyio.create_task_group() as group:
        first, inbox = _stream()
        for _ in range(job.depth):
            outbox, behind = _stream()
            group.start_soon(_stage, job.node.call, inbox, outbox)
            inbox = behind

        async def send(x: int) -> Any:
            await first.send(x)
            return await inbox.receive()

        async with first, inbox:
            await job.drive(send)

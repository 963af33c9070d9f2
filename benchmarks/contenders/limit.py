"""The limit: the same functions awaited in a loop, with no graph around them."""

from __future__ import annotations

import asyncio

from ..away import spin
from ..bodies import SKIPPED
from ..jobs import Chain, Cores, Dag, Diamond, RoundTrips, SkippingDiamond, Sleep

ABOUT = (
    "No graph: the functions are called one after the other in a loop, and sleeping ones in as many tasks as may "
    "sleep at once. Nobody who does more than that can be faster."
)
DISTRIBUTION: str | None = None
CANNOT = {
    "polite": "never gives the event loop back",
    "options": "has no options",
    "hops": "stays in one process",
}


async def chain(job: Chain) -> None:
    """Await all nodes for one item, then for the next."""
    nodes, sink = [job.node.call] * (job.depth - 1), job.sink.call
    for x in range(job.items):
        y = x
        for node in nodes:
            y = await node(y)
        await sink(y)


def plain(job: Chain) -> None:
    """Call all nodes for one item, then for the next."""
    assert job.node.plain is not None
    assert job.sink.plain is not None
    nodes, sink = [job.node.plain] * (job.depth - 1), job.sink.plain
    for x in range(job.items):
        y = x
        for node in nodes:
            y = node(y)
        sink(y)


async def diamond(job: Diamond) -> None:
    """Await both branches and the pair for one item, then for the next."""
    left, right, pair = job.left.call, job.right.call, job.pair.call
    for x in range(job.items):
        await pair(await left(x), await right(x))


async def diamond_skips(job: SkippingDiamond) -> None:
    """The same; there is no pair for what was dropped."""
    left, right, pair = job.left().call, job.right.call, job.pair.call
    for x in range(job.items):
        both = (await left(x), await right(x))
        if SKIPPED not in both:
            await pair(*both)


async def sleep_ordered(job: Sleep) -> None:
    """As many tasks as may sleep take numbers in turn; results wait in a list for their turn."""
    results: list[int | None] = [None] * job.items
    numbers = iter(range(job.items))

    async def worker() -> None:
        for x in numbers:
            results[x] = await job.node.call(x)

    async with asyncio.TaskGroup() as group:
        for _ in range(job.concurrency):
            group.create_task(worker())
    for result in results:
        await job.sink.call(result)


async def sleep_unordered(job: Sleep) -> None:
    """As many tasks as may sleep take numbers in turn."""
    numbers = iter(range(job.items))

    async def worker() -> None:
        for x in numbers:
            await job.sink.call(await job.node.call(x))

    async with asyncio.TaskGroup() as group:
        for _ in range(job.concurrency):
            group.create_task(worker())


async def dag(job: Dag) -> None:
    """All nodes in order for one item, then for the next."""
    bodies = [body.call for body in job.bodies]
    for x in range(job.items):
        values = [x]
        for body, upstreams in zip(bodies[1:], job.upstreams[1:], strict=True):
            values.append(await body([values[number] for number in upstreams]))


async def latency_put(job: RoundTrips) -> None:
    """Await all nodes."""
    nodes = [job.node.call] * job.depth

    async def send(x: int) -> int:
        for node in nodes:
            x = await node(x)
        return x

    await job.drive(send)


latency_submit = latency_put


def cores(job: Cores) -> None:
    """Call after call on one core: what two should halve."""
    with job.timed():
        job.recorded.extend([spin(item, job.spin) for item in range(job.items)])

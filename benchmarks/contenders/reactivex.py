"""reactivex: observables and operators, the Rx of Python."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import reactivex as rx
from reactivex import Observable, Subject
from reactivex import operators as ops

from ..bodies import SKIPPED
from ..jobs import Chain, Dag, Diamond, RoundTrips, SkippingDiamond, Sleep

ABOUT = (
    "Plain functions: `map` for each node. Async functions: `concat_map` to a future, which keeps the order; sleeping: "
    "`merge(max_concurrent=500)`. It has no backpressure: a source pushes all its items at once."
)
DISTRIBUTION = "reactivex"
CANNOT = {
    "sleep_ordered": "ordered means one after the other (concat)",
    "memory": "no backpressure: all items are queued at once",
    "latency_submit": "no call that returns an item's result",
    "options": "no such options",
}
SHARE = {"chain1": 0.1, "chain5": 0.05, "chain20": 0.05, "diamond": 0.1}

Function = Callable[..., Any]
Stage = Callable[[Observable[Any]], Observable[Any]]


def _deferred(node: Function) -> Callable[[Any], Observable[Any]]:
    """What an item is mapped to: a task of ``node`` that starts when its result is asked for."""
    loop = asyncio.get_running_loop()

    def of(x: Any) -> Observable[Any]:
        return rx.defer(lambda _: rx.from_future(loop.create_task(node(x))))

    return of


def _awaiting(node: Function) -> Stage:
    return ops.concat_map(_deferred(node))


async def _complete(observable: Observable[Any]) -> None:
    done = asyncio.get_running_loop().create_future()
    observable.subscribe(on_error=done.set_exception, on_completed=lambda: done.set_result(None))
    await done


async def chain(job: Chain) -> None:
    """A `concat_map` per node."""
    stages = [*[_awaiting(job.node.call)] * (job.depth - 1), _awaiting(job.sink.call)]
    await _complete(rx.from_iterable(range(job.items)).pipe(*stages))


def plain(job: Chain) -> None:
    """A `map` per node."""
    assert job.node.plain is not None
    stages = [ops.map(job.node.plain)] * (job.depth - 1)
    rx.from_iterable(range(job.items)).pipe(*stages).subscribe(job.sink.plain)


async def _diamond(items: int, left: Function, right: Function, pair: Function) -> None:
    async def zipped(both: tuple[Any, Any]) -> None:
        if both[0] is not SKIPPED:
            await pair(*both)

    source = rx.from_iterable(range(items)).pipe(ops.publish())
    both = rx.zip(source.pipe(_awaiting(left)), source.pipe(_awaiting(right)))
    done = asyncio.create_task(_complete(both.pipe(_awaiting(zipped))))
    await asyncio.sleep(0)  # until the subscription is there
    source.connect()
    await done


async def diamond(job: Diamond) -> None:
    """Two branches from one published source, and `zip`."""
    await _diamond(job.items, job.left.call, job.right.call, job.pair.call)


async def diamond_skips(job: SkippingDiamond) -> None:
    """The same; a dropped item leaves a marker, which is dropped with its partner."""
    await _diamond(job.items, job.left().call, job.right.call, job.pair.call)


async def sleep_unordered(job: Sleep) -> None:
    """As many at once as `merge` is told."""
    source = rx.from_iterable(range(job.items))
    sleeping = source.pipe(ops.map(_deferred(job.node.call)), ops.merge(max_concurrent=job.concurrency))
    await _complete(sleeping.pipe(_awaiting(job.sink.call)))


def dag(job: Dag) -> None:
    """A `zip` and a `map` of plain functions per node, each shared by those behind it."""
    source: Subject[Any] = Subject()
    values: list[Observable[Any]] = [source]
    for body, upstreams in zip(job.bodies[1:], job.upstreams[1:], strict=True):
        assert body.plain is not None
        shared: Subject[Any] = Subject()
        rx.zip(*(values[number] for number in upstreams)).pipe(ops.map(body.plain)).subscribe(shared)
        values.append(shared)
    for x in range(job.items):
        source.on_next(x)


async def latency_put(job: RoundTrips) -> None:
    """An item is pushed into a subject, and a subscriber puts what comes out into a queue."""
    source: Subject[int] = Subject()
    results: asyncio.Queue[Any] = asyncio.Queue()
    source.pipe(*[_awaiting(job.node.call)] * job.depth).subscribe(results.put_nowait)

    async def send(x: int) -> Any:
        source.on_next(x)
        return await results.get()

    await job.drive(send)

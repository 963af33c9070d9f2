"""csp: reactive time series in an engine written in C++."""

# mypy: ignore-errors
# In functions that csp reads, annotations are its own language.

from __future__ import annotations

from datetime import datetime, timedelta
from queue import SimpleQueue
from typing import Any

import csp
import numpy as np
from csp import ts

from ..jobs import Chain, Dag, Diamond, RoundTrips

ABOUT = (
    "`csp.curve` as source, `csp.apply` for each node, a `csp.node` for the last; run over historical time, a "
    "microsecond for each item. Its nodes are plain functions, and it has no buffers: an item goes all the way. Single "
    "items are pushed into its realtime engine, which runs in a thread of its own."
)
DISTRIBUTION = "csp"
_PLAIN = "nodes are plain functions"
CANNOT = {
    "chain": f"{_PLAIN} (see plain5)",
    "memory": f"{_PLAIN}, and nothing waits between them",
    "diamond_skips": f"{_PLAIN}: none can sleep",
    "sleep_ordered": f"{_PLAIN}: none can sleep",
    "sleep_unordered": f"{_PLAIN}: none can sleep",
    "latency_submit": "no call that returns an item's result",
    "options": "no such options",
}

START = datetime(2020, 1, 1)


@csp.node
def _last(function: object, x: ts[object]) -> None:
    if csp.ticked(x):
        function(x)


@csp.node
def _together(function: object, left: ts[object], right: ts[object]) -> None:
    if csp.ticked(left, right):
        function(left, right)


@csp.node
def _of_all(function: object, xs: [ts[int]]) -> ts[int]:
    if csp.ticked(xs):
        return function(list(xs.validvalues()))


def _source(items: int) -> Any:
    times = np.datetime64(START, "ns") + np.arange(items).astype("timedelta64[us]")
    return csp.curve(int, (times, np.arange(items)))


def _run(graph: Any, job: Any) -> None:
    csp.run(graph, job, starttime=START, endtime=timedelta(microseconds=job.items))


@csp.graph
def _chain(job: object) -> None:
    x = _source(job.items)
    for _ in range(job.depth - 1):
        x = csp.apply(x, job.node.plain, int)
    _last(job.sink.plain, x)


def plain(job: Chain) -> None:
    """A chain of `apply`."""
    _run(_chain, job)


@csp.graph
def _diamond(job: object) -> None:
    x = _source(job.items)
    _together(job.pair.plain, csp.apply(x, job.left.plain, int), csp.apply(x, job.right.plain, int))


def diamond(job: Diamond) -> None:
    """Two branches, and a node that ticks with both."""
    _run(_diamond, job)


def _nothing(_: object) -> None:
    """What csp does behind a sink: it leaves out nodes that nobody listens to."""


@csp.graph
def _dag(job: object) -> None:
    values = [_source(job.items)]
    for body, upstreams in zip(job.bodies[1:], job.upstreams[1:], strict=True):
        values.append(_of_all(body.plain, [values[number] for number in upstreams]))
    for number in job.sinks:
        _last(_nothing, values[number])


def dag(job: Dag) -> None:
    """A node of a basket of its upstreams for each node."""
    _run(_dag, job)


@csp.graph
def _pushed(job: object, source: object, put: object) -> None:
    x = source.out()
    for _ in range(job.depth):
        x = csp.apply(x, job.node.plain, int)
    _last(put, x)


async def latency_put(job: RoundTrips) -> None:
    """A push adapter, and a queue for what comes out; both are waited for with plain locks."""
    source: Any = csp.GenericPushAdapter(int)
    results: SimpleQueue[int] = SimpleQueue()
    engine = csp.run_on_thread(_pushed, job, source, results.put, realtime=True)
    source.wait_for_start()

    async def send(x: int) -> int:
        source.push_tick(x)
        return results.get()

    await job.drive(send)
    engine.stop_engine()
    engine.join()

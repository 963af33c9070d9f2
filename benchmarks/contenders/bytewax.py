"""bytewax: dataflows on an engine written in Rust."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

from ..jobs import BUFFER, Chain

ABOUT = (
    f"A source that gives batches of {BUFFER} items, `op.map` for each node, a sink for the last; one worker. "
    "Its nodes are plain functions."
)
DISTRIBUTION = "bytewax"
_PLAIN = "nodes are plain functions"
CANNOT = {
    "chain": f"{_PLAIN} (see plain5)",
    "memory": f"{_PLAIN}: the sink could only stop everything",
    "diamond": "no zip by position; its join is by key and does not keep the order",
    "diamond_skips": f"{_PLAIN}: none can sleep",
    "sleep_ordered": f"{_PLAIN}: none can sleep",
    "sleep_unordered": f"{_PLAIN}: none can sleep",
    "dag": "no zip by position; joins are by key",
    "latency_put": "no way to put an item in: its sources are polled",
    "latency_submit": "no way to put an item in: its sources are polled",
    "options": "no such options",
}

Function = Callable[..., Any]


class _Numbers(StatelessSourcePartition[int]):
    def __init__(self, items: int) -> None:
        self._items = items
        self._next = 0

    def next_batch(self) -> Iterable[int]:
        if self._next >= self._items:
            raise StopIteration
        first, self._next = self._next, min(self._next + BUFFER, self._items)
        return range(first, self._next)


class _Source(DynamicSource[int]):
    def __init__(self, items: int) -> None:
        self._items = items

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Numbers:
        return _Numbers(self._items)


class _Calls(StatelessSinkPartition[Any]):
    def __init__(self, function: Function) -> None:
        self._function = function

    def write_batch(self, items: list[Any]) -> None:
        for x in items:
            self._function(x)


class _Sink(DynamicSink[Any]):
    def __init__(self, function: Function) -> None:
        self._function = function

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Calls:
        return _Calls(self._function)


def plain(job: Chain) -> None:
    """A `map` per node."""
    assert job.node.plain is not None
    assert job.sink.plain is not None
    flow = Dataflow("chain")
    stream = op.input("source", flow, _Source(job.items))
    for number in range(job.depth - 1):
        stream = op.map(f"n{number}", stream, job.node.plain)
    op.output("sink", stream, _Sink(job.sink.plain))
    run_main(flow)

"""What a type checker sees of the public surface; read by mypy, never run.

A line with ``type: ignore`` is a mistake that must be found: an ignore that is not needed is an error, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, assert_type

import pipelines
from pipelines import (
    SKIP,
    FailedItem,
    Graph,
    GraphError,
    InputProcessor,
    Limits,
    NodeError,
    Plumber,
    Problem,
    Processor,
    Registry,
    Report,
    Statistics,
    To,
    lift,
)
from pipelines.context import Context
from pipelines.events import Event, ItemFailed, RunEnded
from pipelines.executors.base import Executor
from pipelines.executors.process import ProcessExecutor
from pipelines.executors.ray import RayExecutor
from pipelines.executors.thread import ThreadExecutor
from pipelines.statistics import EdgeStatistics, NodeStatistics
from pipelines.testing import Probe, feed, run_graph


async def reverse(self: Processor, q_elt: tuple[str, ...], times: int = 1) -> str | To:
    """A coro; what it keeps at its processor and finds in the environment is of any type."""
    self.calls = 1
    assert_type(self.calls, Any)
    assert_type(self.name, str)
    assert_type(self.uuid, str)
    assert_type(self.env_vars, Mapping[str, Any])
    assert_type(self.args, MappingProxyType[str, Any])
    assert_type(self.connection, Any)
    assert_type(self.outcome, str | None)
    return q_elt[0][::-1] if times else SKIP


async def lines(self: InputProcessor, output_q: Any, path: str) -> None:
    """A source that puts."""
    await output_q.put(path)


async def numbers(self: Processor) -> AsyncIterator[int]:
    """A source that yields."""
    yield 1


def hook(event: Event) -> None:
    """Somebody who is told."""
    assert_type(event.run, str)
    if isinstance(event, ItemFailed):
        assert_type(event.attempts, int)
        assert_type(event.error, BaseException)
    elif isinstance(event, RunEnded):
        assert_type(event.elapsed, float)


GRAPH: dict[str, Any] = {"nodes": {"inp": {"coro": numbers}, "rev": {"coro": reverse}}, "graph": {"inp": ["rev"]}}


def construction() -> None:
    """Every way to make a plumber."""
    Plumber(GRAPH)
    Plumber(GRAPH, lambda x: x)
    Plumber(GRAPH, {"reverse": reverse}, {"sid": 1}, name="n", defaults={"queue_size": 1}, hooks=[hook])
    Plumber(Graph.parse(GRAPH), Registry())
    Plumber("graph.yaml")  # type: ignore[arg-type]
    Plumber(GRAPH, coro_map=5)  # type: ignore[arg-type]
    Plumber(GRAPH, hooks=[5])  # type: ignore[list-item]
    Plumber(GRAPH, concurrency=5)  # type: ignore[call-arg]
    assert_type(Plumber.from_untrusted(b"{}", Registry(), Limits(nodes=5), {"sid": 1}), Plumber)
    Plumber.from_untrusted(b"{}", {"reverse": reverse})  # type: ignore[arg-type]


async def commands(plumber: Plumber) -> None:
    """What can be said to one."""
    assert_type(plumber.nodes, list[Processor])
    assert_type(plumber.report, Report | None)
    assert_type(plumber.statistics(), Statistics)
    assert_type(await plumber.run(collect=["rev"]), Report)
    assert_type(await plumber.wait(), Report)
    assert_type(await plumber.submit(1, source="inp", timeout=5), Any)
    await plumber.put("inp", object())
    await plumber.stop(timeout=30)
    await plumber.abort()
    plumber.step("rev", 2)
    async with plumber as entered:
        assert_type(entered, Plumber)
    async for item in plumber.stream("rev"):
        assert_type(item, Any)
    async with plumber.stream("rev") as stream:
        assert_type(await anext(stream), Any)
    await plumber.run(collect=5)  # type: ignore[arg-type]
    await plumber.stop("soon")  # type: ignore[arg-type]
    plumber.pause(1)  # type: ignore[arg-type]


def report(report: Report) -> None:
    """What one reads of a report."""
    assert_type(report.outputs["rev"], list[Any])
    assert_type(report.failures, tuple[FailedItem, ...])
    assert_type(report.ok, bool)
    assert_type(report.elapsed, float)
    assert_type(report.error, BaseException | None)
    assert_type(report.statistics.node("rev"), NodeStatistics)
    assert_type(report.statistics.edge("inp", "rev"), EdgeStatistics)
    assert_type(report.statistics.node("rev").latency_p50, float | None)
    assert_type(report.to_dict(), dict[str, Any])
    report.state = "completed"  # type: ignore[misc]
    if report.state == "done":  # type: ignore[comparison-overlap]
        pass


def from_synchronous_code() -> None:
    """``pipelines.run`` and the test helpers."""
    assert_type(pipelines.run(GRAPH, collect=["rev"]), Report)
    assert_type(run_graph(GRAPH, name="demo"), Report)
    assert_type(Probe().items, list[tuple[Any, ...]])
    Plumber({"nodes": {"inp": {"coro": feed([1])}}, "graph": {}})


def registry() -> None:
    """Registration keeps the type of what is registered."""
    table = Registry()

    @table.coro("text.reverse")
    async def registered(self: Processor, q_elt: tuple[str, ...]) -> str:
        return q_elt[0]

    call: Callable[[Processor, tuple[str, ...]], Awaitable[str]] = registered
    assert call is registered


def errors(error: GraphError | NodeError) -> None:
    """What errors carry."""
    if isinstance(error, GraphError):
        assert_type(error.problems, tuple[Problem, ...])
        assert_type(error.problems[0].to_dict(), dict[str, str])
    else:
        assert_type(error.node, str)
        assert_type(error.item, object)


def lifting() -> None:
    """A lifted function is a coro."""
    lift(max)
    lift(5)  # type: ignore[arg-type]


def pieces(self: Processor, q_elt: tuple[str, ...]) -> Iterator[str]:
    """A generator node."""
    yield from q_elt[0]


class Scaled:
    """A class as coro, which asks for the context."""

    def __init__(self, factor: int, context: Context) -> None:
        assert_type(context.name, str)
        assert_type(context.anything, Any)
        self.factor = factor

    def __call__(self, q_elt: tuple[int]) -> int:
        return self.factor * q_elt[0]


async def elsewhere() -> None:
    """Executors by name, and a part of a split graph."""
    executors: dict[str, Executor] = {
        "few": ThreadExecutor(2),
        "cores": ProcessExecutor(4, start_method="spawn"),
        "gpu": RayExecutor(num_gpus=1),
    }
    Plumber({"nodes": {"n": {"coro": Scaled}}}, executors=executors, host="a", redis="redis://here", run_id="x")
    ProcessExecutor(start_method="fork")  # type: ignore[arg-type]
    async with ThreadExecutor() as threads:
        assert_type(threads, ThreadExecutor)
        assert_type(threads.capacity, int)
    statistics = Plumber({}).statistics()
    assert_type([part.host for part in statistics.parts], list[str])

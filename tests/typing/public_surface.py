"""The types of the public surface as a user's type checker sees them; read by mypy, never run.

A line with ``type: ignore`` is one that must be refused: mypy complains about ignores that nothing needs.
"""

# mypy: disallow-untyped-defs, disallow-any-generics, disallow-untyped-calls, disallow-untyped-decorators

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, assert_type

import pipelines
from pipelines import SKIP, Graph, InputProcessor, Limits, Plumber, Problem, Processor, Registry, Report, To, lift
from pipelines.events import Event, ItemFailed
from pipelines.statistics import NodeStatistics, Statistics

registry = Registry()


@registry.coro("text.reverse")
async def reverse(self: Processor, q_elt: tuple[str, ...], *, times: int = 1) -> str | To:
    assert_type(self.name, str)
    assert_type(self.env_vars, Mapping[str, Any])
    return q_elt[0][::-1] if times else SKIP


@registry.coro
async def numbers(self: InputProcessor) -> AsyncIterator[int]:
    yield 1


@lift
def add(a: int, b: int) -> int:
    return a + b


async def decorators_keep_the_types(self: Processor) -> None:
    called = reverse(self, ("a",))
    described: Coroutine[Any, Any, str | To] = called
    assert_type(await described, str | To)
    await reverse(self, (1,))  # type: ignore[arg-type]
    await reverse(self, ("a",), time=2)  # type: ignore[call-arg]


def hook(event: Event) -> None:
    if isinstance(event, ItemFailed):
        assert_type(event.error, BaseException)


def wrong_hook(event: str) -> None: ...


def reading(data: dict[str, Any]) -> None:
    graph = Graph.parse(data)
    assert_type(graph, Graph)
    assert_type(graph.to_dict(), dict[str, Any])
    assert_type(graph.to_mermaid(), str)
    assert_type(graph.to_dot(), str)
    assert_type(Graph.json_schema(), dict[str, Any])
    Graph.parse(7)  # type: ignore[arg-type]


def making(data: dict[str, Any]) -> None:
    Plumber(data)
    Plumber(data, lambda name: reverse, {"sid": 1}, name="run", defaults={"queue_size": 8}, hooks=[hook])
    Plumber(data, {"reverse": reverse})
    Plumber(data, registry)
    Plumber(Graph.parse(data))
    Plumber([data])  # type: ignore[arg-type]
    Plumber(data, 5)  # type: ignore[arg-type]
    Plumber(data, hooks=[wrong_hook])  # type: ignore[list-item]
    assert_type(Plumber.from_untrusted(b"{}", registry, Limits(nodes=8), {"sid": 1}), Plumber)
    Plumber.from_untrusted(data, {"reverse": reverse})  # type: ignore[arg-type]


async def running(plumber: Plumber) -> None:
    assert_type(await plumber.run(collect=["out"]), Report)
    assert_type(await plumber.wait(), Report)
    assert_type(plumber.report, Report | None)
    assert_type(await plumber.submit("item", timeout=5), Any)
    await plumber.put("inp", 1)
    plumber.close("inp")
    async for item in plumber.stream("out"):
        assert_type(item, Any)
    async with plumber as entered:
        assert_type(entered, Plumber)
    await plumber.stop(timeout=30)
    await plumber.abort()
    plumber.pause("rev")
    plumber.step("rev", 2)
    plumber.resume()
    await plumber.stop("soon")  # type: ignore[arg-type]


def watching(plumber: Plumber, report: Report) -> None:
    statistics = plumber.statistics()
    assert_type(statistics, Statistics)
    assert_type(statistics.node("rev"), NodeStatistics)
    assert_type(statistics.node("rev").latency_p50, float | None)
    assert_type(report.ok, bool)
    assert_type(report.outputs["out"], list[Any])
    report.state = "failed"  # type: ignore[misc]


def failing(error: pipelines.GraphError, failure: pipelines.NodeError) -> None:
    assert_type(error.problems, tuple[Problem, ...])
    assert_type(failure.node, str)
    assert_type(failure.attempts, int)


def from_synchronous_code(data: dict[str, Any]) -> None:
    assert_type(pipelines.run(data, registry), Report)

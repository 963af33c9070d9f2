"""The same graph on every executor in turn: how long it takes, and whether the event loop stays free.

One word of the graph differs between the runs. Rounds are interleaved, so that whatever else the machine
does hits all executors alike, and medians are shown. Workers are started before the first round: to start
them is a price that a program pays once.
"""

import asyncio
import os
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Self

import yaml

import demos.images.stars  # noqa: F401 - registers the names that the graph uses
from pipelines import MissingExtraError, Plumber
from pipelines.executors.base import Executor

GRAPH = Path(__file__).with_name("graph.yaml")
EXECUTORS = ("loop", "thread", "process", "ray")
WARM_UP = 8


@dataclass(frozen=True)
class Measured:
    """One run: its pictures and seconds, and the longest time for which the event loop did not come back."""

    pictures: int
    seconds: float
    pause: float


class Ticker:
    """A task beside the graph that wants to run every few milliseconds, as a web server would.

    Attributes:
        pause: The longest time, in seconds, by which it came too late.
    """

    EVERY = 0.002

    def __init__(self) -> None:
        self.pause = 0.0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _tick(self) -> None:
        while True:
            before = perf_counter()
            await asyncio.sleep(self.EVERY)
            self.pause = max(self.pause, perf_counter() - before - self.EVERY)


def make_graph(executor: str, count: int, folder: str | None = None) -> dict[str, Any]:
    """The dict in graph.yaml with its one word set: what ``--set work.properties.executor=...`` does."""
    given = yaml.safe_load(GRAPH.read_text(encoding="utf-8"))
    nodes = given["nodes"]
    nodes["work"]["properties"]["executor"] = executor
    nodes["pictures"]["args"] |= {"count": count, "folder": folder}
    return {"nodes": nodes, "graph": given["graph"]}


def make_executor(name: str) -> Any:
    """An executor of one's own: its workers live as long as its ``async with``, not only for one graph."""
    if name == "thread":
        from pipelines.executors.thread import ThreadExecutor

        return ThreadExecutor(os.cpu_count() or 1)
    if name == "process":
        from pipelines.executors.process import ProcessExecutor

        return ProcessExecutor()
    from pipelines.executors.ray import RayExecutor

    return RayExecutor()


async def measure(graph: dict[str, Any], executors: dict[str, Executor]) -> Measured:
    """Run the graph once."""
    async with Ticker() as ticker:
        begin = perf_counter()
        report = await Plumber(graph, executors=executors).run()
        seconds = perf_counter() - begin
    return Measured(report.statistics.node("table").received, seconds, ticker.pause)


async def compare(
    names: Iterable[str], count: int, rounds: int, folder: str | None = None
) -> dict[str, list[Measured]]:
    """Run the graph on each executor, ``rounds`` times in turn; without those that are not installed."""
    measured: dict[str, list[Measured]] = {}
    async with AsyncExitStack() as stack:
        executors: dict[str, Executor] = {}
        for name in names:
            try:
                if name != "loop":
                    executors[name] = await stack.enter_async_context(make_executor(name))
            except MissingExtraError as missing:
                print(f"{name} is left out: {missing}")
                continue
            measured[name] = []
            await measure(make_graph(name, min(count, WARM_UP), folder), executors)
        for number in range(rounds):
            for name in list(measured)[:: -1 if number % 2 else 1]:
                measured[name].append(await measure(make_graph(name, count, folder), executors))
    return measured


def table(measured: dict[str, list[Measured]]) -> list[str]:
    """The medians, in lines to be printed."""
    seconds = {name: median(run.seconds for run in runs) for name, runs in measured.items()}
    lines = [f"{'executor':10}{'seconds':>9}{'pictures/s':>12}{'x loop':>9}{'longest pause of the loop':>28}"]
    for name, runs in measured.items():
        ratio = f"{seconds['loop'] / seconds[name]:.2f}" if "loop" in seconds else "-"
        pause = f"{1000 * median(run.pause for run in runs):.0f} ms"
        lines.append(f"{name:10}{seconds[name]:9.2f}{runs[0].pictures / seconds[name]:12.1f}{ratio:>9}{pause:>28}")
    return lines

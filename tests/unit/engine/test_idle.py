"""A graph never sits still with work to do: whenever time passes, no call could have been started."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from pipelines import SKIP, Plumber
from pipelines.engine.runner import Runner
from pipelines.testing import VirtualTimeLoop, feed
from tests.unit.graphs import graph, line, node, pair, same

INSTANT = 1e-6
"""Timers that are due so soon are due by a rounding error."""


class WatchingLoop(VirtualTimeLoop):
    """Looks at a graph whenever its time is about to pass."""

    plumber: Plumber | None = None

    def _jump(self, seconds: float) -> None:
        if seconds > INSTANT and self.plumber is not None and self.plumber._execution is not None:
            for worker in self.plumber._execution.workers.values():
                if isinstance(worker, Runner) and worker.outbox.room() > 0:
                    startable = worker.crew.startable()
                    assert startable <= 0, f"{worker.name!r} could start {startable} calls at {self.time()}"
                    assert not worker.outbox.waiting, f"{worker.name!r} holds results though there is room"
        super()._jump(seconds)


def run(given: dict[str, Any]) -> Any:
    """Run a graph in a loop that watches it."""

    async def main() -> Any:
        plumber = Plumber(given)
        loop: Any = asyncio.get_running_loop()
        loop.plumber = plumber
        return await plumber.run(collect=plumber.graph.sinks)

    with asyncio.Runner(loop_factory=WatchingLoop) as runner:
        return runner.run(main())


def uneven(seed: int, *, skips: bool = False) -> Any:
    """A coro whose calls take their time, differently long, or none, and may drop their item."""
    drawn = random.Random(seed)
    delays = [drawn.choice([0, 0, 0.1, 0.5, 1, 3]) for _ in range(7)]
    dropped = [skips and drawn.random() < 0.3 for _ in range(11)]

    async def coro(self, q_elt):
        number = q_elt[0] if isinstance(q_elt[0], int) else 0
        if delay := delays[number % 7]:
            await asyncio.sleep(delay)
        if dropped[number % 11]:
            return SKIP
        return q_elt[0]

    return coro


def splitting(seed: int) -> Any:
    """A generator node whose items come unevenly."""
    call = uneven(seed)

    async def coro(self, q_elt):
        for _ in range(q_elt[0] % 4):
            yield await call(self, q_elt)

    return coro


SEEDS = pytest.mark.parametrize("seed", range(12))
CONCURRENCY = pytest.mark.parametrize("concurrency", [2, 3, 8])


@SEEDS
@CONCURRENCY
@pytest.mark.parametrize("queue_size", [1, 3, 64])
def test_nodes_in_a_chain(seed, concurrency, queue_size):
    properties = {"concurrency": concurrency, "queue_size": queue_size}
    given = line(
        inp=feed(range(60), delay=0.05),
        a=node(uneven(seed, skips=True), **properties),
        b=node(uneven(seed + 100), **properties),
    )
    report = run(given)
    assert report.outputs["b"] == sorted(report.outputs["b"])
    assert len(report.outputs["b"]) == report.statistics.node("a").sent


@SEEDS
@CONCURRENCY
def test_a_sink_whose_source_has_ended(seed, concurrency):
    given = line(inp=feed(range(60)), out=node(uneven(seed), concurrency=concurrency))
    assert run(given).outputs["out"] == list(range(60))


@SEEDS
@pytest.mark.parametrize("properties", [{"order": "completion"}, {"rate": 7}, {"timeout": 0.4, "on_error": "skip"}])
def test_nodes_with_properties_of_time_and_order(seed, properties):
    given = line(inp=feed(range(60)), n=node(uneven(seed), concurrency=3, queue_size=4, **properties), out=same)
    report = run(given)
    assert report.statistics.node("n").sent + report.statistics.node("n").failed == 60


@SEEDS
@CONCURRENCY
def test_generator_nodes(seed, concurrency):
    given = line(inp=feed(range(40)), n=node(splitting(seed), concurrency=concurrency), out=node(same, queue_size=2))
    assert run(given).outputs["out"] == sorted(number for number in range(40) for _ in range(number % 4))


@SEEDS
def test_branches_that_meet_again(seed):
    given = graph(
        {"inp": ["a", "b"], "a": ["z"], "b": ["z"]},
        inp=feed(range(60)),
        a=node(uneven(seed, skips=True), concurrency=3, queue_size=2),
        b=node(uneven(seed + 100, skips=True), concurrency=2, queue_size=5),
        z=node(pair, queue_size=3),
    )
    assert all(left == right for left, right in run(given).outputs["z"])


@SEEDS
def test_batches(seed):
    async def batch(self, q_elt):
        await asyncio.sleep(len(q_elt[0]) % 3)
        return len(q_elt[0])

    n = node(batch, batch={"size": 4, "timeout": 0.5}, concurrency=2)
    given = line(inp=feed(range(60)), a=node(uneven(seed), concurrency=3), n=n)
    assert sum(run(given).outputs["n"]) == 60

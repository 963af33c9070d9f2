"""The event loop gets its turn back in time (P8), measured on a clock that only work moves.

`WorkLoop` gives the engine a clock that stands still but for what coros say they have cost, and for a tenth of a
microsecond that every look at it costs. So the tests know how much is done in each turn of the loop, on any machine.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from pipelines import SKIP, Plumber
from pipelines.testing import VirtualTimeLoop, feed

from .running import run_bounded
from .small import chain, pass_on

PROMISED = 500e-6
"""Seconds that a graph may hold the loop beyond the code of one item."""

LOOK = 1e-7


class WorkLoop(VirtualTimeLoop):
    """Adds up the work of every turn.

    Attributes:
        worked: Seconds of work so far.
        longest: The most seconds of work done in one turn.
        busy_turns: Turns in which any work was done.
    """

    def __init__(self) -> None:
        super().__init__()
        self.worked = 0.0
        self.longest = 0.0
        self.busy_turns = 0

    @property
    def virtual_clock(self) -> Callable[[], float]:
        return self._look

    def _look(self) -> float:
        self.worked += LOOK
        return self.worked

    def _run_once(self) -> None:
        before = self.worked
        super()._run_once()  # type: ignore[misc]
        self.longest = max(self.longest, self.worked - before)
        self.busy_turns += self.worked > before


def work(seconds: float) -> None:
    """What a coro calls to have taken so long."""
    loop: Any = asyncio.get_running_loop()
    loop.worked += seconds


def measured(graph: dict[str, Any], drive: Callable[[Plumber], Any] | None = None) -> WorkLoop:
    """Run a graph to its end; the loop knows how polite it was."""
    loops: list[WorkLoop] = []

    async def main() -> None:
        plumber = Plumber(graph)
        loop: Any = asyncio.get_running_loop()
        loops.append(loop)
        driving = asyncio.ensure_future(drive(plumber)) if drive is not None else None
        report = await plumber.run()
        assert report.state == "completed"
        if driving is not None:
            await driving

    run_bounded(main(), WorkLoop)
    return loops[0]


def costing(seconds: float, kind: str = "async") -> Callable[..., Any]:
    """A coro of some kind that costs so much for every item."""

    async def coro(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        work(seconds)
        return q_elt[0]

    def function(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        work(seconds)
        return q_elt[0]

    def generator(processor: Any, q_elt: tuple[Any, ...]) -> Iterator[Any]:
        for _ in range(5):
            work(seconds)
            yield q_elt[0]

    async def async_generator(processor: Any, q_elt: tuple[Any, ...]) -> AsyncIterator[Any]:
        for _ in range(5):
            work(seconds)
            yield q_elt[0]

    async def skipping(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        work(seconds)
        return SKIP

    async def failing(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        work(seconds)
        raise ValueError

    async def suspending(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        work(seconds)
        await asyncio.sleep(0.01)
        return q_elt[0]

    async def sometimes(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        work(seconds)
        if q_elt[0] % 7 == 0:
            await asyncio.sleep(0)
        return q_elt[0]

    made = (function, generator, async_generator, skipping, failing, suspending, sometimes)
    return {each.__name__: each for each in made}.get(kind, coro)


def many(count: int = 300) -> Callable[..., Any]:
    """A source that is always ready."""
    return lambda processor: range(count)


KINDS = ["async", "function", "generator", "async_generator", "skipping", "failing", "suspending", "sometimes"]


@pytest.mark.parametrize("seconds", [20e-6, 200e-6, 5e-3])
@pytest.mark.parametrize("kind", KINDS)
def test_p8_saturated_nodes_of_every_kind(kind: str, seconds: float) -> None:
    coro = costing(seconds, kind)
    graph = chain(many(), *[coro] * (2 if "generator" in kind else 5))
    for node in graph["nodes"].values():
        node["properties"] = {"on_error": "skip", "queue_size": 20}
    loop = measured(graph)
    assert loop.worked > 300 * seconds
    assert loop.longest <= seconds + PROMISED


def test_p8_many_nodes_share_one_turn() -> None:
    names = [f"n{number}" for number in range(60)]
    graph = {
        "nodes": {"in": {"coro": many(50)}} | {name: {"coro": costing(50e-6)} for name in names},
        "graph": {"in": names},
    }
    loop = measured(graph)
    assert loop.worked > 60 * 50 * 50e-6
    assert loop.longest <= 50e-6 + PROMISED


@pytest.mark.parametrize("kind", ["async", "function", "sometimes"])
def test_p8_items_that_become_slow(kind: str) -> None:
    costs = itertools.chain(itertools.repeat(1e-6, 500), itertools.repeat(10e-3))

    def cost(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        work(next(costs))
        return q_elt[0]

    async def coro(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        result = cost(processor, q_elt)
        if kind == "sometimes" and result % 50 == 0:
            await asyncio.sleep(0)
        return result

    loop = measured(chain(many(600), cost if kind == "function" else coro, queue_size=128))
    assert loop.longest <= 10e-3 + PROMISED


def test_p8_joins_and_batches() -> None:
    item, batch = costing(100e-6), costing(2e-3)
    graph = {
        "nodes": {
            "in": {"coro": many()},
            "a": {"coro": item},
            "b": {"coro": item},
            "zip": {"coro": item},
            "merge": {"coro": item, "properties": {"aggregate_inputs": False}},
            "batch": {"coro": batch, "properties": {"batch": {"size": 20}}},
        },
        "graph": {"in": ["a", "b", "batch"], "a": ["zip", "merge"], "b": ["zip", "merge"]},
    }
    assert measured(graph).longest <= 2e-3 + PROMISED


def sources() -> dict[str, Callable[..., Any]]:
    async def putting(processor: Any, output_q: Any) -> None:
        for item in range(300):
            work(100e-6)
            await output_q.put(item)

    async def skipping(processor: Any, output_q: Any) -> None:
        for _ in range(300):
            work(100e-6)
            await output_q.put(SKIP)

    async def failing(processor: Any, output_q: Any) -> None:
        for item in range(300):
            work(100e-6)
            await output_q.fail(item, ValueError())

    def generator(processor: Any) -> Iterator[int]:
        for item in range(300):
            work(100e-6)
            yield item

    async def async_generator(processor: Any) -> AsyncIterator[int]:
        for item in range(300):
            work(100e-6)
            yield item

    def skipping_generator(processor: Any) -> Iterator[Any]:
        for _ in range(300):
            work(100e-6)
            yield SKIP

    return {
        each.__name__: each for each in (putting, skipping, failing, generator, async_generator, skipping_generator)
    }


@pytest.mark.parametrize("overflow", ["block", "drop_new", "drop_old"])
@pytest.mark.parametrize("kind", sources())
def test_p8_sources_that_never_suspend(kind: str, overflow: str) -> None:
    graph = chain(sources()[kind], pass_on, overflow=overflow, queue_size=500)
    graph["nodes"]["in"]["properties"] = {"on_error": "skip"}
    loop = measured(graph)
    assert loop.worked > 300 * 100e-6
    assert loop.longest <= 100e-6 + PROMISED


def test_p8_a_program_that_puts_without_pause() -> None:
    async def drive(plumber: Plumber) -> None:
        for item in range(300):
            work(100e-6)
            await plumber.put("in", item)
        plumber.close("in")

    loop = measured(chain(None, costing(100e-6), queue_size=64), drive)
    assert loop.worked > 300 * 200e-6
    assert loop.longest <= 200e-6 + PROMISED


def test_p8_others_get_their_share() -> None:
    wakes = 0

    async def drive(plumber: Plumber) -> None:
        nonlocal wakes
        while plumber.report is None:
            wakes += 1
            await asyncio.sleep(0)

    loop = measured(chain(many(500), *[costing(200e-6)] * 5), drive)
    assert wakes >= loop.worked / (200e-6 + PROMISED)


def test_p8_cheap_items_share_a_turn() -> None:
    loop = measured(chain(feed(range(2000)), costing(1e-6), costing(1e-6), queue_size=64))
    assert loop.busy_turns < 1000
    assert loop.longest <= PROMISED + 2e-6


def test_p1_a_put_that_is_cancelled_has_put_nothing() -> None:
    for turn in range(2, 40):
        returned: list[int] = []

        async def put_all(plumber: Plumber, returned: list[int] = returned) -> None:
            for item in range(20):
                work(200e-6)
                await plumber.put("in", item)
                returned.append(item)

        async def main(turn: int = turn, put_all: Callable[[Plumber], Any] = put_all) -> list[int]:
            plumber = Plumber(chain(None, pass_on, queue_size=64))
            running = asyncio.create_task(plumber.run(collect=["n0"]))
            putting = asyncio.create_task(put_all(plumber))
            for _ in range(turn):
                await asyncio.sleep(0)
            putting.cancel()
            await asyncio.wait([putting])
            plumber.close("in")
            return list((await running).outputs["n0"])

        assert run_bounded(main(), WorkLoop) == returned, turn

"""Whose turn it is: politeness towards the rest of the event loop, and how many tasks a graph has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pipelines import SKIP, Plumber
from pipelines.testing import VirtualTimeLoop, feed
from tests.unit.graphs import FED, graph, line, node, pair, quiet, same, sleeper

POLITE = 0.0005
"""Seconds beyond one item's own code after which a graph has given the event loop back (P8)."""


class WorkLoop(VirtualTimeLoop):
    """A loop for code that takes time: graphs measure themselves by what `work` has added up."""

    def __init__(self) -> None:
        self.worked = 0.0
        super().__init__()

    def work(self, seconds: float) -> None:
        """Code ran for so long."""
        self.worked += seconds

    @property
    def virtual_clock(self) -> Callable[[], float]:
        return lambda: self.worked


def worker(cost: float | Callable[[Any], float]) -> Any:
    """A coro that never suspends and takes ``cost`` seconds of the processor for an item."""

    async def work(self, q_elt):
        loop: Any = asyncio.get_running_loop()
        loop.work(cost(q_elt[0]) if callable(cost) else cost)
        return q_elt[0]

    return work


def longest_hold(given: dict[str, Any], use: Callable[[Plumber], Any] | None = None) -> float:
    """Run a graph beside a task that wants every turn of the loop; the longest time it had to wait for one."""

    async def main() -> float:
        loop: Any = asyncio.get_running_loop()
        plumber = Plumber(given)
        running = asyncio.create_task(use(plumber) if use else plumber.run())
        longest, before = 0.0, 0.0
        while not running.done():
            await asyncio.sleep(0)
            longest, before = max(longest, loop.worked - before), loop.worked
        await running
        assert loop.worked > 10 * POLITE, "the graph worked for so short a time that nothing was tested"
        return longest

    with asyncio.Runner(loop_factory=WorkLoop) as runner:
        return runner.run(main())


def generator_of(count: int, cost: float) -> Any:
    def generator(self):
        loop: Any = asyncio.get_running_loop()
        for number in range(count):
            loop.work(cost)
            yield number

    return generator


def putter_of(count: int, cost: float) -> Any:
    async def put(self, output_q):
        loop: Any = asyncio.get_running_loop()
        for number in range(count):
            loop.work(cost)
            await output_q.put(number)

    return put


def async_generator_of(count: int, cost: float) -> Any:
    async def yields(self):
        loop: Any = asyncio.get_running_loop()
        for number in range(count):
            loop.work(cost)
            yield number

    return yields


class TestPoliteness:
    @pytest.mark.parametrize("cost", [1e-6, 1e-5, 5e-5, 0.0004, 0.01])
    @pytest.mark.parametrize("kind", ["coroutine", "function", "generator", "batch", "sequential"])
    def test_p8_of_one_node(self, kind, cost):
        work = worker(cost)

        def function(self, q_elt):
            asyncio.get_running_loop().work(cost)  # type: ignore[attr-defined]
            return q_elt[0]

        def generator(self, q_elt):
            asyncio.get_running_loop().work(cost)  # type: ignore[attr-defined]
            yield q_elt[0]

        nodes = {
            "coroutine": node(work),
            "function": node(function),
            "generator": node(generator),
            "batch": node(work, batch={"size": 1}),
            "sequential": node(work, concurrency=1),
        }
        items = max(1000, int(20 * POLITE / cost)) if cost < 0.001 else 50
        assert longest_hold(line(inp=feed(range(items)), n=nodes[kind], out=same)) <= cost + POLITE

    def test_p8_of_all_nodes_together(self):
        nodes = {f"n{number}": worker(2e-5) for number in range(10)}
        assert longest_hold(line(inp=feed(range(200)), **nodes)) <= 2e-5 + POLITE

    def test_p8_of_fast_items_followed_by_slow_ones(self):
        given = line(inp=feed(range(300)), n=worker(lambda item: 1e-6 if item < 200 else 0.01), out=same)
        assert longest_hold(given) <= 0.01 + POLITE

    @pytest.mark.parametrize("source", [generator_of, putter_of, async_generator_of])
    @pytest.mark.parametrize("cost", [1e-6, 5e-5])
    def test_p8_of_a_source(self, source, cost):
        given = line(inp=source(int(20 * POLITE / cost), cost), out=node(same, queue_size=10_000))
        assert longest_hold(given) <= cost + POLITE

    def test_p8_of_a_source_that_reports_failures(self):
        async def inp(self, output_q):
            loop: Any = asyncio.get_running_loop()
            for number in range(1000):
                loop.work(2e-5)
                await output_q.fail(number, ValueError())

        assert longest_hold(line(inp=node(inp, on_error="skip"), out=same)) <= 2e-5 + POLITE

    @pytest.mark.parametrize("outcome", ["skip", "fail"])
    def test_p8_of_items_that_are_dropped(self, outcome):
        async def drop(self, q_elt):
            await worker(2e-5)(self, q_elt)
            if outcome == "fail":
                raise ValueError
            return SKIP

        given = line(inp=feed(range(1000)), n=node(drop, on_error="skip"), out=same)
        assert longest_hold(given) <= 2e-5 + POLITE

    def test_p8_of_items_that_are_submitted(self):
        async def use(plumber: Plumber) -> None:
            async with plumber:
                for number in range(1000):
                    assert await plumber.submit(number) == number

        assert longest_hold(line(inp=FED, n=worker(2e-5), out=same), use) <= 2e-5 + POLITE

    def test_p8_of_calls_that_suspend(self):
        async def n(self, q_elt):
            loop: Any = asyncio.get_running_loop()
            loop.work(1e-4)
            await asyncio.sleep(0)
            loop.work(1e-4)
            return q_elt[0]

        # A turn of the loop runs every call that goes on: each is an item's own code.
        given = line(inp=feed(range(300)), n=node(n, concurrency=4), out=same)
        assert longest_hold(given) <= 4 * 1e-4 + 1e-4 + POLITE

    def test_p2_nothing_is_lost_or_disordered_by_it(self):
        async def main() -> list[Any]:
            given = graph(
                {"inp": ["a", "b"], "a": ["z"], "b": ["z"]},
                inp=generator_of(500, 1e-5),
                a=worker(5e-5),
                b=node(worker(1e-4), queue_size=3),
                z=pair,
            )
            return (await Plumber(given).run(collect=["z"])).outputs["z"]

        with asyncio.Runner(loop_factory=WorkLoop) as runner:
            assert runner.run(main()) == [(number, number) for number in range(500)]


@pytest.mark.virtual_time
class TestTasks:
    async def most_tasks(self, given: dict[str, Any]) -> int:
        """The most tasks that a graph has at once, its own and the sources'."""
        most = 0
        before = len(asyncio.all_tasks())

        def look() -> None:
            nonlocal most
            most = max(most, len(asyncio.all_tasks()) - before)

        for entry in given["nodes"].values():
            entry["coro"] = looking(entry["coro"], look)
        await Plumber(given).run()
        return most

    async def test_calls_that_do_not_suspend_need_no_task(self):
        assert await self.most_tasks(line(inp=node(feed(range(100))), a=node(same), b=node(same), c=node(same))) <= 3

    @pytest.mark.parametrize("concurrency", [1, 5, 50])
    async def test_calls_that_suspend_need_one_each(self, concurrency):
        given = line(inp=node(feed(range(200))), n=node(sleeper(1), concurrency=concurrency), out=node(same))
        assert concurrency <= await self.most_tasks(given) <= concurrency + 3

    async def test_a_graph_at_rest_has_one(self):
        before = len(asyncio.all_tasks())
        async with Plumber(line(inp=FED, a=same, b=sleeper(1))) as plumber:
            for number in range(50):
                await plumber.put("inp", number)
            await asyncio.sleep(10)
            assert len(asyncio.all_tasks()) - before == 1
            await quiet()


def looking(coro: Any, look: Callable[[], None]) -> Any:
    """``coro``, which looks around before and after each of its calls."""
    if coro is None or not asyncio.iscoroutinefunction(coro):
        return coro

    async def call(self, q_elt):
        look()
        try:
            return await coro(self, q_elt)
        finally:
            look()

    return call


@pytest.mark.virtual_time
class TestBursts:
    async def test_after_a_burst_that_suspends_calls_are_made_without_tasks_again(self):
        tasks = []

        async def n(self, q_elt):
            tasks.append(asyncio.current_task())
            if q_elt[0] < 10:
                await asyncio.sleep(1)

        await Plumber(line(inp=feed(range(1000)), n=n)).run()
        assert len(set(tasks[500:])) < 10

    async def test_one_item_at_a_time_over_a_long_time(self):
        async with Plumber(line(inp=FED, a=sleeper(0.5), b=same, c=sleeper(0.5))) as plumber:
            for number in range(100):
                assert await plumber.submit(number) == number

    @pytest.mark.parametrize("seconds", [0, 0.5])
    async def test_two_graphs_that_feed_each_other(self, seconds):
        async def hand_on(self, q_elt):
            await asyncio.sleep(seconds)
            return await self.other.submit(q_elt[0] + 1)

        last = Plumber(line(inp=FED, n=same))
        first = Plumber(line(inp=FED, n=hand_on), env_vars={"other": last})
        async with last, first:
            assert await asyncio.gather(*[first.submit(n) for n in range(50)]) == list(range(1, 51))

"""The public helpers for testing graphs."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from pipelines import NodeError
from pipelines.testing import FuzzLoop, Probe, VirtualTimeLoop, feed, no_leaks, run_graph
from tests.unit.graphs import failing, line, node, same, sleeper


class TestVirtualTimeLoop:
    @pytest.mark.virtual_time
    async def test_an_hours_sleep_is_instant(self):
        loop, before = asyncio.get_running_loop(), time.perf_counter()
        await asyncio.sleep(3600)
        assert loop.time() == 3600.0
        assert time.perf_counter() - before < 10

    @pytest.mark.virtual_time
    async def test_timers_fire_in_their_order(self):
        fired: list[int] = []

        async def after(delay):
            await asyncio.sleep(delay)
            fired.append(delay)

        await asyncio.gather(*[after(delay) for delay in (3, 1, 2)])
        assert fired == [1, 2, 3]

    @pytest.mark.virtual_time
    async def test_without_timers_it_waits_for_threads(self):
        assert await asyncio.to_thread(lambda: 7) == 7

    def test_its_clock_begins_at_zero_and_is_that_of_graphs(self):
        loop = VirtualTimeLoop()
        assert (loop.time(), loop.virtual_clock()) == (0.0, 0.0)
        loop.close()

    def test_two_runs_are_the_same(self):
        def story() -> list[tuple[int, float]]:
            told = []

            async def out(self, q_elt):
                await asyncio.sleep(q_elt[0] % 7 / 10)
                told.append((q_elt[0], asyncio.get_running_loop().time()))

            run_graph(line(inp=feed(range(50), delay=0.05), out=node(out, concurrency=3)))
            return told

        assert story() == story()


class TestFuzzLoop:
    def order(self, seed: int) -> list[int]:
        order: list[int] = []

        async def main() -> None:
            async def note(number: int) -> None:
                order.append(number)

            await asyncio.gather(*[note(number) for number in range(20)])

        with asyncio.Runner(loop_factory=lambda: FuzzLoop(seed)) as runner:
            runner.run(main())
        return order

    def test_a_seed_gives_an_order_and_gives_it_again(self):
        assert self.order(1) == self.order(1)
        assert sorted(self.order(1)) == list(range(20))

    def test_other_seeds_give_other_orders(self):
        assert len({tuple(self.order(seed)) for seed in range(5)}) == 5

    @pytest.mark.parametrize("seed", range(20))
    def test_p2_a_graph_keeps_its_promises_in_any_order(self, seed):
        given = line(inp=feed(range(30)), n=node(sleeper(lambda item: item % 3), concurrency=4), out=same)
        report = run_graph(given, loop_factory=lambda: FuzzLoop(seed))
        assert report.outputs["out"] == list(range(30))


class TestProbe:
    @pytest.mark.virtual_time
    async def test_remembers_its_calls_and_passes_the_first_item_on(self):
        probe = Probe()
        assert [await probe(None, (1, 2)), await probe(None, (3,))] == [1, 3]
        assert probe.items == [(1, 2), (3,)]

    @pytest.mark.virtual_time
    async def test_gives_what_its_function_makes(self):
        assert await Probe(sum)(None, (1, 2)) == 3

    @pytest.mark.virtual_time
    async def test_sees_how_many_calls_ran_at_once(self):
        probe = Probe(delay=1)
        await asyncio.gather(*[probe(None, (1,)) for _ in range(3)])
        await probe(None, (1,))
        assert probe.at_once == 3

    @pytest.mark.virtual_time
    async def test_a_call_that_fails_is_over(self):
        def fail(_):
            raise ValueError

        probe = Probe(fail)
        for _ in range(2):
            with pytest.raises(ValueError, match=r"^$"):
                await probe(None, (1,))
        assert (probe.at_once, len(probe.items)) == (1, 2)


class TestFeed:
    def test_puts_what_it_is_given(self):
        assert run_graph(line(inp=feed("abc"), out=same)).outputs == {"out": ["a", "b", "c"]}

    def test_each_after_a_while(self):
        assert run_graph(line(inp=feed("abc", delay=2), out=same)).elapsed == 6.0


class TestRunGraph:
    def test_collects_all_sinks(self):
        given = {"nodes": {"inp": {"coro": feed([1])}, "a": {"coro": same}, "b": {"coro": same}}}
        assert run_graph({**given, "graph": {"inp": ["a", "b"]}}).outputs == {"a": [1], "b": [1]}

    def test_takes_the_arguments_of_plumber(self):
        async def look(self, q_elt):
            return self.sid

        report = run_graph(line(inp=feed([1]), out="look"), {"look": look}, env_vars={"sid": 7}, name="demo")
        assert (report.outputs["out"], report.name) == ([7], "demo")

    def test_raises_what_the_run_raises(self):
        with pytest.raises(NodeError, match="no 1"):
            run_graph(line(inp=feed([1]), out=failing(1)))

    def test_p5_finds_what_a_coro_leaves_behind(self):
        async def leave(self, q_elt):
            self.task = asyncio.create_task(asyncio.sleep(100), name="left behind")

        with pytest.raises(AssertionError, match="left behind"):
            run_graph(line(inp=feed([1]), out=leave))


@pytest.mark.virtual_time
class TestNoLeaks:
    async def test_passes_when_all_is_done(self):
        with no_leaks():
            await asyncio.create_task(asyncio.sleep(1))

    async def test_names_a_task_that_is_left(self):
        task = None
        with pytest.raises(AssertionError, match=r"still alive.*forgotten"), no_leaks():
            task = asyncio.create_task(asyncio.sleep(100), name="forgotten")
        assert task is not None
        task.cancel()
        await asyncio.wait([task])

    async def test_names_a_thread_that_is_left(self):
        gate = threading.Event()
        thread = threading.Thread(target=gate.wait, name="forgotten")
        with pytest.raises(AssertionError, match=r"still alive.*forgotten"), no_leaks():
            thread.start()
        gate.set()
        thread.join()

    async def test_is_not_bothered_by_what_was_there_before(self):
        task = asyncio.create_task(asyncio.sleep(100))
        with no_leaks():
            await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])

    async def test_an_error_inside_is_not_hidden(self):
        with pytest.raises(KeyError), no_leaks():
            raise KeyError

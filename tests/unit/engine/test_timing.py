"""The ``rate`` property, and the two clocks a node may have."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipelines import Plumber
from pipelines.engine.timing import Pacer, Watchdog
from pipelines.testing import Probe, feed
from tests.unit.graphs import FED, line, node, now, quiet, same, sleeper

pytestmark = pytest.mark.virtual_time


def starts(of: list[float]) -> Any:
    """A coro that notes when it was called."""

    async def coro(self, q_elt):
        of.append(round(now(), 9))
        return q_elt[0]

    return coro


class TestRateOfANode:
    @pytest.mark.parametrize("rate", [0.5, 1, 4, 10])
    async def test_so_many_calls_start_per_second_evenly(self, rate):
        times: list[float] = []
        await Plumber(line(inp=feed(range(8)), n=node(starts(times), rate=rate), out=same)).run()
        assert times == pytest.approx([number / rate for number in range(8)])

    async def test_a_rate_is_about_starts_and_not_about_how_long_calls_take(self):
        probe = Probe(delay=3)
        report = await Plumber(line(inp=feed(range(8)), n=node(probe, rate=1), out=same)).run()
        assert (probe.at_once, report.elapsed) == (3, 10.0)

    async def test_starts_missed_for_want_of_items_are_not_made_up_for(self):
        times: list[float] = []

        async def inp(self, output_q):
            for pause in (0, 10, 0, 0):
                await asyncio.sleep(pause)
                await output_q.put(pause)

        await Plumber(line(inp=inp, n=node(starts(times), rate=1), out=same)).run()
        assert times == pytest.approx([0, 10, 11, 12], abs=0.011)

    async def test_at_high_rates_those_of_the_last_ten_milliseconds_are(self):
        times: list[float] = []

        async def inp(self, output_q):
            await output_q.put(0)
            await asyncio.sleep(1)
            for number in range(30):
                await output_q.put(number)

        await Plumber(line(inp=inp, n=node(starts(times), rate=1000), out=same)).run()
        assert sum(time == 1.0 for time in times) == 11
        assert times[-1] == pytest.approx(1.019, abs=0.0011)

    async def test_it_holds_with_any_concurrency_and_retry(self):
        times: list[float] = []

        async def n(self, q_elt):
            times.append(now())
            await asyncio.sleep(2.5)

        await Plumber(line(inp=feed(range(6)), n=node(n, rate=2, concurrency=2), out=same)).run()
        assert times == pytest.approx([0, 0.5, 2.5, 3.0, 5.0, 5.5], abs=0.011)

    async def test_p2_results_keep_their_order(self):
        given = line(inp=feed(range(20)), n=node(sleeper(lambda item: item % 3), rate=5), out=same)
        report = await Plumber(given).run(collect=["out"])
        assert report.outputs["out"] == list(range(20))

    async def test_p5_no_timer_is_left_behind(self):
        plumber = Plumber(line(inp=feed(range(10)), n=node(same, rate=0.001), out=same))
        plumber.create_pipeline()
        await quiet()
        await plumber.abort()
        assert [each for each in asyncio.get_running_loop()._scheduled if not each.cancelled()] == []  # type: ignore[attr-defined]

    async def test_with_batches_it_counts_calls(self):
        times: list[float] = []
        given = line(inp=feed(range(10)), n=node(starts(times), rate=1, batch={"size": 4}), out=same)
        await Plumber(given).run()
        assert times == [0, 1, 2]

    async def test_a_generator_node_has_one_too(self):
        times: list[float] = []

        async def n(self, q_elt):
            times.append(now())
            yield 1
            yield 2

        report = await Plumber(line(inp=feed(range(3)), n=node(n, rate=1), out=same)).run()
        assert (times, report.statistics.items_out) == ([0, 1, 2], 6)


class TestRateOfASource:
    @pytest.mark.parametrize("kind", ["fed", "coroutine", "generator", "async generator"])
    async def test_so_many_items_are_put_per_second(self, kind):
        times: list[float] = []

        async def puts(self, output_q):
            for number in range(4):
                await output_q.put(number)

        def yields(self):
            yield from range(4)

        coro = {"fed": None, "coroutine": puts, "generator": yields, "async generator": feed(range(4))}[kind]
        plumber = Plumber(line(inp=node(coro, rate=2), out=starts(times)))
        plumber.create_pipeline()
        if kind == "fed":
            for number in range(4):
                await plumber.put("inp", number)
            plumber.close("inp")
        await plumber.wait()
        assert times == [0, 0.5, 1, 1.5]

    async def test_tasks_that_put_at_once_are_served_in_turn(self):
        probe = Probe()
        plumber = Plumber(line(inp=node(None, rate=1), out=probe))
        plumber.create_pipeline()
        await asyncio.gather(*[plumber.put("inp", number) for number in range(6)])
        assert now() == 5.0
        await plumber.stop()
        assert [item for (item,) in probe.items] == list(range(6))

    async def test_stop_does_not_wait_for_the_next_turn(self):
        plumber = Plumber(line(inp=node(feed(range(10)), rate=0.001), out=same))
        plumber.create_pipeline()
        await asyncio.sleep(1)
        await plumber.stop()
        assert now() == 1.0

    async def test_a_full_channel_slows_it_down_further(self):
        times: list[float] = []

        async def out(self, q_elt):
            times.append(now())
            await asyncio.sleep(3)

        given = line(inp=node(feed(range(4)), rate=1), out=node(out, concurrency=1, queue_size=1))
        await Plumber(given).run()
        assert times == [0, 3, 6, 9]


class TestPacer:
    def pacer(self, rate: float) -> tuple[Pacer, list[float]]:
        woken: list[float] = []
        return Pacer(asyncio.get_running_loop(), rate, lambda: woken.append(now())), woken

    async def test_the_first_may_start_at_once(self):
        pacer, woken = self.pacer(2)
        assert pacer.allowed() == 1
        pacer.started()
        assert pacer.allowed() == 0
        assert pacer.allowed() == 0
        await asyncio.sleep(5)
        assert woken == [0.5]
        assert pacer.allowed() == 1

    async def test_closed_it_wakes_nobody(self):
        pacer, woken = self.pacer(2)
        pacer.started()
        assert pacer.allowed() == 0
        pacer.close()
        pacer.close()
        await asyncio.sleep(5)
        assert woken == []


class TestWatchdog:
    async def test_it_cancels_tasks_in_the_order_of_their_age(self):
        ended: list[tuple[str, float]] = []
        watchdog = Watchdog(asyncio.get_running_loop(), 10)

        async def work(name: str, begin: float) -> None:
            await asyncio.sleep(begin)
            task: Any = asyncio.current_task()
            watchdog.start(task)
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                ended.append((name, now()))
                assert watchdog.stop(task)
                assert task.cancelling() == 0

        await asyncio.gather(work("a", 0), work("b", 3), work("c", 3), work("d", 7))
        assert ended == [("a", 10.0), ("b", 13.0), ("c", 13.0), ("d", 17.0)]
        assert watchdog.limit == 10

    async def test_an_attempt_that_ends_in_time_is_left_alone(self):
        watchdog = Watchdog(asyncio.get_running_loop(), 10)
        task: Any = asyncio.current_task()
        watchdog.start(task)
        await asyncio.sleep(9)
        assert not watchdog.stop(task)
        await asyncio.sleep(50)

    async def test_closed_it_watches_nothing(self):
        watchdog = Watchdog(asyncio.get_running_loop(), 10)
        task: Any = asyncio.current_task()
        watchdog.start(task)
        watchdog.close()
        await asyncio.sleep(50)
        assert not watchdog.stop(task)


async def test_a_paced_node_that_is_paused_makes_no_calls():
    times: list[float] = []
    plumber = Plumber(line(inp=FED, n=node(starts(times), rate=1)))
    plumber.create_pipeline()
    for number in range(5):
        await plumber.put("inp", number)
    await asyncio.sleep(1.5)
    plumber.pause("n")
    await asyncio.sleep(100)
    assert times == [0, 1]
    plumber.step("n", 2)
    await asyncio.sleep(100)
    assert times == pytest.approx([0, 1, 101.5, 102.5], abs=0.011)
    await plumber.abort()

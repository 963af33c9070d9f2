"""One node's receive -> call -> send loop: concurrency, order, backpressure, pauses and steps."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from pipelines import SKIP, NodeError, Plumber, To
from pipelines.testing import Probe, feed
from tests.unit.graphs import graph, line, node, now, pair, quiet, same, sleeper

pytestmark = pytest.mark.virtual_time


class TestConcurrency:
    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 64])
    async def test_p4_the_limit_is_reached_and_never_exceeded(self, limit):
        probe = Probe(delay=1)
        report = await Plumber(line(inp=feed(range(100)), n=node(probe, concurrency=limit), out=same)).run()
        assert probe.at_once == limit
        assert report.elapsed == math.ceil(100 / limit)

    async def test_the_default_is_64(self):
        probe = Probe(delay=1)
        await Plumber(line(inp=feed(range(200)), n=probe, out=same)).run()
        assert probe.at_once == 64

    @pytest.mark.parametrize("source", ["async", "plain"])
    async def test_one_makes_a_node_sequential(self, source):
        running: list[int] = []

        async def n(self, q_elt):
            assert running == []
            running.append(q_elt[0])
            await asyncio.sleep(q_elt[0] % 3)
            running.remove(q_elt[0])
            return q_elt[0]

        inp = feed(range(10)) if source == "async" else (lambda self: iter(range(10)))
        report = await Plumber(line(inp=inp, n=node(n, concurrency=1), out=same)).run(collect=["out"])
        assert report.outputs["out"] == list(range(10))

    async def test_it_is_reached_also_when_calls_suspend_only_now_and_then(self):
        probe = Probe(delay=1)

        async def n(self, q_elt):
            return await probe(self, q_elt) if q_elt[0] % 10 == 0 else q_elt[0]

        report = await Plumber(line(inp=feed(range(100)), n=node(n, concurrency=5), out=same)).run(collect=["out"])
        assert report.outputs["out"] == list(range(100))
        assert probe.at_once == 5
        assert report.elapsed == 2.0

    @pytest.mark.parametrize("behind", [None, 1, 2, 64], ids=lambda behind: f"{behind} behind")
    async def test_p4_after_a_slow_call_in_front_it_is_reached_again(self, behind):
        n = node(sleeper(lambda item: 2.0 if item == 0 else 1.0), concurrency=3)
        given = line(inp=feed(range(30)), n=n)
        if behind is not None:
            given = line(inp=feed(range(30)), n=n, out=node(same, queue_size=behind))
        # While the first call lasts others may be done, as far as there is room for their results.
        assert 10.0 <= (await Plumber(given).run()).elapsed <= 11.0

    async def test_p2_calls_that_do_not_suspend_are_made_in_order_at_any_concurrency(self):
        probe = Probe()
        await Plumber(line(inp=feed(range(1000)), n=probe, out=same)).run()
        assert [item for (item,) in probe.items] == list(range(1000))

    async def test_calls_start_in_the_order_of_the_items(self):
        started = []

        async def n(self, q_elt):
            started.append(q_elt[0])
            await asyncio.sleep(q_elt[0] * 7 % 5)

        await Plumber(line(inp=feed(range(50)), n=node(n, concurrency=4), out=same)).run()
        assert started == list(range(50))


class TestOrder:
    async def delayed(self, **properties: Any) -> tuple[list[int], float]:
        """Items 0..9, of which the first takes longest."""
        given = line(inp=feed(range(10)), n=node(sleeper(lambda item: 10.0 - item), **properties), out=same)
        report = await Plumber(given).run(collect=["out"])
        return report.outputs["out"], report.elapsed

    async def test_p2_results_leave_in_the_order_of_the_items(self):
        assert await self.delayed() == (list(range(10)), 10.0)

    async def test_with_completion_they_leave_as_they_come(self):
        assert await self.delayed(order="completion") == (list(reversed(range(10))), 10.0)

    async def test_completion_within_the_concurrency(self):
        assert await self.delayed(order="completion", concurrency=2) == ([1, 0, 2, 3, 5, 4, 6, 7, 9, 8], 28.0)

    async def test_an_item_that_is_done_early_waits_for_its_turn(self):
        times: list[tuple[int, float]] = []

        async def out(self, q_elt):
            times.append((q_elt[0], now()))

        given = line(inp=feed(range(3)), n=sleeper(lambda item: 5.0 if item == 0 else 1.0), out=out)
        plumber = Plumber(given)
        plumber.create_pipeline()
        await asyncio.sleep(3)
        assert plumber.statistics().node("n").held == 2
        await plumber.wait()
        assert times == [(0, 5.0), (1, 5.0), (2, 5.0)]

    async def test_skipped_items_do_not_hold_up_the_order(self):
        async def n(self, q_elt):
            await asyncio.sleep(q_elt[0])
            return SKIP if q_elt[0] == 2 else q_elt[0]

        report = await Plumber(line(inp=feed([3, 2, 1]), n=n, out=same)).run(collect=["out"])
        assert report.outputs["out"] == [3, 1]

    @pytest.mark.parametrize("queue_size", [1, 2])
    @pytest.mark.parametrize("on_error", ["skip", "fail"])
    async def test_p6_results_that_take_no_room_need_none(self, queue_size, on_error):
        async def n(self, q_elt):
            if q_elt[0] % 5 == 0:
                await asyncio.sleep(1)
                return q_elt[0]
            if on_error == "skip":
                raise ValueError
            return SKIP

        out = node(sleeper(0.3), queue_size=queue_size, concurrency=1)
        report = await Plumber(line(inp=feed(range(20)), n=node(n, on_error=on_error), out=out)).run(collect=["out"])
        assert report.outputs["out"] == [0, 5, 10, 15]

    @pytest.mark.parametrize("suspends", [True, False])
    async def test_p2_a_mix_of_calls_that_suspend_and_calls_that_do_not(self, suspends):
        async def n(self, q_elt):
            if q_elt[0] % 7 == 3 or (suspends and q_elt[0] % 5 == 1):
                await asyncio.sleep(q_elt[0] % 4)
            return q_elt[0]

        report = await Plumber(line(inp=feed(range(300)), n=n, out=same)).run(collect=["out"])
        assert report.outputs["out"] == list(range(300))


def source_of(kind: str, put: list[int]) -> Any:
    """An endless source that notes what has gone through."""
    if kind == "coroutine":

        async def coroutine(self, output_q):
            for number in range(10_000):
                await output_q.put(number)
                put.append(number)

        return coroutine
    if kind == "async generator":

        async def async_generator(self):
            for number in range(10_000):
                yield number
                put.append(number)

        return async_generator

    def generator(self):
        for number in range(10_000):
            yield number
            put.append(number)

    return generator


class TestBackpressure:
    @pytest.mark.parametrize("kind", ["coroutine", "async generator", "generator"])
    @pytest.mark.parametrize(("capacity", "concurrency"), [(1, 1), (1, 3), (5, 1), (64, 64), (10, 2)])
    async def test_p4_a_slow_sink_bounds_what_the_source_has_put(self, kind, capacity, concurrency):
        put: list[int] = []
        out = node(sleeper(10), queue_size=capacity, concurrency=concurrency)
        plumber = Plumber(line(inp=source_of(kind, put), out=out))
        plumber.create_pipeline()
        await asyncio.sleep(5)
        stats = plumber.statistics()
        assert (stats.node("out").in_flight, stats.edge("inp", "out").peak) == (concurrency, capacity)
        if kind != "generator":  # which is asked again when half of its channel is free
            assert len(put) == stats.node("inp").sent == capacity + concurrency
        for rounds in range(1, 6):
            await asyncio.sleep(10)
            stats, started = plumber.statistics(), concurrency * (1 + rounds)
            assert stats.node("out").received == started, "the sink never waits for the source"
            assert started + capacity // 2 <= stats.node("inp").sent <= started + capacity
        await plumber.abort()

    async def test_p4_a_slow_sink_holds_up_a_whole_chain(self):
        given = line(
            inp=feed(range(1000)),
            a=node(same, queue_size=2),
            b=node(sleeper(0.1), queue_size=3, concurrency=4),
            out=node(sleeper(100), queue_size=5, concurrency=1),
        )
        plumber = Plumber(given)
        plumber.create_pipeline()
        await asyncio.sleep(50)
        stats = plumber.statistics()
        assert {name: stats.node(name).received for name in ("a", "b", "out")} == {"a": 13, "b": 10, "out": 1}
        assert stats.node("inp").sent == 15
        assert [(edge.queued, edge.capacity) for edge in stats.edges] == [(2, 2), (3, 3), (5, 5)]
        await plumber.abort()

    async def test_p4_results_that_wait_for_their_turn_are_bounded(self):
        n = Probe(delay=0)
        slow_first = sleeper(lambda item: 100.0 if item == 0 else 1.0)

        async def call(self, q_elt):
            await n(self, q_elt)
            return await slow_first(self, q_elt)

        plumber = Plumber(
            line(inp=feed(range(1000)), n=node(call, concurrency=4), out=node(same, queue_size=3)),
        )
        plumber.create_pipeline()
        await asyncio.sleep(50)
        stats = plumber.statistics().node("n")
        # Calls in flight and held results together: twice the concurrency and the room ahead.
        assert (stats.in_flight, stats.held) == (1, 10)
        assert len(n.items) == 11
        await plumber.abort()

    @pytest.mark.parametrize("concurrency", [1, 2, 5])
    async def test_p4_they_are_in_a_sink_too(self, concurrency):
        probe = Probe()

        async def out(self, q_elt):
            await probe(self, q_elt)
            await asyncio.sleep(3600 if q_elt[0] == 0 else 0)

        plumber = Plumber(line(inp=feed(range(1000)), out=node(out, concurrency=concurrency, queue_size=1)))
        plumber.create_pipeline()
        await asyncio.sleep(60)
        most = 2 * concurrency if concurrency > 1 else 1
        assert len(probe.items) == most
        assert plumber.statistics().node("out").held == most - 1
        await plumber.abort()

    async def test_a_slow_branch_holds_up_the_source_of_both(self):
        fast = Probe()
        given = graph(
            {"inp": ["fast", "slow"]},
            inp=feed(range(100)),
            fast=fast,
            slow=node(sleeper(10), queue_size=2, concurrency=1),
        )
        plumber = Plumber(given)
        plumber.create_pipeline()
        await asyncio.sleep(5)
        assert len(fast.items) == 3
        await plumber.abort()

    @pytest.mark.parametrize("queue_size", [1, 2, 64])
    async def test_p1_nothing_is_lost_at_any_capacity(self, queue_size):
        given = graph(
            {"inp": ["a", "b"], "a": ["z"], "b": ["z"]},
            inp=feed(range(50)),
            a=node(sleeper(lambda item: item % 3), queue_size=queue_size, concurrency=3),
            b=node(same, queue_size=queue_size),
            z=node(pair, queue_size=queue_size),
        )
        report = await Plumber(given).run(collect=["z"])
        assert report.outputs["z"] == [(number, number) for number in range(50)]


class TestOverflow:
    async def lossy(self, overflow: str) -> tuple[list[int], Any]:
        """A source of one item a second, a sink that takes ten seconds for each."""
        out = node(sleeper(10), queue_size=3, concurrency=1, overflow=overflow)
        report = await Plumber(line(inp=feed(range(30), delay=1), out=out)).run(collect=["out"])
        return report.outputs["out"], report

    async def test_block_loses_nothing_and_slows_the_source_down(self):
        items, report = await self.lossy("block")
        assert items == list(range(30))
        assert report.statistics.edge("inp", "out").dropped == 0
        assert report.elapsed == 301.0

    @pytest.mark.parametrize(
        ("overflow", "kept"),
        [
            ("drop_new", [0, 1, 2, 3, 11, 21]),
            ("drop_old", [0, 8, 18, 27, 28, 29]),
        ],
    )
    async def test_p1_losses_are_counted_and_the_source_is_not_slowed_down(self, overflow, kept):
        items, report = await self.lossy(overflow)
        edge = report.statistics.edge("inp", "out")
        assert edge.dropped + len(items) == 30
        assert (items[0], len(items)) == (0, len(kept))
        assert edge.peak <= 3
        assert report.statistics.node("inp").sent == 30
        assert report.elapsed == 1.0 + 10.0 * len(items)

    async def test_drop_new_keeps_the_oldest_and_drop_old_the_newest(self):
        new, _ = await self.lossy("drop_new")
        old, _ = await self.lossy("drop_old")
        assert new[1:4] == [1, 2, 3]
        assert old[-3:] == [27, 28, 29]

    @pytest.mark.parametrize("overflow", ["drop_new", "drop_old"])
    async def test_p3_losses_never_shift_the_pairs_of_a_zip(self, overflow):
        given = graph(
            {"inp": ["lossy", "whole"], "lossy": ["z"], "whole": ["z"]},
            inp=feed(range(100), delay=1),
            lossy=node(sleeper(3), queue_size=2, concurrency=1, overflow=overflow),
            whole=same,
            z=pair,
        )
        report = await Plumber(given).run(collect=["z"])
        pairs = report.outputs["z"]
        dropped = report.statistics.edge("inp", "lossy").dropped
        assert all(left == right for left, right in pairs)
        assert dropped > 50
        assert len(pairs) == 100 - dropped
        assert report.state == "completed"

    @pytest.mark.parametrize("overflow", ["drop_new", "drop_old"])
    async def test_p3_losses_in_front_of_the_zip_itself(self, overflow):
        given = graph(
            {"inp": ["a", "z"], "a": ["z"]},
            inp=feed(range(100), delay=1),
            a=same,
            z=node(sleeper_pair(5), queue_size=2, concurrency=1, overflow=overflow),
        )
        report = await Plumber(given).run(collect=["z"])
        assert all(left == right for left, right in report.outputs["z"])
        assert 10 < len(report.outputs["z"]) < 40

    async def test_drop_old_behind_a_source_that_never_waits(self):
        async def burst(self, output_q):
            for number in range(50):
                await output_q.put(number)
                await asyncio.sleep(0)

        out = node(sleeper(0.01), queue_size=1, concurrency=1, overflow="drop_old")
        report = await Plumber(line(inp=burst, out=out)).run(collect=["out"])
        assert report.outputs["out"][-1] == 49
        assert len(report.outputs["out"]) + report.statistics.edge("inp", "out").dropped == 50


def sleeper_pair(seconds: float) -> Any:
    async def sleep(self, q_elt):
        await asyncio.sleep(seconds)
        return q_elt

    return sleep


class TestZipAndMerge:
    async def test_p3_skipped_items_cancel_their_pair_alone(self):
        async def odd(self, q_elt):
            return q_elt[0] if q_elt[0] % 2 else SKIP

        given = graph({"inp": ["odd", "z"], "odd": ["z"]}, inp=feed(range(10)), odd=odd, z=pair)
        report = await Plumber(given).run(collect=["z"])
        assert report.outputs["z"] == [(number, number) for number in (1, 3, 5, 7, 9)]

    async def test_p3_also_when_every_branch_skips_others(self):
        def skipping(divisor: int) -> Any:
            async def skip(self, q_elt):
                await asyncio.sleep(q_elt[0] % divisor)
                return q_elt[0] if q_elt[0] % divisor else SKIP

            return skip

        given = graph(
            {"inp": ["a", "b"], "a": ["z"], "b": ["z"]}, inp=feed(range(60)), a=skipping(2), b=skipping(3), z=pair
        )
        report = await Plumber(given).run(collect=["z"])
        assert report.outputs["z"] == [(n, n) for n in range(60) if n % 2 and n % 3]

    async def test_a_merge_takes_items_as_they_come(self):
        given = graph(
            {"a": ["m"], "b": ["m"]},
            a=feed("ab", delay=2),
            b=feed("xyz", delay=1.5),
            m=node(same, aggregate_inputs=False),
        )
        report = await Plumber(given).run(collect=["m"])
        assert report.outputs["m"] == ["x", "a", "y", "b", "z"]

    async def test_p1_a_zip_of_unequal_lengths_says_how_many_each_had(self):
        given = graph({"a": ["z"], "b": ["z"]}, a=feed("abc"), b=feed(range(10)), z=pair)
        plumber = Plumber(given)
        with pytest.raises(Exception, match=r"^node 'z' zips upstreams of unequal length: 'a' had 3, 'b' had 10$"):
            await plumber.run(collect=["z"])
        assert plumber.report is not None
        assert plumber.report.outputs["z"] == [("a", 0), ("b", 1), ("c", 2)]

    async def test_stopping_a_zip_of_two_sources_is_no_failure(self):
        given = graph({"a": ["z"], "b": ["z"]}, a=feed(range(1000), delay=1), b=feed(range(1000), delay=0.3), z=pair)
        plumber = Plumber(given)
        plumber.create_pipeline()
        await asyncio.sleep(10.1)
        await plumber.stop()
        assert plumber.report is not None
        assert (plumber.report.state, plumber.report.error) == ("stopped", None)


class TestTo:
    async def test_to_sends_to_one_downstream_alone(self):
        async def route(self, q_elt):
            return To("even" if q_elt[0] % 2 == 0 else "odd", q_elt[0])

        given = graph({"inp": ["r"], "r": ["even", "odd"]}, inp=feed(range(6)), r=route, even=same, odd=same)
        report = await Plumber(given).run(collect=["even", "odd"])
        assert report.outputs == {"even": [0, 2, 4], "odd": [1, 3, 5]}
        assert report.statistics.node("r").sent == 6

    async def test_p2_to_and_plain_results_keep_their_order(self):
        async def route(self, q_elt):
            return To("a", q_elt[0]) if q_elt[0] % 3 == 0 else q_elt[0]

        given = graph({"inp": ["r"], "r": ["a", "b"]}, inp=feed(range(7)), r=route, a=same, b=same)
        report = await Plumber(given).run(collect=["a", "b"])
        assert report.outputs == {"a": list(range(7)), "b": [1, 2, 4, 5]}

    async def test_p3_it_cancels_the_pair_at_a_zip_behind_the_others(self):
        async def route(self, q_elt):
            return To("a", q_elt[0]) if q_elt[0] == 2 else q_elt[0]

        given = graph(
            {"inp": ["r"], "r": ["a", "b"], "a": ["z"], "b": ["z"]}, inp=feed(range(5)), r=route, a=same, b=same, z=pair
        )
        report = await Plumber(given).run(collect=["z"])
        assert report.outputs["z"] == [(n, n) for n in (0, 1, 3, 4)]

    @pytest.mark.parametrize("suspends", [False, True])
    @pytest.mark.parametrize("on_error", ["fail", "skip"])
    @pytest.mark.parametrize("target", ["inp", "otu", "", None, []])
    async def test_p6_a_target_that_is_no_downstream_fails_the_run(self, target, on_error, suspends):
        async def route(self, q_elt):
            if suspends:
                await asyncio.sleep(1)
            return To(target, "value")

        given = graph({"inp": ["r"], "r": ["a", "b"]}, inp=feed([7]), r=node(route, on_error=on_error), a=same, b=same)
        with pytest.raises(NodeError) as caught:
            await Plumber(given).run()
        assert caught.value.node == "r"
        assert (
            str(caught.value.__cause__) == f"To({target!r}): no such downstream node; downstream of 'r' are: 'a', 'b'"
        )

    async def test_a_sink_has_no_targets(self):
        async def route(self, q_elt):
            return To("x", 1)

        with pytest.raises(NodeError, match="downstream of 'out' are: none"):
            await Plumber(line(inp=feed([1]), out=route)).run()


class TestPause:
    async def test_a_paused_node_starts_no_more_calls_and_ends_those_in_flight(self):
        probe = Probe(delay=10)
        plumber = Plumber(line(inp=feed(range(10)), n=node(probe, concurrency=2), out=same))
        plumber.create_pipeline()
        await asyncio.sleep(5)
        plumber.pause("n")
        assert plumber.statistics().node("n").state == "busy"
        await asyncio.sleep(100)
        assert len(probe.items) == 2
        assert plumber.statistics().node("n").state == "paused"
        assert plumber.statistics().node("out").received == 2
        plumber.resume("n")
        await plumber.wait()
        assert len(probe.items) == 10

    async def test_a_node_that_pauses_itself_starts_not_one_call_more(self):
        seen: list[int] = []

        async def n(self, q_elt):
            seen.append(q_elt[0])
            if q_elt[0] == 3:
                plumber.pause("n")
            return q_elt[0]

        plumber = Plumber(line(inp=feed(range(10)), n=n, out=same))
        plumber.create_pipeline()
        await quiet()
        assert seen == [0, 1, 2, 3]
        plumber.resume("n")
        await plumber.wait()
        assert seen == list(range(10))

    @pytest.mark.parametrize("delay", [0, 1])
    async def test_step_lets_so_many_calls_start(self, delay):
        probe = Probe(delay=delay)
        plumber = Plumber(line(inp=feed(range(10)), n=probe, out=same))
        plumber.pause("n")
        plumber.create_pipeline()
        counts = []
        for count in (1, 1, 3):
            plumber.step("n", count)
            await asyncio.sleep(5)
            counts.append(len(probe.items))
        assert counts == [1, 2, 5]
        plumber.resume("n")
        await plumber.wait()

    async def test_steps_add_up(self):
        probe = Probe()
        plumber = Plumber(line(inp=feed(range(10)), n=probe, out=same))
        plumber.pause("n")
        plumber.step("n")
        plumber.step("n", 2)
        plumber.create_pipeline()
        await quiet()
        assert len(probe.items) == 3
        await plumber.abort()

    async def test_step_pauses_a_node_that_was_not(self):
        probe = Probe()
        plumber = Plumber(line(inp=feed(range(10)), n=probe, out=same))
        plumber.step("n", 4)
        plumber.create_pipeline()
        await quiet()
        assert len(probe.items) == 4
        assert plumber.statistics().node("n").state == "paused"
        await plumber.abort()

    async def test_p9_pause_and_resume_are_legal_twice(self):
        probe = Probe()
        plumber = Plumber(line(inp=feed(range(10), delay=1), n=probe, out=same))
        plumber.pause("n")
        plumber.step("n", 2)
        plumber.pause("n")  # the steps that were granted stay granted
        plumber.create_pipeline()
        await asyncio.sleep(20)
        assert len(probe.items) == 2
        plumber.resume("n")
        plumber.resume("n")
        await plumber.wait()
        assert len(probe.items) == 10

    async def test_the_whole_graph_can_be_paused(self):
        out = Probe()
        plumber = Plumber(line(inp=feed(range(10), delay=1), n=same, out=out))
        plumber.create_pipeline()
        await asyncio.sleep(3.5)
        plumber.pause()
        assert plumber.statistics().state == "paused"
        await asyncio.sleep(100)
        assert len(out.items) == 3
        plumber.resume()
        assert plumber.statistics().state == "running"
        await plumber.wait()
        assert len(out.items) == 10

    async def test_a_step_of_the_whole_graph_is_one_of_every_node(self):
        out = Probe()
        plumber = Plumber(line(inp=feed(range(10)), n=same, out=out))
        plumber.pause()
        plumber.create_pipeline()
        for _ in range(3):
            plumber.step()
            await quiet()
        stats = plumber.statistics()
        assert [stats.node(name).sent for name in ("inp", "n", "out")] == [3, 3, 3]
        await plumber.abort()

    async def test_one_paused_node_is_no_paused_graph(self):
        plumber = Plumber(line(inp=feed(range(10)), n=same, out=same))
        plumber.pause("n")
        plumber.create_pipeline()
        await quiet()
        assert plumber.statistics().state == "running"
        await plumber.abort()

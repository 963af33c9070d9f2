"""The ``batch`` property: several items in one call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipelines import SKIP, NodeError, Plumber
from pipelines.channels.join import join
from pipelines.channels.memory import MemoryChannel
from pipelines.engine.batching import BatchInbox
from pipelines.graph import Batch
from pipelines.testing import Probe, feed
from tests.unit.graphs import FED, failing, graph, line, node, now, pair, quiet, same, sleeper

pytestmark = pytest.mark.virtual_time


class TestSize:
    @pytest.mark.parametrize(
        ("items", "size", "batches"),
        [
            (range(6), 3, [[0, 1, 2], [3, 4, 5]]),
            (range(7), 3, [[0, 1, 2], [3, 4, 5], [6]]),
            (range(2), 3, [[0, 1]]),
            ((), 3, []),
            (range(3), 1, [[0], [1], [2]]),
        ],
    )
    async def test_p1_a_call_gets_up_to_so_many_and_the_last_what_is_left(self, items, size, batches):
        report = await Plumber(line(inp=feed(items), n=node(same, batch={"size": size}), out=same)).run(collect=["out"])
        assert report.outputs["out"] == batches
        assert report.statistics.node("n").received == len(batches)

    async def test_q_elt_is_a_tuple_of_one_list(self):
        probe = Probe()
        await Plumber(line(inp=feed(range(3)), n=node(probe, batch={"size": 2}), out=same)).run()
        assert probe.items == [([0, 1],), ([2],)]

    async def test_a_batch_may_be_larger_than_the_channel(self):
        given = line(inp=feed(range(50)), n=node(same, batch={"size": 20}, queue_size=3), out=same)
        report = await Plumber(given).run(collect=["out"])
        assert [len(batch) for batch in report.outputs["out"]] == [20, 20, 10]

    async def test_batches_run_side_by_side(self):
        probe = Probe(delay=1)
        given = line(inp=feed(range(60)), n=node(probe, batch={"size": 10}, concurrency=3), out=same)
        report = await Plumber(given).run()
        assert (probe.at_once, report.elapsed) == (3, 2.0)

    async def test_p2_batches_keep_their_order(self):
        async def n(self, q_elt):
            await asyncio.sleep(60 - q_elt[0][0])
            return q_elt[0][0]

        report = await Plumber(line(inp=feed(range(60)), n=node(n, batch={"size": 10}), out=same)).run(collect=["out"])
        assert report.outputs["out"] == [0, 10, 20, 30, 40, 50]

    async def test_a_generator_may_take_a_batch_apart(self):
        async def split(self, q_elt):
            for item in q_elt[0]:
                yield item

        given = line(inp=feed(range(7)), n=node(split, batch={"size": 3}), out=same)
        report = await Plumber(given).run(collect=["out"])
        assert report.outputs["out"] == list(range(7))

    async def test_p4_a_slow_batch_holds_up_its_source(self):
        n = node(sleeper(10), batch={"size": 5}, concurrency=1, queue_size=4)
        plumber = Plumber(line(inp=feed(range(100)), n=n, out=same))
        plumber.create_pipeline()
        await asyncio.sleep(5)
        # Five in the call, five collected for the next, four in the channel.
        assert plumber.statistics().node("inp").sent == 14
        await plumber.abort()


class TestTimeout:
    async def timed(self, timeout: float | None) -> list[tuple[list[int], float]]:
        """Items at 1, 2, 3, ... seconds in batches of four."""
        seen = []

        async def n(self, q_elt):
            seen.append((q_elt[0], now()))

        batch = {"size": 4, "timeout": timeout}
        await Plumber(line(inp=feed(range(6), delay=1), n=node(n, batch=batch), out=same)).run()
        return seen

    async def test_a_batch_is_given_so_long_after_its_first_item(self):
        assert await self.timed(1.5) == [([0, 1], 2.5), ([2, 3], 4.5), ([4, 5], 6.0)]

    async def test_a_full_one_is_given_at_once(self):
        assert await self.timed(100) == [([0, 1, 2, 3], 4.0), ([4, 5], 6.0)]

    async def test_without_a_timeout_it_waits_for_ever(self):
        assert await self.timed(None) == [([0, 1, 2, 3], 4.0), ([4, 5], 6.0)]

    async def test_every_batch_has_a_timeout_of_its_own(self):
        assert await self.timed(0.5) == [([number], number + 1.5) for number in range(5)] + [([5], 6.0)]

    async def test_the_end_of_the_input_gives_the_rest(self):
        async def n(self, q_elt):
            return (q_elt[0], now())

        report = await Plumber(line(inp=feed([1]), n=node(n, batch={"size": 9, "timeout": 100}))).run(collect=["n"])
        assert report.outputs["n"] == [([1], 0.0)]

    async def test_p5_no_timer_is_left_behind(self):
        plumber = Plumber(line(inp=feed([1], delay=1), n=node(same, batch={"size": 9, "timeout": 1000})))
        plumber.create_pipeline()
        await asyncio.sleep(1.5)
        await plumber.abort()
        assert [each for each in asyncio.get_running_loop()._scheduled if not each.cancelled()] == []  # type: ignore[attr-defined]


class TestSeveralUpstreams:
    async def test_a_zip_gives_lists_of_equal_length(self):
        given = graph(
            {"a": ["z"], "b": ["z"]}, a=feed(range(5)), b=feed("abcde", delay=1), z=node(pair, batch={"size": 2})
        )
        report = await Plumber(given).run(collect=["z"])
        assert report.outputs["z"] == [([0, 1], ["a", "b"]), ([2, 3], ["c", "d"]), ([4], ["e"])]

    async def test_p3_cancelled_pairs_do_not_come_into_the_batch(self):
        async def odd(self, q_elt):
            return q_elt[0] if q_elt[0] % 2 else SKIP

        given = graph(
            {"inp": ["odd", "z"], "odd": ["z"]}, inp=feed(range(10)), odd=odd, z=node(pair, batch={"size": 3})
        )
        report = await Plumber(given).run(collect=["z"])
        assert report.outputs["z"] == [([1, 3, 5], [1, 3, 5]), ([7, 9], [7, 9])]

    async def test_p1_a_zip_of_unequal_lengths_is_an_error_after_the_last_batch(self):
        given = graph({"a": ["z"], "b": ["z"]}, a=feed(range(5)), b=feed(range(3)), z=node(pair, batch={"size": 2}))
        plumber = Plumber(given)
        with pytest.raises(Exception, match="'a' had 5, 'b' had 3"):
            await plumber.run(collect=["z"])
        assert plumber.report is not None
        assert plumber.report.outputs["z"][0] == ([0, 1], [0, 1])

    async def test_a_merge_fills_one_batch_from_all(self):
        given = graph(
            {"a": ["m"], "b": ["m"]},
            a=feed("ab"),
            b=feed("xy", delay=1),
            m=node(same, batch={"size": 3}, aggregate_inputs=False),
        )
        report = await Plumber(given).run(collect=["m"])
        assert report.outputs["m"] == [["a", "b", "x"], ["y"]]


class TestFailure:
    async def test_a_batch_fails_as_a_whole(self):
        async def n(self, q_elt):
            return [await failing(4)(self, (item,)) for item in q_elt[0]]

        given = line(inp=feed(range(9)), n=node(n, batch={"size": 3}, on_error="skip"), out=same)
        report = await Plumber(given).run(collect=["out"])
        assert report.outputs["out"] == [[0, 1, 2], [6, 7, 8]]
        assert [each.item for each in report.failures] == [[3, 4, 5]]

    async def test_it_is_retried_as_a_whole(self):
        probe = Probe(lambda q_elt: 1 / 0 if len(probe.items) < 3 else q_elt[0])
        retry = {"attempts": 3, "backoff": 0}
        given = line(inp=feed(range(2)), n=node(probe, batch={"size": 2}, retry=retry), out=same)
        report = await Plumber(given).run(collect=["out"])
        assert probe.items == [([0, 1],)] * 3
        assert report.outputs["out"] == [[0, 1]]


class TestSubmit:
    async def length(self, q_elt):
        return len(q_elt[0])

    async def test_items_submitted_together_share_a_batch(self):
        async with Plumber(line(inp=FED, n=node(TestSubmit.length, {}, batch={"size": 3}))) as plumber:
            results = await asyncio.gather(*[plumber.submit(number) for number in range(3)])
        assert results == [3, 3, 3]

    @pytest.mark.parametrize("timeout", [None, 1000])
    async def test_p6_a_lone_item_does_not_wait_for_others_that_never_come(self, timeout):
        n = node(TestSubmit.length, batch={"size": 100, "timeout": timeout})
        async with Plumber(line(inp=FED, n=n)) as plumber:
            assert await plumber.submit("x", timeout=10) == 1
            assert await plumber.submit("y", timeout=10) == 1
        assert now() < 1

    async def test_p8_the_thousandth_submit_is_as_quick_as_the_first(self):
        async with Plumber(line(inp=FED, n=node(TestSubmit.length, batch={"size": 10}))) as plumber:
            for number in range(50):
                await plumber.submit(number)
            assert plumber._execution is not None
            assert len(plumber._execution.scheduler._on_park) <= 2

    async def test_it_waits_for_those_that_are_on_their_way(self):
        given = line(
            inp=FED,
            a=node(sleeper(lambda item: item), order="completion"),
            n=node(TestSubmit.length, batch={"size": 9}),
        )
        async with Plumber(given) as plumber:
            assert await asyncio.gather(*[plumber.submit(delay) for delay in (1, 2, 3)]) == [3, 3, 3]

    async def test_a_failing_batch_fails_all_its_items(self):
        async def n(self, q_elt):
            raise ValueError("batch")

        async with Plumber(line(inp=FED, n=node(n, batch={"size": 2}, on_error="skip"), out=same)) as plumber:
            results = await asyncio.gather(plumber.submit(1), plumber.submit(2), return_exceptions=True)
        assert [type(each) for each in results] == [NodeError, NodeError]
        assert {str(each) for each in results} == {"node 'n' failed on item [1, 2]: ValueError: batch"}


class TestInbox:
    """The parts that only the engine sees."""

    @pytest.fixture
    def channel(self) -> MemoryChannel:
        return MemoryChannel("a", "b", 10)

    def inbox(self, channel: MemoryChannel, woken: list[Any], **batch: Any) -> BatchInbox:
        batches = join([channel], "b", zips=False)
        return BatchInbox(batches, Batch(**batch), asyncio.get_running_loop(), lambda: woken.append(now()))

    async def test_available_counts_full_batches(self, channel):
        inbox = self.inbox(channel, [], size=3)
        for count, available in [(2, 0), (1, 1), (3, 2), (1, 2)]:
            for _ in range(count):
                channel.push(0)
            assert inbox.available() == available

    async def test_it_says_how_much_it_holds_and_whether_time_will_help(self, channel):
        inbox = self.inbox(channel, [], size=3, timeout=5)
        channel.push(0)
        assert (inbox.available(), inbox.partial, inbox.timed) == (0, 1, True)
        assert not self.inbox(channel, [], size=3).timed
        inbox.close()

    async def test_time_wakes_its_node_once(self, channel):
        woken: list[float] = []
        inbox = self.inbox(channel, woken, size=3, timeout=5)
        channel.push(7)
        assert inbox.available() == 0
        await asyncio.sleep(20)
        assert woken == [5.0]
        assert (inbox.available(), inbox.take()[0]) == (1, ([7],))

    async def test_hurry_gives_what_is_there(self, channel):
        woken: list[float] = []
        inbox = self.inbox(channel, woken, size=3)
        inbox.hurry()
        assert woken == []
        channel.push(7)
        assert inbox.available() == 0
        inbox.hurry()
        inbox.hurry()
        assert (len(woken), inbox.available()) == (1, 1)
        inbox.take()
        channel.push(8)
        assert inbox.available() == 0

    async def test_a_closed_inbox_wakes_nobody(self, channel):
        woken: list[float] = []
        inbox = self.inbox(channel, woken, size=3, timeout=5)
        channel.push(7)
        inbox.available()
        inbox.close()
        await asyncio.sleep(20)
        assert woken == []


async def test_a_paused_batch_node_waits_with_its_batch():
    probe = Probe()
    plumber = Plumber(line(inp=feed(range(5)), n=node(probe, batch={"size": 2, "timeout": 1})))
    plumber.pause("n")
    plumber.create_pipeline()
    await asyncio.sleep(50)
    assert probe.items == []
    plumber.step("n")
    await quiet()
    assert probe.items == [([0, 1],)]
    plumber.resume()
    await plumber.wait()
    assert probe.items == [([0, 1],), ([2, 3],), ([4],)]

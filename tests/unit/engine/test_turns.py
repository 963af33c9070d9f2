"""Generator nodes: one item in, any number out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipelines import SKIP, NodeError, Plumber, SkippedError, To
from pipelines.testing import feed
from tests.unit.graphs import FED, graph, line, node, now, quiet, same, sleeper

pytestmark = pytest.mark.virtual_time

KINDS = pytest.mark.parametrize("kind", ["generator", "async generator"])


def splitter(kind: str, *, fails_after: int | None = None, delay: float = 0.0, log: list[Any] | None = None) -> Any:
    """A generator node that yields ``(item, 0)``, ``(item, 1)``, ... as often as the item says."""

    def note(event: str, item: int) -> None:
        if log is not None:
            log.append((event, item))

    def generator(self, q_elt):
        item = q_elt[0]
        note("begin", item)
        try:
            for number in range(item):
                if number == fails_after:
                    raise ValueError(f"{item}.{number}")
                yield (item, number)
        finally:
            note("end", item)

    async def async_generator(self, q_elt):
        item = q_elt[0]
        note("begin", item)
        try:
            for number in range(item):
                if delay:
                    await asyncio.sleep(delay)
                if number == fails_after:
                    raise ValueError(f"{item}.{number}")
                yield (item, number)
        finally:
            note("end", item)

    return generator if kind == "generator" else async_generator


def pieces(*items: int) -> list[tuple[int, int]]:
    return [(item, number) for item in items for number in range(item)]


class TestOrder:
    @KINDS
    async def test_one_item_gives_any_number(self, kind):
        report = await Plumber(line(inp=feed([3, 0, 1, 2]), n=splitter(kind), out=same)).run(collect=["out"])
        assert report.outputs["out"] == pieces(3, 0, 1, 2)
        assert (report.statistics.node("n").received, report.statistics.node("n").sent) == (4, 6)

    @KINDS
    @pytest.mark.parametrize("concurrency", [1, 2, 64])
    @pytest.mark.parametrize("queue_size", [1, 3, 64])
    async def test_p2_items_leave_in_the_order_of_the_calls(self, kind, concurrency, queue_size):
        n = node(splitter(kind, delay=1), concurrency=concurrency)
        given = line(inp=feed([5, 1, 3, 0, 7]), n=n, out=node(sleeper(0.3), queue_size=queue_size, concurrency=1))
        report = await Plumber(given).run(collect=["out"])
        assert report.outputs["out"] == pieces(5, 1, 3, 0, 7)

    async def test_generators_run_side_by_side(self):
        given = line(inp=feed([1] * 10), n=node(splitter("async generator", delay=1), concurrency=5), out=same)
        assert (await Plumber(given).run()).elapsed == 2.0

    async def test_with_completion_order_they_mix(self):
        given = line(inp=feed([3, 2]), n=node(splitter("async generator", delay=1), order="completion"), out=same)
        report = await Plumber(given).run(collect=["out"])
        assert sorted(report.outputs["out"]) == sorted(pieces(3, 2))
        assert report.outputs["out"][:2] in ([(3, 0), (2, 0)], [(2, 0), (3, 0)])

    async def test_an_item_is_sent_as_soon_as_it_is_its_turn(self):
        times = []

        async def out(self, q_elt):
            times.append((q_elt[0], now()))

        await Plumber(line(inp=feed([3]), n=splitter("async generator", delay=1), out=out)).run()
        assert times == [((3, 0), 1.0), ((3, 1), 2.0), ((3, 2), 3.0)]

    @KINDS
    async def test_skip_and_to_may_be_yielded(self, kind):
        def generator(self, q_elt):
            yield q_elt[0]
            yield SKIP
            yield To("b", -q_elt[0])

        async def async_generator(self, q_elt):
            for value in generator(self, q_elt):
                yield value

        n = generator if kind == "generator" else async_generator
        given = graph({"inp": ["n"], "n": ["a", "b"]}, inp=feed([1, 2]), n=n, a=same, b=same)
        report = await Plumber(given).run(collect=["a", "b"])
        assert report.outputs == {"a": [1, 2], "b": [1, -1, 2, -2]}
        assert report.statistics.node("n").skipped == 2

    async def test_a_wrong_target_fails_the_run(self):
        def n(self, q_elt):
            yield To("otu", 1)

        with pytest.raises(NodeError, match="no such downstream node"):
            await Plumber(line(inp=feed([1]), n=node(n, on_error="skip"), out=same)).run()


class TestBackpressure:
    @KINDS
    async def test_p4_a_generator_waits_for_room(self, kind):
        asked = []

        def generator(self, q_elt):
            for number in range(1000):
                asked.append(number)
                yield number

        async def async_generator(self, q_elt):
            for number in generator(self, q_elt):
                yield number

        n = node(generator if kind == "generator" else async_generator, concurrency=1)
        plumber = Plumber(line(inp=feed([1]), n=n, out=node(sleeper(10), queue_size=3, concurrency=1)))
        plumber.create_pipeline()
        await asyncio.sleep(5)
        # One in the sink, three in its channel, one in the hands of the generator's node.
        assert len(asked) == 5
        await asyncio.sleep(10)
        assert len(asked) == 6
        await plumber.abort()

    @KINDS
    async def test_p4_many_at_once_hold_one_item_each(self, kind):
        asked = []

        def generator(self, q_elt):
            for number in range(1000):
                asked.append((q_elt[0], number))
                yield number

        async def async_generator(self, q_elt):
            for number in generator(self, q_elt):
                yield number

        n = node(generator if kind == "generator" else async_generator, concurrency=4)
        plumber = Plumber(line(inp=feed(range(100)), n=n, out=node(sleeper(10), queue_size=3, concurrency=1)))
        plumber.create_pipeline()
        await asyncio.sleep(5)
        assert {item for item, _ in asked} <= set(range(4))
        assert len(asked) <= 5 + 3
        await plumber.abort()

    async def test_p5_a_generator_that_waits_for_room_is_closed_by_abort(self):
        log: list[Any] = []
        given = line(
            inp=feed([50]), n=splitter("generator", log=log), out=node(sleeper(10), queue_size=1, concurrency=1)
        )
        plumber = Plumber(given)
        plumber.create_pipeline()
        await asyncio.sleep(5)
        await plumber.abort()
        assert log == [("begin", 50), ("end", 50)]


class TestFailure:
    @KINDS
    async def test_p6_a_generator_that_fails_fails_the_run(self, kind):
        plumber = Plumber(line(inp=feed([3]), n=splitter(kind, fails_after=1), out=same))
        with pytest.raises(NodeError, match=r"node 'n' failed on item 3: ValueError: 3\.1") as caught:
            await plumber.run()
        assert caught.value.attempts == 1

    @KINDS
    async def test_before_its_first_item_it_is_tried_again(self, kind):
        log: list[Any] = []
        n = node(splitter(kind, fails_after=0, log=log), retry={"attempts": 3, "backoff": 1}, on_error="skip")
        report = await Plumber(line(inp=feed([2]), n=n, out=same)).run(collect=["out"])
        assert log == [("begin", 2), ("end", 2)] * 3
        assert [each.attempts for each in report.failures] == [3]
        assert report.outputs["out"] == []

    @KINDS
    async def test_p1_behind_its_first_item_it_is_not_for_that_would_repeat_items(self, kind):
        log: list[Any] = []
        n = node(splitter(kind, fails_after=1, log=log), retry={"attempts": 3, "backoff": 1}, on_error="skip")
        report = await Plumber(line(inp=feed([2, 1]), n=n, out=same)).run(collect=["out"])
        assert [event for event in log if event[1] == 2] == [("begin", 2), ("end", 2)]
        assert [(each.item, each.attempts) for each in report.failures] == [(2, 1)]
        assert report.outputs["out"] == [(2, 0), (1, 0)]

    @KINDS
    async def test_the_items_before_the_failure_are_not_taken_back(self, kind):
        given = graph({"inp": ["n"], "n": ["out"]}, inp=feed([3, 1]), out=same, dead=same)
        given["nodes"]["n"] = node(splitter(kind, fails_after=2), on_error={"route": "dead"})
        report = await Plumber(given).run(collect=["out", "dead"])
        assert report.outputs["out"] == [(3, 0), (3, 1), (1, 0)]
        assert [each.item for each in report.outputs["dead"]] == [3]

    async def test_p5_it_is_closed_when_a_timeout_cancels_it(self):
        log: list[Any] = []
        n = node(splitter("async generator", delay=2, log=log), timeout=1, on_error="skip")
        report = await Plumber(line(inp=feed([3]), n=n, out=same)).run()
        assert log == [("begin", 3), ("end", 3)]
        assert isinstance(report.failures[0].error, TimeoutError)

    async def test_the_timeout_is_about_each_item_and_not_about_the_wait_for_room(self):
        n = node(splitter("async generator", delay=0.9), timeout=1)
        given = line(inp=feed([10]), n=n, out=node(sleeper(5), queue_size=1, concurrency=1))
        report = await Plumber(given).run(collect=["out"])
        assert report.outputs["out"] == pieces(10)

    async def test_a_function_that_returns_what_cannot_be_iterated_fails_as_a_generator_would(self):
        async def n(self, q_elt):
            yield 1
            raise GeneratorExit  # what a generator must not raise

        with pytest.raises((NodeError, GeneratorExit)):
            await Plumber(line(inp=feed([1]), n=n, out=same)).run()


class TestSubmit:
    @KINDS
    async def test_the_result_is_the_list_of_what_came(self, kind):
        async with Plumber(line(inp=FED, n=splitter(kind), out=same)) as plumber:
            assert await plumber.submit(3) == pieces(3)
            assert await plumber.submit(1) == pieces(1)

    @KINDS
    async def test_an_item_of_which_nothing_came_was_skipped(self, kind):
        async with Plumber(line(inp=FED, n=splitter(kind), out=same)) as plumber:
            with pytest.raises(SkippedError, match="the item was skipped at node 'n'"):
                await plumber.submit(0)

    async def test_what_came_before_a_failure_does_not_make_a_result(self):
        n = node(splitter("generator", fails_after=1), on_error="skip")
        async with Plumber(line(inp=FED, n=n, out=same)) as plumber:
            with pytest.raises(NodeError, match="failed on item 3"):
                await plumber.submit(3)

    async def test_what_is_dropped_behind_a_generator_is_left_out(self):
        async def even(self, q_elt):
            return q_elt[0] if q_elt[0][1] % 2 == 0 else SKIP

        async with Plumber(line(inp=FED, n=splitter("generator"), out=even)) as plumber:
            assert await plumber.submit(4) == [(4, 0), (4, 2)]
            assert await plumber.submit(1) == [(1, 0)]


@KINDS
async def test_a_paused_node_begins_no_generator_and_ends_those_it_began(kind):
    log: list[Any] = []
    plumber = Plumber(line(inp=feed([2, 2, 2]), n=node(splitter(kind, log=log), concurrency=1), out=same))
    plumber.step("n", 1)
    plumber.create_pipeline()
    await quiet()
    assert log == [("begin", 2), ("end", 2)]
    assert plumber.statistics().node("out").received == 2
    plumber.resume()
    await plumber.wait()

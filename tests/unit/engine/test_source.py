"""Nodes that nothing flows into: coros that put, generators that yield, and sources that the program feeds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipelines import SKIP, ClosedError, FailedItem, NodeError, Plumber, To, UnknownNodeError
from pipelines.events import ItemFailed
from pipelines.testing import Probe, feed
from tests.unit.graphs import FED, Listener, failed, graph, line, node, now, pair, quiet, same, sleeper

pytestmark = pytest.mark.virtual_time


async def coroutine(self, output_q, n=3):
    for number in range(n):
        await output_q.put(number)


async def async_generator(self, n=3):
    for number in range(n):
        yield number


def generator(self, n=3):
    yield from range(n)


def iterable(self, n=3):
    return range(n)


KINDS = {"coroutine": coroutine, "async generator": async_generator, "generator": generator, "iterable": iterable}
ALL = pytest.mark.parametrize("kind", list(KINDS))


class TestKinds:
    @ALL
    async def test_p1_every_kind_of_source_gives_all_its_items_in_order(self, kind):
        report = await Plumber(line(inp=node(KINDS[kind], {"n": 500}), out=same)).run(collect=["out"])
        assert report.outputs["out"] == list(range(500))

    @ALL
    async def test_a_source_of_nothing(self, kind):
        report = await Plumber(line(inp=node(KINDS[kind], {"n": 0}), out=same)).run(collect=["out"])
        assert (report.state, report.outputs["out"]) == ("completed", [])

    @ALL
    async def test_a_source_alone_is_its_own_sink(self, kind):
        report = await Plumber(line(inp=KINDS[kind])).run(collect=["inp"])
        assert report.outputs["inp"] == [0, 1, 2]

    @ALL
    async def test_several_sources_run_at_once(self, kind):
        given = graph({"a": ["m"], "b": ["m"]}, a=KINDS[kind], b=KINDS[kind], m=node(same, aggregate_inputs=False))
        report = await Plumber(given).run(collect=["m"])
        assert sorted(report.outputs["m"]) == [0, 0, 1, 1, 2, 2]

    async def test_a_plain_function_may_return_an_async_generator(self):
        report = await Plumber(line(inp=lambda self: async_generator(self, 4), out=same)).run(collect=["out"])
        assert report.outputs["out"] == [0, 1, 2, 3]

    async def test_a_plain_function_may_return_an_iterator_without_close(self):
        report = await Plumber(line(inp=lambda self: iter([1, 2]), out=same)).run(collect=["out"])
        assert report.outputs["out"] == [1, 2]

    async def test_a_plain_function_may_return_an_async_iterator_of_its_own_kind(self):
        class Countdown:
            def __init__(self, number: int) -> None:
                self.number = number

            def __aiter__(self) -> Countdown:
                return self

            async def __anext__(self) -> int:
                self.number -= 1
                if self.number < 0:
                    raise StopAsyncIteration
                return self.number

        report = await Plumber(line(inp=lambda self: Countdown(3), out=same)).run(collect=["out"])
        assert report.outputs["out"] == [2, 1, 0]

    async def test_a_source_that_gives_nothing_to_iterate_fails(self):
        with pytest.raises(NodeError, match="node 'inp' failed: TypeError"):
            await Plumber(line(inp=lambda self: 7, out=same)).run()

    @ALL
    async def test_skip_and_to_mean_what_they_mean_elsewhere(self, kind):
        values = [1, SKIP, To("b", 2), 3]

        async def puts(self, output_q):
            for value in values:
                await output_q.put(value)

        async def yields(self):
            for value in values:
                yield value

        inp = {"coroutine": puts, "async generator": yields}.get(kind, lambda self: iter(values))
        given = graph({"inp": ["a", "b"]}, inp=inp, a=same, b=same)
        report = await Plumber(given).run(collect=["a", "b"])
        assert report.outputs == {"a": [1, 3], "b": [1, 2, 3]}
        assert (report.statistics.node("inp").sent, report.statistics.node("inp").skipped) == (3, 1)

    @ALL
    async def test_p3_skipped_items_cancel_their_pair(self, kind):
        values = [1, SKIP, To("b", 2), 3]

        async def puts(self, output_q):
            for value in values:
                await output_q.put(value)

        inp = puts if kind == "coroutine" else (lambda self: iter(values))
        given = graph({"inp": ["a", "b"], "a": ["z"], "b": ["z"]}, inp=inp, a=same, b=same, z=pair)
        report = await Plumber(given).run(collect=["z"])
        assert report.outputs["z"] == [(1, 1), (3, 3)]

    @ALL
    async def test_p6_a_wrong_target_fails_the_run(self, kind):
        async def puts(self, output_q):
            await output_q.put(To("otu", 1))

        inp = puts if kind == "coroutine" else (lambda self: iter([To("otu", 1)]))
        with pytest.raises(NodeError, match=r"To\('otu'\): no such downstream node; downstream of 'inp' are: 'out'"):
            await Plumber(line(inp=inp, out=same)).run()


class TestFailure:
    @ALL
    async def test_p6_a_source_that_fails_fails_the_run(self, kind):
        async def puts(self, output_q):
            await output_q.put(1)
            raise ValueError("line 2")

        async def async_yields(self):
            yield 1
            raise ValueError("line 2")

        def yields(self):
            yield 1
            raise ValueError("line 2")

        inp = {"coroutine": puts, "async generator": async_yields}.get(kind, yields)
        with pytest.raises(NodeError, match=r"^node 'inp' failed: ValueError: line 2$") as caught:
            await Plumber(line(inp=inp, out=same)).run()
        assert (caught.value.item, caught.value.attempts) == (None, 1)

    async def test_it_fails_although_on_error_is_skip_which_is_about_items(self):
        def yields(self):
            yield 1
            raise ValueError("line 2")

        with pytest.raises(NodeError, match="line 2"):
            await Plumber(line(inp=node(yields, on_error="skip"), out=same)).run()

    @ALL
    async def test_a_source_that_raises_a_cancelled_error_fails_the_run(self, kind):
        async def puts(self, output_q):
            await output_q.put(1)
            raise asyncio.CancelledError

        async def async_yields(self):
            yield 1
            raise asyncio.CancelledError

        def yields(self):
            yield 1
            raise asyncio.CancelledError

        inp = {"coroutine": puts, "async generator": async_yields}.get(kind, yields)
        with pytest.raises(NodeError, match="node 'inp' failed: CancelledError"):
            await Plumber(line(inp=inp, out=same)).run()

    async def test_one_that_cancels_its_task_fails_the_run(self):
        async def puts(self, output_q):
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(1)

        with pytest.raises(NodeError, match="node 'inp' failed: CancelledError"):
            await Plumber(line(inp=puts, out=same)).run()


class TestReportedFailures:
    """``output_q.fail``: items that could not be made."""

    @staticmethod
    async def lines(self, output_q):
        for number in range(5):
            if number % 2:
                await output_q.fail(f"line {number}", ValueError("cannot be read"))
            else:
                await output_q.put(number)

    async def test_skip_counts_them(self):
        told = Listener()
        report = await Plumber(line(inp=node(self.lines, on_error="skip"), out=same), hooks=[told]).run(collect=["out"])
        assert report.outputs["out"] == [0, 2, 4]
        assert (report.statistics.node("inp").failed, report.statistics.node("inp").sent) == (2, 3)
        assert [each.item for each in report.failures] == ["line 1", "line 3"]
        assert [(each.node, each.item, each.action) for each in told.of(ItemFailed)] == [
            ("inp", "line 1", "skip"),
            ("inp", "line 3", "skip"),
        ]

    async def test_a_route_takes_them(self):
        given = line(inp=node(self.lines, on_error={"route": "dead"}), out=same)
        given["nodes"]["dead"] = {"coro": same}
        report = await Plumber(given).run(collect=["dead"])
        assert [(type(each), each.item, each.node, each.attempts) for each in report.outputs["dead"]] == [
            (FailedItem, "line 1", "inp", 1),
            (FailedItem, "line 3", "inp", 1),
        ]

    async def test_fail_raises_in_the_coro_and_ends_the_run(self):
        seen = []

        async def lines(self, output_q):
            try:
                await output_q.fail("line 1", ValueError("cannot be read"))
            except NodeError as error:
                seen.append(error)
                raise

        with pytest.raises(NodeError, match="node 'inp' failed on item 'line 1': ValueError: cannot be read") as caught:
            await Plumber(line(inp=lines, out=same)).run()
        assert seen == [caught.value]

    async def test_fail_ends_the_run_although_the_coro_swallows_it(self):
        async def lines(self, output_q):
            for number in range(5):
                try:
                    await output_q.fail(number, ValueError("cannot be read"))
                except NodeError:
                    await asyncio.sleep(1)

        report = await failed(Plumber(line(inp=lines, out=same)))
        assert isinstance(report.error, NodeError)
        assert report.error.item == 0

    async def test_p3_they_cancel_their_pairs(self):
        given = graph(
            {"inp": ["a", "b"], "a": ["z"], "b": ["z"]}, inp=node(self.lines, on_error="skip"), a=same, b=same, z=pair
        )
        report = await Plumber(given).run(collect=["z"])
        assert report.outputs["z"] == [(0, 0), (2, 2), (4, 4)]

    async def test_p4_a_slow_dead_letter_node_holds_up_the_source(self):
        told = []

        async def lines(self, output_q):
            for number in range(100):
                await output_q.fail(number, ValueError())
                told.append(number)

        given = line(inp=node(lines, on_error={"route": "dead"}), out=same)
        given["nodes"]["dead"] = node(sleeper(10), queue_size=3, concurrency=1)
        plumber = Plumber(given)
        plumber.create_pipeline()
        await asyncio.sleep(5)
        assert len(told) == 4
        assert plumber.statistics().edge("inp", "dead").peak == 3
        await plumber.abort()


class TestOutputQueue:
    async def test_progress_is_a_share_and_shows_in_the_statistics(self):
        shares = []

        async def puts(self, output_q):
            for done, total in [(0, 4), (1, 4), (4, 4), (5, 4), (3, 0)]:
                output_q.progress(done, total)
                shares.append(plumber.statistics().node("inp").progress)

        plumber = Plumber(line(inp=puts, out=same))
        assert plumber.statistics().node("inp").progress is None
        await plumber.run()
        assert shares == [0.0, 0.25, 1.0, 1.0, 1.0]

    async def test_it_tells_how_full_it_is(self):
        told = []

        async def puts(self, output_q):
            told.append((output_q.qsize(), output_q.full()))
            for number in range(2):
                await output_q.put(number)
                told.append((output_q.qsize(), output_q.full()))

        await Plumber(line(inp=puts, out=node(same, queue_size=2))).run()
        assert told == [(0, False), (1, False), (2, True)]

    async def test_a_source_without_downstream_is_never_full(self):
        async def puts(self, output_q):
            for number in range(1000):
                assert (output_q.qsize(), output_q.full()) == (0, False)
                await output_q.put(number)

        report = await Plumber(line(inp=puts)).run()
        assert report.statistics.items_in == 1000

    async def test_several_tasks_may_put_at_once(self):
        async def puts(self, output_q):
            await asyncio.gather(*[output_q.put(number) for number in range(200)])

        given = line(inp=puts, out=node(sleeper(1), queue_size=3, concurrency=2))
        report = await Plumber(given).run(collect=["out"])
        assert report.outputs["out"] == list(range(200)), "they are served in turn"

    async def test_p9_a_task_that_is_cancelled_while_it_waits_leaves_the_line(self):
        given = line(inp=FED, out=node(sleeper(10), queue_size=1, concurrency=1))
        async with Plumber(given) as plumber:
            tasks = [asyncio.create_task(plumber.put("inp", number)) for number in range(6)]
            await quiet()
            assert [task.done() for task in tasks] == [True, True, False, False, False, False]
            tasks[2].cancel()
            tasks[4].cancel()
            await asyncio.wait(tasks)
            stream = plumber.stream("out")
        assert [task.cancelled() for task in tasks] == [False, False, True, False, True, False]
        assert plumber.report is not None
        assert plumber.report.statistics.node("out").received == 4
        del stream

    async def test_one_that_is_cancelled_when_it_is_let_in_makes_room_for_the_next(self):
        given = line(inp=FED, out=node(sleeper(10), queue_size=1, concurrency=1))
        plumber = Plumber(given)
        plumber.create_pipeline()
        tasks = [asyncio.create_task(plumber.put("inp", number)) for number in range(4)]
        await quiet()
        plumber.pause("inp")
        await asyncio.sleep(50)
        plumber.resume("inp")  # lets the third in
        tasks[2].cancel()
        await quiet()
        assert [task.done() for task in tasks] == [True, True, True, True]
        assert tasks[2].cancelled()
        assert plumber.statistics().node("inp").sent == 3
        await plumber.abort()

    async def test_p9_a_put_cancelled_while_its_source_is_closed_is_cancelled(self):
        plumber = Plumber(line(inp=FED, out=node(sleeper(10), queue_size=1, concurrency=1)))
        plumber.create_pipeline()
        tasks = [asyncio.create_task(plumber.put("inp", number)) for number in range(4)]
        await quiet()
        tasks[3].cancel()
        plumber.close("inp")
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results[2:]] == [ClosedError, asyncio.CancelledError]
        await plumber.wait()


class TestFed:
    async def test_the_program_puts_and_closes(self):
        plumber = Plumber(line(inp=FED, out=same))
        run = asyncio.create_task(plumber.run(collect=["out"]))
        for number in range(200):
            await plumber.put("inp", number)
        plumber.close("inp")
        assert (await run).outputs["out"] == list(range(200))

    async def test_p4_put_waits_while_the_graph_is_full(self):
        async with Plumber(line(inp=FED, out=node(sleeper(10), queue_size=2, concurrency=1))) as plumber:
            for number in range(3):
                await plumber.put("inp", number)
                await quiet()
            task = asyncio.create_task(plumber.put("inp", 3))
            await asyncio.sleep(5)
            assert not task.done()
            assert plumber.statistics().node("inp").state == "blocked"
            await task
            assert now() == pytest.approx(10.0, abs=0.01)

    async def test_p9_before_the_start_items_are_kept_as_far_as_there_is_room(self):
        plumber = Plumber(line(inp=FED, out=node(same, queue_size=3)))
        for number in range(3):
            await plumber.put("inp", number)
        task = asyncio.create_task(plumber.put("inp", 3))
        await quiet()
        assert not task.done()
        plumber.create_pipeline()
        await task
        plumber.close("inp")
        assert (await plumber.wait()).statistics.node("out").received == 4

    async def test_p9_closed_before_the_start_it_gives_what_was_put_before(self):
        plumber = Plumber(line(inp=FED, out=same))
        await plumber.put("inp", 1)
        plumber.close("inp")
        report = await plumber.run(collect=["out"])
        assert (report.state, report.outputs["out"]) == ("completed", [1])

    async def test_p9_close_is_legal_twice_and_after_the_end(self):
        plumber = Plumber(line(inp=FED, out=same))
        plumber.create_pipeline()
        plumber.close("inp")
        plumber.close("inp")
        await plumber.wait()
        plumber.close("inp")

    async def test_what_is_put_after_close_is_refused(self):
        async with Plumber(line(inp=FED, out=same)) as plumber:
            plumber.close("inp")
            with pytest.raises(ClosedError, match=r"^source 'inp' is closed: nothing more can be put$"):
                await plumber.put("inp", 1)

    async def test_close_sends_home_whoever_waits(self):
        plumber = Plumber(line(inp=FED, out=node(sleeper(10), queue_size=1, concurrency=1)))
        plumber.create_pipeline()
        tasks = [asyncio.create_task(plumber.put("inp", number)) for number in range(4)]
        await quiet()
        plumber.close("inp")
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [type(None), type(None), ClosedError, ClosedError]
        assert (await plumber.wait()).statistics.node("out").received == 2

    async def test_p6_what_is_put_into_a_failed_graph_is_refused_with_the_reason(self):
        plumber = Plumber(line(inp=FED, out=Probe(lambda _: 1 / 0)))
        plumber.create_pipeline()
        await plumber.put("inp", 1)
        with pytest.raises(NodeError):
            await plumber.wait()
        with pytest.raises(ClosedError) as caught:
            await plumber.put("inp", 2)
        assert plumber.report is not None
        assert caught.value.__cause__ is plumber.report.error

    @pytest.mark.parametrize("command", ["put", "close", "submit"])
    async def test_only_a_source_without_coro_can_be_fed(self, command):
        plumber = Plumber(
            graph({"a": ["out"], "b": ["out"]}, a=FED, b=feed([1]), out=node(same, aggregate_inputs=False))
        )
        for name in ("b", "out", "otu"):
            with pytest.raises(UnknownNodeError, match=rf"^unknown source without coro '{name}'; there are: a$"):
                if command == "close":
                    plumber.close(name)
                elif command == "put":
                    await plumber.put(name, 1)
                else:
                    await plumber.submit(1, source=name)

    async def test_a_coro_may_feed_its_own_graph(self):
        async def out(self, q_elt):
            if q_elt[0] < 5:
                await plumber.put("inp", q_elt[0] + 1)
            else:
                plumber.close("inp")
            return q_elt[0]

        plumber = Plumber(line(inp=FED, out=out))
        run = asyncio.create_task(plumber.run(collect=["out"]))
        await plumber.put("inp", 0)
        assert (await run).outputs["out"] == [0, 1, 2, 3, 4, 5]

    async def test_setup_comes_before_the_first_item(self):
        story: list[Any] = []

        async def setup(self):
            await asyncio.sleep(3)
            story.append("setup")

        async def out(self, q_elt):
            story.append(q_elt[0])

        plumber = Plumber(line(inp=node(None, setup=setup), out=out))
        run = asyncio.create_task(plumber.run())
        await plumber.put("inp", 1)
        plumber.close("inp")
        await run
        assert story == ["setup", 1]
        assert now() == 3.0

    @pytest.mark.parametrize("command", ["close", "stop"])
    async def test_closed_during_its_setup_it_ends(self, command):
        async def setup(self):
            await asyncio.sleep(3)

        plumber = Plumber(line(inp=node(None, setup=setup), out=same))
        plumber.create_pipeline()
        await asyncio.sleep(1)
        plumber.close("inp") if command == "close" else await plumber.stop()
        report = await plumber.wait()
        assert report.state == ("completed" if command == "close" else "stopped")


class TestPause:
    @ALL
    async def test_a_paused_source_puts_nothing_more(self, kind):
        out = Probe()
        plumber = Plumber(line(inp=node(KINDS[kind], {"n": 10}), out=out))
        plumber.pause("inp")
        plumber.create_pipeline()
        await asyncio.sleep(10)
        assert out.items == []
        assert plumber.statistics().node("inp").state == "paused"
        plumber.resume("inp")
        await plumber.wait()
        assert len(out.items) == 10

    @ALL
    async def test_step_lets_so_many_items_be_put(self, kind):
        out = Probe()
        plumber = Plumber(line(inp=node(KINDS[kind], {"n": 10}), out=out))
        plumber.pause("inp")
        plumber.create_pipeline()
        counts = []
        for count in (1, 1, 3):
            plumber.step("inp", count)
            await quiet()
            counts.append(len(out.items))
        assert counts == [1, 2, 5]
        plumber.resume()
        await plumber.wait()

    @ALL
    async def test_steps_count_with_a_rate_too(self, kind):
        out = Probe()
        plumber = Plumber(line(inp=node(KINDS[kind], {"n": 10}, rate=1), out=out))
        plumber.step("inp", 3)
        plumber.create_pipeline()
        await asyncio.sleep(100)
        assert len(out.items) == 3
        await plumber.abort()

    async def test_steps_let_waiting_putters_through_in_turn(self):
        out = Probe()
        plumber = Plumber(line(inp=FED, out=out))
        plumber.pause("inp")
        plumber.create_pipeline()
        tasks = [asyncio.create_task(plumber.put("inp", number)) for number in range(6)]
        for count in range(1, 7):
            await quiet()
            plumber.step("inp")
            await quiet()
            assert [item for (item,) in out.items] == list(range(count))
        await asyncio.gather(*tasks)
        await plumber.abort()

    async def test_a_generator_that_pauses_itself_puts_one_item_more_at_most(self):
        def numbers(self):
            for number in range(10):
                if number == 3:
                    plumber.pause("inp")
                yield number

        plumber = Plumber(line(inp=numbers, out=same))
        plumber.create_pipeline()
        await quiet()
        assert plumber.statistics().node("inp").sent in (3, 4)
        plumber.resume()
        assert (await plumber.wait()).statistics.node("out").received == 10


class TestStop:
    @ALL
    async def test_a_source_is_closed_where_it_stands(self, kind):
        ended = []

        async def puts(self, output_q):
            try:
                for number in range(1000):
                    await output_q.put(number)
            finally:
                ended.append(kind)

        async def async_yields(self):
            try:
                for number in range(1000):
                    yield number
            finally:
                ended.append(kind)

        def yields(self):
            try:
                yield from range(1000)
            finally:
                ended.append(kind)

        inp = {"coroutine": puts, "async generator": async_yields}.get(kind, yields)
        plumber = Plumber(line(inp=inp, out=node(sleeper(1), queue_size=4, concurrency=1)))
        plumber.create_pipeline()
        await asyncio.sleep(5.5)
        sent = plumber.statistics().node("inp").sent
        await plumber.stop()
        assert ended == [kind]
        assert plumber.report is not None
        assert plumber.report.state == "stopped"
        assert plumber.report.statistics.node("out").received == sent

    async def test_a_source_may_put_its_last_items_nowhere(self):
        async def puts(self, output_q):
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                await output_q.put("too late")

        plumber = Plumber(line(inp=puts, out=same))
        plumber.create_pipeline()
        await asyncio.sleep(1)
        await plumber.stop()
        assert plumber.report is not None
        assert (plumber.report.state, plumber.report.statistics.items_in) == ("stopped", 0)

    async def test_a_source_that_fails_while_it_is_stopped_fails_the_run(self):
        async def puts(self, output_q):
            try:
                await asyncio.sleep(1000)
            finally:
                raise ValueError("in finally")

        plumber = Plumber(line(inp=puts, out=same))
        plumber.create_pipeline()
        await asyncio.sleep(1)
        await plumber.stop()
        with pytest.raises(NodeError, match="in finally"):
            await plumber.wait()

    async def test_a_source_is_stopped_before_it_ran(self):
        plumber = Plumber(line(inp=feed([1]), out=same))
        plumber.create_pipeline()
        await plumber.stop()
        assert plumber.report is not None
        assert plumber.report.state == "stopped"

    async def test_a_source_is_stopped_while_its_function_makes_the_iterator(self):
        async def slowly(self):
            await asyncio.sleep(10)
            return [1, 2, 3]

        plumber = Plumber(line(inp=lambda self: slowly(self), out=same))
        plumber.create_pipeline()
        await asyncio.sleep(1)
        await plumber.stop()
        assert now() == 1.0
        assert plumber.report is not None
        assert (plumber.report.state, plumber.report.statistics.items_in) == ("stopped", 0)

    @ALL
    async def test_a_source_that_waits_for_room_is_blocked(self, kind):
        given = line(inp=node(KINDS[kind], {"n": 100}), out=node(sleeper(10), queue_size=3, concurrency=1))
        plumber = Plumber(given)
        plumber.create_pipeline()
        await asyncio.sleep(5)
        stats = plumber.statistics()
        assert (stats.node("inp").state, stats.edge("inp", "out").queued) == ("blocked", 3)
        assert stats.node("inp").blocked == pytest.approx(1.0)
        await plumber.abort()

    async def test_the_states_of_a_source(self):
        states = []

        async def setup(self):
            states.append(plumber.statistics().node("inp").state)

        async def puts(self, output_q):
            states.append(plumber.statistics().node("inp").state)
            await output_q.put(1)

        plumber = Plumber(line(inp=node(puts, setup=setup), out=same))
        report = await plumber.run()
        states.append(report.statistics.node("inp").state)
        assert states == ["starting", "busy", "ended"]

"""Calling a node's function: what counts as a failure, retries, timeouts, and what becomes of given-up items."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from pipelines import SKIP, FailedItem, NodeError, Plumber, lift
from pipelines.testing import Probe, feed
from tests.unit.graphs import failed, failing, graph, line, node, now, pair, same, sleeper

pytestmark = pytest.mark.virtual_time


class Flaky:
    """A coro that fails on an item as often as it is told, and notes when it was called."""

    def __init__(
        self, failures: int, *, suspends: float = 0.0, error: Callable[[], BaseException] = ValueError
    ) -> None:
        self.failures = failures
        self.calls: list[tuple[Any, float]] = []
        self._suspends = suspends
        self._error = error

    async def __call__(self, processor: Any, q_elt: tuple[Any, ...]) -> Any:
        before = sum(item == q_elt[0] for item, _ in self.calls)
        self.calls.append((q_elt[0], now()))
        if self._suspends:
            await asyncio.sleep(self._suspends)
        if before < self.failures:
            raise self._error()
        return q_elt[0]

    @property
    def times(self) -> list[float]:
        return [time for _, time in self.calls]


SUSPENDS = pytest.mark.parametrize("suspends", [0.0, 1.0], ids=["at once", "suspended"])


class TestFailure:
    @SUSPENDS
    async def test_p6_the_first_failure_ends_the_run_with_node_item_attempts_and_cause(self, suspends):
        coro = Flaky(1, suspends=suspends, error=lambda: KeyError("k"))
        plumber = Plumber(line(inp=feed(["x"]), n=coro, out=same))
        with pytest.raises(NodeError, match=r"^node 'n' failed on item 'x': KeyError: 'k'$") as caught:
            await plumber.run()
        assert (caught.value.node, caught.value.item, caught.value.attempts) == ("n", "x", 1)
        assert type(caught.value.__cause__) is KeyError
        assert plumber.report is not None
        assert (plumber.report.state, plumber.report.error) == ("failed", caught.value)

    async def test_the_item_of_a_zip_is_the_tuple(self):
        given = graph({"a": ["z"], "b": ["z"]}, a=feed([1]), b=feed([2]), z=Probe(lambda _: 1 / 0))
        with pytest.raises(NodeError) as caught:
            await Plumber(given).run()
        assert caught.value.item == (1, 2)

    async def test_everything_else_is_cancelled(self):
        cancelled = []

        async def slow(self, q_elt):
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                cancelled.append(q_elt[0])
                raise

        given = graph({"inp": ["slow", "bad"]}, inp=feed(range(3)), slow=slow, bad=Flaky(1, suspends=2))
        report = await failed(Plumber(given))
        assert sorted(cancelled) == [0, 1, 2]
        assert report.elapsed == 2.0

    @SUSPENDS
    async def test_p1_after_it_no_other_call_is_started(self, suspends):
        calls = []

        async def n(self, q_elt):
            calls.append(q_elt[0])
            await asyncio.sleep(suspends)
            return await failing(2)(self, q_elt)

        report = await failed(Plumber(line(inp=feed(range(10)), n=node(n, concurrency=1), out=same)))
        stats = report.statistics.node("n")
        assert calls == [0, 1, 2]
        assert (stats.received, stats.sent, stats.failed) == (3, 2, 1)

    async def test_the_first_of_several_failures_is_the_one_that_is_told(self):
        async def n(self, q_elt):
            await asyncio.sleep(q_elt[0])
            raise ValueError(q_elt[0])

        with pytest.raises(NodeError, match="ValueError: 1"):
            await Plumber(line(inp=feed([3, 1, 2]), n=n, out=same)).run()

    async def test_plain_functions_fail_like_coros(self):
        with pytest.raises(NodeError, match="node 'n' failed on item 1: ZeroDivisionError"):
            await Plumber(line(inp=feed([1]), n=lambda self, q_elt: 1 / 0, out=same)).run()

    async def test_stop_iteration_is_a_failure_like_any_other(self):
        def n(self, q_elt):
            raise StopIteration

        with pytest.raises(NodeError):
            await Plumber(line(inp=feed([1]), n=n, out=same)).run()

    @SUSPENDS
    async def test_a_cancelled_error_of_the_coros_own_making_is_a_failure(self, suspends):
        coro = Flaky(1, suspends=suspends, error=asyncio.CancelledError)
        plumber = Plumber(line(inp=feed([7]), n=node(coro, on_error="skip"), out=same))
        report = await plumber.run()
        assert (report.state, report.statistics.node("n").failed) == ("completed", 1)
        assert isinstance(report.failures[0].error, asyncio.CancelledError)

    @SUSPENDS
    async def test_p6_a_coro_that_cancels_its_own_task_fails_the_run(self, suspends):
        async def n(self, q_elt):
            await asyncio.sleep(suspends)
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(1)

        with pytest.raises(NodeError) as caught:
            await Plumber(line(inp=feed(range(5), delay=1), n=n, out=same)).run()
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)

    @SUSPENDS
    async def test_an_interrupt_is_no_failure_of_an_item(self, suspends):
        class Alarm(BaseException):
            pass

        coro = Flaky(1, suspends=suspends, error=Alarm)
        plumber = Plumber(line(inp=feed([7]), n=node(coro, on_error="skip", retry={"attempts": 5}), out=same))
        with pytest.raises((Alarm, NodeError)) as caught:
            await plumber.run()
        assert isinstance(caught.value, Alarm) or isinstance(caught.value.__cause__, Alarm)
        assert len(coro.calls) == 1

    async def test_a_wrong_argument_is_a_failure_of_the_call(self):
        with pytest.raises(NodeError, match="TypeError"):
            await Plumber(line(inp=feed([1, 2]), n=lift(lambda x: x + "a"), out=same)).run()


class TestOnError:
    @SUSPENDS
    async def test_skip_drops_the_item_and_goes_on(self, suspends):
        async def n(self, q_elt):
            await asyncio.sleep(suspends)
            return await failing(2, 5)(self, q_elt)

        report = await Plumber(line(inp=feed(range(7)), n=node(n, on_error="skip"), out=same)).run(collect=["out"])
        assert report.outputs["out"] == [0, 1, 3, 4, 6]
        assert (report.state, report.ok) == ("completed", False)
        assert sorted(each.item for each in report.failures) == [2, 5]
        assert (report.statistics.node("n").failed, report.statistics.node("n").skipped) == (2, 0)

    @pytest.mark.parametrize("on_error", ["skip", {"route": "dead"}], ids=["skip", "route"])
    async def test_p3_a_failed_item_cancels_its_pair_alone(self, on_error):
        n = node(failing(1, 4), on_error=on_error)
        given = graph({"inp": ["n", "z"], "n": ["z"]}, inp=feed(range(6)), n=n, z=pair)
        if on_error != "skip":
            given["nodes"]["dead"] = {"coro": same}
        report = await Plumber(given).run(collect=["z"])
        assert report.outputs["z"] == [(n, n) for n in (0, 2, 3, 5)]

    @SUSPENDS
    async def test_a_route_gets_a_failed_item_with_all_that_is_known(self, suspends):
        coro = Flaky(9, suspends=suspends)
        properties: dict[str, Any] = {"on_error": {"route": "dead"}, "retry": {"attempts": 3, "backoff": 0}}
        given = graph({"inp": ["n"], "n": ["out"]}, inp=feed(["x"]), n=node(coro, **properties), out=same, dead=same)
        report = await Plumber(given).run(collect=["out", "dead"])
        assert report.outputs["out"] == []
        (item,) = report.outputs["dead"]
        assert (type(item), item.item, item.node, item.attempts) == (FailedItem, "x", "n", 3)
        assert isinstance(item.error, ValueError)
        assert report.failures == (item,)

    async def test_p2_routed_items_keep_their_order(self):
        async def n(self, q_elt):
            await asyncio.sleep(5 - q_elt[0])
            raise ValueError

        given = graph({"inp": ["n"], "n": ["out"]}, inp=feed(range(5)), n=node(n, on_error={"route": "dead"}), out=same)
        given["nodes"]["dead"] = {"coro": same}
        report = await Plumber(given).run(collect=["dead"])
        assert [each.item for each in report.outputs["dead"]] == list(range(5))

    async def test_one_dead_letter_node_may_serve_several_and_have_upstreams_of_its_own(self):
        to_dead = {"on_error": {"route": "dead"}}
        given = graph(
            {"inp": ["a", "b", "c"], "c": ["dead"]},
            inp=feed(range(4)),
            a=node(failing(1), **to_dead),
            b=node(failing(2), **to_dead),
            c=failing(),
            dead=node(same, aggregate_inputs=False),
        )
        report = await Plumber(given).run(collect=["dead"])
        letters = [each for each in report.outputs["dead"] if isinstance(each, FailedItem)]
        assert sorted((each.node, each.item) for each in letters) == [("a", 1), ("b", 2)]
        assert [each for each in report.outputs["dead"] if not isinstance(each, FailedItem)] == [0, 1, 2, 3]

    async def test_p4_a_slow_dead_letter_node_holds_up_the_node_that_fails(self):
        given = graph({"inp": ["n"], "n": ["out"]}, inp=feed(range(100)), out=same)
        given["nodes"]["n"] = node(failing(*range(100)), on_error={"route": "dead"})
        given["nodes"]["dead"] = node(sleeper(10), queue_size=3, concurrency=1)
        plumber = Plumber(given)
        plumber.create_pipeline()
        await asyncio.sleep(5)
        stats = plumber.statistics()
        assert stats.node("n").failed <= 5
        assert (stats.edge("n", "dead").queued, stats.edge("n", "dead").route) == (3, True)
        await plumber.abort()

    @pytest.mark.parametrize("overflow", ["drop_new", "drop_old"])
    async def test_p1_letters_that_are_lost_to_overflow_are_counted(self, overflow):
        given = graph({"inp": ["n"]}, inp=feed(range(50)), n=node(failing(*range(50)), on_error={"route": "dead"}))
        given["nodes"]["dead"] = node(sleeper(1), queue_size=2, concurrency=1, overflow=overflow)
        report = await Plumber(given).run(collect=["dead"])
        edge = report.statistics.edge("n", "dead")
        assert edge.dropped + len(report.outputs["dead"]) == 50 == report.statistics.node("n").failed
        assert edge.dropped > 40

    async def test_the_route_shows_in_the_statistics_but_not_in_liason_graph(self):
        given = graph({"inp": ["n"]}, inp=feed([1]), n=node(failing(1), on_error={"route": "dead"}), dead=same)
        plumber = Plumber(given)
        report = await plumber.run()
        assert report.statistics.edge("n", "dead").peak == 1
        assert plumber.liason_graph[1][2] is None

    async def test_a_dead_letter_node_may_fail_the_run(self):
        given = graph({"inp": ["n"]}, inp=feed([1]), n=node(failing(1), on_error={"route": "dead"}))
        given["nodes"]["dead"] = node(Probe(lambda _: 1 / 0))
        with pytest.raises(NodeError, match="node 'dead' failed on item FailedItem"):
            await Plumber(given).run()


class TestRetry:
    @SUSPENDS
    @pytest.mark.parametrize(("failures", "ok"), [(0, True), (1, True), (2, True), (3, False)])
    async def test_an_item_has_so_many_attempts(self, failures, ok, suspends):
        coro = Flaky(failures, suspends=suspends)
        retry = {"attempts": 3, "backoff": 0}
        plumber = Plumber(line(inp=feed(["x"]), n=node(coro, retry=retry, on_error="skip"), out=same))
        report = await plumber.run(collect=["out"])
        assert report.outputs["out"] == (["x"] if ok else [])
        assert len(coro.calls) == min(failures + 1, 3)
        assert report.statistics.node("n").retried == min(failures, 2)
        assert report.statistics.node("n").failed == (0 if ok else 1)
        assert [each.attempts for each in report.failures] == ([] if ok else [3])

    @SUSPENDS
    async def test_pauses_grow_up_to_the_longest(self, suspends):
        coro = Flaky(4, suspends=suspends)
        retry = {"attempts": 5, "backoff": 1, "max_backoff": 3, "jitter": False}
        await Plumber(line(inp=feed(["x"]), n=node(coro, retry=retry), out=same)).run()
        gaps = [after - before for before, after in zip(coro.times, coro.times[1:], strict=False)]
        assert gaps == [1 + suspends, 2 + suspends, 3 + suspends, 3 + suspends]

    async def test_with_jitter_a_pause_is_at_most_its_full_length(self):
        random.seed(5)
        coro = Flaky(1)
        retry = {"attempts": 2, "backoff": 8}
        await Plumber(line(inp=feed(range(200)), n=node(coro, retry=retry, concurrency=200), out=same)).run()
        second = sorted(time for time in coro.times if time > 0)
        assert len(second) == 200
        assert 0 < second[0] < 1
        assert 7 < second[-1] <= 8

    async def test_the_error_is_that_of_the_last_attempt(self):
        errors = iter([ValueError("first"), KeyError("second")])
        coro = Flaky(2, error=lambda: next(errors))
        with pytest.raises(NodeError, match="after 2 attempts: KeyError: 'second'") as caught:
            await Plumber(line(inp=feed([1]), n=node(coro, retry={"attempts": 2, "backoff": 0}), out=same)).run()
        assert caught.value.attempts == 2

    async def test_items_that_wait_for_their_next_attempt_do_not_hold_up_others(self):
        coro = Flaky(0)

        async def n(self, q_elt):
            if q_elt[0] == 0 and len(coro.calls) < 1:
                await coro(self, q_elt)
                raise ValueError
            return q_elt[0]

        times: list[tuple[int, float]] = []

        async def out(self, q_elt):
            times.append((q_elt[0], now()))

        retry = {"attempts": 2, "backoff": 10, "jitter": False}
        await Plumber(line(inp=feed(range(3)), n=node(n, retry=retry, order="completion"), out=out)).run()
        assert times == [(1, 0.0), (2, 0.0), (0, 10.0)]

    async def test_p2_a_retried_item_keeps_its_place(self):
        async def n(self, q_elt):
            self.tries = getattr(self, "tries", 0) + 1
            if self.tries == 2:
                raise ValueError
            return q_elt[0]

        report = await Plumber(line(inp=feed(range(5)), n=node(n, retry={"attempts": 2}), out=same)).run(
            collect=["out"]
        )
        assert report.outputs["out"] == list(range(5))

    async def test_every_attempt_gets_the_same_arguments(self):
        seen = []

        async def n(self, q_elt, factor):
            seen.append((q_elt, factor))
            if len(seen) < 3:
                raise ValueError

        await Plumber(
            line(inp=feed([7]), n=node(n, {"factor": 2}, retry={"attempts": 3, "backoff": 0}), out=same)
        ).run()
        assert seen == [((7,), 2)] * 3

    async def test_skip_and_to_are_no_failures(self):
        async def n(self, q_elt):
            self.calls = getattr(self, "calls", 0) + 1
            return SKIP

        plumber = Plumber(line(inp=feed(range(3)), n=node(n, retry={"attempts": 3}), out=same))
        report = await plumber.run(collect=["out"])
        assert plumber.nodes[1].calls == 3
        assert (report.outputs["out"], report.statistics.node("n").skipped) == ([], 3)

    async def test_abort_ends_a_pause(self):
        coro = Flaky(9)
        plumber = Plumber(line(inp=feed([1]), n=node(coro, retry={"attempts": 5, "backoff": 1000}), out=same))
        plumber.create_pipeline()
        await asyncio.sleep(0.001)
        await plumber.abort()
        assert now() < 1
        assert len(coro.calls) == 1

    async def test_a_pause_is_no_attempt_that_could_time_out(self):
        coro = Flaky(1)
        retry = {"attempts": 2, "backoff": 20, "jitter": False}
        report = await Plumber(line(inp=feed([1]), n=node(coro, retry=retry, timeout=1), out=same)).run()
        assert coro.times == [0.0, 20.0]
        assert report.statistics.node("n").retried == 1


class TestTimeout:
    async def test_a_call_that_takes_too_long_is_cancelled(self):
        cancelled = []

        async def n(self, q_elt):
            try:
                await asyncio.sleep(q_elt[0])
            except asyncio.CancelledError:
                cancelled.append((q_elt[0], now()))
                raise
            return q_elt[0]

        given = line(inp=feed([1, 5, 2, 9]), n=node(n, timeout=3, on_error="skip"), out=same)
        report = await Plumber(given).run(collect=["out"])
        assert report.outputs["out"] == [1, 2]
        assert cancelled == [(5, 3.0), (9, 3.0)]
        assert [str(each.error) for each in report.failures] == ["no result within 3 seconds"] * 2
        assert {type(each.error) for each in report.failures} == {TimeoutError}

    async def test_it_fails_the_run_like_any_failure(self):
        with pytest.raises(NodeError, match=r"node 'n' failed on item 7: TimeoutError: no result within 0.5 seconds"):
            await Plumber(line(inp=feed([7]), n=node(sleeper(1), timeout=0.5), out=same)).run()

    @pytest.mark.parametrize("concurrency", [1, 64])
    async def test_every_call_has_the_whole_time(self, concurrency):
        given = line(inp=feed(range(10)), n=node(sleeper(0.9), timeout=1, concurrency=concurrency), out=same)
        report = await Plumber(given).run()
        assert (report.state, report.statistics.node("n").failed) == ("completed", 0)

    async def test_calls_that_start_one_after_the_other_end_one_after_the_other(self):
        ended = []

        async def n(self, q_elt):
            try:
                await asyncio.sleep(100)
            finally:
                ended.append(now())

        given = line(inp=feed(range(3), delay=1), n=node(n, timeout=10, on_error="skip"), out=same)
        await Plumber(given).run()
        assert ended == [11.0, 12.0, 13.0]

    async def test_a_call_that_never_suspends_has_no_timeout(self):
        loop: Any = asyncio.get_running_loop()

        async def n(self, q_elt):
            loop._jump(5.0)
            return q_elt[0]

        report = await Plumber(line(inp=feed([1, 2]), n=node(n, timeout=1), out=same)).run(collect=["out"])
        assert report.outputs["out"] == [1, 2]
        assert report.elapsed == 10.0

    @pytest.mark.parametrize("rate", [None, 1000])
    async def test_a_plain_function_has_none_either(self, rate):
        given = line(inp=feed([1, 2]), n=node(lambda self, q_elt: q_elt[0], timeout=1, rate=rate), out=same)
        report = await Plumber(given).run(collect=["out"])
        assert report.outputs["out"] == [1, 2]

    async def test_a_coro_that_swallows_its_cancellation_keeps_its_result(self):
        async def n(self, q_elt):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                return "late"

        report = await Plumber(line(inp=feed([1]), n=node(n, timeout=1), out=same)).run(collect=["out"])
        assert (report.outputs["out"], report.elapsed) == (["late"], 1.0)

    async def test_what_a_cancelled_coro_raises_instead_is_its_failure(self):
        async def n(self, q_elt):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                raise KeyError("cleanup") from None

        report = await Plumber(line(inp=feed([1]), n=node(n, timeout=1, on_error="skip"), out=same)).run()
        assert isinstance(report.failures[0].error, KeyError)

    async def test_a_timed_out_attempt_is_made_again_with_the_whole_time(self):
        coro = Flaky(0)

        async def n(self, q_elt):
            await coro(self, q_elt)
            await asyncio.sleep(10 if len(coro.calls) < 3 else 1.5)
            return q_elt[0]

        retry = {"attempts": 3, "backoff": 1, "jitter": False}
        given = line(inp=feed([1]), n=node(n, timeout=2, retry=retry), out=same)
        report = await Plumber(given).run(collect=["out"])
        assert coro.times == [0.0, 3.0, 7.0]
        assert (report.outputs["out"], report.statistics.node("n").retried) == ([1], 2)

    async def test_the_next_call_is_not_hurt_by_the_timeout_of_the_one_before(self):
        async def n(self, q_elt):
            await asyncio.sleep(5 if q_elt[0] == 0 else 0.5)
            return q_elt[0]

        given = line(inp=feed(range(4)), n=node(n, timeout=1, concurrency=1, on_error="skip"), out=same)
        report = await Plumber(given).run(collect=["out"])
        assert report.outputs["out"] == [1, 2, 3]

    async def test_p9_abort_at_the_moment_of_a_timeout_is_an_abort(self):
        coro = Flaky(0, suspends=100)
        given = line(inp=feed(range(5)), n=node(coro, timeout=1, on_error="skip", concurrency=1), out=same)
        plumber = Plumber(given)
        plumber.create_pipeline()
        await asyncio.sleep(1)
        await plumber.abort()
        assert plumber.report is not None
        assert (plumber.report.state, len(coro.calls), now()) == ("aborted", 1, 1.0)

    async def test_p5_no_timer_is_left_behind(self):
        await Plumber(line(inp=feed([1]), n=node(sleeper(1), timeout=1000), out=same)).run()
        handles = [each for each in asyncio.get_running_loop()._scheduled if not each.cancelled()]  # type: ignore[attr-defined]
        assert handles == []


class TestResults:
    @pytest.mark.parametrize("value", [None, 0, "", (), [], False])
    async def test_any_value_is_an_item(self, value):
        report = await Plumber(line(inp=feed([value]), n=same, out=same)).run(collect=["out"])
        assert report.outputs["out"] == [value]

    @pytest.mark.parametrize("concurrency", [1, 64])
    @pytest.mark.parametrize("kind", ["coroutine", "function"])
    async def test_skip_drops_the_item(self, kind, concurrency):
        async def coroutine(self, q_elt):
            return q_elt[0] if q_elt[0] % 2 else SKIP

        def function(self, q_elt):
            return q_elt[0] if q_elt[0] % 2 else SKIP

        n = node(coroutine if kind == "coroutine" else function, concurrency=concurrency)
        given = line(inp=feed(range(10)), n=n, out=same)
        report = await Plumber(given).run(collect=["out"])
        assert report.outputs["out"] == [1, 3, 5, 7, 9]
        assert (report.statistics.node("n").skipped, report.statistics.node("n").sent) == (5, 5)

    async def test_a_plain_function_runs_inline(self):
        report = await Plumber(line(inp=feed([1, 2]), n=lambda self, q_elt: q_elt[0] + 1, out=same)).run(
            collect=["out"]
        )
        assert report.outputs["out"] == [2, 3]

    @pytest.mark.parametrize("kind", ["coroutine", "task", "future"])
    async def test_a_plain_function_may_hand_on_something_to_await(self, kind):
        def n(self, q_elt):
            if kind == "coroutine":
                return sleeper(1)(self, q_elt)
            if kind == "task":
                return asyncio.ensure_future(sleeper(1)(self, q_elt))
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(1, future.set_result, q_elt[0])
            return future

        report = await Plumber(line(inp=feed([1, 2]), n=n, out=same)).run(collect=["out"])
        assert (report.outputs["out"], report.elapsed) == ([1, 2], 1.0)

    async def test_a_plain_function_may_do_so_now_and_then(self):
        def n(self, q_elt):
            return q_elt[0] if q_elt[0] % 2 else sleeper(1)(self, q_elt)

        report = await Plumber(line(inp=feed(range(20)), n=n, out=same)).run(collect=["out"])
        assert report.outputs["out"] == list(range(20))

    async def test_a_lifted_function_takes_plain_values(self):
        given = graph({"a": ["z"], "b": ["z"]}, a=feed([1, 2]), b=feed([10, 20]))
        given["nodes"]["z"] = node(lift(lambda x, y, factor: (x + y) * factor), {"factor": 2})
        report = await Plumber(given).run(collect=["z"])
        assert report.outputs["z"] == [22, 44]

    @pytest.mark.parametrize("kind", ["coroutine", "generator", "async generator"])
    async def test_lifted_functions_keep_their_kind(self, kind):
        async def coroutine(x):
            await asyncio.sleep(1)
            return x

        def generator(x):
            yield x
            yield -x

        async def async_generator(x):
            yield x
            yield -x

        functions = {"coroutine": coroutine, "generator": generator, "async generator": async_generator}
        report = await Plumber(line(inp=feed([1]), n=lift(functions[kind]), out=same)).run(collect=["out"])
        assert report.outputs["out"] == ([1] if kind == "coroutine" else [1, -1])

    async def test_a_callable_object_and_a_bound_method_are_coros(self):
        class Adder:
            def __init__(self, amount: int) -> None:
                self.amount = amount

            async def add(self, processor, q_elt):
                return q_elt[0] + self.amount

            __call__ = add

        report = await Plumber(line(inp=feed([1]), n=Adder(10), m=Adder(100).add, out=same)).run(collect=["out"])
        assert report.outputs["out"] == [111]

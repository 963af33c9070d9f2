"""What every executor promises: the same graph, with one word changed, does the same."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from pipelines import NodeError, Plumber, RemoteError, Report, TravelError, WorkerDiedError
from pipelines.testing import feed
from tests.contracts import executor_coros as coros
from tests.unit.graphs import FED, graph, line, node
from tests.unit.graphs import same as here


async def until(predicate: Callable[[], Any]) -> None:
    while not predicate():
        await asyncio.sleep(0.002)


class ExecutorSuite:
    """The contract.

    Attributes:
        name: The word in the dict.
        blocks: Plain functions that wait for something do not hold up the event loop.
        travels: Items are pickled on their way.
        dies: A worker can die without the program.
        interrupts: A plain function can be interrupted.
    """

    name: ClassVar[str]
    blocks: ClassVar[bool] = True
    travels: ClassVar[bool] = False
    dies: ClassVar[bool] = False
    interrupts: ClassVar[bool] = False

    def away(self, coro: Any, args: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
        given: dict[str, Any] = node(coro, executor=self.name, **properties)
        return given | {"args": args} if args else given

    async def run(
        self, items: Any, coro: Any, args: Any = None, env_vars: Any = None, **properties: Any
    ) -> tuple[list[Any], Report]:
        given = line(inp=feed(items), n=self.away(coro, args, **properties), out=here)
        if isinstance(properties.get("on_error"), dict):
            given["nodes"]["dead"] = {"coro": here}
        sinks = ["out", "dead"] if "dead" in given["nodes"] else ["out"]
        report = await Plumber(given, None, env_vars).run(collect=sinks)
        return report.outputs["out"], report

    # Items.

    @pytest.mark.parametrize("coro", [coros.double, coros.double_later])
    async def test_p1_p2_every_item_comes_back_in_order(self, coro):
        outputs, report = await self.run(range(3000), coro)
        assert outputs == [2 * item for item in range(3000)]
        statistics = report.statistics.node("n")
        assert (statistics.received, statistics.sent, statistics.in_flight) == (3000, 3000, 0)

    async def test_p2_order_is_kept_when_later_calls_are_faster(self):
        naps = [0.03, 0.0, 0.01, 0.0, 0.02, 0.0, 0.0]
        assert (await self.run(naps, coros.nap))[0] == naps
        if self.blocks:
            assert (await self.run(naps, coros.nap_blocking))[0] == naps

    async def test_results_may_leave_in_the_order_of_completion(self):
        outputs, _ = await self.run([0.5, 0.0], coros.nap, order="completion", concurrency=2)
        assert outputs == [0.0, 0.5]

    @pytest.mark.parametrize("concurrency", [1, 2])
    async def test_p4_no_more_run_at_once_than_the_concurrency_says(self, concurrency):
        spans, _ = await self.run(range(8), coros.span, concurrency=concurrency)
        for begin, _ in spans:
            assert sum(1 for other, end in spans if other <= begin < end) <= concurrency

    async def test_as_many_run_at_once_as_the_concurrency_says(self, tmp_path):
        args = {"place": str(tmp_path), "number": 2}
        assert (await self.run(range(2), coros.meet, args, concurrency=2))[0] == [0, 1]
        if self.blocks:
            assert (await self.run([2, 3], coros.meet_blocking, args | {"number": 4}, concurrency=2))[0] == [2, 3]

    async def test_a_lonely_item_does_not_wait_for_others(self):
        async with Plumber(line(inp=FED, n=self.away(coros.double))) as plumber:
            for item in range(20):
                assert await plumber.submit(item, timeout=30) == 2 * item

    async def test_skip_and_routes_work_as_elsewhere(self):
        given = graph({"inp": ["n"], "n": ["a", "b"]}, inp=feed(range(5)), n=self.away(coros.route), a=here, b=here)
        report = await Plumber(given).run(collect=["a", "b"])
        assert report.outputs == {"a": [1, 2, 3, 4], "b": [1, 2]}
        assert report.statistics.node("n").skipped == 1

    async def test_a_wrong_route_fails_the_run(self):
        given = graph(
            {"inp": ["n"], "n": ["a"]}, inp=feed([1]), n=self.away(coros.wrong_route, on_error="skip"), a=here
        )
        with pytest.raises(NodeError, match="no such downstream node"):
            await Plumber(given).run()

    async def test_p3_zips_and_lifted_functions_work_as_elsewhere(self):
        skips = self.away(coros.route)
        given = graph(
            {"inp": ["n", "a"], "n": ["a"], "a": ["out"]},
            inp=feed(range(5)),
            n=skips,
            a=self.away(coros.lifted_plus),
            out=here,
        )
        report = await Plumber(given).run(collect=["out"])
        assert report.outputs["out"] == [2, 4, 6, 8]

    async def test_batches_work_as_elsewhere(self):
        assert (await self.run(range(7), coros.total, batch={"size": 3}))[0] == [3, 12, 6]

    async def test_a_chain_of_nodes_gives_the_same(self):
        nodes = {f"n{number}": self.away(coros.double) for number in range(3)}
        report = await Plumber(line(inp=feed(range(500)), **nodes)).run(collect=["n2"])
        assert report.outputs["n2"] == [8 * item for item in range(500)]

    async def test_the_context_has_name_uuid_and_environment(self):
        outputs, _ = await self.run([0], coros.environment, env_vars={"colour": "red"})
        assert outputs == [("n", "red", "red", 36)]

    @pytest.mark.parametrize("coro", [coros.see_variable, coros.see_variable_later])
    async def test_context_variables_of_whoever_starts_the_run_are_seen(self, coro):
        coros.variable.set("the caller's")
        assert (await self.run([0], coro))[0] == ["the caller's"]

    async def test_log_records_reach_the_program(self, caplog):
        with caplog.at_level(logging.INFO, "tests.workers"):
            await self.run([7], coros.log)
        records = [record for record in caplog.records if record.name == "tests.workers"]
        assert [record.getMessage() for record in records] == ["item 7", "failed"]
        assert "in inner" in caplog.text

    # Commands.

    async def test_p9_pause_and_step(self):
        plumber = Plumber(line(inp=feed(range(10)), n=self.away(coros.double)))
        plumber.pause("n")
        plumber.step("n", 3)
        plumber.create_pipeline()
        await until(lambda: plumber.statistics().node("n").sent == 3)
        assert plumber.statistics().node("n").received == 3
        plumber.resume("n")
        report = await plumber.wait()
        assert report.statistics.node("n").sent == 10

    async def test_a_rate_is_kept(self):
        begin = time.monotonic()
        outputs, _ = await self.run(range(5), coros.double, rate=100)
        assert outputs == [0, 2, 4, 6, 8]
        assert time.monotonic() - begin > 0.03

    async def test_p9_stop_lets_through_what_is_inside(self):
        plumber = Plumber(line(inp=FED, n=self.away(coros.double), out=here))
        plumber.create_pipeline()
        for item in range(100):
            await plumber.put("inp", item)
        await plumber.stop()
        assert plumber.report is not None
        assert plumber.report.statistics.node("out").sent == 100

    async def test_p5_p9_abort_ends_calls_that_run(self, tmp_path):
        coro = coros.note if self.interrupts else coros.note_later
        plumber = Plumber(line(inp=feed(range(50)), n=self.away(coro, {"place": str(tmp_path)})))
        plumber.create_pipeline()
        await until(lambda: (tmp_path / "begun").exists())
        async with asyncio.timeout(30):
            await plumber.abort()
        assert plumber.report is not None
        assert plumber.report.state == "aborted"

    async def test_p9_a_graph_that_never_starts_needs_nothing(self):
        plumber = Plumber(line(inp=FED, n=self.away(coros.double)))
        plumber.pause("n")
        await plumber.stop()
        assert plumber.report is not None
        assert plumber.report.state == "stopped"

    async def test_a_failure_elsewhere_ends_calls_that_run(self, tmp_path):
        async def fail(self, q_elt):
            await until(lambda: (tmp_path / "begun").exists())
            raise ValueError("elsewhere")

        coro = coros.note if self.interrupts else coros.note_later
        n = self.away(coro, {"place": str(tmp_path)})
        with pytest.raises(NodeError, match="elsewhere"):
            await Plumber(graph({"inp": ["n", "f"]}, inp=feed([1]), n=n, f=fail)).run()

    # Failures.

    @pytest.mark.parametrize("coro", [coros.fail_at_three, coros.fail_at_three_later])
    async def test_p6_a_failure_names_node_and_item_and_shows_the_traceback(self, coro):
        with pytest.raises(NodeError) as caught:
            await self.run(range(10), coro)
        error = caught.value
        assert (error.node, error.item, error.attempts) == ("n", 3, 1)
        assert type(error.__cause__) is ValueError
        assert self.traceback_of(error.__cause__).count("in inner") == 1

    def traceback_of(self, error: BaseException) -> str:
        import traceback

        return "".join(traceback.format_exception(error))

    @pytest.mark.parametrize("coro", [coros.fail_at_three, coros.fail_at_three_later])
    async def test_p1_failed_items_are_skipped_or_routed(self, coro):
        outputs, report = await self.run(range(6), coro, on_error="skip")
        assert outputs == [0, 1, 2, 4, 5]
        assert [(each.item, each.attempts) for each in report.failures] == [(3, 1)]
        _, report = await self.run(range(6), coro, on_error={"route": "dead"})
        (dead,) = report.outputs["dead"]
        assert (dead.item, dead.node, str(dead.error)) == (3, "n", "three")

    async def test_p1_p2_items_are_tried_again(self, tmp_path):
        outputs, report = await self.run(
            range(20), coros.fail_once, {"place": str(tmp_path)}, retry={"attempts": 2, "backoff": 0}
        )
        assert outputs == list(range(20))
        assert report.statistics.node("n").retried == 20

    async def test_p6_stop_iteration_is_told_as_a_failure(self):
        outputs, report = await self.run([1], coros.stop_iteration, on_error="skip")
        assert outputs == []
        assert "StopIteration" in str(report.failures[0].error) or isinstance(report.failures[0].error, StopIteration)

    async def test_p6_strange_exceptions_are_told(self):
        _, report = await self.run([1], coros.fail_strangely, on_error="skip")
        (failed,) = report.failures
        assert "7: seven" in str(failed.error)
        assert isinstance(failed.error, RemoteError if self.travels else coros.TalkativeError)

    @pytest.mark.parametrize("concurrency", [1, 4])
    async def test_a_timeout_frees_the_place(self, concurrency):
        coro = coros.hang_at_zero_blocking if self.interrupts else coros.hang_at_zero
        properties = {"timeout": 0.3, "on_error": "skip", "concurrency": concurrency}
        outputs, report = await self.run(range(6), coro, **properties)
        # On a machine that is too busy others may fail as well.
        assert sorted([*outputs, *[failed.item for failed in report.failures]]) == list(range(6))
        (failed,) = [failed for failed in report.failures if failed.item == 0]
        assert type(failed.error) is TimeoutError

    # Workers.

    @pytest.mark.parametrize("coro", [coros.Model, coros.AsyncModel])
    async def test_a_class_is_made_once_for_each_worker_and_closed(self, coro, tmp_path):
        outputs, _ = await self.run(range(50), coro, {"place": str(tmp_path), "factor": 3}, concurrency=2)
        assert outputs == [3 * item for item in range(50)]
        made = [file.read_text() for file in tmp_path.iterdir()]
        assert 1 <= len(made) <= 2
        assert set(made) == {"made closed"}

    async def test_p6_a_class_that_cannot_be_made_fails_the_run(self):
        with pytest.raises(NodeError, match="no model") as caught:
            await self.run(range(5), coros.BrokenModel, on_error="skip")
        assert (caught.value.node, caught.value.item) == ("n", None)

    @pytest.mark.parametrize("coro", [coros.where, coros.where_later])
    async def test_setup_and_cleanup_run_where_the_items_are(self, coro, tmp_path):
        lifecycle = {"setup": coros.set_up, "cleanup": coros.clean_up}
        outputs, _ = await self.run(range(20), coro, env_vars={"place": str(tmp_path)}, concurrency=2, **lifecycle)
        assert outputs == [True] * 20
        names = sorted(file.name for file in tmp_path.iterdir())
        ups = [name.removeprefix("up-") for name in names if name.startswith("up")]
        downs = [name.removeprefix("down-").removesuffix("-completed") for name in names if name.startswith("down")]
        assert ups == downs
        assert 1 <= len(ups) <= 2

    async def test_p6_failures_of_setup_and_cleanup_fail_the_run(self):
        with pytest.raises(NodeError, match="not set up"):
            await self.run(range(5), coros.same, setup=coros.fail_to_set_up)
        with pytest.raises(NodeError, match="not cleaned up"):
            await self.run(range(5), coros.same, cleanup=coros.fail_to_clean_up)

    # Values.

    async def test_large_values_arrive_as_they_were(self):
        numpy, arrow = pytest.importorskip("numpy"), pytest.importorskip("pyarrow")
        array = numpy.arange(500_000, dtype="float64").reshape(500, 1000)
        table = arrow.table({"a": list(range(50_000))})
        items = [array, b"x" * 3_000_000, "ä" * 100_000, table, {"nested": [array[0], bytearray(10_000)]}, 7]
        outputs, _ = await self.run(items, coros.same)
        assert (outputs[0] == array).all()
        outputs[0][0, 0] = 1.0  # as writable as any array
        assert outputs[1:4] == items[1:4]
        assert (outputs[4]["nested"][0] == array[0]).all()
        assert outputs[4]["nested"][1] == bytearray(10_000)
        assert outputs[5] == 7

    async def test_p6_what_cannot_be_pickled_fails_alone_and_is_named(self):
        if not self.travels:
            pytest.skip("items stay in this process")
        items = [0, threading.Lock(), 2, 3]
        _, report = await self.run(items, coros.same, on_error="skip")
        (failed,) = report.failures
        assert failed.item is items[1]
        assert isinstance(failed.error, TravelError)
        assert "lock" in str(failed.error)
        outputs, report = await self.run(range(4), coros.refuse, on_error="skip")
        assert outputs == [0, 2, 3]
        assert [(failed.item, type(failed.error)) for failed in report.failures] == [(1, TravelError)]

    async def test_p6_what_cannot_be_unpickled_fails_alone(self):
        if not self.travels:
            pytest.skip("items stay in this process")
        outputs, report = await self.run([0, coros.Unreadable(), 2], coros.shape_or_same, on_error="skip")
        assert outputs == [0, 2]
        assert [type(failed.error) for failed in report.failures] == [TravelError]
        outputs, report = await self.run(range(3), coros.unreadable, on_error="skip")
        assert outputs == [0, 2]
        assert [(failed.item, type(failed.error)) for failed in report.failures] == [(1, TravelError)]

    # Dying workers.

    async def test_p6_a_worker_that_dies_fails_the_item_it_was_at(self):
        if not self.dies:
            pytest.skip("workers live as long as the program")
        outputs, report = await self.run(range(40), coros.die_at_two, on_error="skip")
        assert outputs == [item for item in range(40) if item != 2]
        assert [(failed.item, type(failed.error)) for failed in report.failures] == [(2, WorkerDiedError)]

    @pytest.mark.parametrize("coro", [coros.die_once, coros.die_once_later])
    async def test_p1_items_of_workers_that_died_are_tried_again(self, coro, tmp_path):
        if not self.dies:
            pytest.skip("workers live as long as the program")
        properties = {"retry": {"attempts": 30, "backoff": 0}}
        outputs, report = await self.run(range(20), coro, {"place": str(tmp_path)}, **properties)
        assert outputs == list(range(20))
        assert report.statistics.node("n").retried >= 4


class TestLoop(ExecutorSuite):
    name = "loop"
    blocks = False


class TestThread(ExecutorSuite):
    name = "thread"


class TestProcess(ExecutorSuite):
    name = "process"
    travels = True
    dies = True
    interrupts = True

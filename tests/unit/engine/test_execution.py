"""A run from start to end: setups and cleanups, stop and abort, limits and stalls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from pipelines import LimitError, Limits, NodeError, Plumber, Registry
from pipelines.engine.stalls import STALL_AFTER
from pipelines.events import RunEnded, Stalled
from pipelines.testing import VirtualTimeLoop, feed
from tests.unit.graphs import FED, Listener, failed, failing, graph, line, node, now, quiet, same, sleeper

pytestmark = pytest.mark.virtual_time


class Story:
    """Setups, cleanups and coros that write down what happens."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def setup(self, seconds: float = 0.0) -> Any:
        async def setup(processor):
            await asyncio.sleep(seconds)
            self.lines.append(f"setup {processor.name}")

        return setup

    def cleanup(self, error: BaseException | None = None, seconds: float = 0.0) -> Any:
        async def cleanup(processor):
            await asyncio.sleep(seconds)
            self.lines.append(f"cleanup {processor.name} {processor.outcome}")
            if error is not None:
                raise error

        return cleanup

    def coro(self, coro: Any = same) -> Any:
        async def call(processor, q_elt):
            self.lines.append(f"{processor.name} {q_elt[0]}")
            return await coro(processor, q_elt)

        return call


@pytest.fixture
def story() -> Story:
    return Story()


class TestSetupAndCleanup:
    async def test_setup_comes_before_the_first_item_and_cleanup_after_the_last(self, story):
        given = line(
            inp=node(feed([1, 2]), setup=story.setup(2), cleanup=story.cleanup()),
            n=node(story.coro(), setup=story.setup(5), cleanup=story.cleanup()),
            out=node(story.coro(), setup=story.setup(), cleanup=story.cleanup()),
        )
        await Plumber(given).run()
        assert story.lines[:3] == ["setup out", "setup inp", "setup n"]
        assert sorted(story.lines[3:-3]) == ["n 1", "n 2", "out 1", "out 2"]
        assert story.lines[-3:] == ["cleanup inp completed", "cleanup n completed", "cleanup out completed"]

    async def test_setups_run_at_once_and_others_do_not_wait(self, story):
        given = graph(
            {"inp": ["a", "b"]},
            inp=feed([1]),
            a=node(story.coro(), setup=story.setup(5)),
            b=node(story.coro(), setup=story.setup(1)),
        )
        report = await Plumber(given).run()
        assert story.lines == ["setup b", "b 1", "setup a", "a 1"]
        assert report.elapsed == 5.0

    async def test_they_may_be_plain_functions(self):
        lines = []
        given = line(
            inp=feed([1]),
            out=node(same, setup=lambda self: lines.append("setup"), cleanup=lambda self: lines.append("cleanup")),
        )
        await Plumber(given).run()
        assert lines == ["setup", "cleanup"]

    async def test_what_setup_opens_the_coro_uses_and_cleanup_closes(self):
        closed = []

        async def setup(self):
            self.connection = ["open"]

        async def use(self, q_elt):
            return (self.connection[0], q_elt[0])

        async def cleanup(self):
            closed.append(self.connection.pop())

        given = line(inp=feed([1]), out=node(use, setup=setup, cleanup=cleanup))
        report = await Plumber(given).run(collect=["out"])
        assert (report.outputs["out"], closed) == ([("open", 1)], ["open"])

    @pytest.mark.parametrize(
        ("end", "outcome"),
        [
            ("by itself", "completed"),
            ("failure", "failed"),
            ("stop", "stopped"),
            ("deadline", "aborted"),
            ("abort", "aborted"),
        ],
    )
    async def test_p5_cleanup_runs_once_on_every_way_to_the_end(self, story, end, outcome):
        coro = failing(2) if end == "failure" else sleeper(2)
        given = line(
            inp=node(feed(range(1000 if end != "by itself" else 3), delay=1), cleanup=story.cleanup()),
            out=node(coro, cleanup=story.cleanup(seconds=1)),
        )
        plumber = Plumber(given)
        plumber.create_pipeline()
        await asyncio.sleep(2.5)
        if end == "stop":
            await plumber.stop()
        elif end == "deadline":
            await plumber.stop(timeout=0.1)
        elif end == "abort":
            await plumber.abort()
        try:
            report = await plumber.wait()
        except NodeError:
            assert plumber.report is not None
            report = plumber.report
        assert report.state == outcome
        assert story.lines == [f"cleanup inp {outcome}", f"cleanup out {outcome}"]

    @pytest.mark.parametrize("command", ["stop", "abort"])
    async def test_p9_a_graph_that_never_started_has_nothing_to_clean_up(self, story, command):
        plumber = Plumber(line(inp=FED, out=node(same, setup=story.setup(), cleanup=story.cleanup())))
        await getattr(plumber, command)()
        assert story.lines == []

    async def test_p9_a_graph_that_was_stopped_before_it_started_runs_to_no_end_but_that(self):
        plumber = Plumber(line(inp=feed([1]), out=same))
        await plumber.stop()
        report = await plumber.run(collect=["out"])
        assert (report.state, report.outputs) == ("stopped", {"out": []})
        assert plumber.report is report

    @pytest.mark.parametrize("at", ["inp", "n"])
    async def test_p6_a_setup_that_fails_fails_the_run(self, story, at):
        async def setup(self):
            await asyncio.sleep(1)
            raise ValueError("no connection")

        given = line(inp=node(feed([1]), cleanup=story.cleanup()), n=node(story.coro(), cleanup=story.cleanup()))
        given["nodes"][at]["properties"]["setup"] = setup
        with pytest.raises(NodeError, match=rf"^node '{at}' failed: ValueError: no connection$") as caught:
            await Plumber(given).run()
        assert caught.value.item is None
        assert story.lines == ["cleanup inp failed", "cleanup n failed"]

    @pytest.mark.parametrize("which", ["setup", "cleanup"])
    async def test_p6_one_that_raises_a_cancelled_error_of_its_own_fails_the_run(self, which):
        async def cancelled(self):
            raise asyncio.CancelledError

        out = {"coro": same, "properties": {which: cancelled}}
        report = await failed(Plumber(line(inp=feed([1]), out=out)))
        assert str(report.error) == "node 'out' failed: CancelledError: "
        assert isinstance(report.error.__cause__, asyncio.CancelledError)  # type: ignore[union-attr]

    async def test_p6_a_cleanup_that_fails_fails_the_run_and_the_others_still_run(self, story, caplog):
        error = ValueError("cannot close")
        given = line(
            inp=node(feed([1]), cleanup=story.cleanup(error)),
            n=node(same, cleanup=story.cleanup(KeyError("second"))),
            out=node(same, cleanup=story.cleanup()),
        )
        plumber = Plumber(given)
        with (
            caplog.at_level(logging.ERROR, "pipelines"),
            pytest.raises(NodeError, match=r"^node 'inp' failed: ValueError: cannot close$"),
        ):
            await plumber.run(collect=["out"])
        assert story.lines == ["cleanup inp completed", "cleanup n completed", "cleanup out completed"]
        assert [record.getMessage() for record in caplog.records] == ["cleanup of node 'n' failed"]
        assert plumber.report is not None
        assert (plumber.report.state, plumber.report.outputs["out"]) == ("failed", [1])

    async def test_p6_a_failing_cleanup_does_not_hide_why_the_run_failed(self, story, caplog):
        given = line(inp=feed([1]), out=node(failing(1), cleanup=story.cleanup(KeyError("cleanup"))))
        with pytest.raises(NodeError, match="no 1"):
            await Plumber(given).run()
        assert "cleanup of node 'out' failed" in caplog.text

    @pytest.mark.parametrize("command", ["stop", "abort", "second abort"])
    async def test_p9_a_cleanup_that_hangs_is_cancelled_by_an_abort(self, story, command):
        given = line(inp=node(feed([1]), cleanup=story.cleanup(seconds=1e6)), out=node(same, cleanup=story.cleanup()))
        plumber = Plumber(given)
        plumber.create_pipeline()
        await asyncio.sleep(3)
        if command == "stop":
            await plumber.stop(timeout=5)
        elif command == "abort":
            await plumber.abort()
        else:
            await asyncio.gather(plumber.abort(), plumber.abort())
        assert now() == (8.0 if command == "stop" else 3.0)
        assert story.lines == ["cleanup out completed"]
        assert plumber.report is not None
        assert str(plumber.report.error) == "node 'inp' failed: CancelledError: "

    @pytest.mark.parametrize("turns", range(12))
    async def test_p5_whenever_the_abort_comes_what_was_set_up_is_cleaned_up_once(self, turns):
        begun: list[tuple[str, str]] = []

        def beginning(what: str) -> Any:
            async def begin(self):
                begun.append((what, self.name))
                await asyncio.sleep(0)

            return begin

        both = {"setup": beginning("setup"), "cleanup": beginning("cleanup")}
        plumber = Plumber(line(inp=node(feed([1]), **both), out=node(same, **both)))
        plumber.create_pipeline()
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(plumber.abort(), 100)
        for name in ("inp", "out"):
            assert begun.count(("setup", name)) == begun.count(("cleanup", name)) <= 1

    @pytest.mark.parametrize("command", ["stop", "abort"])
    async def test_p9_a_cleanup_may_say_stop_and_abort(self, command):
        async def cleanup(self):
            await getattr(plumber, command)()

        plumber = Plumber(line(inp=feed([1]), out=node(same, cleanup=cleanup)))
        await asyncio.wait_for(plumber.run(), 100)

    async def test_statistics_during_cleanup(self):
        states = []

        async def cleanup(self):
            states.append(plumber.statistics().state)

        plumber = Plumber(line(inp=feed([1]), out=node(same, cleanup=cleanup)))
        await plumber.run()
        assert states == ["running"]


class TestStop:
    async def test_what_is_inside_goes_through(self):
        plumber = Plumber(line(inp=feed(range(1000), delay=1), n=sleeper(10), out=sleeper(10)))
        run = asyncio.create_task(plumber.run(collect=["out"]))
        await asyncio.sleep(5.5)
        await plumber.stop()
        report = await run
        assert report.outputs["out"] == [0, 1, 2, 3, 4]
        assert (report.state, now(), report.ok) == ("stopped", 25.0, False)

    async def test_a_deadline_aborts_what_is_still_inside(self):
        plumber = Plumber(line(inp=feed(range(1000), delay=1), out=sleeper(10)))
        run = asyncio.create_task(plumber.run(collect=["out"]))
        await asyncio.sleep(5.5)
        await plumber.stop(timeout=7)
        report = await run
        assert (report.state, report.outputs["out"], now()) == ("aborted", [0, 1], 12.5)

    async def test_a_deadline_that_is_not_needed_does_nothing(self):
        plumber = Plumber(line(inp=feed(range(1000), delay=1), out=sleeper(1)))
        plumber.create_pipeline()
        await asyncio.sleep(5.5)
        await plumber.stop(timeout=100)
        assert plumber.report is not None
        assert (plumber.report.state, now()) == ("stopped", 6.0)

    async def test_a_graph_that_ends_by_itself_meanwhile_is_completed(self):
        plumber = Plumber(line(inp=feed([1]), out=sleeper(10)))
        plumber.create_pipeline()
        await asyncio.sleep(5)
        assert plumber.statistics().node("inp").state == "ended"
        await plumber.stop()
        assert plumber.report is not None
        assert plumber.report.state == "completed"

    async def test_paused_nodes_go_on(self):
        plumber = Plumber(line(inp=feed(range(5)), n=same, out=same))
        plumber.pause("n")
        plumber.create_pipeline()
        await quiet()
        await plumber.stop()
        assert plumber.report is not None
        assert plumber.report.statistics.items_out == 5

    async def test_while_it_drains_the_state_says_so(self):
        plumber = Plumber(line(inp=feed(range(5), delay=1), out=sleeper(10)))
        plumber.create_pipeline()
        await asyncio.sleep(2.5)
        stopping = asyncio.create_task(plumber.stop())
        await quiet()
        assert plumber.statistics().state == "draining"
        await stopping
        assert plumber.statistics().state == "stopped"


class TestAbort:
    async def test_everything_is_cancelled_now(self):
        cancelled = []

        async def slow(self, q_elt):
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                cancelled.append(q_elt[0])
                raise

        plumber = Plumber(line(inp=feed(range(5), delay=1), out=slow))
        run = asyncio.create_task(plumber.run())
        await asyncio.sleep(3.5)
        await plumber.abort()
        assert (sorted(cancelled), now()) == ([0, 1, 2], 3.5)
        assert (await run).state == "aborted"

    @pytest.mark.parametrize("instead", ["nothing", "another error"])
    @pytest.mark.parametrize("concurrency", [1, 3])
    async def test_p9_no_call_starts_after_it_whatever_coros_do_with_their_cancellation(self, instead, concurrency):
        calls = []

        async def stubborn(self, q_elt):
            calls.append(q_elt[0])
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                if instead == "another error":
                    raise ValueError from None

        properties = {"concurrency": concurrency, "on_error": "skip", "retry": {"attempts": 3}}
        plumber = Plumber(line(inp=feed(range(10)), out=node(stubborn, **properties)))
        plumber.create_pipeline()
        await asyncio.sleep(1)
        await plumber.abort()
        assert (len(calls), now()) == (concurrency, 1.0)

    async def test_a_coro_that_goes_on_after_its_cancellation_is_cancelled_again(self, caplog):
        async def stubborn(self, q_elt):
            for _ in range(3):
                try:
                    await asyncio.sleep(1000)
                except asyncio.CancelledError:
                    continue

        plumber = Plumber(line(inp=feed([1]), out=stubborn))
        plumber.create_pipeline()
        await asyncio.sleep(1)
        with caplog.at_level(logging.WARNING, "pipelines"):
            await plumber.abort()
        assert now() == 3.0
        assert [record.getMessage() for record in caplog.records] == [
            "1 tasks ignore their cancellation; cancelling them again"
        ] * 2

    async def test_while_it_ends_the_state_says_so(self):
        states = []

        async def slow(self, q_elt):
            try:
                await asyncio.sleep(1000)
            finally:
                states.append(plumber.statistics().state)

        plumber = Plumber(line(inp=feed([1]), out=slow))
        plumber.create_pipeline()
        await asyncio.sleep(1)
        await plumber.abort()
        assert states == ["aborting"]

    async def test_p6_a_failure_while_everything_is_cancelled_is_no_reason_any_more(self):
        async def slow(self, q_elt):
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                raise ValueError("cleanup") from None

        plumber = Plumber(line(inp=feed([1, 2]), out=slow))
        plumber.create_pipeline()
        await asyncio.sleep(1)
        await plumber.abort()
        assert plumber.report is not None
        assert (plumber.report.state, plumber.report.error) == ("aborted", None)


class TestFromInside:
    """Commands that a coro gives to its own graph."""

    @pytest.mark.parametrize("suspends", [False, True])
    async def test_p9_stop_returns_at_once(self, suspends):
        async def out(self, q_elt):
            await asyncio.sleep(suspends)
            if q_elt[0] == 3:
                await plumber.stop()
            return q_elt[0]

        plumber = Plumber(line(inp=feed(range(1000), delay=1), out=out))
        report = await plumber.run(collect=["out"])
        assert report.state == "stopped"
        assert report.outputs["out"][:4] == [0, 1, 2, 3]
        assert len(report.outputs["out"]) < 7

    async def test_p9_a_task_that_outlives_the_graph_may_still_stop_it(self):
        tasks = []

        async def later() -> None:
            await asyncio.sleep(10)
            await plumber.stop(timeout=5)

        async def out(self, q_elt):
            tasks.append(asyncio.create_task(later()))

        plumber = Plumber(line(inp=feed([1]), out=out))
        assert (await plumber.run()).state == "completed"
        await asyncio.gather(*tasks)
        assert plumber.statistics().state == "completed"

    async def test_p9_with_a_deadline_it_aborts_later(self):
        async def out(self, q_elt):
            if q_elt[0] == 0:
                await plumber.stop(timeout=5)
            await asyncio.sleep(100)

        plumber = Plumber(line(inp=feed(range(10)), out=out))
        report = await plumber.run()
        assert (report.state, report.elapsed) == ("aborted", 5.0)

    @pytest.mark.parametrize("suspends", [False, True])
    async def test_p9_abort_cancels_the_coro_at_its_next_await(self, suspends):
        story = []

        async def out(self, q_elt):
            await asyncio.sleep(suspends)
            story.append(("before", q_elt[0]))
            await plumber.abort()
            story.append(("after", q_elt[0]))
            await asyncio.sleep(0)
            story.append(("never", q_elt[0]))

        plumber = Plumber(line(inp=feed(range(10)), out=node(out, concurrency=1)))
        report = await plumber.run()
        assert (report.state, story) == ("aborted", [("before", 0), ("after", 0)])

    async def test_p9_abort_in_a_coro_that_never_suspends_starts_no_other_call(self):
        calls = []

        async def out(self, q_elt):
            calls.append(q_elt[0])
            if q_elt[0] == 2:
                await plumber.abort()

        plumber = Plumber(line(inp=feed(range(10)), out=out))
        assert (await plumber.run()).state == "aborted"
        assert calls == [0, 1, 2]

    @pytest.mark.parametrize("command", ["stop", "abort"])
    async def test_p9_a_task_that_a_coro_has_made_may_give_them_too(self, command):
        async def out(self, q_elt):
            await asyncio.wait_for(getattr(plumber, command)(), 100)

        plumber = Plumber(line(inp=feed(range(10), delay=1), out=out))
        report = await plumber.run()
        assert report.elapsed < 50

    async def test_p6_a_coro_that_waits_for_its_own_graph_is_told(self):
        async def out(self, q_elt):
            await plumber.wait()

        plumber = Plumber(line(inp=feed([1]), out=out), name="demo")
        message = "a coro of 'demo' waits for the end of its own graph, which waits for the coro"
        with pytest.raises(NodeError, match=message):
            await plumber.run()

    async def test_a_source_may_stop_its_own_graph(self):
        async def inp(self, output_q):
            await output_q.put(1)
            await plumber.stop()
            await asyncio.sleep(1000)

        plumber = Plumber(line(inp=inp, out=same))
        report = await plumber.run(collect=["out"])
        assert (report.state, report.outputs["out"], report.elapsed) == ("stopped", [1], 0.0)


class TestLimits:
    """Of graphs from strangers."""

    def plumber(self, coro: Callable[..., Any] | None, out: Callable[..., Any] = same, **limits: Any) -> Plumber:
        registry = Registry()
        registry.coro("out")(out)
        entry = {}
        if coro is not None:
            registry.coro("inp")(coro)
            entry = {"coro": "inp"}
        given = {"nodes": {"inp": entry, "out": {"coro": "out"}}, "graph": {"inp": ["out"]}}
        return Plumber.from_untrusted(given, registry, Limits(**limits))

    @pytest.mark.parametrize("kind", ["coroutine", "generator", "async generator"])
    async def test_p11_one_item_too_many_fails_the_run(self, kind):
        async def coroutine(self, output_q):
            for number in range(10):
                await output_q.put(number)

        def generator(self):
            yield from range(10)

        coros: dict[str, Any] = {"coroutine": coroutine, "generator": generator, "async generator": feed(range(10))}
        plumber = self.plumber(coros[kind], items=5)
        with pytest.raises(LimitError, match="the run put more items than its limit allows") as caught:
            await plumber.run()
        assert caught.value.code == "too_many_items"
        assert plumber.report is not None
        assert (plumber.report.state, plumber.report.statistics.node("inp").sent) == ("failed", 5)

    async def test_p11_just_as_many_do_not(self):
        report = await self.plumber(feed(range(5)), items=5).run()
        assert (report.state, report.statistics.items_out) == ("completed", 5)

    async def test_p11_failed_items_count(self):
        async def inp(self, output_q):
            for number in range(10):
                await output_q.fail(number, ValueError())

        registry = Registry()
        registry.coro("inp")(inp)
        given = {"nodes": {"inp": {"coro": "inp", "properties": {"on_error": "skip"}}}, "graph": {}}
        with pytest.raises(LimitError):
            await Plumber.from_untrusted(given, registry, Limits(items=5)).run()

    async def test_p11_the_program_that_feeds_too_much_is_told_and_the_run_fails(self):
        plumber = self.plumber(None, items=2)
        plumber.create_pipeline()
        await plumber.put("inp", 1)
        await plumber.put("inp", 2)
        with pytest.raises(LimitError):
            await plumber.put("inp", 3)
        with pytest.raises(LimitError):
            await plumber.wait()

    async def test_p11_a_run_that_takes_too_long_fails(self):
        plumber = self.plumber(feed(range(1000), delay=1), seconds=5)
        with pytest.raises(LimitError, match=r"the run took longer than its limit of 5(\.0)? s") as caught:
            await plumber.run()
        assert (caught.value.code, now()) == ("too_long", 5.0)

    async def test_p11_one_that_is_done_in_time_does_not(self):
        report = await self.plumber(feed(range(4), delay=1), seconds=5).run()
        assert (report.state, report.elapsed) == ("completed", 4.0)


class TestStall:
    async def test_p6_when_nothing_moves_it_is_told_once_with_the_wait_for_path(self, caplog):
        told = Listener()
        plumber = Plumber(
            line(inp=feed(range(10)), n=node(same, queue_size=2), out=node(same, queue_size=3)), hooks=[told]
        )
        plumber.pause("out")
        plumber.create_pipeline()
        with caplog.at_level(logging.WARNING, "pipelines"):
            await asyncio.sleep(STALL_AFTER * 10)
        (event,) = told.of(Stalled)
        assert event.seconds == STALL_AFTER
        assert event.path == (
            "'inp' waits for room in 'n' (2/2)",
            "'n' waits for room in 'out' (3/3)",
            "'out' is paused",
        )
        assert "has not moved for" in caplog.text
        plumber.resume()
        assert (await plumber.wait()).state == "completed"

    async def test_a_graph_that_moves_now_and_then_has_not_stalled(self):
        told = Listener()
        await Plumber(line(inp=feed(range(20), delay=STALL_AFTER * 0.6), out=same), hooks=[told]).run()
        assert told.of(Stalled) == []

    async def test_a_graph_that_is_at_work_has_not_stalled(self):
        told = Listener()
        loop: Any = asyncio.get_running_loop()

        async def out(self, q_elt):
            loop._jump(1.0)  # a second of the processor's time
            await asyncio.sleep(0)

        async with Plumber(line(inp=FED, out=node(out, concurrency=1)), hooks=[told]) as plumber:
            for _ in range(int(STALL_AFTER * 3)):
                await plumber.put("inp", 1)
        assert told.of(Stalled) == []

    async def test_a_graph_with_nothing_inside_has_not_stalled(self):
        told = Listener()
        async with Plumber(line(inp=FED, out=same), hooks=[told]):
            await asyncio.sleep(STALL_AFTER * 5)
        assert told.of(Stalled) == []

    async def test_a_long_call_is_told_and_goes_on(self):
        told = Listener()
        report = await Plumber(line(inp=feed([1]), out=sleeper(STALL_AFTER * 3)), hooks=[told]).run()
        assert report.state == "completed"
        assert [event.path for event in told.of(Stalled)] == [("'out' has 1 calls in flight",)]

    async def test_a_second_stall_is_told_again(self):
        told = Listener()
        plumber = Plumber(line(inp=feed(range(4)), out=same), hooks=[told])
        plumber.pause("out")
        plumber.create_pipeline()
        await asyncio.sleep(STALL_AFTER * 2)
        plumber.step("out")
        await asyncio.sleep(STALL_AFTER * 2)
        assert len(told.of(Stalled)) == 2
        await plumber.abort()

    async def test_what_a_zip_waits_for_is_told(self):
        told = Listener()
        given = graph({"a": ["z"], "b": ["z"]}, a=FED, b=FED, z=same)
        async with Plumber(given, hooks=[told]) as plumber:
            await plumber.put("a", 1)
            await asyncio.sleep(STALL_AFTER * 2)
            await plumber.put("b", 1)
        assert [event.path for event in told.of(Stalled)] == [
            ("'z' waits for items of 'b'", "'b' waits for its next item")
        ]


class TestSize:
    async def test_a_chain_of_thousands_of_nodes(self):
        nodes = {f"n{number}": same for number in range(3000)}
        report = await Plumber(line(inp=feed(range(5)), **nodes)).run(collect=["n2999"])
        assert report.outputs["n2999"] == list(range(5))

    async def test_a_source_with_thousands_of_readers(self):
        nodes = {f"n{number}": same for number in range(3000)}
        report = await Plumber(graph({"inp": list(nodes)}, inp=feed(range(5)), **nodes)).run()
        assert report.statistics.items_out == 15_000

    async def test_a_merge_of_thousands(self):
        nodes = {f"n{number}": feed([number]) for number in range(1000)}
        edges = {name: ["m"] for name in nodes}
        report = await Plumber(graph(edges, **nodes, m=node(same, aggregate_inputs=False))).run(collect=["m"])
        assert sorted(report.outputs["m"]) == list(range(1000))


class TestEnd:
    async def test_p5_nothing_is_left_when_run_returns(self):
        before = asyncio.all_tasks()
        given = line(
            inp=feed(range(50), delay=0.1),
            n=node(sleeper(1), timeout=100, rate=50),
            b=node(same, batch={"size": 3, "timeout": 50}),
            out=sleeper(1),
        )
        await Plumber(given).run()
        assert asyncio.all_tasks() == before
        assert [each for each in asyncio.get_running_loop()._scheduled if not each.cancelled()] == []  # type: ignore[attr-defined]

    async def test_p6_a_failure_that_nobody_waits_for_is_logged(self, caplog):
        plumber = Plumber(line(inp=feed([1]), out=failing(1)), name="demo")
        plumber.create_pipeline()
        await quiet()
        (record,) = caplog.records
        assert record.getMessage() == "run 'demo' failed: node 'out' failed on item 1: ValueError: no 1"
        assert plumber.report is not None

    async def test_p6_one_that_somebody_waits_for_is_not(self, caplog):
        plumber = Plumber(line(inp=feed([1]), out=failing(1)))
        await failed(plumber)
        assert caplog.records == []

    def run_and_cancel(self, source: Any) -> Plumber:
        """What ``asyncio.run`` does when the program ends while a graph runs."""
        plumber = Plumber(line(inp=node(source), out=node(sleeper(5), cleanup=lambda self: None)))

        async def main() -> None:
            plumber.create_pipeline()
            await asyncio.sleep(7.5)

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(main())
        return plumber

    @pytest.mark.parametrize("source", [feed(range(1000), delay=1), None], ids=["busy", "idle"])
    async def test_p5_a_loop_that_is_shut_down_around_a_graph_ends_it(self, source):
        plumber = await asyncio.to_thread(self.run_and_cancel, source)
        assert plumber.report is not None
        assert plumber.report.state in ("aborted", "failed")

    async def test_elapsed_stands_still_after_the_end(self):
        plumber = Plumber(line(inp=feed([1], delay=2), out=same))
        await plumber.run()
        await asyncio.sleep(10)
        assert plumber.statistics().elapsed == 2.0

    async def test_the_end_is_told_before_anybody_goes_on(self):
        told = Listener()
        plumber = Plumber(line(inp=feed([1]), out=same), hooks=[told])
        await plumber.run()
        assert len(told.of(RunEnded)) == 1

"""`Plumber`: what can be said to a graph, and that it can be said in any state."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pipelines import ClosedError, Graph, GraphError, NodeError, Plumber, Registry, Report, StateError, UnknownNodeError
from pipelines.testing import Probe, feed
from tests.unit.graphs import FED, Listener, failing, graph, line, node, now, quiet, same, sleeper


class TestConstruction:
    def test_p7_a_wrong_dict_is_refused_at_once_with_all_its_problems(self):
        given = {
            "nodes": {"inp": {"coro": feed([1])}, "out": {"coro": same, "property": {}}},
            "graph": {"inp": ["otu"]},
        }
        with pytest.raises(GraphError) as caught:
            Plumber(given)
        assert {problem.code for problem in caught.value.problems} >= {"unknown_node", "unknown_key"}

    def test_a_parsed_graph_is_taken_as_it_is(self):
        parsed = Graph.parse(line(inp=feed([1]), out=same))
        assert Plumber(parsed).graph is parsed

    def test_one_parsed_graph_serves_many_runs(self):
        async def main() -> list[Report]:
            return list(await asyncio.gather(*[Plumber(parsed).run(collect=["out"]) for _ in range(3)]))

        parsed = Graph.parse(line(inp=feed([1]), out=same))
        assert [report.outputs["out"] for report in asyncio.run(main())] == [[1]] * 3

    def test_a_graph_whose_names_were_not_looked_up_is_resolved(self):
        parsed = Graph.parse(line(inp="source", out="sink"))
        plumber = Plumber(parsed, {"source": feed([1]), "sink": same})
        assert plumber.nodes[1].processor_coro is same
        with pytest.raises(GraphError, match="unknown coro 'source'"):
            Plumber(parsed)

    def test_coros_are_found_in_a_registry(self):
        registry = Registry()
        registry.coro("text.reverse")(same)
        assert Plumber(line(inp=FED, out="text.reverse"), registry).nodes[1].processor_coro is same

    def test_defaults_are_properties_of_all_nodes_that_do_not_set_them(self):
        given = line(inp=FED, a=same, b=node(same, queue_size=5))
        plumber = Plumber(given, defaults={"queue_size": 2, "retry": {"attempts": 3}})
        assert [each.properties.queue_size for each in plumber.nodes] == [2, 2, 5]
        assert plumber.liason_graph[0][1].capacity == 2  # type: ignore[union-attr]

    def test_every_run_has_a_name(self):
        one, two = Plumber(line(inp=FED)), Plumber(line(inp=FED))
        assert one.name != two.name
        assert Plumber(line(inp=FED), name="demo").name == "demo"

    def test_env_vars_are_one_object_for_all(self):
        env_vars = {"sid": 1}
        plumber = Plumber(line(inp=FED, out=same), env_vars=env_vars)
        assert all(each.env_vars is env_vars for each in plumber.nodes)
        assert Plumber(line(inp=FED)).env_vars == {}

    def test_without_a_loop_it_can_be_looked_at_and_steered(self):
        plumber = Plumber(line(inp=FED, out=same))
        plumber.pause("out")
        plumber.resume("out")
        plumber.close("inp")
        assert (plumber.statistics().state, plumber.report) == ("new", None)
        assert asyncio.run(plumber.run()).state == "completed"

    def test_without_a_loop_nothing_can_be_started(self):
        plumber = Plumber(line(inp=feed([1]), out=same))
        message = r"^there is no running event loop; from synchronous code use pipelines\.run\(\)$"
        with pytest.raises(StateError, match=message):
            plumber.create_pipeline()
        assert asyncio.run(plumber.run()).state == "completed"


@pytest.mark.virtual_time
class TestRun:
    async def test_it_reports_when_all_has_ended(self):
        plumber = Plumber(line(inp=feed([1, 2]), out=sleeper(3)), name="demo")
        assert plumber.report is None
        report = await plumber.run(collect=["out"])
        assert plumber.report is report
        assert (report.name, report.state, report.ok, report.error) == ("demo", "completed", True, None)
        assert (report.outputs, report.failures, report.elapsed) == ({"out": [1, 2]}, (), 3.0)

    async def test_a_plumber_runs_once(self):
        plumber = Plumber(line(inp=feed([1], delay=1), out=same), name="demo")
        message = r"^'demo' was started before; a plumber runs once, make another one$"
        running = asyncio.create_task(plumber.run(collect=["out"]))
        await quiet()
        for again in (plumber.run(), plumber.run(collect=["out"])):
            with pytest.raises(StateError, match=message):
                await again
        with pytest.raises(StateError, match=message):
            plumber.create_pipeline()
        assert (await running).outputs == {"out": [1]}
        with pytest.raises(StateError, match=message):
            plumber.create_pipeline()
        with pytest.raises(StateError):
            await plumber.run(collect=["out"])

    async def test_p5_cancelling_it_aborts_the_graph(self):
        cleaned = []

        async def cleanup(self):
            await asyncio.sleep(2)
            cleaned.append(now())

        plumber = Plumber(line(inp=feed(range(100), delay=1), out=node(sleeper(10), cleanup=cleanup)))
        running = asyncio.create_task(plumber.run())
        await asyncio.sleep(5.5)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert cleaned == [7.5]
        assert plumber.report is not None
        assert plumber.report.state == "aborted"

    @pytest.mark.parametrize("what", ["run", "async with"])
    async def test_p5_cancelled_again_it_still_waits_for_the_end(self, what):
        cleaned = []

        async def cleanup(self):
            try:
                await asyncio.sleep(10)
            finally:
                cleaned.append(self.name)

        async def use() -> None:
            if what == "run":
                await plumber.run()
            else:
                async with plumber:
                    await asyncio.sleep(1000)

        given = line(inp=node(feed(range(100), delay=1), cleanup=cleanup), out=node(same, cleanup=cleanup))
        plumber = Plumber(given)
        task = asyncio.create_task(use())
        for moment in (5.5, 6.5, 7.5):
            await asyncio.sleep(moment - now())
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cleaned == ["inp", "out"]
        assert plumber.report is not None

    async def test_it_may_have_a_deadline_of_asyncio(self):
        plumber = Plumber(line(inp=feed(range(100), delay=1), out=same))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await plumber.run()
        assert plumber.statistics().state == "aborted"

    async def test_many_graphs_run_side_by_side(self):
        plumbers = [Plumber(line(inp=feed(range(50), delay=0.1), n=sleeper(1), out=same)) for _ in range(20)]
        reports = await asyncio.gather(*[plumber.run(collect=["out"]) for plumber in plumbers])
        assert all(report.outputs["out"] == list(range(50)) for report in reports)
        assert now() == pytest.approx(6.0)


@pytest.mark.virtual_time
class TestWait:
    async def test_any_number_may_wait_at_any_time(self):
        plumber = Plumber(line(inp=feed([1], delay=5), out=same))
        plumber.create_pipeline()
        first, second = await asyncio.gather(plumber.wait(), plumber.wait())
        assert first is second is await plumber.wait()

    async def test_everybody_is_told_of_a_failure(self):
        plumber = Plumber(line(inp=feed([1], delay=5), out=failing(1)))
        plumber.create_pipeline()
        results = await asyncio.gather(plumber.wait(), plumber.wait(), return_exceptions=True)
        assert isinstance(results[0], NodeError)
        assert results[0] is results[1]
        with pytest.raises(NodeError):
            await plumber.wait()

    async def test_cancelling_it_leaves_the_graph_alone(self):
        plumber = Plumber(line(inp=feed([1], delay=5), out=same))
        plumber.create_pipeline()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(plumber.wait(), 1)
        assert (await plumber.wait()).state == "completed"

    async def test_before_the_start_there_is_nothing_to_wait_for(self):
        message = r"^'demo' was not started: call run\(\) or create_pipeline\(\), or use 'async with'$"
        with pytest.raises(StateError, match=message):
            await Plumber(line(inp=FED), name="demo").wait()


@pytest.mark.virtual_time
class TestAsyncWith:
    async def test_a_clean_exit_drains(self):
        out = Probe(delay=10)
        async with Plumber(line(inp=FED, out=out)) as plumber:
            for number in range(5):
                await plumber.put("inp", number)
        assert len(out.items) == 5
        assert (now(), plumber.statistics().state) == (10.0, "stopped")

    async def test_a_graph_that_ended_inside_is_completed(self):
        async with Plumber(line(inp=FED, out=same)) as plumber:
            await plumber.put("inp", 1)
            plumber.close("inp")
            await plumber.wait()
        assert plumber.statistics().state == "completed"

    async def test_a_source_is_stopped_where_it_stands(self):
        async with Plumber(line(inp=feed(range(100), delay=1), out=same)) as plumber:
            await asyncio.sleep(3.5)
        assert plumber.statistics().items_out == 3

    async def test_p5_an_exception_inside_aborts(self):
        with pytest.raises(KeyError):
            async with Plumber(line(inp=FED, out=sleeper(10))) as plumber:
                await plumber.put("inp", 1)
                await quiet()
                raise KeyError
        assert (now() < 1, plumber.statistics().state) == (True, "aborted")

    async def test_p6_a_failure_of_the_graph_is_raised_at_the_exit(self):
        with pytest.raises(NodeError, match="no 1"):
            async with Plumber(line(inp=FED, out=failing(1))) as plumber:
                await plumber.put("inp", 1)

    async def test_p6_and_is_what_the_program_is_told_when_it_goes_on_putting(self):
        with pytest.raises(NodeError, match="no 1"):
            async with Plumber(line(inp=FED, out=failing(1))) as plumber:
                while True:
                    await plumber.put("inp", 1)
                    await quiet()

    async def test_a_closed_error_of_the_program_s_own_making_stays_one(self):
        with pytest.raises(ClosedError):
            async with Plumber(line(inp=FED, out=same)) as plumber:
                plumber.close("inp")
                await plumber.put("inp", 1)

    async def test_cancelled_while_it_drains_it_aborts(self):
        async def use() -> None:
            async with plumber:
                await plumber.put("inp", 1)

        plumber = Plumber(line(inp=FED, out=sleeper(1000)))
        task = asyncio.create_task(use())
        await asyncio.sleep(5)
        assert plumber.statistics().state == "draining"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (now(), plumber.statistics().state) == (5.0, "aborted")

    async def test_cancelled_it_aborts(self):
        async def use() -> None:
            async with plumber:
                await asyncio.sleep(1000)

        plumber = Plumber(line(inp=FED, out=same))
        task = asyncio.create_task(use())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert plumber.statistics().state == "aborted"


State = Callable[[Plumber], Awaitable[Any]]


async def new(plumber: Plumber) -> None:
    pass


async def running(plumber: Plumber) -> None:
    plumber.create_pipeline()
    await asyncio.sleep(2.5)


async def paused(plumber: Plumber) -> None:
    await running(plumber)
    plumber.pause()


async def draining(plumber: Plumber) -> None:
    await running(plumber)
    plumber.background = asyncio.create_task(plumber.stop())  # type: ignore[attr-defined]
    await quiet()


async def completed(plumber: Plumber) -> None:
    plumber.create_pipeline()
    plumber.close("fed")
    await plumber.wait()


async def stopped(plumber: Plumber) -> None:
    await running(plumber)
    await plumber.stop()


async def aborted(plumber: Plumber) -> None:
    await running(plumber)
    await plumber.abort()


async def ended_before_the_start(plumber: Plumber) -> None:
    await plumber.stop()


async def failed_run(plumber: Plumber) -> None:
    plumber.create_pipeline()
    await plumber.put("fed", "bad")
    with pytest.raises(NodeError):
        await plumber.wait()


STATES: list[State] = [
    new, running, paused, draining, completed, stopped, aborted, ended_before_the_start, failed_run,
]  # fmt: skip

COMMANDS: dict[str, Callable[[Plumber], Any]] = {
    "pause": lambda plumber: plumber.pause(),
    "pause node": lambda plumber: plumber.pause("n"),
    "resume": lambda plumber: plumber.resume(),
    "step": lambda plumber: plumber.step(),
    "step node": lambda plumber: plumber.step("n", 2),
    "close": lambda plumber: plumber.close("fed"),
    "stop": lambda plumber: plumber.stop(),
    "stop with a deadline": lambda plumber: plumber.stop(timeout=1),
    "abort": lambda plumber: plumber.abort(),
    "statistics": lambda plumber: plumber.statistics(),
    "stream": lambda plumber: plumber.stream("out"),
    "nodes": lambda plumber: plumber.nodes,
}


@pytest.mark.virtual_time
class TestAnyCommandInAnyState:
    """P9. What takes no time takes none; what waits for the end returns when there is one."""

    def plumber(self) -> Plumber:
        given = graph(
            {"inp": ["n"], "fed": ["n"], "n": ["out"]},
            inp=feed(range(8), delay=1),
            fed=FED,
            n=node(failing("bad"), aggregate_inputs=False),
            out=sleeper(3),
        )
        return Plumber(given)

    @pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
    @pytest.mark.parametrize("command", list(COMMANDS))
    async def test_p9_it_is_legal_twice_and_the_graph_can_be_ended_after_it(self, state, command):
        plumber = self.plumber()
        await state(plumber)
        for _ in range(2):
            result = COMMANDS[command](plumber)
            if asyncio.iscoroutine(result):
                await asyncio.wait_for(result, 100)
        await asyncio.wait_for(plumber.stop(), 100)
        assert plumber.report is not None
        assert plumber.report.state in ("completed", "failed", "stopped", "aborted")
        if background := getattr(plumber, "background", None):
            await background

    @pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
    async def test_p9_put_goes_through_or_is_refused(self, state):
        plumber = self.plumber()
        await state(plumber)
        task = asyncio.create_task(plumber.put("fed", 1))
        await quiet()
        if state in (new, running):
            await task
        elif state is paused:
            assert not task.done()
            plumber.resume()
            await task
        else:
            with pytest.raises(ClosedError):
                await task
        await plumber.abort()

    @pytest.mark.parametrize("command", [name for name in COMMANDS if name.startswith(("pause", "resume", "step"))])
    async def test_p9_what_was_said_before_the_start_counts_after_it(self, command):
        plumber = self.plumber()
        COMMANDS[command](plumber)
        plumber.create_pipeline()
        await asyncio.sleep(50)
        n = plumber.statistics().node("n")
        expected = {"pause": ("paused", 0), "pause node": ("paused", 0), "resume": ("waiting", 8)}
        expected |= {"step": ("paused", 1), "step node": ("paused", 2)}
        assert (n.state, n.received) == expected[command]
        await plumber.abort()


class TestSteering:
    @pytest.mark.parametrize("command", ["pause", "resume", "step"])
    def test_an_unknown_node_is_refused_with_those_there_are(self, command):
        plumber = Plumber(line(inp=FED, rev=same, out=same))
        with pytest.raises(UnknownNodeError, match=r"^unknown node 'otu'; there are: inp, rev, out$"):
            getattr(plumber, command)("otu")

    @pytest.mark.parametrize("count", [0, -1])
    def test_a_step_is_one_at_least(self, count):
        with pytest.raises(ValueError, match=rf"^step: count must be at least 1, not {count}$"):
            Plumber(line(inp=FED, out=same)).step("out", count)


@pytest.mark.virtual_time
async def test_a_hook_sees_the_end_of_a_graph_that_never_started():
    told = Listener()
    plumber = Plumber(line(inp=FED, out=same), hooks=[told])
    await plumber.abort()
    assert told.story == ["RunEnded"]


@pytest.mark.virtual_time
async def test_a_hook_at_the_end_finds_the_graph_ended():
    states = []
    plumber = Plumber(line(inp=feed([1]), out=same), hooks=[lambda event: states.append(plumber.statistics().state)])
    await plumber.run()
    assert states[-1] == "completed"

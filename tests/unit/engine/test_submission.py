"""``submit``: one item in, its own result out - or the reason why there is none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipelines import (
    SKIP,
    AbortedError,
    ClosedError,
    NodeError,
    Plumber,
    SkippedError,
    StateError,
    StoppedError,
    To,
)
from pipelines.engine.submission import result_shapes
from pipelines.graph import Graph
from pipelines.testing import feed
from tests.unit.graphs import FED, failing, graph, line, node, now, pair, quiet, same, sleeper

pytestmark = pytest.mark.virtual_time


async def double(self, q_elt):
    await asyncio.sleep(1)
    return q_elt[0] * 2


async def odd(self, q_elt):
    return q_elt[0] if q_elt[0] % 2 else SKIP


class TestResult:
    async def test_it_is_what_the_sink_returns(self):
        async with Plumber(line(inp=FED, n=double, out=double)) as plumber:
            assert await plumber.submit(3) == 12

    async def test_everybody_gets_their_own(self):
        async with Plumber(line(inp=FED, n=sleeper(lambda item: item % 5), out=double)) as plumber:
            results = await asyncio.gather(*[plumber.submit(number) for number in range(200)])
        assert results == [2 * number for number in range(200)]

    async def test_with_completion_order_the_fast_do_not_wait_for_the_slow(self):
        ended: list[int] = []

        async def submit(number: int) -> None:
            ended.append(await plumber.submit(number))

        async with Plumber(line(inp=FED, out=node(sleeper(lambda item: item), order="completion"))) as plumber:
            await asyncio.gather(*[submit(number) for number in (3, 1, 2)])
        assert ended == [1, 2, 3]

    async def test_items_that_are_put_meanwhile_do_not_disturb(self):
        async with Plumber(line(inp=FED, n=double, out=same)) as plumber:
            for number in range(100):
                await plumber.put("inp", number)
                if number % 10 == 5:
                    assert await plumber.submit(number) == 2 * number

    async def test_a_source_alone_gives_the_item_back(self):
        async with Plumber(line(inp=FED)) as plumber:
            assert await plumber.submit("x") == "x"

    async def test_the_result_is_also_collected_and_streamed(self):
        plumber = Plumber(line(inp=FED, out=double))
        run = asyncio.create_task(plumber.run(collect=["out"]))
        stream = plumber.stream("out")
        assert await plumber.submit(1) == 2
        assert await anext(stream) == 2
        await stream.aclose()
        plumber.close("inp")
        assert (await run).outputs["out"] == [2]

    @pytest.mark.parametrize("value", [None, False, 0, ""])
    async def test_it_may_be_any_value(self, value):
        async with Plumber(line(inp=FED, out=same)) as plumber:
            assert await plumber.submit(value) is value


class TestShape:
    """What a result looks like depends on the graph alone, not on what happens to come."""

    async def test_several_sinks_give_a_dict(self):
        async with Plumber(graph({"inp": ["a", "b"]}, inp=FED, a=double, b=same)) as plumber:
            assert await plumber.submit(3) == {"a": 6, "b": 3}

    async def test_of_several_sinks_those_that_were_reached(self):
        given = graph({"inp": ["a", "b"]}, inp=FED, a=odd, b=same)
        async with Plumber(given) as plumber:
            assert await plumber.submit(3) == {"a": 3, "b": 3}
            assert await plumber.submit(4) == {"b": 4}

    async def test_to_reaches_one_of_several(self):
        async def route(self, q_elt):
            return To("a", q_elt[0])

        async with Plumber(graph({"inp": ["r"], "r": ["a", "b"]}, inp=FED, r=route, a=same, b=same)) as plumber:
            assert await plumber.submit(1) == {"a": 1}

    async def test_a_zip_of_its_branches_gives_one_value(self):
        given = graph({"inp": ["a", "b"], "a": ["z"], "b": ["z"]}, inp=FED, a=double, b=same, z=pair)
        async with Plumber(given) as plumber:
            assert await asyncio.gather(*[plumber.submit(n) for n in range(10)]) == [(2 * n, n) for n in range(10)]

    async def test_a_merge_of_its_branches_gives_a_list(self):
        given = graph(
            {"inp": ["a", "b"], "a": ["m"], "b": ["m"]},
            inp=FED,
            a=double,
            b=same,
            m=node(same, aggregate_inputs=False),
        )
        async with Plumber(given) as plumber:
            assert sorted(await plumber.submit(3)) == [3, 6]

    async def test_a_merge_of_two_sources_gives_a_value(self):
        given = graph({"a": ["m"], "b": ["m"]}, a=FED, b=FED, m=node(same, aggregate_inputs=False))
        async with Plumber(given) as plumber:
            assert await plumber.submit(3, source="a") == 3
            assert await plumber.submit(4, source="b") == 4

    @pytest.mark.parametrize(
        ("edges", "shapes"),
        [
            ({"inp": ["a"]}, {"a": False}),
            ({"inp": ["a", "b"]}, {"a": False, "b": False}),
            ({"inp": ["gen"], "gen": ["a"]}, {"a": True}),
            ({"inp": ["a", "gen"], "gen": ["b"]}, {"a": False, "b": True}),
            ({"inp": ["a", "b", "merge"], "a": ["merge"]}, {"b": False, "merge": True}),
            ({"inp": ["merge"], "other": ["merge"]}, {"merge": False}),
            ({"inp": ["a"], "other": ["b"]}, {"a": False}),
        ],
    )
    async def test_result_shapes(self, edges, shapes):
        async def gen(self, q_elt):
            yield q_elt[0]

        used = {name for name, after in edges.items() for name in (name, *after)}
        nodes = {
            "inp": FED,
            "other": FED,
            "a": same,
            "b": same,
            "gen": gen,
            "merge": node(same, aggregate_inputs=False),
        }
        parsed = Graph.parse(graph(edges, **{name: entry for name, entry in nodes.items() if name in used}))
        assert result_shapes(parsed, "inp") == shapes


class TestNoResult:
    async def test_p6_a_skipped_item_says_where(self):
        async with Plumber(line(inp=FED, n=odd, out=same)) as plumber:
            with pytest.raises(SkippedError, match=r"^the item was skipped at node 'n'$") as caught:
                await plumber.submit(2)
            assert caught.value.node == "n"
            assert await plumber.submit(1) == 1

    async def test_a_pair_that_is_cancelled_was_skipped_where_its_part_was(self):
        given = graph({"inp": ["n", "b"], "n": ["z"], "b": ["z"]}, inp=FED, n=odd, b=double, z=pair)
        async with Plumber(given) as plumber:
            with pytest.raises(SkippedError, match="at node 'n'"):
                await plumber.submit(2)

    @pytest.mark.parametrize("overflow", ["drop_new", "drop_old"])
    async def test_p6_an_item_lost_to_overflow_was_skipped(self, overflow):
        given = line(inp=FED, out=node(sleeper(10), queue_size=1, concurrency=1, overflow=overflow))
        async with Plumber(given) as plumber:
            results = await asyncio.gather(*[plumber.submit(number) for number in range(6)], return_exceptions=True)
        lost = [each for each in results if isinstance(each, SkippedError)]
        assert {each.node for each in lost} == {"out"}
        assert len(lost) + len({each for each in results if isinstance(each, int)}) == 6
        assert plumber.report is not None
        assert plumber.report.statistics.edge("inp", "out").dropped == len(lost) > 0

    @pytest.mark.parametrize("on_error", ["skip", {"route": "dead"}])
    async def test_p6_a_failed_item_raises_its_node_error(self, on_error):
        given = line(inp=FED, n=node(failing(2), on_error=on_error, retry={"attempts": 2, "backoff": 1}), out=same)
        if on_error != "skip":
            given["nodes"]["dead"] = {"coro": same}
        async with Plumber(given) as plumber:
            with pytest.raises(
                NodeError, match="node 'n' failed on item 2 after 2 attempts: ValueError: no 2"
            ) as caught:
                await plumber.submit(2)
            assert isinstance(caught.value.__cause__, ValueError)
            assert await plumber.submit(1) == 1

    async def test_p6_of_several_failures_it_raises_the_first(self):
        async def fail(self, q_elt):
            await asyncio.sleep(1 if self.name == "a" else 2)
            raise ValueError(self.name)

        given = graph({"inp": ["a", "b"]}, inp=FED, a=node(fail, on_error="skip"), b=node(fail, on_error="skip"))
        async with Plumber(given) as plumber:
            with pytest.raises(NodeError, match="ValueError: a"):
                await plumber.submit(1)
        assert plumber.report is not None
        assert len(plumber.report.failures) == 2

    async def test_p6_when_the_run_fails_on_it_it_gets_the_error_and_others_are_aborted(self):
        plumber = Plumber(line(inp=FED, n=sleeper(1), out=failing(1)))
        plumber.create_pipeline()
        results = await asyncio.gather(*[plumber.submit(number) for number in (0, 1, 2)], return_exceptions=True)
        assert results[0] == 0
        assert isinstance(results[1], NodeError)
        assert isinstance(results[2], AbortedError)
        assert str(results[2]) == "the graph failed while the item was inside"
        assert results[2].__cause__ is results[1] is plumber.report.error  # type: ignore[union-attr]

    async def test_a_timeout_gives_up_waiting_while_the_item_goes_on(self):
        plumber = Plumber(line(inp=FED, out=sleeper(10)))
        run = asyncio.create_task(plumber.run(collect=["out"]))
        with pytest.raises(TimeoutError):
            await plumber.submit("x", timeout=3)
        assert now() == 3.0
        plumber.close("inp")
        assert (await run).outputs["out"] == ["x"]

    async def test_the_timeout_counts_the_wait_for_room_too(self):
        async with Plumber(line(inp=FED, out=node(sleeper(100), queue_size=1, concurrency=1))) as plumber:
            for _ in range(2):
                await plumber.put("inp", 0)
                await quiet()
            with pytest.raises(TimeoutError):
                await plumber.submit("x", timeout=3)
            await quiet()
            assert plumber.statistics().node("inp").sent == 2, "what found no room was not put"

    async def test_a_cancelled_submit_leaves_nothing_behind(self):
        async with Plumber(line(inp=FED, out=sleeper(10))) as plumber:
            task = asyncio.create_task(plumber.submit("x"))
            await asyncio.sleep(1)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    async def test_stop_lets_it_through(self):
        plumber = Plumber(line(inp=FED, out=sleeper(10)))
        plumber.create_pipeline()
        task = asyncio.create_task(plumber.submit("x"))
        await asyncio.sleep(1)
        await plumber.stop()
        assert await task == "x"

    async def test_p6_a_graph_that_ends_before_it_is_through_says_so(self):
        given = graph({"inp": ["z"], "other": ["z"]}, inp=FED, other=FED, z=pair)
        plumber = Plumber(given)
        plumber.create_pipeline()
        task = asyncio.create_task(plumber.submit("x", source="inp"))
        await quiet()
        await plumber.stop()
        with pytest.raises((StoppedError, SkippedError)):
            await task

    async def test_p6_abort_says_so(self):
        plumber = Plumber(line(inp=FED, out=sleeper(10)))
        plumber.create_pipeline()
        task = asyncio.create_task(plumber.submit("x"))
        await asyncio.sleep(1)
        await plumber.abort()
        with pytest.raises(AbortedError, match=r"^the graph was aborted while the item was inside$") as caught:
            await task
        assert caught.value.__cause__ is None

    @pytest.mark.parametrize("command", ["stop", "abort"])
    async def test_p9_before_the_start_it_waits_and_is_told_when_there_is_none(self, command):
        plumber = Plumber(line(inp=FED, out=same))
        task = asyncio.create_task(plumber.submit("x"))
        await quiet()
        assert not task.done()
        await getattr(plumber, command)()
        with pytest.raises((StoppedError, AbortedError)):
            await task

    async def test_p9_before_the_start_it_waits_for_the_start(self):
        plumber = Plumber(line(inp=FED, out=double))
        task = asyncio.create_task(plumber.submit(2))
        await quiet()
        async with plumber:
            assert await task == 4

    @pytest.mark.parametrize("end", ["close", "stop", "abort"])
    async def test_p9_after_the_end_it_is_refused(self, end):
        plumber = Plumber(line(inp=FED, out=same))
        plumber.create_pipeline()
        if end == "close":
            plumber.close("inp")
            await plumber.wait()
        else:
            await getattr(plumber, end)()
        with pytest.raises(ClosedError, match="source 'inp' is closed"):
            await plumber.submit(1)


class TestSource:
    async def test_it_must_be_named_when_there_are_several(self):
        given = graph({"a": ["m"], "b": ["m"]}, a=FED, b=FED, m=node(same, aggregate_inputs=False))
        message = r"^submit needs source=\.\.\., one of the sources without coro: 'a', 'b'$"
        with pytest.raises(StateError, match=message):
            await Plumber(given).submit(1)

    async def test_there_must_be_one(self):
        with pytest.raises(StateError, match="one of the sources without coro: there is none"):
            await Plumber(line(inp=feed([1]), out=same)).submit(1)

    async def test_a_coro_may_submit_to_another_graph(self):
        async def ask(self, q_elt):
            return await self.other.submit(q_elt[0])

        async with Plumber(line(inp=FED, out=double)) as other:
            given: dict[str, Any] = line(inp=feed(range(5)), out=ask)
            report = await Plumber(given, env_vars={"other": other}).run(collect=["out"])
        assert report.outputs["out"] == [0, 2, 4, 6, 8]

"""Commands from inside a graph, and two things that happen in one turn of the loop."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from pipelines import NodeError, Plumber
from pipelines.errors import ClosedError, StateError
from pipelines.testing import FuzzLoop, Probe, feed, run_graph

from .running import run_bounded
from .small import chain, later, pass_on


def now() -> float:
    return asyncio.get_running_loop().time()


# Putting.


@pytest.mark.virtual_time
async def test_p9_what_is_put_before_the_start_is_kept_as_far_as_there_is_room() -> None:
    plumber = Plumber(chain(None, pass_on, queue_size=2))
    async with asyncio.timeout(1):
        await plumber.put("in", 1)
        await plumber.put("in", 2)
    third = asyncio.create_task(plumber.put("in", 3))
    await asyncio.sleep(1)
    assert not third.done()
    running = asyncio.create_task(plumber.run(collect=["n0"]))
    await third
    plumber.close("in")
    assert (await running).outputs["n0"] == [1, 2, 3]


@pytest.mark.parametrize("meanwhile", ["close", "stop", "abort", "room", "step", "nothing"])
@pytest.mark.virtual_time
async def test_p9_a_put_that_is_cancelled_while_something_else_happens(meanwhile: str) -> None:
    plumber = Plumber(chain(None, later, queue_size=1, concurrency=1))
    plumber.create_pipeline()
    puts = [asyncio.create_task(plumber.put("in", item)) for item in range(6)]
    await asyncio.sleep(1 if meanwhile == "room" else 0.5)
    waiting = [put for put in puts if not put.done()]
    assert len(waiting) >= 3
    waiting[0].cancel()
    if meanwhile == "close":
        plumber.close("in")
    elif meanwhile == "step":
        plumber.step("in")
        plumber.resume()
    elif meanwhile != "nothing":
        asyncio.create_task(plumber.stop() if meanwhile == "stop" else plumber.abort())  # noqa: RUF006
    await asyncio.wait([waiting[0]])
    assert waiting[0].cancelled()
    await asyncio.sleep(20)
    results = await asyncio.gather(*waiting[1:], return_exceptions=True)
    open_still = meanwhile in ("step", "nothing")
    assert {type(result) for result in results} == ({type(None)} if open_still else {ClosedError})
    await plumber.abort()


@pytest.mark.virtual_time
async def test_p2_waiting_puts_are_served_in_turn() -> None:
    for rate in (None, 2):
        graph = chain(None, pass_on, queue_size=3)
        graph["nodes"]["in"]["properties"] = {"rate": rate}
        plumber = Plumber(graph)
        plumber.create_pipeline()
        plumber.pause("in")
        stream = plumber.stream("n0")
        puts = [asyncio.create_task(plumber.put("in", item)) for item in range(6)]
        for _ in puts:
            await asyncio.sleep(1)
            plumber.step("in")
        await asyncio.gather(*puts)
        plumber.close("in")
        plumber.resume("in")
        assert [item async for item in stream] == list(range(6))
        await plumber.wait()


def test_p2_waiting_puts_are_served_in_turn_under_any_schedule() -> None:
    async def main() -> list[int]:
        plumber = Plumber(chain(None, later, queue_size=3, concurrency=2))
        running = asyncio.create_task(plumber.run(collect=["n0"]))
        puts = []
        for item in range(20):
            puts.append(asyncio.create_task(plumber.put("in", item)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*puts)
        plumber.close("in")
        return list((await running).outputs["n0"])

    for seed in range(30):
        assert run_bounded(main(), functools.partial(FuzzLoop, seed)) == list(range(20))


@pytest.mark.virtual_time
async def test_a_merge_takes_from_its_upstreams_in_turn() -> None:
    for coro in (pass_on, later):
        graph = {
            "nodes": {
                "a": {"coro": lambda processor: ["a"] * 100},
                "b": {"coro": lambda processor: ["b"] * 100},
                "c": {"coro": lambda processor: ["c"] * 100},
                "out": {"coro": coro, "properties": {"aggregate_inputs": False, "queue_size": 4}},
            },
            "graph": {"a": ["out"], "b": ["out"], "c": ["out"]},
        }
        report = await Plumber(graph).run(collect=["out"])
        begin = report.outputs["out"][:150]
        assert all(begin.count(name) >= 40 for name in "abc")


@pytest.mark.virtual_time
async def test_p9_steps_of_a_source_with_a_rate_are_all_made() -> None:
    graph = chain(feed(range(10)), pass_on)
    graph["nodes"]["in"]["properties"] = {"rate": 1}
    plumber = Plumber(graph)
    plumber.create_pipeline()
    plumber.pause("in")
    plumber.step("in", 3)
    await asyncio.sleep(100)
    assert plumber.statistics().node("in").sent == 3
    await plumber.abort()


@pytest.mark.virtual_time
async def test_p9_a_refused_second_run_takes_nothing_from_the_first() -> None:
    plumber = Plumber(chain(feed(range(5), delay=1), pass_on))
    running = asyncio.create_task(plumber.run(collect=["n0"]))
    await asyncio.sleep(2.5)
    with pytest.raises(StateError):
        await plumber.run(collect=["n0"])
    assert (await running).outputs["n0"] == list(range(5))


# Aborting.


@pytest.mark.parametrize("swallows", ["and returns", "and raises", "and yields"])
@pytest.mark.parametrize("policy", [{"on_error": "skip"}, {"retry": {"attempts": 5, "backoff": 0.1}}])
@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.virtual_time
async def test_p9_nothing_starts_after_an_abort(swallows: str, policy: dict[str, Any], concurrency: int) -> None:
    calls: list[float] = []

    async def stubborn(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        calls.append(now())
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            if swallows == "and raises":
                raise ValueError from None
        return 1

    async def stubborn_generator(processor: Any, q_elt: tuple[Any, ...]) -> AsyncIterator[Any]:
        yield await stubborn(processor, q_elt)

    coro = stubborn_generator if swallows == "and yields" else stubborn
    plumber = Plumber(chain(feed(range(9)), coro, pass_on, concurrency=concurrency, **policy))
    plumber.create_pipeline()
    await asyncio.sleep(1)
    await plumber.abort()
    assert calls == [0.0] * concurrency
    assert now() == 1
    assert plumber.report is not None
    assert plumber.report.state == "aborted"


@pytest.mark.parametrize("policy", [{"on_error": "skip"}, {"retry": {"attempts": 5, "backoff": 0.1}}])
@pytest.mark.virtual_time
async def test_p9_an_abort_at_the_moment_of_a_timeout(policy: dict[str, Any]) -> None:
    calls: list[float] = []

    async def coro(processor: Any, q_elt: tuple[Any, ...]) -> None:
        calls.append(now())
        await asyncio.sleep(100)

    plumber = Plumber(chain(feed(range(5)), coro, timeout=1, concurrency=1, **policy))
    plumber.create_pipeline()
    await asyncio.sleep(1)
    await plumber.abort()
    assert (calls, now()) == ([0.0], 1)


@pytest.mark.virtual_time
async def test_p5_a_coro_that_never_gives_in_is_cancelled_again() -> None:
    swallowed = 0

    async def stubborn(processor: Any, q_elt: tuple[Any, ...]) -> None:
        nonlocal swallowed
        while swallowed < 5:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                swallowed += 1

    plumber = Plumber(chain(feed([1]), stubborn))
    plumber.create_pipeline()
    await asyncio.sleep(1)
    await plumber.abort()
    assert swallowed == 5


@pytest.mark.parametrize("at", [0.0, 0.1])
@pytest.mark.virtual_time
async def test_p6_a_call_whose_task_somebody_cancels_fails_the_run(at: float) -> None:
    async def coro(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        if q_elt[0] == 5:
            await asyncio.sleep(at)
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        await asyncio.sleep(0.1)
        return q_elt[0]

    for concurrency in (1, 64):
        plumber = Plumber(chain(feed(range(10)), coro, concurrency=concurrency))
        began = now()
        with pytest.raises(NodeError) as caught:
            await plumber.run()
        assert caught.value.node == "n0"
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        assert now() - began < 2


# From inside.


@pytest.mark.parametrize("who", ["coro", "child task", "wait_for", "setup", "cleanup"])
@pytest.mark.parametrize("command", ["stop", "abort", "stop in time"])
@pytest.mark.virtual_time
async def test_p9_a_graph_may_end_itself(who: str, command: str) -> None:
    async def ending() -> None:
        if command == "abort":
            await plumber.abort()
        else:
            await plumber.stop(timeout=5 if command == "stop in time" else None)

    async def coro(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        if q_elt[0] == 3:
            if who == "coro":
                await ending()
            elif who == "child task":
                await asyncio.create_task(ending())
            elif who == "wait_for":
                await asyncio.wait_for(ending(), 5)
        return q_elt[0]

    async def in_life(processor: Any) -> None:
        await ending()

    graph = chain(feed(range(10), delay=0.1), coro)
    if who in ("setup", "cleanup"):
        graph["nodes"]["n0"]["properties"][who] = in_life
    plumber = Plumber(graph)
    async with asyncio.timeout(10):
        report = await plumber.run(collect=["n0"])
    if who != "cleanup":
        assert report.state == ("aborted" if command == "abort" else "stopped")
    if command != "abort":
        assert report.outputs["n0"] == list(range(report.statistics.node("in").sent))


@pytest.mark.parametrize("who", ["coro", "setup", "cleanup"])
@pytest.mark.virtual_time
async def test_p6_waiting_for_the_end_from_inside_is_refused(who: str) -> None:
    refused: list[StateError] = []

    async def wait() -> None:
        with pytest.raises(StateError) as caught:
            await plumber.wait()
        refused.append(caught.value)

    async def coro(processor: Any, q_elt: tuple[Any, ...]) -> None:
        if who == "coro":
            await wait()

    async def in_life(processor: Any) -> None:
        await wait()

    graph = chain(feed([1]), coro)
    if who != "coro":
        graph["nodes"]["n0"]["properties"][who] = in_life
    plumber = Plumber(graph)
    async with asyncio.timeout(10):
        await plumber.run()
    assert len(refused) == 1


@pytest.mark.virtual_time
async def test_p9_the_reader_of_a_stream_may_stop_the_graph() -> None:
    for last in range(500, 508):
        plumber = Plumber(chain(feed(range(1000)), pass_on, pass_on, pass_on, queue_size=3))
        plumber.create_pipeline()
        read = []
        async with asyncio.timeout(10):
            async for item in plumber.stream("n2"):
                read.append(item)
                if item == last:
                    await plumber.stop()
        assert read == list(range(len(read)))
        assert plumber.report is not None
        assert len(read) == plumber.report.statistics.node("in").sent


@pytest.mark.parametrize("command", ["pause", "abort", "nothing"])
@pytest.mark.virtual_time
async def test_p9_a_command_from_inside_counts_for_the_very_next_item(command: str) -> None:
    calls: list[int] = []

    async def coro(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        calls.append(q_elt[0])
        if q_elt[0] == 2:
            if command == "pause":
                plumber.pause("n0")
            elif command == "abort":
                await plumber.abort()
        return q_elt[0]

    plumber = Plumber(chain(feed(range(10)), coro, queue_size=10))
    plumber.create_pipeline()
    await asyncio.sleep(1)
    assert calls == ([0, 1, 2] if command in ("pause", "abort") else list(range(10)))
    await plumber.abort()


# Ends of sources, batches, context.


@pytest.mark.virtual_time
async def test_p9_stopping_sources_that_are_zipped_is_no_failure() -> None:
    graph = {
        "nodes": {
            "slow": {"coro": feed(range(1000), delay=1)},
            "fast": {"coro": feed(range(1000), delay=0.3)},
            "zip": {"coro": lambda processor, q_elt: q_elt, "properties": {"queue_size": 5}},
        },
        "graph": {"slow": ["zip"], "fast": ["zip"]},
    }
    async with Plumber(graph) as plumber:
        stream = plumber.stream("zip")
        await asyncio.sleep(10.1)
    assert plumber.report is not None
    assert plumber.report.state == "stopped"
    assert [pair async for pair in stream] == [(number, number) for number in range(10)]


@pytest.mark.virtual_time
async def test_p1_one_batch_made_of_one_submitted_item_gives_one_result() -> None:
    def twice(processor: Any, q_elt: tuple[Any, ...]) -> Iterator[Any]:
        yield from (1, 2)

    graph = chain(None, twice, lambda processor, q_elt: sum(q_elt[0]))
    graph["nodes"]["n1"]["properties"] = {"batch": {"size": 2}}
    async with Plumber(graph) as plumber:
        assert await plumber.submit(0) == [3]


@pytest.mark.virtual_time
async def test_calls_that_suspend_begin_with_the_context_of_the_run() -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    variable.set("run")
    seen: list[str] = []

    async def coro(processor: Any, q_elt: tuple[Any, ...]) -> None:
        await asyncio.sleep(1)
        seen.append(variable.get())

    await Plumber(chain(feed(range(6)), coro)).run()
    assert set(seen) == {"run"}


def test_durations_of_nothing_are_nothing() -> None:
    report = run_graph(chain(feed(range(5)), Probe()))
    median = report.statistics.node("n0").latency_p50
    assert median is not None
    assert median < 1e-6

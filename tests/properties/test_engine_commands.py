"""Every command in every state, alone and in pairs: none hangs, corrupts, or raises what it does not document."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pipelines import NodeError, Plumber, Report
from pipelines.errors import ClosedError, StateError, SubmitError, UnknownNodeError
from pipelines.testing import no_leaks

from .running import LONGEST, run_bounded
from .small import later

Command = Callable[[Plumber], Awaitable[Any]]


class Stage:
    """A graph in some state, and what its coros have seen."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.began = 0
        self.cleaned = 0
        self.background: list[asyncio.Task[Any]] = []
        self.plumber = Plumber(
            {
                "nodes": {
                    "in": {},
                    "work": {
                        "coro": self._work,
                        "properties": {"queue_size": 2, "concurrency": 2, "setup": self._begin},
                    },
                    "out": {"coro": self._out, "properties": {"cleanup": self._clean}},
                },
                "graph": {"in": ["work"], "work": ["out"]},
            }
        )

    async def _work(self, processor: Any, q_elt: tuple[Any, ...]) -> Any:
        if q_elt[0] == "bad":
            raise ValueError
        return await later(processor, q_elt)

    def _begin(self, processor: Any) -> None:
        self.began += 1

    async def _clean(self, processor: Any) -> None:
        self.cleaned += 1
        await asyncio.sleep(3)

    async def _out(self, processor: Any, q_elt: tuple[Any, ...]) -> Any:
        self.results.append(q_elt[0])
        return q_elt[0]

    def later(self, command: Awaitable[Any]) -> None:
        """Give a command and do not wait for it."""
        self.background.append(asyncio.ensure_future(command))


# The states.


async def new(stage: Stage) -> None:
    """Nothing was said yet."""


async def fed_before_start(stage: Stage) -> None:
    await stage.plumber.put("in", 0)
    stage.plumber.pause("out")


async def running(stage: Stage) -> None:
    stage.plumber.create_pipeline()
    for item in range(5):
        stage.later(stage.plumber.put("in", item))
    await asyncio.sleep(0.5)


async def idle(stage: Stage) -> None:
    stage.plumber.create_pipeline()
    await asyncio.sleep(1)


async def paused(stage: Stage) -> None:
    await running(stage)
    stage.plumber.pause()
    await asyncio.sleep(2)


async def draining(stage: Stage) -> None:
    await running(stage)
    stage.later(stage.plumber.stop())
    await asyncio.sleep(0.1)


async def winding_up(stage: Stage) -> None:
    await running(stage)
    stage.later(stage.plumber.abort())
    await asyncio.sleep(1)
    assert stage.cleaned


async def completed(stage: Stage) -> None:
    stage.plumber.create_pipeline()
    await stage.plumber.put("in", 1)
    stage.plumber.close("in")
    await stage.plumber.wait()


async def failed(stage: Stage) -> None:
    stage.plumber.create_pipeline()
    await stage.plumber.put("in", "bad")
    with pytest.raises(NodeError):
        await stage.plumber.wait()


async def stopped(stage: Stage) -> None:
    await running(stage)
    await stage.plumber.stop()


async def aborted(stage: Stage) -> None:
    await running(stage)
    await stage.plumber.abort()


async def stopped_before_start(stage: Stage) -> None:
    await stage.plumber.stop()


STATES = [new, fed_before_start, running, idle, paused, draining, winding_up]
ENDED = [completed, failed, stopped, aborted, stopped_before_start]


# The commands, and what each may raise.


async def create_pipeline(plumber: Plumber) -> None:
    plumber.create_pipeline()


async def run(plumber: Plumber) -> Report:
    return await plumber.run(collect=["out"])


async def cancelled_run(plumber: Plumber) -> None:
    running = asyncio.ensure_future(plumber.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    if not running.cancelled():
        await running


async def wait(plumber: Plumber) -> Report:
    return await plumber.wait()


async def use(plumber: Plumber) -> None:
    async with plumber:
        await asyncio.sleep(0)


async def stop(plumber: Plumber) -> None:
    await plumber.stop()


async def stop_soon(plumber: Plumber) -> None:
    await plumber.stop(timeout=0)


async def abort(plumber: Plumber) -> None:
    await plumber.abort()


async def put(plumber: Plumber) -> None:
    await plumber.put("in", "put")


async def cancelled_put(plumber: Plumber) -> None:
    try:
        async with asyncio.timeout(0.3):
            await plumber.put("in", "put in time")
    except TimeoutError:
        pass


async def submit(plumber: Plumber) -> None:
    assert await plumber.submit("submitted") == "submitted"


async def submit_in_time(plumber: Plumber) -> None:
    try:
        await plumber.submit("submitted", timeout=0.3)
    except TimeoutError:
        pass


async def close(plumber: Plumber) -> None:
    plumber.close("in")


async def read_stream(plumber: Plumber) -> None:
    async with plumber.stream("out") as stream:
        async for _ in stream:
            pass


async def leave_stream(plumber: Plumber) -> None:
    await plumber.stream("out").aclose()


async def pause(plumber: Plumber) -> None:
    plumber.pause()


async def resume(plumber: Plumber) -> None:
    plumber.resume("work")
    plumber.resume()


async def step(plumber: Plumber) -> None:
    plumber.step("in")
    plumber.step(count=3)


async def look(plumber: Plumber) -> None:
    statistics = plumber.statistics()
    assert statistics.to_dict()["name"] == plumber.name
    assert [node.name for node in plumber.nodes] == ["in", "work", "out"]
    assert plumber.liason_graph[0][1] is plumber.nodes[1].liason_queues[0][0]
    assert plumber.report is None or plumber.report.state == statistics.state


async def misname(plumber: Plumber) -> None:
    commands: list[Callable[[], Any]] = [
        lambda: plumber.put("work", 1),
        lambda: plumber.submit(1, source="out"),
        lambda: plumber.close("nowhere"),
        lambda: plumber.stream("work"),
        lambda: plumber.pause("nowhere"),
        lambda: plumber.resume("nowhere"),
        lambda: plumber.step("nowhere"),
    ]
    for command in commands:
        with pytest.raises(UnknownNodeError):
            await command()


MAY_RAISE: dict[Command, tuple[type[Exception], ...]] = {
    create_pipeline: (StateError,),
    run: (StateError, NodeError),
    cancelled_run: (StateError, NodeError),
    wait: (StateError, NodeError),
    use: (StateError, NodeError),
    stop: (),
    stop_soon: (),
    abort: (),
    put: (ClosedError,),
    cancelled_put: (ClosedError,),
    submit: (ClosedError, SubmitError),
    submit_in_time: (ClosedError, SubmitError),
    close: (),
    read_stream: (NodeError,),
    leave_stream: (),
    pause: (),
    resume: (),
    step: (),
    look: (),
    misname: (),
}


async def given(stage: Stage, command: Command) -> Any:
    """Give a command; what it raises must be documented."""
    try:
        return await command(stage.plumber)
    except MAY_RAISE[command] as error:
        return error


def staged(state: Callable[[Stage], Awaitable[None]], *commands: Command, at_once: bool = False) -> Stage:
    """Bring a graph into a state, give it the commands, and end it; whoever still waits is told then."""
    stage = Stage()

    async def main() -> None:
        with no_leaks():
            async with asyncio.timeout(LONGEST):
                await state(stage)
                for command in commands:
                    stage.later(given(stage, command))
                    await asyncio.sleep(0 if at_once else 0.7)
                await asyncio.sleep(20)
                await asyncio.wait_for(stage.plumber.abort(), 10)
                results = await asyncio.wait_for(asyncio.gather(*stage.background, return_exceptions=True), 10)
                wrong = [result for result in results if isinstance(result, BaseException)]
                assert all(isinstance(result, DOCUMENTED) for result in wrong), wrong
                await look(stage.plumber)

    run_bounded(main())
    check_end(stage)
    return stage


DOCUMENTED = (StateError, NodeError, ClosedError, SubmitError)


def check_end(stage: Stage) -> None:
    """The report is there, the counters add up, nothing came twice, setup and cleanup ran once or not at all."""
    report = stage.plumber.report
    assert report is not None
    source, worker, sink = report.statistics.nodes
    assert len(stage.results) == sink.received
    numbers = [item for item in stage.results if isinstance(item, int)]
    assert numbers == sorted(set(numbers))
    assert source.sent == worker.received + report.statistics.edge("in", "work").queued
    assert worker.sent == sink.received + report.statistics.edge("work", "out").queued
    assert 0 <= worker.received - worker.sent - worker.failed <= 2 + worker.held
    started = report.elapsed > 0 or stage.began > 0
    assert (stage.began, stage.cleaned) in {(1, 1), (0, 1)} if started else (stage.began, stage.cleaned) == (0, 0)
    if report.state in ("completed", "stopped") and started:
        assert [node.state for node in report.statistics.nodes] == ["ended"] * 3
        assert source.sent == sink.sent


ALL_STATES = {state.__name__: state for state in (*STATES, *ENDED)}
ALL_COMMANDS = {command.__name__: command for command in MAY_RAISE}


@pytest.mark.parametrize("first", ALL_COMMANDS)
@pytest.mark.parametrize("state", ALL_STATES)
def test_p9_any_two_commands_in_any_state(state: str, first: str) -> None:
    for second, at_once in itertools.product(ALL_COMMANDS, (False, True)):
        try:
            staged(ALL_STATES[state], ALL_COMMANDS[first], ALL_COMMANDS[second], at_once=at_once)
        except BaseException as error:
            error.add_note(f"{state}: {first}, {'and at once' if at_once else 'then'} {second}")
            raise

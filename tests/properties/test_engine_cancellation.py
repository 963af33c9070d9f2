"""Every way to disturb a run, at every turn of the event loop that the run takes."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pipelines import NodeError, Plumber, Report
from pipelines.testing import FuzzLoop, VirtualTimeLoop, no_leaks

from .reference import Reference, positions_put
from .running import LONGEST, LoopFactory, World, check, is_one_to_one, run_bounded
from .scenes import SCENES
from .strategies import EXPLORING

MOST_MOMENTS = 1000 if EXPLORING else 15

Disturbance = Callable[[Plumber, "asyncio.Task[Report]"], Coroutine[Any, Any, None]]


async def cancel(plumber: Plumber, running: asyncio.Task[Report]) -> None:
    running.cancel()


async def cancel_twice(plumber: Plumber, running: asyncio.Task[Report]) -> None:
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()


async def abort(plumber: Plumber, running: asyncio.Task[Report]) -> None:
    await plumber.abort()
    await plumber.abort()


async def stop(plumber: Plumber, running: asyncio.Task[Report]) -> None:
    await plumber.stop()
    await plumber.stop()


async def stop_with_deadline(plumber: Plumber, running: asyncio.Task[Report]) -> None:
    await plumber.stop(timeout=0.7)


async def stop_then_abort(plumber: Plumber, running: asyncio.Task[Report]) -> None:
    await asyncio.gather(plumber.stop(), plumber.abort())


async def pause_and_resume(plumber: Plumber, running: asyncio.Task[Report]) -> None:
    plumber.pause()
    await asyncio.sleep(5)
    plumber.resume()


async def step_by_step(plumber: Plumber, running: asyncio.Task[Report]) -> None:
    plumber.pause()
    for _ in range(4):
        plumber.step(count=2)
        await asyncio.sleep(1)
    plumber.resume()


async def pause_and_stop(plumber: Plumber, running: asyncio.Task[Report]) -> None:
    plumber.pause()
    await asyncio.sleep(1)
    await plumber.stop()


async def pause_and_abort(plumber: Plumber, running: asyncio.Task[Report]) -> None:
    plumber.pause()
    await asyncio.sleep(0)
    await plumber.abort()


DISTURBANCES: dict[str, tuple[Disturbance, set[str]]] = {
    "cancel": (cancel, {"aborted"}),
    "cancel twice": (cancel_twice, {"aborted"}),
    "abort": (abort, {"aborted"}),
    "stop": (stop, {"stopped"}),
    "stop with deadline": (stop_with_deadline, {"stopped", "aborted"}),
    "stop then abort": (stop_then_abort, {"aborted", "stopped"}),
    "pause and resume": (pause_and_resume, set()),
    "step by step": (step_by_step, set()),
    "pause and stop": (pause_and_stop, {"stopped"}),
    "pause and abort": (pause_and_abort, {"aborted"}),
}
"""By name: what is done, and the states in which the run may end besides having completed before."""


def disturbed(world: World, disturb: Disturbance, moment: int, loop_factory: LoopFactory = VirtualTimeLoop) -> int:
    """Run ``world``, and do ``disturb`` at turn ``moment`` of the loop; how many turns it took."""
    turns = 0
    tasks: list[asyncio.Task[Any]] = []

    async def main() -> None:
        with no_leaks():
            tasks.append(asyncio.create_task(world.plumber.run(collect=world.case.sinks)))
            tasks.extend(world.start_feeding())
            while pending := [task for task in tasks if not task.done()]:
                done, _ = await asyncio.wait(pending, timeout=LONGEST)
                assert done, f"hangs: {pending}"
                if tasks[0].done() and not world.began:  # it was cancelled before its first step
                    await world.plumber.abort()
            for task in tasks[1:]:
                task.result()
            tasks.clear()

    def on_turn(number: int) -> None:
        nonlocal turns
        turns = number
        if number == moment and tasks:
            loop = tasks[0].get_loop()
            tasks.append(loop.create_task(disturb(world.plumber, tasks[0])))

    run_bounded(main(), loop_factory, on_turn)
    return turns


@pytest.mark.parametrize("disturbance", DISTURBANCES)
@pytest.mark.parametrize("name", SCENES)
def test_p1_p5_p9_disturbed_at_any_moment(name: str, disturbance: str) -> None:
    case = SCENES[name]
    disturb, states = DISTURBANCES[disturbance]
    turns = disturbed(World(case), disturb, 0)
    assert turns > 10
    for moment in range(2, turns + 2, 1 + turns // MOST_MOMENTS):
        for loop_factory in (VirtualTimeLoop, functools.partial(FuzzLoop, moment)):
            world = World(case)
            disturbed(world, disturb, moment, loop_factory)
            try:
                check_end(world, states)
            except AssertionError as error:
                error.add_note(f"disturbed at turn {moment} of {loop_factory}")
                raise


def check_end(world: World, states: set[str]) -> None:
    """Whatever was done to the run: it ended as it may, nothing was doubled, and what it says is true."""
    report = world.plumber.report
    assert report is not None
    if report.state == "failed":  # a cleanup was cancelled
        assert "aborted" in states
        assert isinstance(report.error, NodeError)
        assert isinstance(report.error.__cause__, asyncio.CancelledError)
        assert world.cleaned[report.error.node] == 1
    else:
        assert report.error is None
        assert report.state in states | {"completed"}
    if report.state in ("aborted", "failed"):
        check_aborted(world, report)
    else:
        cut = report.state == "stopped"
        check(
            world, report, Reference(world.case, positions_put(world.case, report.statistics) if cut else None, cut=cut)
        )


def check_aborted(world: World, report: Report) -> None:
    """Nothing is there that should not be, and every item is in one place."""
    case = world.case
    assert world.wrong == []
    assert world.open == {}
    assert world.cleaned == world.begun
    expected = Reference(case).outputs
    for name, values in report.outputs.items():
        if case.exact[name]:
            assert values == expected[name][: len(values)], name
        else:
            assert Counter(values) <= Counter(expected[name]), name
    statistics = report.statistics
    assert {node.state for node in statistics.nodes} == {"ended"} or not world.began
    for spec in filter(is_one_to_one, case.nodes):
        counts = statistics.node(spec.name)
        lost = counts.received - counts.sent - counts.skipped - counts.failed
        assert 0 <= lost <= spec.properties["concurrency"] + counts.held, counts
    for edge in statistics.edges:
        assert edge.queued <= edge.capacity
        upstream, downstream = case.by_name[edge.upstream], case.by_name[edge.downstream]
        one_way = not edge.route and len(downstream.upstreams) == 1 and not downstream.feeders and not downstream.batch
        if one_way and all(step.action != "to" for step in upstream.steps):
            sent, received = statistics.node(edge.upstream).sent, statistics.node(edge.downstream).received
            assert sent == received + edge.queued, edge

"""Random graphs that are paused, stepped, looked at, listened to and stopped by a random script."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipelines import Report
from pipelines.testing import FuzzLoop, no_leaks

from .reference import Case, Item, Reference, positions_put
from .running import LONGEST, World, check, run_bounded
from .strategies import Shape, cases, examples

Script = list[tuple[float, str, int]]

SCRIPTS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.001, 0.5, 3.0]),
        st.sampled_from(["pause", "pause all", "resume", "step", "step all", "look", "listen", "listen a little"]),
        st.integers(0, 11),
    ),
    max_size=8,
)


class Scripted:
    """Does what a script says to a world."""

    def __init__(self, world: World, script: Script) -> None:
        self.world = world
        self.script = script
        self.heard: list[tuple[str, list[Any]]] = []
        self.listeners: list[asyncio.Task[None]] = []

    async def play(self) -> None:
        plumber, case = self.world.plumber, self.world.case
        for delay, command, number in self.script:
            await asyncio.sleep(delay)
            node = case.order[number % len(case.order)]
            if command.startswith("pause"):
                plumber.pause(None if command.endswith("all") else node)
            elif command == "resume":
                plumber.resume(node)
            elif command.startswith("step"):
                plumber.step(None if command.endswith("all") else node, 1 + number)
            elif command == "look":
                assert plumber.statistics().node(node).in_flight >= 0
            else:
                sink = case.sinks[number % len(case.sinks)]
                self.listeners.append(asyncio.create_task(self._listen(sink, 2 if "little" in command else None)))

    async def _listen(self, sink: str, most: int | None) -> None:
        heard: list[Any] = []
        self.heard.append((sink, heard))
        async with self.world.plumber.stream(sink) as stream:
            async for value in stream:
                heard.append(value)
                if len(heard) == most:
                    return
                await asyncio.sleep(len(heard) % 3)


def run_scripted(scripted: Scripted, *, stop: bool, seed: int) -> Report:
    """Run a case while a script plays; then resume, or stop."""
    world = scripted.world

    async def main() -> Report:
        with no_leaks():
            async with asyncio.timeout(LONGEST / 2):
                running = asyncio.create_task(world.plumber.run(collect=world.case.sinks))
                feeders = world.start_feeding()
                await scripted.play()
                if stop:
                    await world.plumber.stop()
                world.plumber.resume()
                report = await running
                await asyncio.gather(*feeders, *scripted.listeners)
        return report

    return run_bounded(main(), functools.partial(FuzzLoop, seed))


@examples(60)
@given(cases(Shape(max_nodes=8)), SCRIPTS, st.integers(0, 1 << 30))
def test_p1_p9_steering_changes_nothing_but_the_time(case: Case, script: Script, seed: int) -> None:
    scripted = Scripted(World(case), script)
    report = run_scripted(scripted, stop=False, seed=seed)
    check(scripted.world, report)
    check_heard(scripted, report)


@examples(60)
@given(cases(Shape(max_nodes=8)), SCRIPTS, st.integers(0, 1 << 30))
def test_p1_p9_stopping_loses_nothing_that_was_put(case: Case, script: Script, seed: int) -> None:
    scripted = Scripted(World(case), script)
    report = run_scripted(scripted, stop=True, seed=seed)
    cut = report.state == "stopped"
    put = positions_put(case, report.statistics) if cut else None
    check(scripted.world, report, Reference(case, put, cut=cut))
    check_heard(scripted, report)


def check_heard(scripted: Scripted, report: Report) -> None:
    """A stream gives what its sink returned from some moment on, in the same order."""
    for sink, heard in scripted.heard:
        keys, wanted = list(map(_key, heard)), list(map(_key, report.outputs[sink]))
        assert any(wanted[start : start + len(keys)] == keys for start in range(len(wanted) - len(keys) + 1))


def _key(value: Any) -> Any:
    return value.key if isinstance(value, Item) else value

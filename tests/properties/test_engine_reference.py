"""Random graphs against the reference interpreter, in virtual time and under shuffled schedules."""

from __future__ import annotations

import asyncio
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.testing import FuzzLoop, VirtualTimeLoop

from .reference import Case
from .running import World, check, run_world
from .strategies import Shape, cases, examples


@examples(150)
@given(cases())
def test_p1_p2_p3_p4_p5_random_graphs(case: Case) -> None:
    world = World(case)
    check(world, run_world(world))


@examples(100)
@given(cases(), st.integers(0, 1 << 30))
def test_p1_p2_p3_p4_p5_random_graphs_under_any_schedule(case: Case, seed: int) -> None:
    world = World(case)
    check(world, run_world(world, lambda: FuzzLoop(seed)))


@pytest.mark.parametrize(
    "changes",
    [
        {"pipelines.engine.flight.TIMED_EVERY": 0.0},
        {"pipelines.engine.flight.STRETCH_SECONDS": -1.0},
        {"pipelines.engine.mesh.MOST_MEMBERS": 2, "pipelines.engine.flight.WORTH_A_MESH": 0},
        {"pipelines.engine.crew.ENOUGH": 1},
    ],
    ids=lambda changes: next(iter(changes)).rpartition(".")[2],
)
@examples(60)
@given(cases(), st.integers(0, 1 << 30))
def test_p1_p2_p3_p4_p5_random_graphs_however_the_engine_is_tuned(
    changes: dict[str, float], case: Case, seed: int
) -> None:
    """Each node timed on every flight; none flying with another; small meshes, always tried; impatient crews."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in changes.items():
            patch.setattr(name, value)
        world = World(case)
        check(world, run_world(world, lambda: FuzzLoop(seed)))


@examples(15)
@given(cases(Shape(threads=True, max_nodes=6, real_time=True)))
def test_p1_p2_p3_p5_random_graphs_with_threads(case: Case) -> None:
    world = World(case, real_time=True)
    check(world, run_world(world, asyncio.new_event_loop))


if sys.version_info >= (3, 12):

    def eager_loop() -> VirtualTimeLoop:
        loop = VirtualTimeLoop()
        loop.set_task_factory(asyncio.eager_task_factory)
        return loop

    @examples(60)
    @given(cases())
    def test_p1_p2_p3_p4_p5_random_graphs_in_a_loop_with_eager_tasks(case: Case) -> None:
        world = World(case)
        check(world, run_world(world, eager_loop))

"""Worker processes of a pool are killed at random moments under load; every item comes out once, in order."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from contextlib import suppress
from typing import Any

import pytest

from pipelines import NodeError, Plumber, WorkerDiedError
from pipelines.testing import feed
from tests.contracts import executor_coros as coros
from tests.unit.graphs import line, node, same

COUNT = 1200


async def kill_now_and_then(chance: random.Random, times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(chance.uniform(0.0, 0.15))
        if workers := multiprocessing.active_children():
            with suppress(ValueError):  # it has ended by itself
                chance.choice(workers).kill()


@pytest.mark.parametrize("seed", [0, 1, *[pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 20)]])
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_p1_p2_p5_items_of_killed_workers_are_tried_again(seed, kind):
    chance = random.Random(seed)
    retry = {"retry": {"attempts": 50, "backoff": 0}}
    if kind == "plain":
        away: Any = node(coros.spin, executor="process", **retry) | {"args": {"seconds": 0.0005}}
        items = [number + 0.5 for number in range(COUNT)]
    else:
        away = node(coros.nap, executor="process", **retry)
        items = [chance.uniform(0.0, 0.05) for _ in range(COUNT // 2)]
    plumber = Plumber(line(inp=feed(items), n=away, out=same))
    async with asyncio.TaskGroup() as group:
        killing = group.create_task(kill_now_and_then(chance, 8))
        report = await plumber.run(collect=["out"])
        killing.cancel()
    assert report.outputs["out"] == items
    assert multiprocessing.active_children() == []


async def test_p6_without_a_retry_the_run_fails_and_says_why():
    plumber = Plumber(line(inp=feed([1, 2, 3]), n=node(coros.die_at_two, executor="process")))
    with pytest.raises(NodeError, match="ended by SIGKILL in the middle of the call") as caught:
        await plumber.run()
    assert caught.value.item == 2
    assert isinstance(caught.value.__cause__, WorkerDiedError)
    assert caught.value.__cause__.exitcode == -9

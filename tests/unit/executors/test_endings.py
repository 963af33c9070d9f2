"""Runs with nodes on executors that end at an awkward moment: nothing hangs, nobody else suffers, nothing is left."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from pipelines import NodeError, Plumber, TravelError
from pipelines.executors.process import ProcessExecutor
from pipelines.executors.thread import ThreadExecutor
from pipelines.testing import feed
from tests.contracts import executor_coros as coros
from tests.unit.graphs import FED, graph, line, node, same

ROOT = Path(__file__).parents[3]
BOTH = pytest.mark.parametrize("executor", ["thread", "process"])


async def until(predicate: Any) -> None:
    while not predicate():
        await asyncio.sleep(0.002)


@BOTH
async def test_p6_a_failure_ends_calls_that_have_not_made_their_first_step(executor):
    async def fail(self, q_elt):
        raise ValueError("elsewhere")

    for _ in range(5):
        given = graph({"inp": ["n", "f"]}, inp=feed(range(50)), n=node(coros.nap, executor=executor), f=fail)
        async with asyncio.timeout(20):
            with pytest.raises(NodeError, match="elsewhere"):
                await Plumber(given).run()


@BOTH
@pytest.mark.parametrize("command", ["fail", "abort"])
async def test_p5_a_setup_that_hangs_can_be_ended(executor, command, tmp_path):
    async def fail(self, q_elt):
        await until((tmp_path / "begun").exists)
        raise ValueError("elsewhere")

    n = node(coros.same, executor=executor, setup=coros.hang_in_setup)
    given = graph({"inp": ["n", "f"]}, inp=feed([1]), n=n, f=fail if command == "fail" else same)
    plumber = Plumber(given, None, {"place": str(tmp_path)})
    plumber.create_pipeline()
    await until((tmp_path / "begun").exists)
    async with asyncio.timeout(20):
        if command == "abort":
            await plumber.abort()
        else:
            with pytest.raises(NodeError, match="elsewhere"):
                await plumber.wait()


async def test_calls_of_another_graph_survive_an_abort():
    async with ProcessExecutor(1) as shared:
        executors = {"mine": shared}
        other = Plumber(line(inp=feed([0.4] * 20), n=node(coros.nap, executor="mine")), executors=executors)
        running = asyncio.create_task(other.run(collect=["n"]))
        for _ in range(3):
            stubborn = Plumber(
                line(inp=feed([1]), n=node(coros.ignore_cancellation, executor="mine")), executors=executors
            )
            stubborn.create_pipeline()
            await until(lambda plumber=stubborn: plumber.statistics().node("n").in_flight)
            await asyncio.sleep(0.05)
            async with asyncio.timeout(20):
                await stubborn.abort()
        assert (await running).outputs["n"] == [0.4] * 20


async def test_p6_a_coroutines_result_that_cannot_be_read_fails_alone():
    given = line(inp=feed(range(100)), n=node(coros.unreadable_later, executor="process", on_error="skip"), out=same)
    report = await Plumber(given).run(collect=["out"])
    assert report.outputs["out"] == [item for item in range(100) if item != 1]
    assert [(each.item, type(each.error)) for each in report.failures] == [(1, TravelError)]


async def test_a_lost_call_does_not_widen_an_executor():
    lock, running, most = threading.Lock(), [0], [0]

    def work(self, q_elt):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.2 if q_elt[0] == 0 else 0.01)
        with lock:
            running[0] -= 1

    nodes = {name: node(work, executor="mine", on_error="skip") for name in ("a", "b")}
    nodes["a"]["properties"]["timeout"] = 0.05
    given = graph({"inp": ["a", "b"]}, inp=feed(range(20)), **nodes)
    await Plumber(given, executors={"mine": ThreadExecutor(1)}).run()
    assert most[0] <= 2  # the one that was lost, and one in its place


async def test_p7_an_executor_that_is_in_use_elsewhere_fails_the_run():
    ready, gate = threading.Event(), threading.Event()
    shared = ThreadExecutor(1)

    async def hold():
        async with shared:
            ready.set()
            while not gate.is_set():
                await asyncio.sleep(0.005)

    other = threading.Thread(target=lambda: asyncio.run(hold()))
    other.start()
    ready.wait()
    try:
        mine = ThreadExecutor(1)
        given = graph({"inp": ["a", "b"]}, inp=FED, a=node(same, executor="mine"), b=node(same, executor="theirs"))
        plumber = Plumber(given, executors={"mine": mine, "theirs": shared})
        with pytest.raises(RuntimeError, match="used by one event loop at a time"):
            await plumber.run()
        assert mine._users == 0
        await plumber.abort()
    finally:
        gate.set()
        other.join()


@BOTH
@pytest.mark.parametrize("gap", [0.0, 0.01, 0.05])
async def test_p5_two_aborts_leave_nothing(executor, gap, tmp_path):
    given = line(inp=feed(range(200)), n=node(coros.nap, executor=executor), m=node(coros.double, executor=executor))
    plumber = Plumber(given)
    plumber.create_pipeline()
    await asyncio.sleep(gap)
    first = asyncio.create_task(plumber.abort())
    await asyncio.sleep(gap / 4)
    await plumber.abort()
    await first
    assert multiprocessing.active_children() == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pipelines")]


@BOTH
def test_p5_a_program_that_returns_with_a_started_graph_ends(executor, tmp_path):
    file = tmp_path / "script.py"
    text = f"""
    import asyncio
    from pipelines import Plumber
    from tests.contracts import executor_coros as coros

    graph = {{
        "nodes": {{"inp": {{}}, "n": {{"coro": coros.double, "properties": {{"executor": "{executor}"}}}}}},
        "graph": {{"inp": ["n"]}},
    }}

    async def main():
        plumber = Plumber(graph)
        plumber.create_pipeline()
        print(await plumber.submit(1))

    if __name__ == "__main__":
        asyncio.run(main())
    """
    file.write_text(textwrap.dedent(text))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(file)], env=environment, capture_output=True, text=True, timeout=40, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")

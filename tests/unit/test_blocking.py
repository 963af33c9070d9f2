"""``pipelines.run``: a graph from synchronous code, drained by the first signal and aborted by the second."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import pipelines
from pipelines import GraphError, NodeError, Plumber, Report, StateError
from pipelines.blocking import run_with_signals
from pipelines.testing import feed
from tests.unit.graphs import Listener, failing, line, node, same, sleeper

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])


async def endless(self, output_q):
    """A source that would never end; the first items are let through before anything else happens."""
    for number in range(1_000_000):
        await output_q.put(number)
        await asyncio.sleep(0.001)


class TestRun:
    def test_it_runs_a_graph_to_its_end_and_reports(self):
        report = pipelines.run(line(inp=feed([1, 2]), out=same), collect=["out"])
        assert isinstance(report, Report)
        assert (report.state, report.outputs) == ("completed", {"out": [1, 2]})

    def test_it_takes_the_arguments_of_plumber(self):
        async def look(self, q_elt):
            return self.sid

        told = Listener()
        report = pipelines.run(
            line(inp="inp", out="look"),
            {"inp": feed([1]), "look": look},
            {"sid": 7},
            collect=["out"],
            name="demo",
            defaults={"queue_size": 3},
            hooks=[told],
        )
        assert (report.name, report.outputs, report.statistics.edges[0].capacity) == ("demo", {"out": [7]}, 3)
        assert told.story[-1] == "RunEnded"

    def test_it_raises_what_a_run_raises(self):
        with pytest.raises(NodeError, match="no 1"):
            pipelines.run(line(inp=feed([1]), out=failing(1)))
        with pytest.raises(GraphError):
            pipelines.run({"nodes": {}, "graph": {}})

    @pytest.mark.virtual_time
    async def test_in_a_running_loop_it_says_what_to_call(self):
        with pytest.raises(StateError, match="await"):
            pipelines.run(line(inp=feed([1]), out=same))

    def test_outside_the_main_thread_it_just_runs(self):
        reports: list[Any] = []
        thread = threading.Thread(target=lambda: reports.append(pipelines.run(line(inp=feed([1]), out=same))))
        thread.start()
        thread.join()
        assert reports[0].state == "completed"


class TestSignals:
    """Signals that come while a graph runs; a coro raises them, so that the moment is known."""

    @SIGNALS
    def test_the_first_drains(self, number):
        async def out(self, q_elt):
            if q_elt[0] == 3:
                signal.raise_signal(number)
            await asyncio.sleep(0.01)
            return q_elt[0]

        report = pipelines.run(line(inp=endless, out=out), collect=["out"])
        assert report.state == "stopped"
        assert report.statistics.items_in == len(report.outputs["out"]) >= 4

    @SIGNALS
    def test_the_second_aborts(self, number):
        async def out(self, q_elt):
            if q_elt[0] == 0:
                for _ in range(2):
                    signal.raise_signal(number)
                    await asyncio.sleep(0.01)
            await asyncio.sleep(1000)

        report = pipelines.run(line(inp=endless, out=out))
        assert report.state == "aborted"

    def test_every_further_one_is_a_keyboard_interrupt(self):
        async def stubborn(self, q_elt):
            for _ in range(3):
                signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(1000)

        with pytest.raises(KeyboardInterrupt):
            pipelines.run(line(inp=endless, out=stubborn))

    def test_they_are_counted_while_a_coro_blocks_the_loop(self):
        def out(self, q_elt):
            if q_elt[0] == 0:
                signal.raise_signal(signal.SIGINT)
                time.sleep(0.001)
                signal.raise_signal(signal.SIGTERM)

        assert pipelines.run(line(inp=endless, out=out)).state == "aborted"

    def test_somebody_can_be_told_of_each(self):
        told: list[int] = []

        async def out(self, q_elt):
            if q_elt[0] == 0:
                for _ in range(2):
                    signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(1000)

        plumber = Plumber(line(inp=endless, out=out))
        report = asyncio.run(run_with_signals(plumber, on_signal=told.append))
        assert (report.state, told) == ("aborted", [1, 2])

    @pytest.mark.parametrize("coro", [same, failing(1)], ids=["completed", "failed"])
    def test_afterwards_they_mean_what_they_meant_before(self, coro):
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        try:
            pipelines.run(line(inp=feed([1]), out=coro))
        except NodeError:
            pass
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

    def test_a_failure_while_it_drains_is_raised(self):
        async def out(self, q_elt):
            if q_elt[0] == 0:
                signal.raise_signal(signal.SIGINT)
                await asyncio.sleep(0.01)
                raise ValueError("while draining")
            return q_elt[0]

        with pytest.raises(NodeError, match="while draining"):
            pipelines.run(line(inp=endless, out=out))

    def test_a_signal_at_the_very_end_disturbs_nobody(self):
        async def cleanup(self):
            signal.raise_signal(signal.SIGINT)

        report = pipelines.run(line(inp=feed([1]), out=node(same, cleanup=cleanup)), collect=["out"])
        assert report.outputs == {"out": [1]}


SCRIPT = """
import asyncio
import pipelines

async def inp(self, output_q):
    for number in range(10**9):
        await output_q.put(number)
        await asyncio.sleep(0.001)

async def out(self, q_elt):
    if q_elt[0] == 0:
        print("running", flush=True)
    await asyncio.sleep(0.01)

given = {"nodes": {"inp": {"coro": inp}, "out": {"coro": out}}, "graph": {"inp": ["out"]}}
report = pipelines.run(given)
print(report.state, report.statistics.items_in == report.statistics.items_out, flush=True)
"""


@SIGNALS
def test_a_signal_from_outside_drains_a_program(number):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (0, "stopped True\n", "")


@pytest.mark.virtual_time
async def test_a_sleeping_graph_is_drained_in_the_callers_own_loop():
    plumber = Plumber(line(inp=feed(range(10), delay=1), out=sleeper(5)))
    running = asyncio.create_task(run_with_signals(plumber))
    await asyncio.sleep(3.5)
    signal.raise_signal(signal.SIGINT)
    report = await running
    assert (report.state, report.statistics.items_out, report.elapsed) == ("stopped", 3, 8.0)

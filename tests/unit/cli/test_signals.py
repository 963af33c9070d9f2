"""What signals do to a run, also where there is no command line."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any

import pytest

import pipelines
from pipelines import Plumber, Report
from pipelines.blocking import run_with_signals


async def forever(self: Any, output_q: Any) -> None:
    while True:
        await output_q.put(1)
        await asyncio.sleep(0)


def interrupting(times: int) -> Any:
    async def interrupt(self: Any, q_elt: Any) -> Any:
        """Send signals at the first item: one and go on, or two and wait, or a third while being cancelled."""
        if self.env_vars:
            return q_elt[0]
        self.env_vars["sent"] = True
        for _ in range(min(times, 2)):
            signal.raise_signal(signal.SIGINT)
        try:
            if times > 1:
                await asyncio.Event().wait()
        finally:
            if times > 2:
                signal.raise_signal(signal.SIGINT)
        return q_elt[0]

    return interrupt


def graph(times: int) -> dict[str, Any]:
    return {"nodes": {"inp": {"coro": forever}, "out": {"coro": interrupting(times)}}, "graph": {"inp": ["out"]}}


def test_p1_the_first_signal_drains_a_blocking_run() -> None:
    report = pipelines.run(graph(1), env_vars={}, collect=["out"])
    assert report.state == "stopped"
    assert len(report.outputs["out"]) == report.statistics.items_in >= 1


def test_p5_the_second_signal_aborts_a_blocking_run() -> None:
    assert pipelines.run(graph(2), env_vars={}).state == "aborted"


def test_the_third_signal_interrupts_like_in_any_program() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        pipelines.run(graph(3), env_vars={})
    assert signal.getsignal(signal.SIGINT) is before


async def test_signals_are_counted_and_nothing_is_left() -> None:
    told: list[int] = []
    report = await run_with_signals(Plumber(graph(2), env_vars={}), on_signal=told.append)
    assert (report.state, told) == ("aborted", [1, 2])


async def test_a_signal_after_the_end_is_not_for_the_graph() -> None:
    before = signal.getsignal(signal.SIGTERM)
    await run_with_signals(Plumber({"nodes": {"inp": {"coro": lambda self: [1]}}, "graph": {}}))
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    reports: list[Report] = []
    before = signal.getsignal(signal.SIGINT)

    def keep(self: Any, q_elt: Any) -> bool:
        return signal.getsignal(signal.SIGINT) is before

    nodes = {"inp": {"coro": lambda self: [1]}, "out": {"coro": keep}}
    input_d = {"nodes": nodes, "graph": {"inp": ["out"]}}
    thread = threading.Thread(target=lambda: reports.append(pipelines.run(input_d, collect=["out"])))
    thread.start()
    thread.join()
    assert reports[0].outputs == {"out": [True]}


def test_a_signal_is_counted_while_a_coro_blocks_the_loop() -> None:
    told: list[int] = []

    def block(self: Any, q_elt: Any) -> None:
        if not told:
            os.kill(os.getpid(), signal.SIGTERM)
        while not told:  # would be for ever if the loop had to see the signal first
            pass

    nodes = {"inp": {"coro": forever}, "out": {"coro": block}}
    report = asyncio.run(run_with_signals(Plumber({"nodes": nodes, "graph": {"inp": ["out"]}}), on_signal=told.append))
    assert (report.state, told) == ("stopped", [1])

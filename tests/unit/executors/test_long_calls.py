"""Calls on an executor that take longer than a graph may stand still."""

from __future__ import annotations

import threading

from pipelines import Plumber
from pipelines.engine import stalls
from pipelines.events import Event, Stalled
from pipelines.testing import feed
from tests.unit.graphs import line, node, same


async def test_p6_a_long_call_elsewhere_is_told_but_fails_nothing(monkeypatch):
    monkeypatch.setattr(stalls, "STALL_AFTER", 0.05)
    gate, told = threading.Event(), []

    def hook(event: Event) -> None:
        if isinstance(event, Stalled):
            told.append(event)
            gate.set()

    n = node(lambda self, q_elt: gate.wait(30), executor="thread")
    report = await Plumber(line(inp=feed([1]), n=n, out=same), hooks=[hook]).run(collect=["out"])
    assert report.outputs["out"] == [True]
    assert told

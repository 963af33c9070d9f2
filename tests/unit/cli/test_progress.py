from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipelines import Graph, Statistics
from pipelines.cli.progress import SHARE, Lines, Moment, Recent, Silent, watch
from pipelines.statistics import EdgeStatistics, NodeStatistics

GRAPH = Graph.parse({"nodes": {"a": {}, "b": {"coro": "x"}, "c": {"coro": "x"}}, "graph": {"a": ["b"], "b": ["c"]}})


def node(name: str, received: int = 0, sent: int = 0, **more: Any) -> NodeStatistics:
    given = {"state": "busy", "skipped": 0, "failed": 0, "in_flight": 0, **more}
    return NodeStatistics(
        name=name,
        received=received,
        sent=sent,
        retried=0,
        held=0,
        busy=0.0,
        waiting=0.0,
        blocked=0.0,
        latency_p50=None,
        latency_p99=None,
        **given,
    )


def snapshot(elapsed: float, a: int = 0, b: int = 0, c: int = 0, **more: Any) -> Statistics:
    """So many items sent by ``a``, received by ``b`` and ``c``; all of them came out."""
    nodes = (node("a", 0, a), node("b", b, 0, in_flight=2, skipped=1), node("c", c, c, failed=3))
    edges = (EdgeStatistics("a", "b", 3, 4, 4, 0), EdgeStatistics("b", "c", 0, 4, 0, 0))
    given = {"nodes": nodes, "edges": edges, "state": "running", **more}
    return Statistics("run", elapsed=elapsed, items_in=a, items_out=c, rate_in=0.0, rate_out=0.0, **given)


def test_the_first_rates_are_since_the_start() -> None:
    moment = Recent(GRAPH).moment(snapshot(0.5, a=100, b=50, c=10))
    assert (moment.rate_in, moment.rate_out) == (200, 20)
    assert moment.rates == {"a": 200, "b": 100, "c": 20}


def test_rates_are_over_the_last_second() -> None:
    recent = Recent(GRAPH)
    for elapsed, count in ((0.2, 1000), (0.4, 2000), (0.9, 2500)):
        recent.moment(snapshot(elapsed, a=count))
    # The last snapshot that is a second old is that of 0.4 s.
    assert recent.moment(snapshot(1.5, a=3100)).rates["a"] == pytest.approx(1000)
    assert recent.moment(snapshot(3.0, a=3100)).rates["a"] == 0
    assert len(recent._past) <= 3


def test_before_the_start_nothing_is_divided_by_zero() -> None:
    recent = Recent(GRAPH)
    assert recent.moment(snapshot(0.0)).rates == {"a": 0, "b": 0, "c": 0}
    assert recent.moment(snapshot(0.0)).still


def test_a_moment_knows_whether_anything_moves() -> None:
    recent = Recent(GRAPH)
    assert not recent.moment(snapshot(1.0, a=1)).still
    assert recent.moment(snapshot(2.5, a=1)).still


def test_a_line_holds_time_counts_rates_and_failures(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(0.5)
    lines.show(Recent(GRAPH).moment(snapshot(2.0, a=2000, b=10, c=1)))
    lines.say("so it\nis")
    lines.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "2.0 s  running  in 2,000 (1,000/s)  out 1 (0.5/s)  in flight 2  skipped 1  failed 3",
        "so it\\nis",
    ]


def test_a_line_tells_who_waits_when_nothing_moves(capsys: pytest.CaptureFixture[str]) -> None:
    lines, recent = Lines(), Recent(GRAPH)
    lines.show(recent.moment(snapshot(1.0, a=5, waits=("'a' waits",))))
    lines.show(recent.moment(snapshot(2.0, a=5, waits=("'a' waits", "'b\x1b' waits"))))
    first, second = capsys.readouterr().err.splitlines()
    assert "waits" not in first
    assert second.endswith("failed 3  nothing moves: 'a' waits; 'b\\x1b' waits")


def test_the_silent_view_wants_no_snapshots(capsys: pytest.CaptureFixture[str]) -> None:
    view = Silent()
    view.show(Recent(GRAPH).moment(snapshot(1.0)))
    view.say("x")
    view.close()
    assert (view.interval, capsys.readouterr()) == (0, ("", ""))


class Slow:
    """A view for which every look costs the same time; it leaves, like a closed terminal, after some."""

    interval = 0.2

    def __init__(self, cost: float, looks: int) -> None:
        self.cost = cost
        self.looks = looks
        self.spent = 0.0
        self.at: list[float] = []

    def clock(self) -> float:
        return self.spent

    def show(self, moment: Moment) -> None:
        self.spent += self.cost
        self.at.append(asyncio.get_running_loop().time())
        if len(self.at) == self.looks:
            raise BrokenPipeError

    def say(self, text: str) -> None:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


@pytest.mark.virtual_time
async def test_watching_takes_a_small_share_of_the_time() -> None:
    view = Slow(cost=0.1, looks=4)
    await watch(lambda: snapshot(1.0), Recent(GRAPH), view, view.clock)
    gaps = [after - before for before, after in zip(view.at, view.at[1:], strict=False)]
    assert gaps == pytest.approx([0.1 / SHARE] * 3)
    assert SHARE <= 0.02


@pytest.mark.virtual_time
async def test_watching_is_not_more_frequent_than_the_view_wants() -> None:
    view = Slow(cost=0.0001, looks=6)
    await watch(lambda: snapshot(1.0), Recent(GRAPH), view, view.clock)
    assert view.at == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])

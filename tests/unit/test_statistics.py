"""The counts of a run as frozen, JSON-able snapshots, and the report of its end."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from pipelines import FailedItem, NodeError, Plumber, Report, Statistics
from pipelines.statistics import BLOCKED, BUSY, WAITING, EdgeStatistics, Latency, Meter, NodeStatistics
from pipelines.testing import feed
from tests.unit.graphs import failed, failing, line, node, same, sleeper

NODE = NodeStatistics("n", "ended", 3, 2, 1, 0, 0, 0, 0, 0.5, 0.25, 0.25, 0.1, 0.2)
EDGE = EdgeStatistics("inp", "n", 0, 64, 3, 0)
SNAPSHOT = Statistics("demo", "completed", 2.0, 3, 2, 1.5, 1.0, (NODE,), (EDGE,))


class TestLatency:
    def test_knows_nothing_before_the_first(self):
        assert Latency().quantile(0.5) is None

    @pytest.mark.parametrize("seconds", [1e-9, 3.7e-6, 0.001, 0.9999, 1.0, 1.5, 1000.0])
    def test_is_off_by_less_than_an_eighth(self, seconds):
        latency = Latency()
        latency.add(seconds)
        assert latency.quantile(0.5) == pytest.approx(seconds, rel=1 / 8)

    @pytest.mark.parametrize("seconds", [0.0, -1.0])
    def test_takes_no_time_for_a_very_short_one(self, seconds):
        latency = Latency()
        latency.add(seconds)
        assert latency.quantile(0.5) == pytest.approx(0.0, abs=1e-8)

    def test_quantiles_are_shares_of_all(self):
        latency = Latency()
        for seconds in [0.001] * 98 + [5.0] * 2:
            latency.add(seconds)
        assert latency.quantile(0.5) == pytest.approx(0.001, rel=0.13)
        assert latency.quantile(0.98) == pytest.approx(0.001, rel=0.13)
        assert latency.quantile(0.99) == pytest.approx(5.0, rel=0.13)

    def test_p4_needs_no_more_room_for_more_durations(self):
        latency = Latency()
        for number in range(10_000):
            latency.add(0.001 + number * 1e-7)
        assert len(latency._counts) < 20


class TestMeter:
    def test_time_is_spent_in_one_state_after_the_other(self):
        meter = Meter(10.0)
        meter.enter(BUSY, 12.0)
        meter.enter(BLOCKED, 15.0)
        meter.enter(WAITING, 16.0)
        assert (meter.spent[WAITING], meter.spent[BUSY], meter.spent[BLOCKED]) == (2.0, 3.0, 1.0)

    def test_shares_count_the_state_that_lasts(self):
        meter = Meter(0.0)
        meter.enter(BUSY, 2.0)
        assert meter.shares(4.0, 4.0) == (0.5, 0.5, 0.0)

    @pytest.mark.parametrize(("elapsed", "now"), [(0.0, 0.0), (1.0, 0.5), (1.0, 3.0)])
    def test_no_share_is_less_than_nothing_or_more_than_all(self, elapsed, now):
        shares = Meter(1.0).shares(elapsed, now)
        assert all(0.0 <= share <= 1.0 for share in shares)


class TestSnapshot:
    def test_finds_nodes_and_edges_by_name(self):
        assert SNAPSHOT.node("n") is NODE
        assert SNAPSHOT.edge("inp", "n") is EDGE

    def test_refuses_what_is_not_there(self):
        with pytest.raises(KeyError, match="otu"):
            SNAPSHOT.node("otu")
        with pytest.raises(KeyError, match="otu"):
            SNAPSHOT.edge("n", "otu")

    @pytest.mark.parametrize(("record", "name"), [(NODE, "sent"), (EDGE, "queued"), (SNAPSHOT, "state")])
    def test_is_frozen(self, record, name):
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, 1)

    def test_is_json_able(self):
        told = json.loads(json.dumps(SNAPSHOT.to_dict(), allow_nan=False))
        assert told["nodes"][0]["received"] == 3
        assert told["edges"][0] == {
            "upstream": "inp",
            "downstream": "n",
            "queued": 0,
            "capacity": 64,
            "peak": 3,
            "dropped": 0,
            "route": False,
        }


def report(state: Any = "completed", **fields: Any) -> Report:
    return Report("demo", state, SNAPSHOT, **fields)


class TestReport:
    @pytest.mark.parametrize(
        ("state", "lost", "ok"),
        [("completed", 0, True), ("completed", 1, False), ("stopped", 0, False), ("failed", 1, False)],
    )
    def test_ok_says_that_all_went_well(self, state, lost, ok):
        statistics = replace(SNAPSHOT, nodes=(replace(NODE, failed=lost),))
        assert Report("demo", state, statistics).ok is ok

    def test_elapsed_is_the_last_snapshots(self):
        assert report().elapsed == 2.0

    def test_to_dict_is_json_able_with_errors_as_text(self):
        told = report(
            "failed",
            outputs={"out": [1, 2]},
            failures=(FailedItem(b"x", "n", ValueError("no"), 2),),
            error=NodeError("n", "x", cause=ValueError("no")),
        ).to_dict()
        assert json.loads(json.dumps(told)) == told | {"statistics": json.loads(json.dumps(told["statistics"]))}
        assert told["outputs"] == {"out": [1, 2]}
        assert told["failures"] == [{"node": "n", "item": "b'x'", "error": "ValueError('no')", "attempts": 2}]
        assert told["error"] == "node 'n' failed on item 'x': ValueError: no"
        assert (told["name"], told["state"]) == ("demo", "failed")

    def test_to_dict_without_an_error(self):
        assert report().to_dict()["error"] is None


@pytest.mark.virtual_time
class TestOfARun:
    async def test_p1_every_item_is_accounted_for(self):
        given = line(inp=feed(range(10)), n=node(failing(3, 4), on_error="skip"), out=same)
        run = await Plumber(given).run()
        n = run.statistics.node("n")
        assert (n.received, n.sent, n.failed, n.in_flight) == (10, 8, 2, 0)
        assert (run.statistics.items_in, run.statistics.items_out) == (10, 8)
        assert not run.ok

    @pytest.mark.parametrize("suspends", [False, True])
    async def test_p1_also_of_a_failed_run(self, suspends):
        bad = failing(5)

        async def n(self, q_elt):
            if suspends:
                await sleeper(1)(self, q_elt)
            return await bad(self, q_elt)

        run = await failed(Plumber(line(inp=feed(range(10)), n=node(n, concurrency=1), out=same)))
        stats = run.statistics.node("n")
        assert (stats.received, stats.sent, stats.failed, stats.held, stats.in_flight) == (6, 5, 1, 0, 0)
        assert run.statistics.node("inp").sent == 10

    async def test_p1_a_source_that_fails_has_sent_what_it_sent(self):
        def three(self):
            yield from range(3)
            raise ValueError("no more")

        run = await failed(Plumber(line(inp=three, out=same)))
        assert run.statistics.node("inp").sent == 3

    async def test_the_first_hundred_failures_are_told_and_all_are_counted(self):
        given = line(inp=feed(range(250)), out=node(failing(*range(250)), on_error="skip"))
        run = await Plumber(given).run()
        assert [each.item for each in run.failures] == list(range(100))
        assert run.statistics.node("out").failed == 250

    async def test_rates_are_per_second_of_the_whole_run(self):
        run = await Plumber(line(inp=feed(range(10), delay=1), out=same)).run()
        assert (run.elapsed, run.statistics.rate_in, run.statistics.rate_out) == (10.0, 1.0, 1.0)

    async def test_shares_of_a_busy_a_waiting_and_a_blocked_node(self):
        given = line(
            inp=node(feed(range(10))),
            fast=node(same, queue_size=1),
            slow=node(sleeper(1), concurrency=1, queue_size=1),
        )
        stats = (await Plumber(given).run()).statistics
        assert stats.node("slow").busy == pytest.approx(1.0)
        assert stats.node("fast").blocked >= 0.7
        for each in stats.nodes:
            assert each.busy + each.waiting + each.blocked <= 1.0 + 1e-9

    async def test_latency_is_that_of_one_call(self):
        run = await Plumber(line(inp=feed(range(20)), out=sleeper(lambda item: 9.0 if item == 7 else 1.0))).run()
        assert run.statistics.node("out").latency_p50 == pytest.approx(1.0, rel=0.13)
        assert run.statistics.node("out").latency_p99 == pytest.approx(9.0, rel=0.13)

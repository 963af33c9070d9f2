"""``statistics()`` in every state of a run, and who waits for whom when nothing moves."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pipelines import SKIP, Plumber, Statistics
from pipelines.testing import feed
from tests.unit.graphs import FED, failed, failing, graph, line, node, quiet, same, sleeper

pytestmark = pytest.mark.virtual_time


def told(snapshot: Statistics) -> Statistics:
    """The snapshot, after a look at whether it is JSON-able."""
    json.dumps(snapshot.to_dict(), allow_nan=False)
    return snapshot


class TestStates:
    async def test_new(self):
        plumber = Plumber(line(inp=feed([1]), n=same, out=same), name="demo")
        snapshot = told(plumber.statistics())
        assert (snapshot.name, snapshot.state, snapshot.elapsed, snapshot.rate_in) == ("demo", "new", 0.0, 0.0)
        assert [(each.name, each.state, each.received) for each in snapshot.nodes] == [
            ("inp", "starting", 0),
            ("n", "starting", 0),
            ("out", "starting", 0),
        ]
        assert [(each.upstream, each.downstream, each.queued) for each in snapshot.edges] == [
            ("inp", "n", 0),
            ("n", "out", 0),
        ]

    async def test_new_with_items_inside(self):
        plumber = Plumber(line(inp=FED, out=same))
        await plumber.put("inp", 1)
        snapshot = told(plumber.statistics())
        assert (snapshot.state, snapshot.items_in, snapshot.edge("inp", "out").queued) == ("new", 1, 1)

    async def test_running(self):
        plumber = Plumber(line(inp=feed(range(100), delay=1), n=sleeper(2.5), out=same))
        plumber.create_pipeline()
        await asyncio.sleep(5.2)
        snapshot = told(plumber.statistics())
        assert (snapshot.state, snapshot.elapsed) == ("running", 5.2)
        assert (snapshot.items_in, snapshot.items_out) == (5, 2)
        assert (snapshot.node("n").received, snapshot.node("n").in_flight, snapshot.node("n").sent) == (5, 3, 2)
        assert [each.state for each in snapshot.nodes] == ["busy", "busy", "waiting"]
        await plumber.abort()

    @pytest.mark.parametrize("end", ["completed", "failed", "stopped", "aborted"])
    async def test_ended(self, end):
        plumber = Plumber(line(inp=feed(range(5), delay=1), out=failing(*[2] if end == "failed" else [])))
        if end == "failed":
            await failed(plumber)
        elif end == "completed":
            await plumber.run()
        else:
            plumber.create_pipeline()
            await asyncio.sleep(2.5)
            await (plumber.stop() if end == "stopped" else plumber.abort())
        snapshot = told(plumber.statistics())
        assert snapshot.state == end
        assert plumber.report is not None
        assert plumber.report.statistics == snapshot
        assert snapshot.waits == ()
        if end in ("completed", "stopped"):
            assert {each.state for each in snapshot.nodes} == {"ended"}

    @pytest.mark.parametrize(("command", "state"), [("stop", "stopped"), ("abort", "aborted")])
    async def test_ended_without_a_start(self, command, state):
        plumber = Plumber(line(inp=FED, out=same))
        await getattr(plumber, command)()
        snapshot = told(plumber.statistics())
        assert (snapshot.state, snapshot.elapsed) == (state, 0.0)

    async def test_every_state_that_is_told_is_documented(self):
        for state in ("new", "running", "paused", "draining", "aborting", "completed", "failed", "stopped", "aborted"):
            assert f"``{state}``" in str(Statistics.__doc__)

    async def test_a_node_whose_setup_runs_is_starting(self):
        async def setup(self):
            await asyncio.sleep(5)

        plumber = Plumber(line(inp=node(feed([1]), setup=setup), n=node(same, setup=setup), out=same))
        plumber.create_pipeline()
        await asyncio.sleep(1)
        assert [each.state for each in plumber.statistics().nodes] == ["starting", "starting", "waiting"]
        await plumber.abort()

    @pytest.mark.parametrize("overflow", ["block", "drop_new", "drop_old"])
    async def test_p4_at_no_moment_is_more_inside_than_there_is_room_for(self, overflow):
        async def uneven(self, q_elt):
            await asyncio.sleep(q_elt[0] % 7)
            if q_elt[0] % 5 == 0:
                raise ValueError
            return q_elt[0] if q_elt[0] % 3 else SKIP

        bounded: dict[str, Any] = {"queue_size": 3, "concurrency": 2, "on_error": {"route": "dead"}}
        given = graph(
            {"inp": ["a", "b"], "a": ["z"], "b": ["z"]},
            inp=feed(range(300), delay=0.25),
            a=node(uneven, **bounded),
            b=node(sleeper(0.7), queue_size=2, concurrency=2, overflow=overflow),
            z=node(sleeper(0.5), queue_size=2, concurrency=2),
            dead=node(sleeper(3), queue_size=2, concurrency=2),
        )
        plumber = Plumber(given)
        run = asyncio.create_task(plumber.run())
        looks = 0
        while not run.done():
            await asyncio.sleep(0.1)
            snapshot = plumber.statistics()
            assert all(edge.queued <= edge.peak <= edge.capacity for edge in snapshot.edges)
            assert all(snapshot.node(name).in_flight <= 2 for name in ("a", "b", "z", "dead"))
            looks += 1
        assert looks > 500
        assert (await run).state == "completed"

    async def test_a_snapshot_does_not_change(self):
        plumber = Plumber(line(inp=feed(range(100), delay=1), out=same))
        plumber.create_pipeline()
        await asyncio.sleep(5.5)
        snapshot = plumber.statistics()
        before = snapshot.to_dict()
        await asyncio.sleep(5)
        assert snapshot.to_dict() == before
        await plumber.abort()

    async def test_the_most_there_ever_was_in_a_channel(self):
        plumber = Plumber(line(inp=feed(range(50)), out=node(sleeper(1), queue_size=7, concurrency=1)))
        report = await plumber.run()
        assert (report.statistics.edge("inp", "out").peak, report.statistics.edge("inp", "out").queued) == (7, 0)

    async def test_the_peak_of_a_channel_that_was_never_read(self):
        plumber = Plumber(line(inp=feed(range(5)), out=same))
        plumber.pause("out")
        plumber.create_pipeline()
        await quiet()
        assert plumber.statistics().edge("inp", "out").peak == 5
        await plumber.abort()


class TestWaits:
    """One sentence a node, from the first that waits, over the one it waits for, to the reason."""

    async def path(self, plumber: Plumber, seconds: float = 1.0) -> tuple[str, ...]:
        plumber.create_pipeline()
        await asyncio.sleep(seconds)
        waits = told(plumber.statistics()).waits
        await plumber.abort()
        return waits

    async def test_nothing_is_inside(self):
        assert await self.path(Plumber(line(inp=FED, out=same))) == ()

    async def test_before_the_start_nobody_waits(self):
        assert Plumber(line(inp=FED, out=same)).statistics().waits == ()

    async def test_a_paused_node_at_the_end_of_a_chain(self):
        plumber = Plumber(line(inp=feed(range(99)), a=node(same, queue_size=2), b=node(same, queue_size=1)))
        plumber.pause("b")
        assert await self.path(plumber) == (
            "'inp' waits for room in 'a' (2/2)",
            "'a' waits for room in 'b' (1/1)",
            "'b' is paused",
        )

    async def test_a_call_that_takes_long(self):
        out = node(sleeper(100), queue_size=1, concurrency=2)
        assert await self.path(Plumber(line(inp=feed(range(99)), out=out))) == (
            "'inp' waits for room in 'out' (1/1)",
            "'out' has 2 calls in flight",
        )

    async def test_a_setup_that_takes_long(self):
        async def setup(self):
            await asyncio.sleep(100)

        plumber = Plumber(line(inp=feed(range(99)), out=node(same, queue_size=1, setup=setup)))
        assert await self.path(plumber) == ("'inp' waits for room in 'out' (1/1)", "'out' waits for its setup")

    async def test_a_zip_that_lacks_a_part(self):
        plumber = Plumber(graph({"a": ["z"], "b": ["z"], "c": ["z"]}, a=FED, b=FED, c=FED, z=same))
        await plumber.put("b", 1)
        assert await self.path(plumber) == (
            "'z' waits for items of 'a', 'c'",
            "'a' waits for its next item",
        )

    async def test_a_reader_that_does_not_read(self):
        plumber = Plumber(line(inp=feed(range(9)), out=node(same, queue_size=2)))
        stream = plumber.stream("out")
        assert (await self.path(plumber))[-1] == "'out' waits for whoever reads its results"
        await stream.aclose()

    async def test_a_batch_that_is_not_full(self):
        plumber = Plumber(line(inp=FED, out=node(same, batch={"size": 5})))
        await plumber.put("inp", 1)
        await plumber.put("inp", 2)
        assert await self.path(plumber) == ("'out' has 2 items and waits for a full batch",)

    async def test_a_source_of_which_nothing_comes(self):
        plumber = Plumber(graph({"a": ["z"], "b": ["z"]}, a=feed(range(9), delay=100), b=feed(range(9)), z=same))
        assert await self.path(plumber) == (
            "'z' waits for items of 'a'",
            "'a' has 1 calls in flight",
        )

    async def test_a_dead_letter_node_that_does_not_take_its_letters(self):
        given = line(
            inp=feed(range(99)), n=node(failing(*range(99)), on_error={"route": "dead"}, queue_size=2), out=same
        )
        given["nodes"]["dead"] = node(same, queue_size=3)
        plumber = Plumber(given)
        plumber.pause("dead")
        path = await self.path(plumber)
        assert path == ("'inp' waits for room in 'n' (2/2)", "'n' waits for room in 'dead' (3/3)", "'dead' is paused")

    async def test_a_graph_that_moves_has_no_path(self):
        seen = []

        def look(event: object) -> None:
            seen.append(plumber.statistics().waits)

        plumber = Plumber(line(inp=feed(range(1000)), out=same), hooks=[look])
        await plumber.run()
        assert set(seen) == {()}

"""Graphs whose nodes run on several hosts, each an own plumber here, that meet in a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pipelines import AbortedError, GraphError, NodeError, Plumber, Report, SkippedError, UnknownNodeError
from pipelines.channels.redis import PartMismatchError
from pipelines.testing import feed
from tests.redis_server import RedisServer
from tests.split import coros


def on(host: str, coro: Any = None, args: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    node: dict[str, Any] = {"properties": {"host": host, **properties}}
    if coro is not None:
        node["coro"] = coro
    return node | {"args": args} if args else node


def line(**nodes: dict[str, Any]) -> dict[str, Any]:
    names = list(nodes)
    return {"nodes": nodes, "graph": dict(zip(names, ([name] for name in names[1:]), strict=False))}


def parts(given: dict[str, Any], server: RedisServer, run_id: str, hosts: str = "ab") -> list[Plumber]:
    return [Plumber(given, host=host, redis=server.url, run_id=run_id) for host in hosts]


async def run_all(plumbers: list[Plumber], collect: dict[str, str] | None = None) -> list[Report]:
    """Run all parts; ``collect`` says which sink each host collects."""
    wanted = collect or {}
    async with asyncio.timeout(50):
        return await asyncio.gather(
            *[p.run(collect=[wanted[h]] if (h := p._launch._host or "") in wanted else []) for p in plumbers]
        )


async def until(predicate: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not predicate():
            await asyncio.sleep(0.005)


async def keys(server: RedisServer, run_id: str) -> list[Any]:
    import redis.asyncio

    async with redis.asyncio.Redis.from_url(server.url) as client:
        found: list[Any] = await client.keys(f"pipelines:{{{run_id}}}*")
        return found


async def test_p1_p2_items_go_to_another_host_and_back_in_order(shared_server, run_id):
    given = line(inp=on("a", coros.numbers, {"count": 2000}), dbl=on("b", coros.double), out=on("a", coros.same))
    a, b = await run_all(parts(given, shared_server, run_id), {"a": "out"})
    assert a.outputs["out"] == [2 * number for number in range(2000)]
    assert (a.state, b.state) == ("completed", "completed")
    assert await keys(shared_server, run_id) == []


async def test_statistics_of_all_parts_are_seen_from_each(shared_server, run_id):
    given = line(inp=on("a", coros.numbers, {"count": 50}), dbl=on("b", coros.double), out=on("c", coros.same))
    for report in await run_all(parts(given, shared_server, run_id, "abc")):
        statistics = report.statistics
        assert [(node.name, node.sent) for node in statistics.nodes] == [("inp", 50), ("dbl", 50), ("out", 50)]
        assert [(part.host, part.state) for part in statistics.parts] == [(host, "completed") for host in "abc"]
        assert [(edge.upstream, edge.downstream) for edge in statistics.edges] == [("inp", "dbl"), ("dbl", "out")]


async def test_p3_a_zip_of_branches_on_other_hosts_never_shifts(shared_server, run_id):
    given = {
        "nodes": {
            "inp": on("a", coros.numbers, {"count": 500}),
            "dbl": on("b", coros.double),
            "even": on("c", coros.drop_odd),
            "out": on("a", coros.same),
        },
        "graph": {"inp": ["dbl", "even"], "dbl": ["out"], "even": ["out"]},
    }
    a, *_ = await run_all(parts(given, shared_server, run_id, "abc"), {"a": "out"})
    assert a.outputs["out"] == [(2 * number, number) for number in range(0, 500, 2)]


async def test_p1_what_one_item_became_may_meet_again_in_a_merge(shared_server, run_id):
    given = {
        "nodes": {
            "inp": on("b", coros.numbers, {"count": 100}),
            "x": on("a", coros.same),
            "y": on("a", coros.same, aggregate_inputs=False),
            "out": on("b", coros.same, aggregate_inputs=False),
        },
        "graph": {"inp": ["x", "y"], "x": ["y", "out"], "y": ["out"]},
    }
    _, b = await run_all(parts(given, shared_server, run_id), {"b": "out"})
    assert sorted(b.outputs["out"]) == sorted(3 * list(range(100)))


async def test_p1_what_a_node_sends_two_ways_may_meet_again_in_a_merge(shared_server, run_id):
    given = {
        "nodes": {
            "inp": on("a", coros.numbers, {"count": 100}),
            "g": on("a", coros.both_ways),
            "x": on("b", coros.same),
            "y": on("b", coros.same, aggregate_inputs=False),
            "out": on("a", coros.same),
        },
        "graph": {"inp": ["g"], "g": ["x", "y"], "x": ["y"], "y": ["out"]},
    }
    a, _ = await run_all(parts(given, shared_server, run_id), {"a": "out"})
    assert sorted(a.outputs["out"]) == sorted(2 * list(range(100)))


async def test_p1_failed_items_go_to_a_dead_letter_node_on_another_host(shared_server, run_id):
    given = line(inp=on("a", coros.numbers, {"count": 6}), n=on("b", coros.fail_at_three, on_error={"route": "dead"}))
    given["nodes"]["dead"] = on("a", coros.same)
    a, b = await run_all(parts(given, shared_server, run_id), {"a": "dead", "b": "n"})
    assert b.outputs["n"] == [0, 1, 2, 4, 5]
    (dead,) = a.outputs["dead"]
    assert (dead.item, dead.node, str(dead.error)) == (3, "n", "three")


async def test_p4_a_sender_waits_for_a_slow_host(shared_server, run_id):
    produced: list[int] = []

    def source(self):
        for number in range(10_000):
            produced.append(number)
            yield number

    given = line(inp=on("a", source), n=on("b", coros.hang, queue_size=5, concurrency=2))
    plumbers = parts(given, shared_server, run_id)
    for plumber in plumbers:
        plumber.create_pipeline()
    await until(lambda: plumbers[1].statistics().node("n").in_flight == 2)
    before = -1
    while before != len(produced):
        before = len(produced)
        await asyncio.sleep(0.1)
    # A channel at both ends, a stream in between that also has what the other part holds, and two calls.
    assert len(produced) <= 5 * 5 + 2 * (5 + 2 * 2 + 1)
    await plumbers[1].abort()
    with pytest.raises(AbortedError, match="aborted on host 'b'"):
        await plumbers[0].wait()


async def test_submitted_items_find_their_way_home(shared_server, run_id):
    given = line(inp=on("a"), n=on("b", coros.drop_odd), t=on("c", coros.twice), out=on("b", coros.same))
    plumbers = parts(given, shared_server, run_id, "abc")
    for plumber in plumbers:
        plumber.create_pipeline()
    results = await asyncio.gather(*[plumbers[0].submit(n, timeout=30) for n in range(6)], return_exceptions=True)
    assert results[::2] == [[0, 0], [2, -2], [4, -4]]
    assert {type(result) for result in results[1::2]} == {SkippedError}
    await plumbers[1].stop()
    assert [(await plumber.wait()).state for plumber in plumbers] == ["stopped", "completed", "completed"]


async def test_p6_a_failure_reaches_every_part(shared_server, run_id):
    given = line(inp=on("a", coros.numbers, {"count": 10}), n=on("b", coros.fail_at_three), out=on("c", coros.same))
    async with asyncio.timeout(30):
        errors: list[Any] = await asyncio.gather(
            *[plumber.run() for plumber in parts(given, shared_server, run_id, "abc")], return_exceptions=True
        )
    assert [(type(error), error.node) for error in errors] == [(NodeError, "n")] * 3
    assert str(errors[1].__cause__) == "three"
    assert "three" in str(errors[0].__cause__)
    with pytest.raises(NodeError, match="three"):  # also one that comes late
        await Plumber(given, host="a", redis=shared_server.url, run_id=run_id).run()


async def test_p9_a_part_that_waits_for_the_others_can_be_stopped_and_aborted(shared_server, run_id):
    given = line(inp=on("a"), out=on("b", coros.same))
    for command, state in (("stop", "stopped"), ("abort", "aborted")):
        (plumber,) = parts(given, shared_server, run_id + command, "b")
        plumber.create_pipeline()
        await asyncio.sleep(0)
        await getattr(plumber, command)()
        assert (await plumber.wait()).state == state


async def test_a_part_that_is_done_waits_for_the_others(shared_server, run_id):
    given = line(inp=on("a", coros.numbers, {"count": 5}), out=on("b", coros.same))
    first, second = parts(given, shared_server, run_id)
    first.create_pipeline()
    await until(lambda: first.statistics().node("inp").state == "ended")
    report = await second.run(collect=["out"])
    assert report.outputs["out"] == list(range(5))
    assert (await first.wait()).state == "completed"


async def test_two_runs_of_one_graph_are_kept_apart(shared_server, run_id):
    def given(start: int) -> dict[str, Any]:
        return line(inp=on("a", feed(range(start, start + 100))), out=on("b", coros.same))

    reports = await asyncio.gather(
        *[run_all(parts(given(start), shared_server, f"{run_id}-{start}"), {"b": "out"}) for start in (0, 1000)]
    )
    assert [b.outputs["out"][0] for _, b in reports] == [0, 1000]


async def test_p7_parts_of_different_graphs_do_not_meet(shared_server, run_id):
    one = line(inp=on("a"), out=on("b", coros.same))
    other = line(inp=on("a"), out=on("b", coros.double))
    plumber = Plumber(one, host="a", redis=shared_server.url, run_id=run_id)
    plumber.create_pipeline()
    await plumber.put("inp", 1)
    await until(lambda: plumber.statistics().state == "running")
    with pytest.raises(PartMismatchError, match="graph digest"):
        await Plumber(other, host="b", redis=shared_server.url, run_id=run_id).run()
    await plumber.abort()


def test_p7_hosts_are_checked():
    given = line(inp=on("a"), out=on("b", coros.same))
    with pytest.raises(UnknownNodeError, match="unknown host 'c'; there are: a, b"):
        Plumber(given, host="c", redis="redis://localhost")
    with pytest.raises(ValueError, match="needs both: host"):
        Plumber(given, host="a")
    given["nodes"]["inp"]["properties"].clear()
    with pytest.raises(GraphError, match="does not say which host runs it"):
        Plumber(given)


async def test_without_a_host_the_whole_graph_runs_here():
    given = line(inp=on("a", coros.numbers, {"count": 5}), out=on("b", coros.double))
    assert (await Plumber(given).run(collect=["out"])).outputs["out"] == [0, 2, 4, 6, 8]


async def test_p6_what_cannot_travel_is_named(shared_server, run_id):
    given = line(inp=on("a", feed([1, object()])), out=on("b", coros.same))
    async with asyncio.timeout(30):
        running = [plumber.run() for plumber in parts(given, shared_server, run_id)]
        errors: list[Any] = await asyncio.gather(*running, return_exceptions=True)
    assert [type(error) for error in errors] == [NodeError, NodeError]
    assert "object" in str(errors[0].__cause__)


async def test_p1_redis_may_be_away_for_a_while(server, run_id):
    given = line(inp=on("a", coros.numbers, {"count": 3000}), dbl=on("b", coros.double), out=on("a", coros.same))
    plumbers = parts(given, server, run_id)
    running = asyncio.gather(plumbers[0].run(collect=["out"]), plumbers[1].run())
    await until(lambda: plumbers[0].statistics().node("out").sent > 200)
    server.kill()
    await asyncio.sleep(1.0)
    assert not running.done()
    server.start()
    async with asyncio.timeout(50):
        a, _ = await running
    assert a.outputs["out"] == [2 * number for number in range(3000)]


@pytest.mark.parametrize("behind", ["at once", "behind a node"])
async def test_a_batch_may_be_larger_than_the_channels_of_an_edge(shared_server, run_id, behind):
    batch = on("b", coros.same, batch={"size": 100}, queue_size=8)
    given = (
        line(inp=on("a", coros.numbers, {"count": 250}), n=batch)
        if behind == "at once"
        else line(inp=on("a", coros.numbers, {"count": 250}), m=on("b", coros.same, queue_size=8), n=batch)
    )
    _, b = await run_all(parts(given, shared_server, run_id), {"b": "n"})
    assert [len(each) for each in b.outputs["n"]] == [100, 100, 50]


@pytest.mark.parametrize("join", ["two sinks", "zip", "merge"])
async def test_submitted_items_may_reach_a_host_by_two_edges(shared_server, run_id, join):
    nodes = {"inp": on("a"), "x": on("b", coros.same), "y": on("b", coros.double)}
    edges: dict[str, list[str]] = {"inp": ["x", "y"]}
    if join != "two sinks":
        nodes["z"] = on("b", coros.same, aggregate_inputs=join == "zip")
        edges |= {"x": ["z"], "y": ["z"]}
    given = {"nodes": nodes, "graph": edges}
    plumbers = parts(given, shared_server, run_id)
    for plumber in plumbers:
        plumber.create_pipeline()
    wanted: Any = {"two sinks": {"x": 3, "y": 6}, "zip": (3, 6), "merge": [3, 6]}[join]
    found = await plumbers[0].submit(3, timeout=30)
    assert (sorted(found) if join == "merge" else found) == wanted
    await plumbers[0].stop()
    await plumbers[1].wait()

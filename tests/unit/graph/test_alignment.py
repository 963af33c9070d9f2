"""Which zips can be paired by position, and which edges count positions for them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import GraphError, Problem
from pipelines.graph import Graph, Node


async def source(self: Any, output_q: Any) -> None: ...


async def step(self: Any, q_elt: Any) -> None: ...


async def many(self: Any, q_elt: Any) -> Any:
    yield q_elt


SOURCE = {"coro": source}
STEP = {"coro": step}
MANY = {"coro": many}
UNORDERED = {"coro": step, "properties": {"order": "completion"}}
BATCHED = {"coro": step, "properties": {"batch": {"size": 2}}}
MERGE = {"coro": step, "properties": {"aggregate_inputs": False}}


def parse(nodes: dict[str, Any], graph: Mapping[str, str]) -> Graph:
    """Nodes have names of one letter, so a text is a list of them."""
    return Graph.parse({"nodes": nodes, "graph": {name: list(targets) for name, targets in graph.items()}})


def refused(nodes: dict[str, Any], graph: Mapping[str, str]) -> list[Problem]:
    with pytest.raises(GraphError) as caught:
        parse(nodes, graph)
    return list(caught.value.problems)


def aligned(graph: Graph) -> set[str]:
    return {edge.upstream + edge.downstream for edge in graph.edges if edge.aligned}


def test_p3_a_diamond_is_aligned() -> None:
    graph = parse({"s": SOURCE, "a": STEP, "b": STEP, "z": STEP, "e": STEP}, {"s": "ab", "a": "z", "b": "z", "z": "e"})
    assert aligned(graph) == {"sa", "sb", "az", "bz"}


def test_p3_edges_in_front_of_the_nodes_that_keep_the_stream_count() -> None:
    nodes = {"s": SOURCE, "m": MANY, "c": STEP, "a": STEP, "b": STEP, "z": STEP}
    graph = parse(nodes, {"s": "m", "m": "c", "c": "ab", "a": "z", "b": "z"})
    assert aligned(graph) == {"mc", "ca", "cb", "az", "bz"}


@pytest.mark.parametrize("other", [MANY, UNORDERED, BATCHED], ids=["generator", "completion", "batch"])
def test_p3_paths_of_one_origin_that_lost_their_positions_cannot_be_zipped(other: dict[str, Any]) -> None:
    nodes = {"s": SOURCE, "a": STEP, "b": other, "c": STEP, "z": STEP}
    (problem,) = refused(nodes, {"s": "ab", "a": "z", "b": "c", "c": "z"})
    assert (problem.code, problem.path) == ("unaligned_zip", "nodes.z")
    assert problem.message.endswith(": s -> a -> z and s -> b -> c -> z")
    assert problem.hint.startswith("positions change at b;")
    assert parse({**nodes, "z": MERGE}, {"s": "ab", "a": "z", "b": "c", "c": "z"}).nodes["z"].merges


def test_p3_a_merge_starts_a_stream() -> None:
    nodes = {"s": SOURCE, "t": SOURCE, "m": MERGE, "a": STEP, "z": STEP}
    (problem,) = refused(nodes, {"s": "ma", "t": "m", "m": "z", "a": "z"})
    assert ": s -> m -> z and s -> a -> z" in problem.message
    assert problem.hint.startswith("positions change at m;")


def test_p3_independent_sources_are_zipped_by_position() -> None:
    graph = parse({"s": SOURCE, "t": SOURCE, "m": MANY, "z": STEP}, {"s": "z", "t": "m", "m": "z"})
    assert aligned(graph) == {"sz", "mz"}


def test_p3_a_zip_belongs_to_the_streams_of_all_its_inputs() -> None:
    nodes = {"s": SOURCE, "t": SOURCE, "y": STEP, "a": STEP, "b": STEP, "z": STEP}
    graph = parse(nodes, {"s": "ya", "t": "yb", "y": "z", "a": "z", "b": "z"})
    assert graph.nodes["z"].upstreams == ("y", "a", "b")


def test_p3_every_pair_of_inputs_must_fit() -> None:
    nodes = {"s": SOURCE, "t": SOURCE, "a": STEP, "m": MANY, "z": STEP}
    (problem,) = refused(nodes, {"s": "a", "t": "zm", "a": "z", "m": "z"})
    assert "t -> z and t -> m -> z" in problem.message


def test_p3_both_paths_behind_one_generator_are_aligned() -> None:
    nodes = {"s": SOURCE, "m": MANY, "a": STEP, "b": STEP, "z": STEP}
    assert aligned(parse(nodes, {"s": "m", "m": "ab", "a": "z", "b": "z"})) == {"ma", "mb", "az", "bz"}


def test_p3_failed_items_are_a_stream_of_their_own() -> None:
    routed = {"coro": step, "properties": {"on_error": {"route": "d"}}}
    nodes = {"s": SOURCE, "t": SOURCE, "a": routed, "d": STEP, "z": STEP}
    (problem,) = refused(nodes, {"s": "a", "a": "z", "d": "z"})
    assert problem.hint.startswith("positions change at d;")
    graph = parse(nodes, {"s": "a", "t": "z", "d": "z"})
    assert [(edge.upstream, edge.downstream) for edge in graph.edges if edge.aligned] == [
        ("t", "z"),
        ("a", "d"),
        ("d", "z"),
    ]


def test_p3_unresolved_coros_are_taken_to_keep_their_stream() -> None:
    graph = {"nodes": {name: {"coro": name} for name in "sabz"}, "graph": {"s": ["a", "b"], "a": ["z"], "b": ["z"]}}
    assert aligned(Graph.parse(graph)) == {"sa", "sb", "az", "bz"}


def test_p3_thirty_chained_diamonds() -> None:
    nodes: dict[str, Any] = {"d0": SOURCE}
    graph: dict[str, list[str]] = {}
    for number in range(30):
        left, right, end = f"a{number}", f"b{number}", f"d{number + 1}"
        nodes |= {left: STEP, right: STEP, end: STEP}
        graph |= {f"d{number}": [left, right], left: [end], right: [end]}
    assert all(edge.aligned for edge in Graph.parse({"nodes": nodes, "graph": graph}).edges)
    nodes["b0"] = nodes["b29"] = MANY
    with pytest.raises(GraphError) as caught:
        Graph.parse({"nodes": nodes, "graph": graph})
    assert [problem.path for problem in caught.value.problems] == ["nodes.d1", "nodes.d30"]
    assert caught.value.problems[1].message.count("->") == 120


def test_p3_paths_are_looked_for_twenty_times() -> None:
    zips = [f"z{number}" for number in range(25)]
    nodes: dict[str, Any] = {"s": SOURCE, "m": MANY} | dict.fromkeys(zips, STEP)
    with pytest.raises(GraphError) as caught:
        Graph.parse({"nodes": nodes, "graph": {"s": ["m", *zips], "m": zips}})
    said = [problem.message for problem in caught.value.problems]
    assert said[19].endswith("s -> z19 and s -> m -> z19")
    assert said[20].endswith("one to one: s and m")


def test_p3_many_sources_and_wide_zips_are_cheap() -> None:
    count = 1000
    nodes: dict[str, Any] = {f"s{number}": SOURCE for number in range(count)}
    nodes |= {f"z{number}": STEP for number in range(count)} | {"all": STEP}
    graph = {f"s{number}": [f"z{number}", f"z{(number + 1) % count}"] for number in range(count)}
    graph |= {f"z{number}": ["all"] for number in range(count)}
    assert all(edge.aligned for edge in Graph.parse({"nodes": nodes, "graph": graph}).edges)


# Against a plain rendering of the rules, with sets of names, every pair of inputs and no short cuts.

KINDS = [STEP, MANY, UNORDERED, BATCHED, MERGE]


def expected(nodes: Mapping[str, Node], order: tuple[str, ...]) -> tuple[set[str], set[tuple[str, str]]]:
    """The zips that cannot be paired, and the edges that are counted."""
    streams: dict[str, set[str]] = {}
    sources: dict[str, set[str]] = {}
    wrong = set()
    for name in order:
        node = nodes[name]
        inputs = node.upstreams
        sources[name] = {name} if not inputs else set().union(*(sources[up] for up in inputs))
        streams[name] = set().union(*(streams[up] for up in inputs)) if node.keeps_stream else {name}
        for one, two in itertools.combinations(inputs, 2):
            if node.zips and not streams[one] & streams[two] and sources[one] & sources[two]:
                wrong.add(name)
    counted: set[tuple[str, str]] = set()
    for name in reversed(order):
        node = nodes[name]
        if node.zips or (node.keeps_stream and any((name, down) in counted for down in node.downstreams)):
            counted |= {(up, name) for up in node.upstreams}
    return wrong, counted


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    count = draw(st.integers(2, 9))
    edges: dict[str, list[str]] = {str(number): [] for number in range(count)}
    nodes: dict[str, Any] = {}
    for number in range(count):
        wanted = draw(st.sets(st.integers(0, max(number - 1, 0)), max_size=3)) if number else set()
        for upstream in wanted:
            edges[str(upstream)].append(str(number))
        nodes[str(number)] = draw(st.sampled_from(KINDS)) if wanted else SOURCE
    return {"nodes": nodes, "graph": edges}


@given(graphs())
def test_p3_the_rules_hold_for_any_graph(graph: dict[str, Any]) -> None:
    merged = {name: {**node, "properties": {"aggregate_inputs": False}} for name, node in graph["nodes"].items()}
    order = Graph.parse({**graph, "nodes": merged}).order
    resolved = {name: _alone(graph, name) for name in order}
    wrong, counted = expected(resolved, order)
    if wrong:
        with pytest.raises(GraphError) as caught:
            Graph.parse(graph)
        assert {(problem.code, problem.path) for problem in caught.value.problems} == {
            ("unaligned_zip", f"nodes['{name}']") for name in wrong
        }
    else:
        edges = Graph.parse(graph).edges
        assert {(edge.upstream, edge.downstream) for edge in edges if edge.aligned} == counted


def _alone(graph: dict[str, Any], name: str) -> Node:
    """The node with its own upstreams made independent sources, so that nothing about it can be refused."""
    ups = [up for up, downs in graph["graph"].items() if name in downs]
    downs = graph["graph"][name]
    nodes = {
        other: SOURCE if other in ups else graph["nodes"][name] if other == name else MERGE for other in graph["nodes"]
    }
    edges = {**{up: [name] for up in ups}, name: downs}
    fed = {name, *downs} if ups else set(downs)
    nodes = {other: SOURCE if other not in fed else node for other, node in nodes.items()}
    return Graph.parse({"nodes": nodes, "graph": edges}).nodes[name]

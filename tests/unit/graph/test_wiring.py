"""Edges and routes: what they may connect, the order they give, and circles."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from pipelines.errors import GraphError, Problem
from pipelines.graph import Edge, Graph


async def source(self: Any, output_q: Any) -> None: ...


async def step(self: Any, q_elt: Any) -> None: ...


SOURCE = {"coro": source}
STEP = {"coro": step}
MERGE = {"coro": step, "properties": {"aggregate_inputs": False}}


def routed(node: str, **properties: Any) -> dict[str, Any]:
    return {"coro": step, "properties": {"on_error": {"route": node}, **properties}}


def found(nodes: dict[str, Any], graph: dict[str, Any], **options: Any) -> list[Problem]:
    with pytest.raises(GraphError) as caught:
        Graph.parse({"nodes": nodes, "graph": graph}, **options)
    return list(caught.value.problems)


def codes(nodes: dict[str, Any], graph: dict[str, Any], **options: Any) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for problem in found(nodes, graph, **options)]


def test_p7_unknown_downstreams_are_named_with_the_nearest() -> None:
    (problem,) = found({"inp": SOURCE, "rev": STEP, "out": STEP}, {"inp": ["rev"], "rev": ["otu"], "out": None})
    assert problem.code == "unknown_node"
    assert problem.path == "graph.rev[0]"
    assert problem.message == "node 'rev': unknown downstream 'otu'"
    assert problem.hint == "did you mean 'out'? nodes are: inp, rev, out"
    assert str(problem) == f"graph.rev[0]: {problem.message} ({problem.hint})"


def test_p7_positions_are_those_of_the_dict() -> None:
    graph = {"a": [7, "a", "b", "b", "x"]}
    assert codes({"a": SOURCE, "b": STEP}, graph) == [
        ("wrong_type", "graph.a[0]"),
        ("duplicate_edge", "graph.a[3]"),
        ("self_loop", "graph.a[1]"),
        ("unknown_node", "graph.a[4]"),
    ]


def test_p7_a_key_of_graph_is_a_node() -> None:
    assert codes({"a": SOURCE}, {"a": [], "b": ["a"]}) == [("unknown_node", "graph.b")]


def test_p7_many_names_are_not_listed() -> None:
    nodes = {f"node{number}": SOURCE for number in range(30)}
    (problem,) = found(nodes, {"nodex": []})
    assert problem.hint.startswith("did you mean 'node")
    assert "nodes are" not in problem.hint


def test_p7_a_circle_is_shown_whole() -> None:
    nodes = {"inp": SOURCE, "a": STEP, "b": STEP, "c": STEP}
    problems = found(nodes, {"inp": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]})
    assert [problem.code for problem in problems] == ["cycle", "unreachable", "unreachable", "unreachable"]
    assert problems[0].path == "graph.a"
    assert problems[0].message == "nodes feed each other in a circle: a -> b -> c -> a"


def test_p7_every_circle_is_told_once() -> None:
    nodes = dict.fromkeys("sabcdef", STEP) | {"s": SOURCE}
    graph = {"s": "af", "a": "b", "b": "ac", "c": "d", "d": "e", "e": "d", "f": []}
    problems = found(nodes, {name: list(targets) for name, targets in graph.items()})
    assert [p.message.rpartition(": ")[2] for p in problems if p.code == "cycle"] == ["d -> e -> d", "a -> b -> a"]
    assert [p.path for p in problems if p.code == "unreachable"] == [f"nodes.{name}" for name in "abcde"]


def test_p7_a_graph_without_source() -> None:
    assert codes({"a": STEP, "b": STEP, "c": STEP}, {"a": ["b"], "b": ["a", "c"]}) == [
        ("cycle", "graph.a"),
        ("no_source", "graph"),
    ]


def test_p7_a_node_is_not_its_own_downstream() -> None:
    assert codes({"a": SOURCE, "b": STEP}, {"a": ["b"], "b": ["b"]}) == [("self_loop", "graph.b[0]")]


def test_p7_long_circles_are_cut() -> None:
    nodes = {f"n{number}": STEP for number in range(500)} | {"s": SOURCE}
    graph = {f"n{number}": [f"n{(number + 1) % 500}"] for number in range(500)}
    cycle = found(nodes, graph)[0]
    assert cycle.message.count(" -> ") == 100
    assert "... (401 more) ..." in cycle.message


def test_p7_routes_count_as_edges_of_circles() -> None:
    nodes = {"s": SOURCE, "a": MERGE, "b": routed("a")}
    problems = found(nodes, {"s": ["a"], "a": ["b"]})
    assert [problem.code for problem in problems] == ["cycle", "unreachable", "unreachable"]
    assert "a -> b -> a" in problems[0].message


def test_p7_routes_lead_to_other_nodes() -> None:
    nodes = {"s": SOURCE, "a": routed("nobody"), "b": routed("b")}
    assert codes(nodes, {"s": ["a", "b"]}) == [
        ("unknown_node", "nodes.a.properties.on_error.route"),
        ("self_loop", "nodes.b.properties.on_error.route"),
    ]


def test_p7_a_zip_takes_no_failed_items() -> None:
    nodes = {"s": SOURCE, "a": routed("z"), "b": STEP, "z": STEP}
    graph = {"s": ["a", "b"], "a": ["z"], "b": ["z"]}
    assert codes(nodes, graph) == [("route_into_zip", "nodes.z")]
    assert Graph.parse({"nodes": {**nodes, "z": MERGE}, "graph": graph}).nodes["z"].feeders == ("a",)


def test_a_node_may_be_fed_by_routes_alone() -> None:
    graph = Graph.parse({"nodes": {"s": SOURCE, "a": routed("d"), "d": STEP}, "graph": {"s": ["a"]}})
    assert graph.nodes["d"].feeders == ("a",)
    assert not graph.nodes["d"].is_source
    assert graph.sources == ("s",)
    assert graph.sinks == ("a", "d")
    assert graph.order == ("s", "a", "d")
    assert graph.edges == (Edge("s", "a"), Edge("a", "d", route=True))


def test_a_source_may_route_its_failures() -> None:
    nodes = {"s": {"coro": source, "properties": {"on_error": {"route": "d"}}}, "d": STEP}
    assert Graph.parse({"nodes": nodes, "graph": {}}).edges == (Edge("s", "d", route=True),)


def test_a_route_may_run_beside_an_edge() -> None:
    graph = Graph.parse({"nodes": {"s": SOURCE, "a": routed("b"), "b": MERGE}, "graph": {"s": ["a"], "a": ["b"]}})
    assert graph.nodes["b"].upstreams == graph.nodes["b"].feeders == ("a",)
    assert graph.edges == (Edge("s", "a"), Edge("a", "b"), Edge("a", "b", route=True))


def test_a_shared_route_spares_its_own_node() -> None:
    nodes = {"s": SOURCE, "a": STEP, "b": {"coro": step, "properties": {"on_error": "fail"}}, "d": STEP}
    shared = {"on_error": {"route": "d"}}
    graph = Graph.parse({"nodes": nodes, "graph": {"s": ["a", "b"]}}, defaults=shared)
    assert graph.nodes["d"].feeders == ("s", "a")
    assert graph.nodes["d"].properties.on_error == "fail"
    assert graph.nodes["a"].given == ("on_error",)
    assert Graph.parse(graph.to_dict()) == graph


def test_p7_a_shared_route_leads_somewhere() -> None:
    assert codes({"s": SOURCE}, {}, defaults={"on_error": {"route": "d"}}) == [
        ("unknown_node", "defaults.on_error.route")
    ]


def test_a_single_node_is_source_and_sink() -> None:
    graph = Graph.parse({"nodes": {"s": SOURCE}, "graph": {}})
    assert (graph.sources, graph.sinks, graph.order, graph.edges) == (("s",), ("s",), ("s",), ())


def test_a_source_may_stand_alone_beside_others() -> None:
    graph = Graph.parse({"nodes": {"s": SOURCE, "t": SOURCE, "a": STEP}, "graph": {"s": ["a"], "t": None}})
    assert graph.sources == ("s", "t")
    assert graph.sinks == ("t", "a")


def test_upstreams_and_downstreams_stand_in_the_order_of_nodes() -> None:
    nodes = {"s": SOURCE, "c": STEP, "a": STEP, "b": STEP, "z": STEP}
    graphs = [
        {"b": ["z"], "s": ["b", "a", "c"], "a": ["z"], "c": ["z"]},
        {"s": ("c", "a", "b"), **{name: ["z"] for name in "cab"}},
    ]
    first, second = (Graph.parse({"nodes": nodes, "graph": graph}) for graph in graphs)
    assert first == second
    assert first.nodes["z"].upstreams == ("c", "a", "b")
    assert first.nodes["s"].downstreams == ("c", "a", "b")
    assert list(first.to_dict()["graph"]) == ["b", "s", "a", "c"]
    assert first.to_dict()["graph"]["s"] == ["b", "a", "c"]


def test_the_order_has_sources_first_and_everything_behind_its_upstreams() -> None:
    choose = random.Random(5)
    for _ in range(50):
        names = [f"n{number}" for number in range(12)]
        edges = {(a, b) for a, b in itertools.combinations(names, 2) if choose.random() < 0.2}
        fed = {b for _, b in edges}
        nodes = {name: MERGE if name in fed else SOURCE for name in choose.sample(names, len(names))}
        graph = Graph.parse({"nodes": nodes, "graph": {a: [y for x, y in edges if x == a] for a in names}})
        place = {name: index for index, name in enumerate(graph.order)}
        assert set(graph.order[: len(graph.sources)]) == set(graph.sources)
        assert all(place[edge.upstream] < place[edge.downstream] for edge in graph.edges)
        assert {(edge.upstream, edge.downstream) for edge in graph.edges} == edges


@pytest.mark.parametrize("wrong", [{"a": "b"}, {"a": [1]}, {"a": ["x"]}, {"x": []}], ids=str)
def test_p7_nothing_is_said_about_roles_that_lost_edges_decide(wrong: dict[str, Any]) -> None:
    """``b`` looks like a source only because the edge to it could not be read."""

    def each(self: Any, item: Any) -> Any:
        yield item

    nodes = {"a": SOURCE, "b": {"coro": each, "properties": {"batch": {"size": 3}, "timeout": 1}}, "c": STEP}
    assert {code for code, _ in codes(nodes, wrong)} <= {"wrong_type", "unknown_node"}


def test_p7_what_lost_edges_do_not_decide_is_said() -> None:
    async def lines(self: Any, output_q: Any, path: str) -> None: ...

    def numbers(self: Any, start: int) -> Any:
        yield start

    nodes = {
        "a": {"coro": lines, "args": {"pth": 1}},
        "b": {"coro": step, "args": {"x": 1}},
        "c": {"coro": numbers, "args": {"start": 1, "stop": 2}},
    }
    assert codes(nodes, {"a": ["x"], "b": [], "c": []}) == [
        ("unknown_node", "graph.a[0]"),
        ("unknown_argument", "nodes.a.args.pth"),
        ("missing_argument", "nodes.a.args.path"),
        ("unknown_argument", "nodes.b.args.x"),
        ("reserved_argument", "nodes.c.args.start"),
        ("unknown_argument", "nodes.c.args.stop"),
    ]


def test_p7_a_broken_route_leaves_its_target_uncertain() -> None:
    nodes = {"s": {"coro": source, "properties": {"on_error": {"route": 5}}}, "d": STEP}
    assert codes(nodes, {}) == [("wrong_type", "nodes.s.properties.on_error.route")]


def test_ten_thousand_nodes_are_read_without_recursion() -> None:
    count = 10_000
    nodes = {f"n{number}": SOURCE if number < 2 else STEP for number in range(count)}
    graph = {f"n{number}": [f"n{to}" for to in (number + 2, number + 4) if to < count] for number in range(count)}
    read = Graph.parse({"nodes": nodes, "graph": graph})
    assert len(read.edges) == 19_994
    chain = {f"n{number}": [f"n{number + 1}"] for number in range(count - 1)}
    assert Graph.parse({"nodes": {**nodes, "n1": STEP}, "graph": chain}).order[-1] == f"n{count - 1}"
    ring = {f"n{number}": [f"n{(number + 1) % count}"] for number in range(count)}
    assert codes(dict.fromkeys(nodes, STEP), ring) == [("cycle", "graph.n0"), ("no_source", "graph")]

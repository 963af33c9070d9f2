"""`Graph` as a whole: frozen, equal to what it is written as, complete in its codes, and quick."""

from __future__ import annotations

import ast
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import pipelines.graph
from pipelines.errors import GraphError
from pipelines.graph import CallKind, Edge, Graph, Node
from pipelines.graph.problems import CODES


async def source(self: Any, output_q: Any) -> None: ...


async def step(self: Any, q_elt: Any, by: Any = 1) -> None: ...


EXAMPLE: dict[str, Any] = {
    "nodes": {
        "inp": {"coro": "text.lines", "args": {"path": "words.txt"}},
        "rev": {"coro": "text.reverse", "properties": {"concurrency": 8, "retry": {"attempts": 3}}},
        "out": {"coro": "text.show", "properties": {"aggregate_inputs": False}},
    },
    "graph": {"inp": ["rev", "out"], "rev": ["out"], "out": None},
}


def test_the_example_of_the_documents() -> None:
    graph = Graph.parse(EXAMPLE)
    assert list(graph.nodes) == ["inp", "rev", "out"]
    assert graph.order == ("inp", "rev", "out")
    assert graph.edges == (Edge("inp", "rev"), Edge("inp", "out"), Edge("rev", "out"))
    assert (graph.sources, graph.sinks) == (("inp",), ("out",))
    assert graph.nodes["out"].upstreams == ("inp", "rev")
    assert graph.nodes["rev"].properties.retry is not None
    assert repr(graph) == "<Graph of 3 nodes and 3 edges>"


def test_what_was_given_comes_back() -> None:
    assert Graph.parse(EXAMPLE).to_dict() == {**EXAMPLE, "graph": {"inp": ["rev", "out"], "rev": ["out"], "out": []}}
    graph = Graph.parse({"nodes": {"b": {"coro": source}, "a": {"coro": step}, "c": {}}, "graph": {"b": ("a",)}})
    assert graph.to_dict() == {"nodes": {"b": {"coro": source}, "a": {"coro": step}, "c": {}}, "graph": {"b": ["a"]}}
    assert list(graph.to_dict()["nodes"]) == ["b", "a", "c"]


def test_a_graph_written_and_read_is_equal() -> None:
    graph = Graph.parse(EXAMPLE)
    assert Graph.parse(graph.to_dict()) == graph
    assert Graph.parse(json.loads(json.dumps(graph.to_dict()))) == graph
    assert Graph.parse({**EXAMPLE, "graph": {"inp": ["rev"], "rev": ["out"]}}) != graph


def test_a_parsed_graph_is_taken_as_it_is() -> None:
    graph = Graph.parse(EXAMPLE)
    assert Graph.parse(graph) is graph
    coros: dict[str, Any] = {"text.lines": source, "text.reverse": step, "text.show": step}
    with pytest.raises(GraphError, match="takes no argument 'path'"):
        Graph.parse(graph, coros)
    assert Graph.parse(graph, defaults={"queue_size": 3}).nodes["rev"].properties.queue_size == 3
    assert Graph.parse(graph, strict=True) == graph


def test_p7_a_graph_cannot_be_changed() -> None:
    given = json.loads(json.dumps(EXAMPLE))
    graph = Graph.parse(given)
    given["nodes"]["rev"]["properties"]["retry"]["attempts"] = 99
    given["nodes"]["inp"]["args"]["path"] = "other"
    written = graph.to_dict()
    written["nodes"]["rev"]["properties"]["retry"]["attempts"] = 99
    written["nodes"]["inp"]["args"]["path"] = "other"
    written["graph"]["inp"].clear()
    assert graph.to_dict() == Graph.parse(EXAMPLE).to_dict()
    assert graph.nodes["inp"].args == {"path": "words.txt"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.order = ()  # type: ignore[misc]
    with pytest.raises(TypeError):
        graph.nodes["new"] = graph.nodes["inp"]  # type: ignore[index]
    with pytest.raises(TypeError):
        graph.nodes["inp"].args["path"] = "other"  # type: ignore[index]


def test_nodes_say_what_they_are() -> None:
    nodes = Graph.parse(EXAMPLE).nodes
    assert nodes["inp"].is_source
    assert nodes["out"].is_sink
    assert nodes["out"].merges
    assert not nodes["out"].keeps_stream
    assert nodes["rev"].keeps_stream
    assert not CallKind.FUNCTION.yields
    assert Node("a", None, None, CallKind.FED).args == {}


def test_the_codes_that_are_used_are_the_codes_there_are() -> None:
    package = Path(pipelines.graph.__file__).parents[1]
    used: set[str] = set()
    for path in [*(package / "graph").glob("*.py"), package / "untrusted.py"]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for each in ast.walk(tree):
            if isinstance(each, ast.Constant) and isinstance(each.value, str) and "problems.py" not in path.name:
                used.add(each.value)
    assert set(CODES) - used == {"too_many_problems"}


def test_every_problem_has_a_known_code() -> None:
    package = Path(pipelines.graph.__file__).parents[1]
    called = []
    for path in [*(package / "graph").glob("*.py"), package / "untrusted.py"]:
        for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(each, ast.Call) and _name(each.func) in ("add", "_refuse", "_stop", "Problem") and each.args:
                code = each.args[0] if _name(each.func) != "_refuse" or path.name == "untrusted.py" else None
                if isinstance(code, ast.Constant):
                    called.append(code.value)
    assert len(called) > 40
    assert set(called) <= set(CODES)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def test_large_graphs_are_read_quickly() -> None:
    """256 nodes and 1,024 edges within 20 ms; the best of several attempts, in time of this thread alone."""
    names = [f"n{number}" for number in range(256)]
    nodes = {name: {"coro": step if number >= 4 else source} for number, name in enumerate(names)}
    ahead = (4, 5, 6, 7, 8)
    edges = [(name, names[number + far]) for far in ahead for number, name in enumerate(names) if number + far < 256]
    graph: dict[str, list[str]] = {name: [] for name in names}
    for upstream, downstream in edges[:1024]:
        graph[upstream].append(downstream)
    merging = {name: {**node, "properties": {"aggregate_inputs": False}} for name, node in nodes.items()}
    assert len(Graph.parse({"nodes": merging, "graph": graph}).edges) == 1024
    seconds = []
    for _ in range(5):
        begin = time.thread_time()
        Graph.parse({"nodes": merging, "graph": graph})
        seconds.append(time.thread_time() - begin)
    measured_by_a_tracer = sys.gettrace() is not None
    assert min(seconds) < (0.200 if measured_by_a_tracer else 0.020)

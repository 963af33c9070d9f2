from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.assignments import assign
from pipelines.cli.document import Document, read_document
from pipelines.errors import GraphError, Problem
from pipelines.graph.problems import Problems


def read(file: str) -> tuple[Document, list[Problem]]:
    problems = Problems()
    document = read_document(file, problems)
    return document, noted(problems)


def noted(problems: Problems) -> list[Problem]:
    try:
        problems.refuse()
    except GraphError as refused:
        return list(refused.problems)
    return []


def refused(file: str) -> Problem:
    with pytest.raises(GraphError) as caught:
        read(file)
    [only] = caught.value.problems
    return only


def test_a_file_is_taken_apart(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("nodes: {a: {}}\ngraph: {a: []}\ncoros: [m, n]\ndefaults: {concurrency: 1}\n")
    document, problems = read(str(file))
    assert document == Document({"nodes": {"a": {}}, "graph": {"a": []}}, ["m", "n"], {"concurrency": 1})
    assert problems == []


def test_the_suffix_says_which_language_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.JSON").write_text("nodes: {}")
    assert refused(str(tmp_path / "a.JSON")).path == "line 1, column 1"
    (tmp_path / "a.txt").write_text("nodes: {}")
    assert read(str(tmp_path / "a.txt"))[0].graph == {"nodes": {}}


def test_standard_input_is_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfnodes: {}\n")))
    assert read("-")[0].graph == {"nodes": {}}


def test_a_document_without_keys_is_left_to_the_graph_reader(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("- 1\n")
    assert read(str(tmp_path / "a.yaml")) == (Document([1]), [])


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere.yaml", "No such file or directory"), (".", "Is a directory"), ("a\0b", "embedded null byte")],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, message: str) -> None:
    problem = refused(f"{tmp_path}/{name}")
    assert (problem.code, problem.path, problem.message) == ("bad_file", "", f"cannot be read: {message}")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"nodes:\n  a: \xff\n")
    problem = refused(str(tmp_path / "a.yaml"))
    assert (problem.code, problem.path, problem.message) == ("bad_file", "line 2", "the text is not UTF-8")


def test_what_is_wrong_at_the_top_is_noted(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("nodes: {}\nnodes: {}\ncoro: [m]\n1: 2\ncoros: [m, 3]\n")
    document, problems = read(str(tmp_path / "a.yaml"))
    assert document.coros == ["m"]
    assert [(each.code, each.path, each.message) for each in problems] == [
        ("duplicate_key", "line 2", "the key 'nodes' stands on line 1 already"),
        ("wrong_type", "coros[1]", "a module's name must be text, not 3"),
        ("unknown_key", "coro", "unknown key 'coro'"),
        ("unknown_key", "", "unknown key 1"),
    ]
    assert problems[2].hint == "did you mean 'coros'? there are: nodes, graph, coros, defaults"


@pytest.mark.parametrize(("coros", "hint"), [("m", "write [m]"), ("{a: 1}", ""), ("3", "")])
def test_coros_are_a_list(tmp_path: Path, coros: str, hint: str) -> None:
    (tmp_path / "a.yaml").write_text(f"coros: {coros}\n")
    document, [problem] = read(str(tmp_path / "a.yaml"))
    assert (document.coros, problem.code, problem.path, problem.hint) == ([], "wrong_type", "coros", hint)


# --set


def assigned(nodes: Any, *assignments: str, defaults: Any = None) -> tuple[Document, list[Problem]]:
    document, problems = Document({"nodes": nodes}, [], defaults), Problems()
    assign(document, assignments, problems)
    return document, noted(problems)


@pytest.mark.parametrize(
    ("assignment", "node"),
    [
        ("a.args.x=5", {"args": {"x": 5}}),
        ("a.args.x=", {"args": {"x": None}}),
        ("a.args.x=b=c", {"args": {"x": "b=c"}}),
        ("a.args.x=a.args.y=1", {"args": {"x": "a.args.y=1"}}),
        ("a.args.x.y=[1, 2]", {"args": {"x": {"y": [1, 2]}}}),
        ('a.args.x={"y": "z"}', {"args": {"x": {"y": "z"}}}),
        ("a.properties.concurrency=1", {"properties": {"concurrency": 1}}),
        ("a.properties.retry.attempts=3", {"properties": {"retry": {"attempts": 3}}}),
        ("a.args. x = no", {"args": {"x": "no"}}),
    ],
)
def test_a_value_is_set(assignment: str, node: dict[str, Any]) -> None:
    document, problems = assigned({"a": {"args": None}}, assignment)
    assert problems == []
    assert document.graph["nodes"]["a"] == {"args": None, **node}


def test_later_assignments_win_and_others_stay() -> None:
    nodes = {"a": {"coro": "c", "args": {"x": 1, "y": {"z": 1}}}}
    document, problems = assigned(nodes, "a.args.x=2", "a.args.x=3", "a.args.y.w=4")
    assert problems == []
    assert document.graph["nodes"] == {"a": {"coro": "c", "args": {"x": 3, "y": {"z": 1, "w": 4}}}}


def test_names_with_dots_and_equal_signs_are_written_as_they_are() -> None:
    nodes: dict[Any, Any] = {"my.node": {}, "a=b": {}, "a": {}, "a.args.b": {}, "defaults": {}, 7: {}}
    document, problems = assigned(
        nodes,
        "my.node.args.x=1",
        "a=b.args.x=2",
        "a.args.b.args.x=3",
        "a.args.x=4",
        "defaults.args.x=5",
        "defaults.concurrency=6",
    )
    assert problems == []
    assert document.graph["nodes"] == {
        "my.node": {"args": {"x": 1}},
        "a=b": {"args": {"x": 2}},
        "a.args.b": {"args": {"x": 3}},
        "a": {"args": {"x": 4}},
        "defaults": {"args": {"x": 5}},
        7: {},
    }
    assert document.defaults == {"concurrency": 6}


def test_nodes_that_share_a_part_of_the_file_are_told_apart() -> None:
    shared = {"args": {"x": {"y": 1}}}
    document, problems = assigned({"a": shared, "b": shared}, "a.args.x.y=2")
    assert problems == []
    assert document.graph["nodes"] == {"a": {"args": {"x": {"y": 2}}}, "b": {"args": {"x": {"y": 1}}}}


def test_defaults_are_set() -> None:
    assert assigned({}, "defaults.retry.attempts=2", "defaults.concurrency=1")[0].defaults == {
        "retry": {"attempts": 2},
        "concurrency": 1,
    }
    assert assigned({}, "defaults.concurrency=1", defaults={"rate": 2})[0].defaults == {"rate": 2, "concurrency": 1}


USAGE = "write NODE.args.KEY=VALUE, NODE.properties.KEY=VALUE or defaults.KEY=VALUE"


@pytest.mark.parametrize(
    ("assignment", "code", "message", "hint"),
    [
        ("revv.args.x=1", "unknown_node", "unknown node 'revv'", "did you mean 'rev'? nodes are: inp, rev"),
        ("x.y.args.x=1", "unknown_node", "unknown node 'x.y'", "nodes are: inp, rev"),
        ("x\n.args.x=1", "unknown_node", "unknown node 'x\\n'", "nodes are: inp, rev"),
        ("rev=1", "bad_assignment", "it says neither which node nor which of its values", USAGE),
        ("rev.coro=x", "bad_assignment", "it says neither which node nor which of its values", USAGE),
        ("x=rev.args.y", "bad_assignment", "it says neither which node nor which of its values", USAGE),
        ("rev.args.x", "bad_assignment", "key or value is missing", USAGE),
        ("rev.args.=1", "bad_assignment", "key or value is missing", USAGE),
        ("rev.args.a..b=1", "bad_assignment", "key or value is missing", USAGE),
        ("defaults.=1", "bad_assignment", "key or value is missing", USAGE),
        ("rev.args.n.m=1", "bad_assignment", "nodes.rev.args.n is 3, which has no key 'm'", ""),
    ],
)
def test_what_is_wrong_with_an_assignment_is_noted(assignment: str, code: str, message: str, hint: str) -> None:
    nodes = {"inp": {}, "rev": {"args": {"n": 3}}}
    document, problems = assigned(nodes, assignment)
    assert problems == [Problem(code, f"--set {assignment}", message, hint)]
    assert document.graph == {"nodes": nodes}


def test_a_value_that_is_broken_is_noted() -> None:
    _, [problem] = assigned({"a": {}}, "a.args.x=[1")
    assert (problem.code, problem.path) == ("bad_assignment", "--set a.args.x=[1")
    assert "expected ',' or ']'" in problem.message


@pytest.mark.parametrize("nodes", [None, [], {"a": None}, {"a": 3}])
def test_what_is_no_node_is_left_to_the_graph_reader(nodes: Any) -> None:
    assert assigned(nodes, "a.args.x=1") == (Document({"nodes": nodes}), [])


def test_a_document_without_keys_is_left_alone() -> None:
    document, problems = Document([1]), Problems()
    assign(document, ["a.args.x=1"], problems)
    assert (document, noted(problems)) == (Document([1]), [])

"""Drawings: right in shape, and safe whatever the names are."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pipelines.graph import Graph

FED: dict[str, Any] = {}
STEP = {"coro": "step"}
ROUTED = {"coro": "step", "properties": {"on_error": {"route": "dead"}}}
MERGE = {"coro": "step", "properties": {"aggregate_inputs": False}}

DIAMOND = {
    "nodes": {"inp": FED, "a": ROUTED, "b": STEP, "zip": STEP, "all": MERGE, "dead": STEP, "lone": FED},
    "graph": {"inp": ["a", "b"], "a": ["zip", "all"], "b": ["zip", "all"]},
}

HOSTILE = [
    '"]; click n0 "javascript:alert(1)"',
    "<img src=x onerror=alert(1)>",
    "a\nb",
    "#quot;",
    "a;b",
    "`**bold**`",
    "\x00\x1b[2J\u202e",
    "__proto__",
    "end",
    "&lt;",
    "\\N\\",
    "{{x}}",
    "%%{init: {}}%%",
    "\ud800",
    "-->",
    "größe 数 😀",
]


def test_mermaid() -> None:
    assert Graph.parse(DIAMOND).to_mermaid() == (
        "flowchart LR\n"
        '    n0(["inp"])\n'
        '    n1["a"]\n'
        '    n2["b"]\n'
        '    n3[["zip"]]\n'
        '    n4[["all"]]\n'
        '    n5[["dead"]]\n'
        '    n6{{"lone"}}\n'
        "    n0 --> n1\n"
        "    n0 --> n2\n"
        "    n1 --> n3\n"
        "    n1 --> n4\n"
        "    n1 -. failed .-> n5\n"
        "    n2 --> n3\n"
        "    n2 --> n4\n"
    )


def test_dot() -> None:
    drawn = Graph.parse(DIAMOND).to_dot()
    assert drawn.startswith("digraph pipelines {\n    rankdir=LR;\n")
    assert '    n0 [label="inp", shape=oval];\n' in drawn
    assert '    n1 [label="a", shape=box];\n' in drawn
    assert '    n3 [label="zip", shape=doubleoctagon];\n' in drawn
    assert '    n6 [label="lone", shape=hexagon];\n' in drawn
    assert "    n0 -> n1;\n" in drawn
    assert '    n1 -> n5 [style=dashed, label="failed"];\n' in drawn
    assert drawn.endswith("}\n")


def test_text() -> None:
    assert Graph.parse(DIAMOND).to_text() == (
        "  0  inp   source       -> a, b\n"
        "  0  lone  source\n"
        "  1  a                  -> zip, all  failed -> dead\n"
        "  1  b                  -> zip, all\n"
        "  2  zip   zip of 2\n"
        "  2  all   merge of 2\n"
        "  2  dead  sink\n"
    )


def named(name: str) -> Graph:
    return Graph.parse({"nodes": {name: FED, "out": STEP}, "graph": {name: ["out"]}})


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_p11_names_cannot_leave_their_labels_in_mermaid(name: str) -> None:
    lines = named(name).to_mermaid().splitlines()
    assert len(lines) == 4
    label = re.fullmatch(r'    n0\(\["(.*)"\]\)', lines[1])
    assert label is not None
    assert re.fullmatch(r"(?:[\w .-]|#\d+;)*", label[1])
    assert lines[3] == "    n0 --> n1"


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_p11_names_cannot_leave_their_labels_in_dot(name: str) -> None:
    lines = named(name).to_dot().splitlines()
    assert len(lines) == 6
    label = re.fullmatch(r'    n0 \[label="((?:[^"\\]|\\["\\])*)", shape=oval\];', lines[2])
    assert label is not None
    assert "&" not in label[1].replace("&amp;", "")
    assert label[1].isprintable()


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_p11_names_cannot_steer_the_terminal(name: str) -> None:
    lines = named(name).to_text().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_labels_say_the_name() -> None:
    assert '"a#35;b"' in named("a#b").to_mermaid()
    assert '"a#92;nb"' in named("a\nb").to_mermaid()
    assert 'label="a\\\\nb"' in named("a\nb").to_dot()
    assert 'label="&amp;\\""' in named('&"').to_dot()
    assert "größe 数" in named("größe 数").to_mermaid()


def test_drawings_do_not_recurse() -> None:
    nodes = {f"n{number}": STEP if number else FED for number in range(3000)}
    graph = Graph.parse({"nodes": nodes, "graph": {f"n{number}": [f"n{number + 1}"] for number in range(2999)}})
    assert graph.to_mermaid().count("-->") == graph.to_dot().count("->") == graph.to_text().count("->") == 2999

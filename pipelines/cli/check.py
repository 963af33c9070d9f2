"""``pipelines check``: what is wrong with a graph file."""

from __future__ import annotations

import json

import typer

from ..errors import GraphError, Problem
from ..graph import Graph
from .loading import Order, importable, load
from .options import AsJson, Assignments, Coros, File, Trace
from .output import BAD_INPUT, line, plural, put, refuse

__all__ = ["check"]


def check(
    file: File, coros: Coros = None, assignments: Assignments = None, as_json: AsJson = False, trace: Trace = False
) -> None:
    """Tell everything that is wrong with FILE.

    The coros it names are imported and their arguments checked; nothing is run. The exit status is 0
    for a graph that is right and 2 for one that is not.
    """
    order = Order(file, coros or (), assignments or (), traceback=trace)
    with importable(file):
        try:
            graph = load(order)
        except GraphError as refused:
            if as_json:
                put(json.dumps(_answer(file, refused.problems)))
                raise typer.Exit(BAD_INPUT) from None
            refuse(file, refused)
    if as_json:
        put(json.dumps({**_answer(file, ()), **_size(graph)}))
    else:
        put(f"{line(file)}: ok, {plural(len(graph.nodes), 'node')}, {plural(len(graph.edges), 'edge')}")


def _answer(file: str, problems: tuple[Problem, ...]) -> dict[str, object]:
    return {"file": file, "ok": not problems, "problems": [problem.to_dict() for problem in problems]}


def _size(graph: Graph) -> dict[str, object]:
    return {
        "nodes": len(graph.nodes),
        "edges": len(graph.edges),
        "sources": list(graph.sources),
        "sinks": list(graph.sinks),
    }

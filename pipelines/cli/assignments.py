"""``--set``: single values of a graph file, replaced from the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import GraphError, Problem
from ..graph.problems import Problems, path_text, shown
from .document import Document

__all__ = ["assign"]

_PARTS = ("args", "properties")
_USAGE = "write NODE.args.KEY=VALUE, NODE.properties.KEY=VALUE or defaults.KEY=VALUE"


def assign(document: Document, assignments: Iterable[str], problems: Problems) -> None:
    """Change what the document says, in the order of the assignments; what is wrong with them is noted.

    A node's name is recognised as it is, dots and equal signs included; of several that fit, the
    longest is meant. Nothing that other places of the document share is changed.
    """
    for assignment in assignments:
        _assign(document, assignment, problems)


def _assign(document: Document, assignment: str, problems: Problems) -> None:
    nodes = document.graph.get("nodes") if isinstance(document.graph, dict) else None
    names = [name for name in nodes if isinstance(name, str)] if isinstance(nodes, dict) else []
    where = _where(assignment, names)
    if where is None:
        _refuse(assignment, names, problems)
        return
    node, part, rest = where
    path, equals, text = rest.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        _note(problems, assignment, "bad_assignment", "key or value is missing", _USAGE)
        return
    try:
        value = _value(text)
    except GraphError as error:
        _note(problems, assignment, "bad_assignment", str(error))
        return
    try:
        if node is None:
            document.defaults = _put(document.defaults, keys, value, ("defaults",))
        elif isinstance(nodes, dict) and isinstance(nodes[node], dict):
            entry = _put(nodes[node], [part, *keys], value, ("nodes", node))
            document.graph["nodes"] = {**nodes, node: entry}
    except LookupError as error:
        _note(problems, assignment, "bad_assignment", str(error.args[0]))


def _value(text: str) -> Any:
    from .syntax import parse_value

    return parse_value(text)


def _where(assignment: str, names: Iterable[str]) -> tuple[str | None, str, str] | None:
    """The node (None for the defaults), the part of it, and what follows; None if nothing fits."""
    for name in sorted(names, key=len, reverse=True):
        for part in _PARTS:
            begin = f"{name}.{part}."
            if assignment.startswith(begin):
                return name, part, assignment[len(begin) :]
    if assignment.startswith("defaults."):
        return None, "", assignment.removeprefix("defaults.")
    return None


def _refuse(assignment: str, names: list[str], problems: Problems) -> None:
    before = assignment.partition("=")[0]
    named = re.match(rf"(.+?)\.(?:{'|'.join(_PARTS)})\.", before, re.DOTALL)
    if named is None:
        _note(problems, assignment, "bad_assignment", "it says neither which node nor which of its values", _USAGE)
    elif names:
        hint = problems.choices(named[1], names, "nodes are")
        _note(problems, assignment, "unknown_node", f"unknown node {shown(named[1])}", hint)


def _note(problems: Problems, assignment: str, code: str, message: str, hint: str = "") -> None:
    problems.extend([Problem(code, f"--set {assignment}", message, hint)])


def _put(within: Any, keys: list[str], value: Any, at: tuple[str, ...]) -> Any:
    """``within``, copied as far as it changes, with ``value`` under the path ``keys``."""
    if not keys:
        return value
    if within is None:
        within = {}
    if not isinstance(within, Mapping):
        raise LookupError(f"{path_text(at)} is {shown(within)}, which has no key {shown(keys[0])}")
    return {**within, keys[0]: _put(within.get(keys[0]), keys[1:], value, (*at, keys[0]))}

"""A graph file: read, and taken apart into the graph dict and what else the file may say."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import GraphError, Problem
from ..graph.problems import Problems, shown
from ..graph.rules import unknown_key

__all__ = ["STDIN", "Document", "read_document"]

STDIN = "-"

_KEYS: Mapping[str, None] = {"nodes": None, "graph": None, "coros": None, "defaults": None}


@dataclass(slots=True)
class Document:
    """What a graph file says.

    Attributes:
        graph: The graph dict: the file's ``nodes`` and ``graph``, unchecked.
        coros: Modules to import first.
        defaults: Properties for all nodes, unchecked; None if there are none.
    """

    graph: Any
    coros: list[str] = field(default_factory=list)
    defaults: Any = None


def read_document(file: str, problems: Problems) -> Document:
    """Read the file of this name, JSON if it ends in ``.json`` and else YAML; ``-`` is standard input.

    Duplicate keys, unknown ones and a wrong ``coros`` are noted in ``problems``.

    Raises:
        GraphError: The file cannot be read, or its syntax is broken.
    """
    from .syntax import parse_json, parse_yaml

    parse = parse_json if file.lower().endswith(".json") else parse_yaml
    data, repeated = parse(_text(file))
    problems.extend(repeated)
    if not isinstance(data, dict):
        return Document(data)
    document = Document({}, _coros(data.get("coros"), problems), data.get("defaults"))
    for key, value in data.items():
        if key in ("nodes", "graph"):
            document.graph[key] = value
        elif key not in _KEYS:
            unknown_key(key, _KEYS, (), problems)
    return document


def _coros(value: Any, problems: Problems) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        hint = f"write [{value}]" if isinstance(value, str) else ""
        problems.add("wrong_type", ("coros",), f"coros must be a list of modules, not {shown(value)}", hint)
        return []
    for position, module in enumerate(value):
        if not isinstance(module, str):
            problems.add("wrong_type", ("coros", position), f"a module's name must be text, not {shown(module)}")
    return [module for module in value if isinstance(module, str)]


def _text(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = getattr(error, "strerror", None) or str(error)
        raise GraphError([Problem("bad_file", "", f"cannot be read: {reason}")]) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise GraphError([Problem("bad_file", f"line {line}", "the text is not UTF-8")]) from None

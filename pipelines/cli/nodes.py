"""``pipelines nodes``: the coros that graphs can name."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import GraphError
from ..graph.problems import Problems
from ..registry import default_registry
from .loading import import_modules, importable
from .options import AsJson, Coros, Trace
from .output import line, put, refuse

__all__ = ["nodes"]

_WORDS = {"null": "null", "object": "object", "array": "list"}


def nodes(coros: Coros = None, as_json: AsJson = False, trace: Trace = False) -> None:
    """List the coros that a graph can name.

    Each with its kind, what it does, and its arguments with types and defaults.
    """
    problems = Problems()
    with importable():
        with contextlib.redirect_stdout(sys.stderr):
            import_modules([("--coros", module) for module in coros or ()], problems, trace=trace)
        try:
            problems.refuse()
        except GraphError as refused:
            refuse("pipelines nodes", refused)
        described = default_registry.describe()
    if as_json:
        put(json.dumps(described))
        return
    width = max((len(entry["name"]) for entry in described), default=0)
    for entry in described:
        put(f"{entry['name']:<{width}}  {entry['kind']:<9}  {line(entry['doc'])}".rstrip())
        for text in _arguments(entry["args"]):
            put(f"    {line(text)}")


def _arguments(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, value in schema.get("properties", {}).items():
        default = f" = {json.dumps(value['default'], ensure_ascii=False)}" if "default" in value else ""
        optional = "" if default or name in schema.get("required", ()) else " (optional)"
        yield f"{name}: {_type(value)}{default}{optional}"
    rest = schema.get("additionalProperties", False)
    if rest is not False:
        yield "any other: " + _type(rest if isinstance(rest, Mapping) else {})


def _type(schema: Mapping[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema or "enum" in schema:
        return " | ".join(json.dumps(each, ensure_ascii=False) for each in schema.get("enum", [schema.get("const")]))
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(dict.fromkeys(_type(each) for each in schema[several]))
    kind = schema.get("type", "any")
    if kind == "array" and isinstance(schema.get("items"), Mapping):
        return f"list of {_type(schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    return str(schema.get("format", _WORDS.get(kind, kind)) if isinstance(kind, str) else "any")

"""The dict read for its shape alone: types, keys, ranges. Names are looked up elsewhere."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .problems import At, Problems, shown
from .rules import OBJECT, PROPERTIES, WRONG, Function, Optional, read_fields, unknown_key

__all__ = ["Draft", "Reading", "copied", "json_schema", "read_defaults", "read_shape"]

_TOP_KEYS: Mapping[str, None] = {"nodes": None, "graph": None}
_NODE_KEYS: Mapping[str, None] = {"coro": None, "args": None, "properties": None}
_CORO = Optional(Function())


@dataclass(slots=True)
class Draft:
    """A node as far as its own entry tells.

    Attributes:
        args: As written.
        values: The properties that are set and right, read.
        written: The properties that are set, as written.
    """

    name: str
    coro: str | Callable[..., Any] | None = None
    args: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    written: dict[str, Any] = field(default_factory=dict)
    broken: bool = False
    """Its coro was refused; so nothing more can be said about it."""


@dataclass(slots=True)
class Reading:
    """A dict whose shape is known.

    Attributes:
        drafts: The nodes in their order.
        wiring: The downstream names of each key of ``graph`` and where they stand; names may be unknown.
        certain: Whether everything about edges and routes could be read.
    """

    drafts: dict[str, Draft] = field(default_factory=dict)
    wiring: dict[str, dict[str, int]] = field(default_factory=dict)
    certain: bool = True


def read_shape(input_d: Any, problems: Problems, *, strict: bool, name_length: int) -> Reading:
    """Read the dict, note everything about its shape that is wrong, and keep what is right."""
    reading = Reading()
    if not isinstance(input_d, OBJECT):
        problems.add("wrong_type", (), f"a graph is an object with nodes and graph, not {shown(input_d)}")
        return reading
    for key in input_d:
        if key not in _TOP_KEYS:
            unknown_key(key, _TOP_KEYS, (), problems)
    _read_nodes(input_d, reading, problems, name_length if strict else None)
    before = len(problems)
    _read_wiring(input_d, reading, problems)
    reading.certain = reading.certain and len(problems) == before
    return reading


def _part(input_d: Mapping[str, Any], key: str, hint: str, problems: Problems) -> Mapping[Any, Any] | None:
    part = input_d.get(key)
    if isinstance(part, OBJECT):
        return part
    if key not in input_d:
        problems.add("missing_key", (key,), f"the graph has no {key}", hint)
    else:
        problems.add("wrong_type", (key,), f"{key} must be an object, not {shown(part)}", hint)
    return None


def _read_nodes(input_d: Mapping[str, Any], reading: Reading, problems: Problems, longest: int | None) -> None:
    nodes = _part(input_d, "nodes", "it maps names to {'coro': ..., 'args': ..., 'properties': ...}", problems)
    if nodes is None:
        return
    if not nodes:
        problems.add("empty_graph", ("nodes",), "the graph has no nodes")
    for name, entry in nodes.items():
        if not isinstance(name, str):
            problems.add(
                "wrong_type", ("nodes",), f"the name of a node must be text, not {shown(name)}", "put it in quotes"
            )
            continue
        _check_name(name, problems, longest)
        draft = reading.drafts[name] = _read_node(name, entry, problems)
        if "on_error" in draft.written and "on_error" not in draft.values:
            reading.certain = False


def _check_name(name: str, problems: Problems, longest: int | None) -> None:
    if not name:
        problems.add("bad_name", ("nodes", name), "the name of a node is empty")
    elif longest is not None and len(name) > longest:
        problems.add("bad_name", ("nodes", name), f"the name {shown(name)} has more than {longest} characters")
    elif longest is not None and not name.isprintable():
        strange = next(character for character in name if not character.isprintable())
        what = unicodedata.name(strange, f"U+{ord(strange):04X}")
        problems.add("bad_name", ("nodes", name), f"the name {shown(name)} holds an unprintable character: {what}")


def _read_node(name: str, entry: Any, problems: Problems) -> Draft:
    draft = Draft(name)
    at: At = ("nodes", name)
    if not isinstance(entry, OBJECT):
        problems.add(
            "wrong_type", at, f"node {shown(name)} must be an object, not {shown(entry)}", "for example {'coro': ...}"
        )
        draft.broken = True
        return draft
    for key, value in entry.items():
        if key == "coro":
            coro = _CORO.read(value, (*at, key), problems)
            draft.broken = coro is WRONG
            draft.coro = None if draft.broken else coro
        elif key == "args":
            draft.args = _read_args(value, (*at, key), problems)
        elif key == "properties":
            _read_properties(draft, value, (*at, key), problems)
        else:
            unknown_key(key, _NODE_KEYS, at, problems)
    return draft


def _read_args(value: Any, at: At, problems: Problems) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, OBJECT):
        problems.add("wrong_type", at, f"args must be an object of the coro's arguments, not {shown(value)}")
        return {}
    for key in value:
        if not isinstance(key, str):
            problems.add("wrong_type", at, f"the name of an argument must be text, not {shown(key)}")
    return {key: argument for key, argument in value.items() if isinstance(key, str)}


def _read_properties(draft: Draft, value: Any, at: At, problems: Problems) -> None:
    if value is None:
        return
    if not isinstance(value, OBJECT):
        problems.add("wrong_type", at, f"properties must be an object, not {shown(value)}")
        return
    draft.written = copied(value)
    draft.values = read_fields(value, PROPERTIES, at, problems)


def copied(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Properties as written, in objects of their own."""
    return {key: dict(value) if isinstance(value, OBJECT) else value for key, value in properties.items()}


def _read_wiring(input_d: Mapping[str, Any], reading: Reading, problems: Problems) -> None:
    graph = _part(input_d, "graph", "it maps each node to the list of its downstream nodes", problems)
    if graph is None:
        return
    for name, downstreams in graph.items():
        if not isinstance(name, str):
            problems.add(
                "wrong_type", ("graph",), f"the name of a node must be text, not {shown(name)}", "put it in quotes"
            )
        elif downstreams is None:
            reading.wiring[name] = {}
        elif isinstance(downstreams, (list, tuple)):
            reading.wiring[name] = _read_downstreams(name, downstreams, problems)
        else:
            hint = f"write [{shown(downstreams)}]" if isinstance(downstreams, str) else "use [] or null for none"
            problems.add(
                "wrong_type",
                ("graph", name),
                f"the downstreams of {shown(name)} must be a list, not {shown(downstreams)}",
                hint,
            )


def _read_downstreams(name: str, downstreams: list[Any] | tuple[Any, ...], problems: Problems) -> dict[str, int]:
    names: dict[str, int] = {}
    for position, downstream in enumerate(downstreams):
        at: At = ("graph", name, position)
        if not isinstance(downstream, str):
            problems.add("wrong_type", at, f"the name of a node must be text, not {shown(downstream)}")
        elif downstream in names:
            problems.add("duplicate_edge", at, f"node {shown(name)} lists downstream {shown(downstream)} twice")
        else:
            names[downstream] = position
    return names


def read_defaults(defaults: Any, problems: Problems) -> tuple[dict[str, Any], dict[str, Any]]:
    """The properties for nodes that do not set them: read, and as written."""
    if defaults is None:
        return {}, {}
    if not isinstance(defaults, OBJECT):
        problems.add("wrong_type", ("defaults",), f"defaults must be an object of properties, not {shown(defaults)}")
        return {}, {}
    values = read_fields(defaults, PROPERTIES, ("defaults",), problems)
    return values, copied({key: defaults[key] for key in values})


def json_schema() -> dict[str, Any]:
    """The shape of a graph dict in JSON Schema, draft 2020-12."""
    properties = {key: rule.schema() for key, rule in PROPERTIES.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A graph of pipelines",
        "type": "object",
        "required": list(_TOP_KEYS),
        "additionalProperties": False,
        "properties": {
            "nodes": {
                "description": "The nodes by name; their order is the order of items in q_elt.",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"minLength": 1},
                "additionalProperties": {"$ref": "#/$defs/node"},
            },
            "graph": {
                "description": "The downstream nodes of each node.",
                "type": "object",
                "additionalProperties": {"$ref": "#/$defs/downstreams"},
            },
        },
        "$defs": {
            "downstreams": {"type": ["array", "null"], "items": {"type": "string"}, "uniqueItems": True},
            "node": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "coro": _CORO.schema(),
                    "args": {"type": ["object", "null"]},
                    "properties": {"anyOf": [{"$ref": "#/$defs/properties"}, {"type": "null"}]},
                },
            },
            "properties": {"type": "object", "additionalProperties": False, "properties": properties},
        },
    }

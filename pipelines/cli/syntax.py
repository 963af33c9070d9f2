"""Text into plain data: YAML and JSON, with every duplicate key and where the syntax breaks.

One file means the same in both languages, so YAML's scalars are read as its version 1.2 has them, which
is nearly how JSON has them: only ``true`` and ``false`` are booleans (``no``, ``on`` and ``yes`` are text),
``1e3`` is a number, and dates, ``12:30`` and ``007`` stay text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from ..errors import GraphError, Problem
from ..graph.problems import shown

__all__ = ["parse_json", "parse_value", "parse_yaml"]

Parsed = tuple[Any, list[Problem]]
"""The data, and the duplicate keys in it."""


def parse_yaml(text: str) -> Parsed:
    """Read one YAML document, without constructing anything but plain data.

    Raises:
        GraphError: The text is no YAML; the problem's path is its line and column.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data(), loader.repeated
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise _refused(_message(error), error.problem_mark or error.context_mark, _hint(error)) from None
    except yaml.reader.ReaderError as error:
        character = shown(chr(error.character)) if isinstance(error.character, int) else shown(error.character)
        raise _refused_at(text, error.position, f"the character {character} may not stand in YAML") from None
    except RecursionError:
        raise _refused("lists and objects are nested too deeply") from None


def parse_json(text: str) -> Parsed:
    """Read one JSON document; ``NaN`` and ``Infinity`` are none.

    Raises:
        GraphError: The text is no JSON; the problem's path is its line and column.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant), list(_repeated_keys(text))
    except json.JSONDecodeError as error:
        raise _refused_at(text, error.pos, error.msg[:1].lower() + error.msg[1:]) from None
    except RecursionError:
        raise _refused("lists and objects are nested too deeply") from None
    except ValueError as error:  # a constant, or an integer of thousands of digits
        raise _refused(str(error)) from None


def parse_value(text: str) -> Any:
    """Read a value from a command line: JSON or a YAML list, object or quoted text; else one YAML scalar.

    Raises:
        GraphError: It begins like a list, an object or a quoted text, and is none.
    """
    text = text.strip()
    if text[:1] not in ("[", "{", '"', "'"):
        return _scalar(text)
    try:
        value, repeated = parse_json(text)
    except GraphError:
        value, repeated = parse_yaml(text)
    if repeated:
        raise GraphError(repeated)
    return value


def _scalar(text: str) -> Any:
    loader = _Loader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    try:
        return loader.construct_object(yaml.ScalarNode(tag, text))
    except yaml.MarkedYAMLError as error:
        raise _refused(_message(error)) from None


class _Loader(yaml.SafeLoader):
    """A safe loader that reads scalars as YAML 1.2 does and notes duplicate keys."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[Problem] = []

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Here, and not where the dict is made: by then merge keys have been replaced by what they merge.
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line, known = key.start_mark.line + 1, (key.tag, key.value)
                if known in first:
                    self.repeated.append(_repeated(key.value, first[known], line))
                first.setdefault(known, line)
        return node


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    try:
        return int(node.value, 0)
    except ValueError:
        raise yaml.constructor.ConstructorError(None, None, "an integer of too many digits", node.start_mark) from None


_PLAIN = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),
}
"""How unquoted scalars look that are no text, by the characters with which they begin."""

_Loader.yaml_implicit_resolvers = {}  # instead of the base class's, which would be added to
for _tag, (_pattern, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],\n]')


def _repeated_keys(text: str) -> Iterator[Problem]:
    """The duplicate keys of a text that is known to be JSON."""
    line = 1
    around: list[dict[str, int] | None] = []  # the keys of every object that is open; None for a list
    key_next = False
    for match in _JSON_TOKEN.finditer(text):
        token = match[0]
        if token == "\n":
            line += 1
        elif token in "{[":
            around.append({} if token == "{" else None)
            key_next = token == "{"
        elif token in "}]":
            around.pop()
        elif token == ",":
            key_next = around[-1] is not None
        elif key_next and (keys := around[-1]) is not None:
            key_next = False
            key = json.loads(token)
            if key in keys:
                yield _repeated(key, keys[key], line)
            keys.setdefault(key, line)


def _repeated(key: str, before: int, line: int) -> Problem:
    return Problem("duplicate_key", f"line {line}", f"the key {shown(key)} stands on line {before} already")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _message(error: yaml.MarkedYAMLError) -> str:
    # Contexts begin with a verb form: "while parsing a block mapping".
    return ": ".join(part for part in (error.context, error.problem) if part)


def _hint(error: yaml.MarkedYAMLError) -> str:
    return "YAML is indented with spaces" if "'\\t'" in (error.problem or "") else ""


def _refused(message: str, mark: Any = None, hint: str = "") -> GraphError:
    path = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
    return GraphError([Problem("bad_syntax", path, message, hint)])


def _refused_at(text: str, position: int, message: str) -> GraphError:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return GraphError([Problem("bad_syntax", f"line {line}, column {column}", message)])

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.nodes import _arguments, _type
from tests.unit.cli.conftest import Command


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({}, "any"),
        ({"type": "string"}, "string"),
        ({"type": "string", "format": "path"}, "path"),
        ({"type": "array", "items": {"type": "integer"}}, "list of integer"),
        ({"type": "array"}, "list"),
        ({"type": "object"}, "object"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "object of number"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer | null"),
        ({"oneOf": [{"type": "integer"}, {"type": "integer"}]}, "integer"),
        ({"enum": ["a", 1]}, '"a" | 1'),
        ({"const": None}, "null"),
        ({"$ref": "#/$defs/Point"}, "Point"),
        ({"type": ["string", "null"]}, "any"),
    ],
)
def test_a_schema_in_words(schema: dict[str, Any], text: str) -> None:
    assert _type(schema) == text


def test_arguments_with_defaults_optional_ones_and_any_others() -> None:
    schema = {
        "properties": {"a": {"type": "integer"}, "b": {"type": "string", "default": "ü"}, "c": {}},
        "required": ["a"],
        "additionalProperties": {"type": "integer"},
    }
    assert list(_arguments(schema)) == ["a: integer", 'b: string = "ü"', "c: any (optional)", "any other: integer"]
    assert list(_arguments({"additionalProperties": True})) == ["any other: any"]
    assert list(_arguments({"additionalProperties": False})) == []


def test_the_registry_is_listed(command: Command) -> None:
    result = command("nodes")
    lines = result.out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("read_lines "))
    assert lines[at].split(None, 2) == ["read_lines", "source", "Read a text file line by line."]
    assert lines[at + 1 : at + 3] == ["    path: string", '    encoding: string = "utf-8"']
    assert (result.status, result.err, "t.double" in result.out) == (0, "", False)


def test_modules_of_the_working_directory_are_listed_too(command: Command) -> None:
    result = command("nodes", "--coros", "t_coros")
    lines = result.out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("t.double "))
    assert lines[at].split(None, 2) == ["t.double", "processor", "Twice the number."]
    assert lines[at + 1 : at + 3] == ["    fail_at: integer = -1", "    skip_at: integer = -1"]


def test_the_registry_as_json(command: Command) -> None:
    result = command("nodes", "--coros", "t_coros", "--json")
    [entry] = [each for each in json.loads(result.out) if each["name"] == "t.numbers"]
    assert (entry["doc"], entry["kind"]) == ("Count from 0.", "source")
    assert entry["args"]["properties"]["n"]["default"] == 3


def test_a_module_that_cannot_be_imported(command: Command, here: Path) -> None:
    (here / "t_broken.py").write_text("raise OSError('no \\x1b[2J disk')")
    result = command("nodes", "--coros", "t_broken", "--coros", "t_missing.py", "--json")
    assert (result.status, result.out) == (2, "")
    assert result.err.splitlines() == [
        "pipelines nodes: 2 problems",
        "  bad_import: --coros: module 't_broken' cannot be imported: OSError: no \\x1b[2J disk",
        "  bad_import: --coros: module 't_missing.py' cannot be imported: "
        "ModuleNotFoundError: No module named 't_missing' (name a module, as in package.module, not a file)",
    ]


def test_the_traceback_of_an_import(command: Command, here: Path) -> None:
    (here / "t_broken.py").write_text("def fail():\n    raise OSError('no \\x1b[2J disk')\n\nfail()\n")
    result = command("nodes", "--coros", "t_broken", "--traceback")
    assert result.status == 2
    assert 't_broken.py", line 2, in fail' in result.err
    assert "\x1b" not in result.err

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cli.syntax import parse_json, parse_value, parse_yaml
from pipelines.errors import GraphError, Problem

TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def problem(parse: Callable[[str], Any], text: str) -> Problem:
    with pytest.raises(GraphError) as caught:
        parse(text)
    [only] = caught.value.problems
    return only


@given(VALUES)
def test_a_json_document_means_the_same_as_yaml(value: object) -> None:
    text = json.dumps(value)
    assert parse_yaml(text) == parse_json(text) == (value, [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-12", -12),
        ("+3", 3),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        ("-.inf", -math.inf),
        # What older YAML takes for something else is text, as it would be in quotes.
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("007", "007"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2013-01-01", "2013-01-01"),
        ("0b1", "0b1"),
        ("1.2.3", "1.2.3"),
        ("-", "-"),
    ],
)
def test_scalars_are_read_as_yaml_1_2_reads_them(text: str, value: object) -> None:
    read = parse_value(text)
    assert (read, type(read)) == (value, type(value))
    if text != "-":
        assert parse_yaml(f"key: {text}") == ({"key": value}, [])


def test_not_a_number_is_one_float() -> None:
    assert math.isnan(parse_value(".nan"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('["a", 1]', ["a", 1]),
        ("[a, 1, [no]]", ["a", 1, ["no"]]),
        ('{"a": {"b": null}}', {"a": {"b": None}}),
        ("{a: 1}", {"a": 1}),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ("'it''s'", "it's"),
        ('""', ""),
        ("  5 ", 5),
        # Only what begins like a list, an object or a quoted text is one.
        ("a: b", "a: b"),
        ("%Y-%m", "%Y-%m"),
        ("*all", "*all"),
        ("# 1", "# 1"),
        ("@x", "@x"),
        ("- a", "- a"),
        ("!tag", "!tag"),
    ],
)
def test_a_value_on_the_command_line_is_json_or_a_flow_list_or_a_scalar(text: str, value: object) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize("text", ["[1", "{a", '"a', "['a'"])
def test_a_value_that_only_begins_like_a_list_is_refused(text: str) -> None:
    assert problem(parse_value, text).code == "bad_syntax"


def test_a_value_with_a_duplicate_key_is_refused() -> None:
    assert problem(parse_value, '{"a": 1, "a": 2}').code == "duplicate_key"


def test_duplicate_keys_in_yaml_are_all_told_with_their_lines() -> None:
    _, repeated = parse_yaml("a: 1\nb:\n  c: 1\n  c: 2\n\na: 2\nd: {x: 1, x: 2}\n")
    assert [(each.path, each.message) for each in repeated] == [
        ("line 4", "the key 'c' stands on line 3 already"),
        ("line 7", "the key 'x' stands on line 7 already"),
        ("line 6", "the key 'a' stands on line 1 already"),
    ]


def test_duplicate_keys_in_json_are_all_told_with_their_lines() -> None:
    text = '{"a": {"b": 1, "b": [{"a": "\\"{"}, "b"]},\n"c": 1,\n\n"a": "b",\n "\\u0061": 3}'
    _, repeated = parse_json(text)
    assert [(each.path, each.message) for each in repeated] == [
        ("line 1", "the key 'b' stands on line 1 already"),
        ("line 4", "the key 'a' stands on line 1 already"),
        ("line 5", "the key 'a' stands on line 1 already"),
    ]


def test_keys_of_different_objects_and_merged_keys_are_no_duplicates() -> None:
    text = "base: &base {x: 1, y: 2}\nnode:\n  <<: *base\n  x: 3\nlater:\n  - {<<: *base, y: 4}\n  - *base\n"
    assert parse_yaml(text) == (
        {"base": {"x": 1, "y": 2}, "node": {"x": 3, "y": 2}, "later": [{"x": 1, "y": 4}, {"x": 1, "y": 2}]},
        [],
    )
    assert parse_json('[{"a": 1}, {"a": [{"a": 2}]}]')[1] == []


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("a: [1, 2\nb: 3\n", "line 2, column 2", "expected ',' or ']'"),
        ("a: 1\n  b: 2\n", "line 2, column 4", "mapping values are not allowed here"),
        ("a: 'x", "line 1, column 6", "unexpected end of stream"),
        ("a: *nobody", "line 1, column 4", "undefined alias"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1", "expected a single document"),
        ("a: !!python/name:os.system ''", "line 1, column 4", "could not determine a constructor"),
        ("a: !!int x", "line 1, column 4", "an integer of too many digits"),
        ("? [a]\n: 1", "line 1, column 3", "unhashable key"),
        ("a: \x07", "line 1, column 4", "the character '\\x07' may not stand in YAML"),
        ("ok: 1\nb: \ud800", "line 2, column 4", "the character '\\ud800' may not stand in YAML"),
    ],
)
def test_broken_yaml_is_told_with_line_and_column(text: str, path: str, words: str) -> None:
    found = problem(parse_yaml, text)
    assert (found.code, found.path) == ("bad_syntax", path)
    assert words in found.message


def test_a_tab_is_told_with_a_hint() -> None:
    found = problem(parse_yaml, "a:\n\tb: 1\n")
    assert (found.path, found.hint) == ("line 2, column 1", "YAML is indented with spaces")


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("", "line 1, column 1", "expecting value"),
        ('{"a": 1,\n "b" 2}', "line 2, column 6", "expecting ':' delimiter"),
        ('{"a": 1} x', "line 1, column 10", "extra data"),
        ('{"a": NaN}', "", "NaN is not JSON"),
        ("[" + "9" * 5000 + "]", "", "4300"),
    ],
)
def test_broken_json_is_told_with_line_and_column(text: str, path: str, words: str) -> None:
    found = problem(parse_json, text)
    assert (found.code, found.path) == ("bad_syntax", path)
    assert words in found.message


@pytest.mark.parametrize("parse", [parse_json, parse_yaml])
def test_depth_is_refused_and_not_a_crash(parse: Callable[[str], Any]) -> None:
    found = problem(parse, "[" * 20_000 + "]" * 20_000)
    assert (found.code, found.message) == ("bad_syntax", "lists and objects are nested too deeply")


@pytest.mark.parametrize("parse", [parse_value, parse_yaml])
def test_a_number_of_thousands_of_digits_is_refused(parse: Callable[[str], Any]) -> None:
    assert "an integer of too many digits" in problem(parse, "9" * 5000).message

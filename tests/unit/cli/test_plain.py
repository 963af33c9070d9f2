from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import FailedItem, Report, Statistics
from pipelines.cli.plain import json_line, json_report


class BrokenError(Exception):
    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __repr__


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.complex_numbers()
    | st.builds(object)
    | st.builds(BrokenError)
)
KEYS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.tuples(st.integers())
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner),
    max_leaves=10,
)


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@given(VALUES, st.booleans())
def test_any_value_is_one_printable_line_of_json(value: object, ascii_only: bool) -> None:
    text = json_line(value, ascii_only=ascii_only)
    assert text.isprintable()
    assert text.isascii() or not ascii_only
    json.loads(text, parse_constant=refuse_constant)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_what_json_can_say_is_said_as_it_is(value: object) -> None:
    assert json.loads(json_line(value)) == value


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({1}, "{1}"),
        (b"x", "b'x'"),
        ([math.nan, -math.inf, 1.5], ["nan", "-inf", 1.5]),
        ((1, {"a": {2}}), [1, {"a": "{2}"}]),
        ({(1, 2): 3, None: 4, True: 5, 1.5: {6}}, {"(1, 2)": 3, "null": 4, "true": 5, "1.5": "{6}"}),
        ([BrokenError()], ["<BrokenError whose repr fails: RuntimeError>"]),
        pytest.param(10**5000, hex(10**5000), id="huge"),
    ],
)
def test_what_json_has_no_form_for_stands_as_its_repr(value: object, data: object) -> None:
    assert json.loads(json_line(value)) == data


def test_control_characters_and_direction_marks_are_escaped() -> None:
    assert json_line("a\x9b\u202eé\ud800") == '"a\\u009b\\u202eé\\ud800"'
    assert json_line("é", ascii_only=True) == '"\\u00e9"'


def test_a_value_that_contains_itself_ends() -> None:
    cycle: list[Any] = [1]
    cycle.append(cycle)
    assert json.loads(json_line(cycle)) == [1, "[1, [...]]"]


def test_a_deep_value_ends() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    try:
        assert "whose repr fails: RecursionError" in json_line(deep)
    finally:
        while deep:  # the interpreter would take the nested lists apart recursively
            deep = deep.pop()


def test_a_report_of_broken_things_is_json() -> None:
    statistics = Statistics("run", "failed", 1.0, 1, 0, 1.0, 0.0, (), ())
    failed = FailedItem(BrokenError(), "n", BrokenError(), 2)
    report = Report("run", "failed", statistics, {"out": [{1}]}, (failed,), BrokenError())
    data = json.loads(json_report(report))
    assert data["statistics"] == statistics.to_dict() | {"nodes": [], "edges": [], "waits": [], "parts": []}
    assert data["outputs"] == {"out": ["{1}"]}
    assert data["failures"] == [
        {
            "node": "n",
            "item": "<BrokenError that cannot be shown>",
            "error": "<BrokenError that cannot be shown>",
            "attempts": 2,
        }
    ]
    assert (data["state"], data["error"]) == ("failed", "<BrokenError that cannot be shown>")


def test_a_plain_report_is_what_to_dict_says() -> None:
    statistics = Statistics("run", "completed", 1.0, 1, 1, 1.0, 1.0, (), ())
    report = Report("run", "completed", statistics, {"out": [1]}, (FailedItem(1, "n", ValueError("x")),))
    assert json.loads(json_report(report)) == json.loads(json.dumps(report.to_dict()))

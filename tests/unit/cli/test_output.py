from __future__ import annotations

import pytest

from pipelines.cli.output import duration, figure, line, message, plural, safe, shortened, told


class BrokenError(Exception):
    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __repr__


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain ünïcode ✓", "plain ünïcode ✓"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("bell\x07 back\x08 return\r", "bell\\x07 back\\x08 return\\r"),
        ("\x9b2J", "\\x9b2J"),
        ("abc\u202edef\u2066", "abc\\u202edef\\u2066"),
        ("\ud800", "\\ud800"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_only_printable_characters_and_line_ends_are_written(text: str, written: str) -> None:
    assert safe(text) == written


def test_a_line_is_one_line() -> None:
    assert line("a\nb\x00") == "a\\nb\\x00"


def test_broken_classes_are_shown_all_the_same() -> None:
    assert told(BrokenError()) == "<BrokenError whose repr fails: RuntimeError>"
    assert message(BrokenError()) == "BrokenError whose text fails: RuntimeError"
    assert message(ValueError("x")) == "x"


def test_representations_are_cut() -> None:
    assert shortened("abc") == "'abc'"
    assert shortened("a" * 300) == "'" + "a" * 198 + "…"
    assert shortened("\x1b" * 300, 10) == "'\\x1b\\x1b…"
    assert shortened(BrokenError()) == "<BrokenError that cannot be shown>"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0, "0"),
        (7, "7"),
        (12345, "12,345"),
        (12345.6, "12,346"),
        (10.04, "10"),
        (9.96, "10.0"),
        (0.25, "0.2"),
        (0.0123, "0.012"),
    ],
)
def test_figures_are_short(value: float, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (4.24, "4.2 s"), (59.9, "59.9 s"), (65.9, "1:05"), (7209, "2:00:09")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_plurals() -> None:
    assert [plural(count, "item") for count in (0, 1, 2000)] == ["0 items", "1 item", "2,000 items"]

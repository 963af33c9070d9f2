"""What is written to the terminal: only characters that cannot steer it, whatever names and errors hold."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import NoReturn

import typer

from .. import errors
from ..errors import GraphError, Problem

__all__ = [
    "BAD_INPUT",
    "FAILED",
    "INTERRUPTED",
    "duration",
    "error",
    "figure",
    "line",
    "message",
    "plural",
    "put",
    "refuse",
    "safe",
    "shortened",
    "told",
]

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
"""The exit statuses: a run failed; the graph or the usage is wrong; Ctrl-C ended it."""


def safe(text: str) -> str:
    """``text`` with everything but printable characters and line ends written as Python writes it in a string."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def line(text: str) -> str:
    """``text`` as `safe` writes it, in one line."""
    return safe(text).replace("\n", "\\n")


def told(value: object) -> str:
    """``repr(value)``, or what must do when its class cannot say it."""
    try:
        return repr(value)
    except Exception as broken:
        return f"<{type(value).__name__} whose repr fails: {type(broken).__name__}>"


def message(reason: BaseException) -> str:
    """``str(reason)``, or what must do when its class cannot say it."""
    try:
        return str(reason)
    except Exception as broken:
        return f"{type(reason).__name__} whose text fails: {type(broken).__name__}"


def shortened(value: object, limit: int = 200) -> str:
    """About ``limit`` characters of the representation of a value, in one line."""
    return line(errors.shortened(value, limit=limit))


def put(text: str) -> None:
    """Write a line, or several, to standard output."""
    sys.stdout.write(safe(text) + "\n")


def error(text: str) -> None:
    """Write a line, or several, to standard error."""
    sys.stderr.write(safe(text).rstrip("\n") + "\n")
    sys.stderr.flush()


def refuse(file: str, refused: GraphError) -> NoReturn:
    """Tell everything that is wrong, one problem a line, and end the command.

    Raises:
        typer.Exit: Always, with the status for a bad graph.
    """
    error(f"{line(file)}: {plural(len(refused.problems), 'problem')}")
    for text in _problem_lines(refused.problems):
        error(text)
    raise typer.Exit(BAD_INPUT)


def _problem_lines(problems: Iterable[Problem]) -> Iterable[str]:
    for problem in problems:
        yield "  " + line(f"{problem.code}: {problem}")


def figure(value: float) -> str:
    """A count or a rate, as short as it may be: ``7``, ``0.5``, ``12,345``."""
    if isinstance(value, int) or value >= 10 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 0.1 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """A time span: ``4.2 s``, ``1:05``, ``2:00:09``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def plural(count: int, word: str) -> str:
    """``1 item``, ``2 items``."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"

"""The tables that people read: in Markdown, aligned, so that they read well in a terminal too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .results import Range, Result
from .targets import Verdict

__all__ = ["contenders_table", "number", "table", "work_section"]

WORDS = {"cannot": "no", "missing": "not installed", "wrong": "WRONG RESULT", "failed": "FAILED", "timeout": "too long"}


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits and no exponent; with none, a whole number."""
    if not digits or not value:
        return f"{value:,.0f}"
    rounded = float(f"{value:.{digits}g}")
    exponent = int(f"{rounded:e}".partition("e")[2])
    return f"{rounded:,.{max(0, digits - 1 - exponent)}f}"


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table with columns of equal width; all but the first are aligned to the right."""
    lines = [head, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    shown = [_line(line, widths) for line in lines]
    return "\n".join([shown[0], _line(rule, widths), *shown[1:]])


def _line(cells: list[str], widths: list[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "| " + " | ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]) + " |"


def work_section(result: Result, verdicts: list[Verdict]) -> str:
    """The table of one work, the reasons of those who are not in it, and what became of its targets."""
    figures = result.work.figures
    reference = result.work.reference
    head = ["contender", figures[0].title, "min..max", f"times {reference}", "min..max"]
    head += [figure.title for figure in figures[1:]]
    rows = [_row(result, name) for name, outcome in result.outcomes.items() if outcome.status == "ok"]
    parts = [table(head, rows)] if rows else []
    parts.append("\n".join(_excuses(result)))
    parts.append("\n".join(f"- {verdict}" for verdict in verdicts))
    return "\n\n".join(part for part in parts if part)


def _row(result: Result, name: str) -> list[str]:
    outcome, ratio = result.outcomes[name], result.ratio(name)
    first, *others = result.work.figures
    measured = outcome.range(first.key)
    return [
        name if outcome.share == 1.0 else f"{name} ({outcome.share:.0%})",
        number(measured.median, first.digits),
        _span(measured, first.digits),
        "" if ratio is None else number(ratio.median),
        "" if ratio is None else _span(ratio),
        *(number(outcome.range(figure.key).median, figure.digits) for figure in others),
    ]


def _span(values: Range, digits: int = 3) -> str:
    return f"{number(values.least, digits)}..{number(values.most, digits)}"


def _excuses(result: Result) -> list[str]:
    """A line for each reason why somebody is not in the table."""
    reasons: dict[str, list[str]] = {}
    for name, outcome in result.outcomes.items():
        if outcome.status != "ok":
            reasons.setdefault(f"{WORDS[outcome.status]}: {outcome.reason}", []).append(name)
    return [f"- {', '.join(names)}: {reason}" for reason, names in reasons.items()]


def contenders_table(descriptions: Mapping[str, Mapping[str, Any]]) -> str:
    """Who took part, in which version, and how it was used."""
    rows = []
    for name, description in descriptions.items():
        if description["status"] == "ok":
            rows.append([f"{name} {description['version'] or ''}".strip(), description["about"]])
        else:
            rows.append([name, f"{WORDS[description['status']]}: {description['reason']}"])
    return "\n".join(["| contender | how it is used |", "|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])

"""The tables inside docs/benchmarks.md: each stands between two comments, and only what is between them is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .results import Result
from .tables import contenders_table, work_section
from .targets import judge

__all__ = ["PAGE", "fill", "write"]

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def fill(page: str, name: str, content: str) -> str:
    """``page`` with ``content`` between the comments of ``name``.

    Raises:
        LookupError: The page has no such comments.
    """
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise LookupError(f"the page has no comments {begin!r} and {end!r}")
    return pattern.sub(lambda _: f"{begin}\n\n{content}\n\n{end}", page)


def write(
    results: Iterable[Result],
    descriptions: Mapping[str, Mapping[str, Any]],
    machine: Mapping[str, Any],
    path: Path = PAGE,
) -> None:
    """Write the tables of ``results`` into the page; those of works that were not run stay as they are."""
    by_work = {result.work.name: result for result in results}
    verdicts = judge(by_work)
    page = fill(path.read_text(encoding="utf-8"), "contenders", contenders_table(descriptions))
    for name, result in by_work.items():
        section = work_section(result, [verdict for verdict in verdicts if verdict.target.work == name])
        page = fill(page, name, f"{section}\n\n{_measured(result, machine)}")
    path.write_text(page, encoding="utf-8")


def _measured(result: Result, machine: Mapping[str, Any]) -> str:
    return (
        f"Measured {machine['date']}, {result.rounds} rounds, {machine['python']}, {machine['system']}, "
        f"{machine['cores']} cores of {machine['cpu']}."
    )

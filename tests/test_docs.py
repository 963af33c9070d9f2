"""README and documentation are true: their code runs, their tables say what the code says."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

import pipelines
import pipelines.errors
from pipelines.graph import Properties
from pipelines.graph.problems import CODES
from pipelines.retry import Retry
from tests.doc_runner import ROOT, blocks_of, run_in_new_process

MOST_NOT_RUN = 8


def pages() -> list[Path]:
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if page.exists() and "_build" not in page.parts]


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", [page for page in pages() if any(block.runs for block in blocks_of(page))], ids=named)
def test_the_code_of_the_page_runs(page: Path) -> None:
    result = run_in_new_process(page)
    assert result.returncode == 0, result.stderr


def test_few_blocks_are_left_out() -> None:
    left_out = [f"{named(b.path)}:{b.line}" for page in pages() for b in blocks_of(page) if "no-run" in b.tags]
    assert len(left_out) <= MOST_NOT_RUN, left_out


def table(page: str, heading: str) -> dict[str, list[str]]:
    """The rows of the first table under a heading: the name in the first column, and the other columns."""
    section = (ROOT / "docs/reference" / page).read_text(encoding="utf-8").split(f"{heading}\n", 1)[1].split("\n#")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}


@pytest.mark.parametrize(("heading", "fields"), [("# Node properties", Properties), ("## `retry`", Retry)])
def test_the_tables_of_properties_tell_every_default(heading: str, fields: type) -> None:
    written = {name: cells[0] for name, cells in table("properties.md", heading).items()}
    defaults = {field.name: field.default for field in dataclasses.fields(fields)}
    assert written == {
        name: "none" if default is None else f"`{json.dumps(default)}`" for name, default in defaults.items()
    }


def test_the_tables_of_problem_codes_are_complete() -> None:
    text = (ROOT / "docs/reference/problems.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE)) == dict(CODES)


def test_every_public_name_is_in_the_reference() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs/reference").glob("*.md"))
    shown = re.findall(r"^\.\. auto(?:class|function|data):: ([\w.]+)$", text, re.MULTILINE)
    assert {*shown, *pipelines.errors.__all__} >= set(pipelines.__all__) - {"__version__"}
    assert ".. automodule:: pipelines.errors\n" in text
    assert set(pipelines.errors.__all__) - {"EndOfChannel"} <= set(pipelines.__all__)

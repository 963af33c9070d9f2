"""Readers and writers in real graphs."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

import pipelines
from pipelines import NodeError, Plumber
from pipelines.formats import FormatError, RecordError, write_csv
from pipelines.registry import default_registry


def test_all_are_found_by_name_and_described() -> None:
    described = {each["name"]: each for each in default_registry.describe()}
    kinds = {name: each["kind"] for name, each in described.items()}
    assert kinds.items() >= {
        ("read_csv", "source"),
        ("read_jsonl", "source"),
        ("read_lines", "source"),
        ("write_csv", "processor"),
        ("write_jsonl", "processor"),
    }
    assert described["read_csv"]["doc"] == "Read a CSV file row by row."
    assert described["write_csv"]["args"]["required"] == ["path"]
    assert set(described["write_jsonl"]["args"]["properties"]) == {"path", "append"}


def chain(source: Path, target: Path, **properties: Any) -> dict[str, Any]:
    return {
        "nodes": {
            "inp": {"coro": "read_csv", "args": {"path": str(source)}, "properties": properties},
            "out": {"coro": "write_csv", "args": {"path": str(target)}},
        },
        "graph": {"inp": ["out"]},
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.csv"
    path.write_text("n,text\n" + "".join(f'{number:03},"a\n{number}"\n' for number in range(500)) + "007\n")
    return path


def test_p1_rows_pass_through_a_graph_unchanged(source: Path, tmp_path: Path) -> None:
    source.write_text(source.read_text().removesuffix("007\n"))
    graph = chain(source, tmp_path / "out.csv.gz")
    graph["nodes"]["lines"] = {"coro": "write_jsonl", "args": {"path": str(tmp_path / "out.jsonl")}}
    graph["graph"]["inp"].append("lines")
    assert pipelines.run(graph).state == "completed"
    graph = chain(tmp_path / "out.csv.gz", tmp_path / "again.csv", batch={"size": 1})
    del graph["nodes"]["inp"]["properties"]
    graph["nodes"]["out"]["properties"] = {"batch": {"size": 7}}
    assert pipelines.run(graph).state == "completed"
    assert (tmp_path / "again.csv").read_text() == source.read_text()
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows == [{"n": f"{number:03}", "text": f"a\n{number}"} for number in range(500)]


def test_records_that_fail_go_to_the_dead_letter_node(source: Path, tmp_path: Path) -> None:
    graph = chain(source, tmp_path / "out.csv", on_error={"route": "dead"})
    graph["nodes"]["dead"] = {"coro": "write_jsonl", "args": {"path": str(tmp_path / "dead.jsonl")}}
    assert pipelines.run(graph).state == "completed"
    assert json.loads((tmp_path / "dead.jsonl").read_text()) == {
        "item": "007",
        "node": "inp",
        "error": f"RecordError: {source}, line 1002: 1 cells, but there are 2 columns",
        "attempts": 1,
    }


def test_p6_a_record_that_fails_the_run_leaves_the_target_alone(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("before\n")
    with pytest.raises(NodeError, match=r"node 'inp' failed on item '007'.*line 1002: 1 cells") as caught:
        pipelines.run(chain(source, target))
    assert isinstance(caught.value.__cause__, RecordError)
    assert target.read_text() == "before\n"
    assert (tmp_path / "out.csv.partial").exists()


def test_p6_what_cannot_be_opened_fails_the_run(source: Path, tmp_path: Path) -> None:
    with pytest.raises(NodeError) as caught:
        pipelines.run(chain(tmp_path / "nothing", tmp_path / "out.csv"))
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    graph = chain(source, tmp_path / "out.csv", on_error="skip")
    graph["nodes"]["too"] = graph["nodes"]["out"]
    graph["graph"]["inp"].append("too")
    with pytest.raises(NodeError, match=r"out\.csv is being written already") as caught:
        pipelines.run(graph)
    assert isinstance(caught.value.__cause__, FormatError)
    assert not (tmp_path / "out.csv").exists()
    del graph["nodes"]["too"], graph["graph"]["inp"][1]
    assert pipelines.run(graph).state == "completed"


def test_a_writer_takes_its_setup_and_cleanup_along_when_it_is_no_name(source: Path, tmp_path: Path) -> None:
    graph = chain(source, tmp_path / "out.csv", on_error="skip")
    graph["nodes"]["out"]["coro"] = write_csv
    assert pipelines.run(graph).state == "completed"
    assert (tmp_path / "out.csv").exists()


def test_a_writer_that_nobody_would_finish_is_refused(source: Path, tmp_path: Path) -> None:
    graph = chain(source, tmp_path / "out.csv", on_error="skip")
    graph["nodes"]["out"]["properties"] = {"setup": None, "cleanup": None}
    with pytest.raises(NodeError, match="node 'out' has no open file"):
        pipelines.run(graph)


@pytest.mark.parametrize("command", ["stop", "abort"])
async def test_p5_a_graph_that_is_stopped_leaves_nothing_but_the_partial_file(
    source: Path, tmp_path: Path, command: str
) -> None:
    reached = asyncio.Event()

    async def slow(self: Any, q_elt: tuple[Any, ...]) -> Any:
        reached.set()
        await asyncio.sleep(0.001)
        return q_elt[0]

    graph = chain(source, tmp_path / "out.csv", on_error="skip")
    graph["nodes"]["slow"] = {"coro": slow, "properties": {"concurrency": 2}}
    graph["graph"] = {"inp": ["slow"], "slow": ["out"]}
    plumber = Plumber(graph)
    plumber.create_pipeline()
    await reached.wait()
    await getattr(plumber, command)()
    assert (await plumber.wait()).state in ("stopped", "aborted")
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("out")] == ["out.csv.partial"]
    assert [each for each in threading.enumerate() if each.name.startswith("pipelines-file")] == []
    assert str(source) not in {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}

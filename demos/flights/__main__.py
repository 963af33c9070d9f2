"""Runs graph.yaml as ``pipelines run`` does, and then shows what came out.

Start it with ``python -m demos.flights``.
"""

import csv
import shutil
import sys
from itertools import islice
from pathlib import Path

from pipelines.cli import main as command_line

FOLDER = Path(__file__).parent
RESULTS = Path("results/flights")
SHOWN = 5

NEXT = """
What to do next:

  {pipelines} draw {graph} --format mermaid
      the graph as a picture, for any Markdown page
  {pipelines} run {graph} --set 'by_route.args.by=[dest, airline]'
      other totals: which airline is late where?
  {demos}
      what else there is to try; the program you have just seen is {graph}
"""


def main() -> int:
    """Run the graph; 0 when it ran to its end."""
    print("All flights that left New York City in 2013: how late was each airline, and each route?\n")
    graph = from_here(FOLDER / "graph.yaml")
    status = command_line(["run", graph])
    if status == 0:
        show_totals("carriers.csv", "airline")
        show_totals("routes.csv", "origin_name", "dest_name")
        print(f"\n{RESULTS / 'unusable.csv'}: flights that took off, and of which no arrival is known")
        demos = from_here(FOLDER.parent / "README.md")
        print(NEXT.format(pipelines=typed("pipelines"), graph=graph, demos=demos))
    return status


def show_totals(file: str, *columns: str) -> None:
    """Print the first rows of one result: the groups with the most flights."""
    path = RESULTS / file
    print(f"\n{path!s:54} {'flights':>10} {'departure':>11} {'arrival':>11} {'late':>5} {'mph':>5}")
    with path.open(newline="", encoding="utf-8") as lines:
        for row in islice(csv.DictReader(lines), SHOWN):
            name = " - ".join(row[column] for column in columns)
            delays = f"{float(row['mean_dep_delay']):+7.1f} min {float(row['mean_arr_delay']):+7.1f} min"
            late, mph = f"{float(row['share_late']):5.0%}", f"{float(row['mean_mph']):5.0f}"
            print(f"  {name:52.52} {int(row['flights']):10,} {delays} {late} {mph}")


def from_here(path: Path) -> str:
    """The path, relative to the working directory if it is below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def typed(program: str) -> str:
    """How an installed program of this environment is called from here."""
    installed = Path(sys.executable).with_name(program)
    on_path = shutil.which(program)
    if not installed.exists() or (on_path is not None and Path(on_path) == installed):
        return program
    return from_here(installed)


if __name__ == "__main__":
    sys.exit(main())

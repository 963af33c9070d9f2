"""Runs graph.yaml as ``pipelines run`` does, with one word of it set from the command line.

Start it with ``python -m demos.images``, and see ``--help``.
"""

import argparse
import asyncio
import csv
import json
import shlex
import sys
from itertools import islice
from pathlib import Path

from demos.images.compare import EXECUTORS, GRAPH, compare, table
from pipelines import PipelinesError
from pipelines.cli import main as command_line

RESULTS = Path("results/images")
SHOWN = 5


def main() -> int:
    """Count the stars, once or with every executor; 0 when all went well."""
    options = parse()
    if options.compare:
        print(f"{options.count} pictures, {options.rounds} rounds, medians; the node 'work' on each executor in turn\n")
        try:
            measured = asyncio.run(compare(EXECUTORS, options.count, options.rounds, options.folder))
        except PipelinesError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print("\n".join(table(measured)))
        return 0
    command = run_command(options)
    print("$ pipelines " + shlex.join(command), flush=True)
    status = command_line(command)
    if status == 0:
        show_stars()
    return status


def parse() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m demos.images", description="Count the stars in pictures.")
    parser.add_argument("--executor", choices=EXECUTORS, default="process", help="where the node 'work' runs")
    parser.add_argument("--count", type=positive, default=48, help="pictures at most")
    parser.add_argument("--folder", help="pictures of your own; else some are drawn")
    parser.add_argument("--compare", action="store_true", help="run with each executor in turn, and measure")
    parser.add_argument("--rounds", type=positive, default=3, help="of a comparison")
    return parser.parse_args()


def positive(text: str) -> int:
    """A number of things."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def run_command(options: argparse.Namespace) -> list[str]:
    """The command that does the same: the graph, and what of it is set."""
    values = {"work.properties.executor": options.executor, "pictures.args.count": options.count}
    if options.folder is not None:
        values["pictures.args.folder"] = json.dumps(options.folder)  # text, whatever it looks like
    graph = GRAPH.relative_to(Path.cwd()) if GRAPH.is_relative_to(Path.cwd()) else GRAPH
    return ["run", str(graph), *[part for key, value in values.items() for part in ("--set", f"{key}={value}")]]


def show_stars() -> None:
    """Print the first rows of the table."""
    path = RESULTS / "stars.csv"
    print(f"\n{path!s:32} {'stars':>6} {'brightest':>10}")
    with path.open(newline="", encoding="utf-8") as lines:
        for row in islice(csv.DictReader(lines), SHOWN):
            print(f"  {row['picture']:30} {int(row['stars']):6} {int(row['brightest']):10}")
    print(f"\nEvery star that was found has a ring around it in the pictures in {RESULTS / 'found'}.")


if __name__ == "__main__":
    sys.exit(main())

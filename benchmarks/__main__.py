"""The command line: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from . import machine, pages
from .contenders import OURS, PEERS
from .results import Result
from .rounds import Laboratory, errors
from .tables import contenders_table, work_section
from .targets import Verdict, judge
from .works import FULL, QUICK, WORKS

LEAST_ROUNDS = 5


def main(arguments: list[str] | None = None) -> int:
    """Run the works that are asked for; the exit status."""
    options = _options(arguments)
    machine_before = machine.describe()
    for disturbance in machine.disturbances():
        _tell(f"WARNING: {disturbance}; do not trust the figures")
    laboratory = Laboratory((*OURS, *options.peers), options.seconds, _tell)
    print(contenders_table(laboratory.descriptions), end="\n\n")
    results: dict[str, Result] = {}
    for name in options.works or WORKS:
        results[name] = laboratory.measure(WORKS[name], options.size, options.rounds)
        _show(results[name], _verdicts(results, name) if options.size == FULL else [])
        if options.json:
            # After every work: what was measured is not lost when a later work is interrupted.
            _save(options.json, machine_before, laboratory, results)
    if options.write_docs:
        pages.write(results.values(), laboratory.descriptions, machine_before)
    return _status(results, options)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures the library against queues written by hand, and against its peers.",
        epilog=f"works: {', '.join(WORKS)}; peers: {', '.join(PEERS)}",
    )
    parser.add_argument("works", nargs="*", metavar="work", help="what to run; everything, if nothing is named")
    parser.add_argument("--peers", type=_peers, default=PEERS, help="'all' (the default), 'none', or names with commas")
    parser.add_argument("--rounds", type=_rounds, default=LEAST_ROUNDS, help=f"at least {LEAST_ROUNDS}, the default")
    parser.add_argument("--seconds", type=float, default=600.0, help="the longest that one run may take (600)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run's figures there")
    parser.add_argument("--write-docs", action="store_true", help=f"write the tables into {pages.PAGE.name}")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument(
        "--quick", dest="size", action="store_const", const=QUICK, default=FULL, help="a tenth: to see that all works"
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in options.works if name not in WORKS]
    if unknown:
        parser.error(f"there is no work {', '.join(map(repr, unknown))}; works are: {', '.join(WORKS)}")
    if options.size == QUICK and (options.write_docs or options.check):
        parser.error("a quick run is too short for --write-docs and --check")
    if options.write_docs and set(options.peers) != set(PEERS):
        parser.error("--write-docs wants all peers: a table on the page leaves nobody out")
    return options


def _peers(value: str) -> tuple[str, ...]:
    if value in ("all", "none"):
        return PEERS if value == "all" else ()
    names = tuple(value.split(","))
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        message = f"there is no peer {', '.join(map(repr, unknown))}; peers are: {', '.join(PEERS)}"
        raise argparse.ArgumentTypeError(message)
    return names


def _rounds(value: str) -> int:
    rounds = int(value)
    if rounds < LEAST_ROUNDS:
        raise argparse.ArgumentTypeError(f"a median wants at least {LEAST_ROUNDS} rounds, not {rounds}")
    return rounds


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _verdicts(results: dict[str, Result], work: str) -> list[Verdict]:
    return [verdict for verdict in judge(results) if verdict.target.work == work]


def _show(result: Result, verdicts: list[Verdict]) -> None:
    about = result.work.about
    if result.size != FULL:
        about += f"\n\n(a {result.size} run, with {result.work.size(result.size)})"
    print(f"## {result.work.name}\n\n{about}\n\n{work_section(result, verdicts)}\n", flush=True)


def _save(path: Path, about: dict[str, Any], laboratory: Laboratory, results: dict[str, Result]) -> None:
    saved = {
        "machine": about,
        "contenders": laboratory.descriptions,
        "works": {name: result.to_dict() for name, result in results.items()},
        "targets": [
            {"work": each.target.work, "target": str(each.target), "measured": each.measured, "met": each.met}
            for each in judge(results)
        ],
    }
    path.write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")


def _status(results: dict[str, Result], options: argparse.Namespace) -> int:
    wrong = errors(results.values())
    for line in wrong:
        _tell(f"ERROR: {line}")
    missed = [verdict for verdict in judge(results) if verdict.missed]
    for verdict in missed if options.check else ():
        _tell(f"MISSED: {verdict.target.work}: {verdict}")
    return int(bool(wrong) or (options.check and bool(missed)))


if __name__ == "__main__":
    sys.exit(main())

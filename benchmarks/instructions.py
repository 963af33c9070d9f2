"""Counts the instructions of the chain of 5, for `pipelines` and for queues: ``python -m benchmarks.instructions``.

A count does not depend on what else the machine does, so that a few percent show, even where wall
time is useless. Each contender runs twice, with some items and with more: the difference is free of
what it takes to start Python and to import everything. The counter is ``perf stat`` where the
machine has such counters, else ``valgrind``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from pipelines.testing import VirtualTimeLoop

from .contenders import load
from .works import WORKS

__all__ = ["COUNTERS", "NoCounterError", "counter", "counts_per_item", "main"]

ROOT = Path(__file__).parents[1]
WORK = WORKS["chain5"]
FEW, MANY = 500, 2_500
"""Few enough for valgrind, which is some fifty times slower than the machine; the first also warms up."""


class NoCounterError(Exception):
    """This machine has nothing to count instructions with."""


def _perf(command: list[str], folder: Path) -> int:
    """Count with ``perf stat``."""
    output = folder / "perf"
    _run(["perf", "stat", "-e", "instructions:u", "-x", ",", "-o", str(output), *command])
    found = re.search(r"^(\d+),", output.read_text(), re.MULTILINE)
    if found is None:
        raise NoCounterError("perf cannot count instructions on this machine")
    return int(found[1])


def _valgrind(command: list[str], folder: Path) -> int:
    """Count with callgrind."""
    output = folder / "callgrind"
    _run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", *command])
    found = re.search(r"^(?:summary|totals): (\d+)", output.read_text(), re.MULTILINE)
    if found is None:
        raise NoCounterError("callgrind gave no total")
    return int(found[1])


COUNTERS: dict[str, Callable[[list[str], Path], int]] = {"perf": _perf, "valgrind": _valgrind}


def counter() -> str:
    """The name of the first counter that works here.

    Raises:
        NoCounterError: There is none.
    """
    reasons = []
    for name, count in COUNTERS.items():
        if shutil.which(name) is None:
            reasons.append(f"{name} is not installed")
            continue
        try:
            with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
                count(["true"], Path(folder))
        except (NoCounterError, subprocess.CalledProcessError, OSError) as error:
            reasons.append(f"{name}: {error}")
        else:
            return name
    raise NoCounterError("; ".join(reasons))


def counts_per_item(name: str, contenders: tuple[str, ...]) -> dict[str, float]:
    """Instructions that each contender takes for one item of the chain. Counts taken side by side do not disturb."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = {
            contender: [pool.submit(_count, name, contender, items) for items in (FEW, MANY)]
            for contender in contenders
        }
    return {contender: (many.result() - few.result()) / (MANY - FEW) for contender, (few, many) in counts.items()}


def _count(name: str, contender: str, items: int) -> int:
    command = [sys.executable, "-m", "benchmarks.instructions", "--only", contender, "--items", str(items)]
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        return COUNTERS[name](command, Path(folder))


def _run(command: list[str]) -> None:
    # Sets and dicts of strings would else be laid out differently in each run.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)


def _only(contender: str, items: int) -> None:
    """Run the chain in this process, to be counted from outside.

    The event loop's time stands still: a share of time would be used up by fifty times fewer items
    under a counter that is fifty times slower, and the count would depend on the clock.
    """
    job = WORK.job(items=items)
    replace(load(contender).contestant(WORK), loop_factory=VirtualTimeLoop).do(job)
    job.check()


def main(arguments: list[str] | None = None) -> int:
    """Print the ratio; 1 as exit status where nothing can count."""
    parser = argparse.ArgumentParser(description="Counts the instructions of the chain of 5.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", metavar="CONTENDER", help=argparse.SUPPRESS)
    parser.add_argument("--items", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.only:
        _only(options.only, options.items)
        return 0
    try:
        name = counter()
        counts = counts_per_item(name, ("queues", "pipelines"))
    except NoCounterError as error:
        print(f"instructions were not counted: {error}", file=sys.stderr)
        return 1
    ratio = counts["queues"] / counts["pipelines"]
    if options.json:
        print(json.dumps({"counter": name, "per_item": counts, "ratio": ratio}))
    else:
        shown = ", ".join(f"{contender} {count:,.0f}" for contender, count in counts.items())
        print(f"instructions per item, by {name}: {shown}; ratio to queues: {ratio:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Counts the instructions of the chain of 5, for `pipelines` and for queues: ``python -m benchmarks.instructions``.

A count does not depend on what else the machine does, so that a few percent show, even where wall
time is useless. Each contender runs twice, with some items and with more: the difference is free of
what it takes to start Python and to import everything. The counter is ``perf stat`` where the
machine has such counters, else ``valgrind``, else Python itself, which counts its own opcodes.

``--check`` compares the ratio to the one that was recorded for this counter and this Python, and fails
when it is worse by more than `TOLERANCES` allow; ``--record`` records it.
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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from pipelines.testing import VirtualTimeLoop

from .contenders import load
from .works import WORKS

__all__ = ["COUNTERS", "NoCounterError", "counter", "counts_per_item", "main"]

ROOT = Path(__file__).parents[1]
WORK = WORKS["chain5"]
FEW, MANY = 500, 2_500
"""Few enough for valgrind, which is some fifty times slower than the machine; the first also warms up."""


RECORDED = Path(__file__).parent / "instructions.json"
"""The ratios to hold, by counter and by version of Python."""

TOLERANCES = {"perf": 0.15, "valgrind": 0.15, "opcodes": 0.05}
"""The share of a recorded ratio that may be missing. Opcodes are the same on every machine; how many instructions
they are depends on how Python was built."""


class NoCounterError(Exception):
    """A counter is there, and cannot count on this machine."""


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


def _opcodes(command: list[str], folder: Path) -> int:
    """Count with Python: not instructions, and nothing of what is written in C, but available everywhere."""
    output = folder / "opcodes"
    _run([*command, "--opcodes", str(output)])
    return int(output.read_text())


COUNTERS: dict[str, Callable[[list[str], Path], int]] = {"perf": _perf, "valgrind": _valgrind, "opcodes": _opcodes}


def counter() -> str:
    """The name of the first counter that works here; Python itself always does."""
    for name in ("perf", "valgrind"):
        if shutil.which(name) is not None:
            try:
                with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
                    COUNTERS[name](["true"], Path(folder))
            except (NoCounterError, subprocess.CalledProcessError, OSError):
                continue
            return name
    return "opcodes"


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
    """Run the chain in this process, to be counted.

    The event loop's time stands still: a share of time would be used up by fifty times fewer items
    under a counter that is fifty times slower, and the count would depend on the clock.
    """
    job = WORK.job(items=items)
    replace(load(contender).contestant(WORK), loop_factory=VirtualTimeLoop).do(job)
    job.check()


def _write_opcodes(contender: str, items: int, output: Path) -> None:
    """Run the chain, and write how many opcodes Python has executed."""
    counting = _monitored if sys.version_info >= (3, 12) else _traced
    with counting() as count:
        _only(contender, items)
    output.write_text(str(count[0]))


@contextmanager
def _traced() -> Iterator[list[int]]:
    """Count opcodes by tracing them."""
    count = [0]

    def trace(frame: FrameType, event: str, _: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count[0] += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(None)


@contextmanager
def _monitored() -> Iterator[list[int]]:
    """Count opcodes by the events of newer Pythons, which trace them no more reliably."""
    monitoring = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
    tool, event = monitoring.PROFILER_ID, monitoring.events.INSTRUCTION
    count = [0]

    def note(code: CodeType, offset: int) -> None:
        count[0] += 1

    monitoring.use_tool_id(tool, "count")
    monitoring.register_callback(tool, event, note)
    monitoring.set_events(tool, event)
    try:
        yield count
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)


def _check(counter: str, ratio: float) -> str | None:
    """What is wrong with ``ratio``, if anything is."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    recorded = json.loads(RECORDED.read_text()).get(counter, {}).get(version)
    if recorded is None:
        print(f"nothing was recorded for {counter} and Python {version}: not checked")
        return None
    tolerance = TOLERANCES[counter]
    if ratio < recorded * (1 - tolerance):
        return f"{ratio:.3f} is worse than the recorded {recorded:.3f} by more than {tolerance:.0%}"
    print(f"recorded: {recorded:.3f}")
    return None


def _record(counter: str, ratio: float) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    recorded.setdefault(counter, {})[version] = round(ratio, 3)
    RECORDED.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Print the ratio; 1 as exit status where it has become worse."""
    parser = argparse.ArgumentParser(description="Counts the instructions of the chain of 5.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="fail if the ratio is worse than the recorded one")
    parser.add_argument("--record", action="store_true", help="record the ratio")
    parser.add_argument("--counter", choices=list(COUNTERS), help="do not look for the best one")
    parser.add_argument("--opcodes", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", metavar="CONTENDER", help=argparse.SUPPRESS)
    parser.add_argument("--items", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.opcodes:
        _write_opcodes(options.only, options.items, options.opcodes)
        return 0
    if options.only:
        _only(options.only, options.items)
        return 0
    name = options.counter or counter()
    counts = counts_per_item(name, ("queues", "pipelines"))
    ratio = counts["queues"] / counts["pipelines"]
    if options.json:
        print(json.dumps({"counter": name, "per_item": counts, "ratio": ratio}))
    else:
        shown = ", ".join(f"{contender} {count:,.0f}" for contender, count in counts.items())
        print(f"instructions per item, by {name}: {shown}; ratio to queues: {ratio:.3f}")
    if options.record:
        _record(name, ratio)
    if options.check and (problem := _check(name, ratio)) is not None:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

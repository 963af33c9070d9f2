"""Time, CPU time and memory around one piece of work, inside the process that does it."""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

__all__ = ["Meter", "Reading", "resident"]

MEGABYTE = 1_000_000
_STATM = Path("/proc/self/statm")
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter showed.

    Attributes:
        seconds: Wall time.
        cpu: CPU seconds of the process, all its threads and the kernel's work for it included.
        growth: Megabytes by which the resident memory was at its peak above what it was at the start.
    """

    seconds: float
    cpu: float
    growth: float


class Meter:
    """Measures what happens between its entry and its exit.

    The garbage is collected before and the collector stays on: leftovers of what came before are
    nobody's cost, and collections that the work itself provokes are the work's.
    """

    def __enter__(self) -> Self:
        gc.collect()
        _forget_peak()
        self._resident = resident()
        self._cpu = time.process_time()
        self._begin = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        seconds = time.perf_counter() - self._begin
        cpu = time.process_time() - self._cpu
        self.reading = Reading(seconds, cpu, max(0.0, _peak() - self._resident))


def resident() -> float:
    """Megabytes of memory that are resident now; where only the peak is known, the peak."""
    try:
        pages = int(_STATM.read_bytes().split()[1])
    except OSError:
        return _peak()
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def _forget_peak() -> None:
    """Let the peak begin anew, where the kernel can; elsewhere it is that of the whole process, never too low."""
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return


def _peak() -> float:
    """Megabytes at the peak since it was last forgotten."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / MEGABYTE
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / MEGABYTE if sys.platform == "darwin" else most * 1024 / MEGABYTE

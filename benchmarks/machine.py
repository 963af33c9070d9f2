"""On what was measured, and whether it had anything else to do."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["describe", "disturbances"]

BUSY = 0.3
"""A load average above this says that others want the CPU too."""


def describe() -> dict[str, Any]:
    """The machine, the interpreter, the day, and the load at this moment."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        "date": datetime.now(UTC).date().isoformat(),
        "load": _load(),
    }


def disturbances() -> list[str]:
    """Why figures taken now cannot be trusted; empty when nothing speaks against them."""
    found = []
    load = _load()
    if load is not None and load > BUSY:
        found.append(f"the load average is {load:.2f}: others use the CPU too")
    if sys.gettrace() is not None or sys.flags.dev_mode:
        found.append("the interpreter is traced, or in development mode")
    return found


def _load() -> float | None:
    """The load average of the last minute, where there is one."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

"""The works, by name, in the order in which they are run and shown."""

from __future__ import annotations

from . import executors, graphs, latency, memory, options, politeness, sleeping, throughput
from .base import FULL, QUICK, TINY, Contestant, Figure, Work

__all__ = ["FULL", "QUICK", "TINY", "WORKS", "Contestant", "Figure", "Work"]

WORKS: dict[str, Work] = {
    work.name: work
    for group in (throughput, sleeping, politeness, memory, graphs, latency, options, executors)
    for work in group.WORKS
}

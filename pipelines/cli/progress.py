"""What a run says while it runs: snapshots taken now and then, and those who show them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from ..graph import Graph
from ..statistics import NodeStatistics, Statistics
from .output import duration, error, figure, line

__all__ = ["Lines", "Moment", "Recent", "Silent", "View", "watch"]

SHARE = 0.02
"""The part of the time that looking at a run and showing it may take."""

WINDOW = 1.0
"""Seconds over which rates are taken."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A snapshot, and the rates of the last second in items per second.

    Attributes:
        rate_in, rate_out: Of all sources and of all sinks.
        rates: Of every node, by name: what a source has sent, what another node has received.
    """

    statistics: Statistics
    rate_in: float
    rate_out: float
    rates: Mapping[str, float]

    @property
    def still(self) -> bool:
        """Whether nothing has moved in the last second."""
        return not any(self.rates.values())


class Recent:
    """Makes rates of the differences between snapshots.

    Args:
        graph: The graph whose snapshots will come.
    """

    def __init__(self, graph: Graph) -> None:
        self._sources = frozenset(graph.sources)
        self._past: deque[Statistics] = deque()

    def moment(self, now: Statistics) -> Moment:
        """The newest snapshot with the rates since the last one that is a second old, or the oldest."""
        past = self._past
        past.append(now)
        while len(past) > 2 and past[1].elapsed <= now.elapsed - WINDOW:
            past.popleft()
        then = past[0] if len(past) > 1 else None
        seconds = now.elapsed - (then.elapsed if then else 0.0)
        per_second = 1 / seconds if seconds > 0 else 0.0
        before = [self._handled(node) for node in then.nodes] if then else [0] * len(now.nodes)
        return Moment(
            now,
            (now.items_in - (then.items_in if then else 0)) * per_second,
            (now.items_out - (then.items_out if then else 0)) * per_second,
            {
                node.name: (self._handled(node) - count) * per_second
                for node, count in zip(now.nodes, before, strict=True)
            },
        )

    def _handled(self, node: NodeStatistics) -> int:
        return node.sent if node.name in self._sources else node.received


class View(Protocol):
    """Somebody who shows a run while it runs."""

    interval: float
    """Seconds between two snapshots, at least; 0 wants none."""

    def show(self, moment: Moment) -> None:
        """Show a snapshot."""
        ...

    def say(self, text: str) -> None:
        """Show a sentence about the run."""
        ...

    def close(self) -> None:
        """Nothing more will be shown."""
        ...


class Silent:
    """Shows nothing."""

    interval = 0.0

    def show(self, moment: Moment) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing is left to do."""


class Lines:
    """One line on standard error for every snapshot, for logs and pipes."""

    def __init__(self, interval: float = 1.0) -> None:
        self.interval = interval

    def show(self, moment: Moment) -> None:
        """Write the counts and rates, and when nothing moves, why."""
        now = moment.statistics
        words = [
            f"{duration(now.elapsed)}  {now.state}",
            f"in {figure(now.items_in)} ({figure(moment.rate_in)}/s)",
            f"out {figure(now.items_out)} ({figure(moment.rate_out)}/s)",
            f"in flight {figure(sum(node.in_flight for node in now.nodes))}",
            f"skipped {figure(sum(node.skipped for node in now.nodes))}",
            f"failed {figure(sum(node.failed for node in now.nodes))}",
        ]
        if now.waits and moment.still:
            words.append("nothing moves: " + "; ".join(now.waits))
        error(line("  ".join(words)))

    def say(self, text: str) -> None:
        """Write a line of its own."""
        error(line(text))

    def close(self) -> None:
        """Nothing is left to do."""


async def watch(
    snapshot: Callable[[], Statistics], recent: Recent, view: View, clock: Callable[[], float] = perf_counter
) -> None:
    """Show a run until cancelled, at next to no cost.

    However many nodes there are and however slow the terminal, looking and showing take at most a
    share `SHARE` of the time: the pause after each is as long as that demands.
    """
    pause = view.interval
    while True:
        await asyncio.sleep(pause)
        began = clock()
        try:
            view.show(recent.moment(snapshot()))
        except OSError:  # nobody reads any more; the run goes on
            return
        pause = max(view.interval, (clock() - began) / SHARE)

"""How many items go to a worker at once, and which items are next.

A hop to another process costs as much as a call of a hundred microseconds, so short calls go by the
portion. How large one is follows from how long the last calls took: about ten milliseconds of work. The
first is a single item. Nothing here waits for a portion to fill: a worker that is free gets what is there.
"""

from __future__ import annotations

from collections import deque
from typing import Any

__all__ = ["PORTION_SECONDS", "Backlog", "Sizer"]

PORTION_SECONDS = 0.01
"""Work that is handed to a worker at once: a hop of 0.2 ms is then 2 % of it."""

MOST_ITEMS = 1024
"""The largest portion: with a thousand items a hop costs next to nothing for each."""

MOST_BYTES = 4 << 20
"""What one portion weighs at most, if items are not larger than that by themselves."""

GROWTH = 8
"""One portion is at most so many times as large as the one before it."""


class Sizer:
    """Learns from finished portions how large the next one should be.

    Attributes:
        size: Items of the next portion.
        tempo: Seconds that a call takes, lately; None before the first.
    """

    __slots__ = ("_weight", "size", "tempo")

    def __init__(self) -> None:
        self.size = 1
        self.tempo: float | None = None
        self._weight = 0.0

    def learn(self, count: int, seconds: float, weight: int = 0) -> None:
        """A portion of ``count`` items took ``seconds``; all of them and their results weigh so many bytes."""
        tempo = seconds / count
        self.tempo = tempo if self.tempo is None else (self.tempo + tempo) / 2
        self._weight = max(weight / count, self._weight / 2)
        size = min(PORTION_SECONDS / max(self.tempo, 1e-9), MOST_BYTES / max(self._weight, 1.0))
        self.size = int(max(1, min(size, MOST_ITEMS, GROWTH * self.size)))


class Backlog:
    """Items that wait for a worker, oldest first; neighbours in the order of a node stay together."""

    __slots__ = ("_runs", "count")

    def __init__(self) -> None:
        self._runs: deque[tuple[int, list[Any]]] = deque()
        self.count = 0

    def add(self, place: int, items: list[Any]) -> None:
        """Items from ``place`` on, to be taken last."""
        self._runs.append((place, items))
        self.count += len(items)

    def give_back(self, place: int, items: list[Any]) -> None:
        """Items that were taken before, to be taken next."""
        if items:
            self._runs.appendleft((place, items))
            self.count += len(items)

    def take(self, most: int) -> tuple[int, list[Any]]:
        """The next items, at least one and up to ``most``, and the place of the first."""
        place, items = self._runs.popleft()
        if len(items) > most:
            self._runs.appendleft((place + most, items[most:]))
            items = items[:most]
        else:
            while self._runs and len(items) < most and self._runs[0][0] == place + len(items):
                items = items + self._next(most - len(items))
        self.count -= len(items)
        return place, items

    def _next(self, most: int) -> list[Any]:
        place, items = self._runs.popleft()
        if len(items) <= most:
            return items
        self._runs.appendleft((place + most, items[most:]))
        return items[:most]

    def clear(self) -> None:
        """Forget everything."""
        self._runs.clear()
        self.count = 0

"""Who is served next: runs get equal shares of the workers, and of one run what is nearest to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

__all__ = ["Shares"]

T = TypeVar("T")


class Shares(Generic[T]):
    """The stages of several runs on one pool.

    The run that has used the least time so far comes first; a new one begins with as much as the least
    of the others has used. Of one run the stage nearest to the sinks comes first: so what is inside
    leaves before more comes in.
    """

    def __init__(self) -> None:
        self._places: dict[T, tuple[str, int]] = {}
        self._used: dict[str, float] = {}

    def __iter__(self) -> Iterator[T]:
        return iter(self._places)

    def add(self, stage: T, run: str, rank: int) -> None:
        """One more stage; a higher ``rank`` is nearer to the sinks."""
        self._places[stage] = (run, rank)
        self._used.setdefault(run, min(self._used.values(), default=0.0))

    def remove(self, stage: T) -> None:
        """A stage is over."""
        place = self._places.pop(stage, None)
        if place is not None and not any(run == place[0] for run, _ in self._places.values()):
            del self._used[place[0]]

    def spent(self, stage: T, seconds: float) -> None:
        """A worker has worked so long for ``stage``."""
        if stage in self._places:
            self._used[self._places[stage][0]] += seconds

    def pick(self, wants: Callable[[T], bool]) -> T | None:
        """The stage to serve next, among those that want to be."""
        best, best_key = None, (0.0, 0)
        for stage, (run, rank) in self._places.items():
            if wants(stage):
                key = (self._used[run], -rank)
                if best is None or key < best_key:
                    best, best_key = stage, key
        return best

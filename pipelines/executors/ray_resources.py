"""What the machines of a cluster have, and what of it this program uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

__all__ = ["Resources"]

MOST_FREE_CALLS = 64
"""Calls of a node at once that needs nothing."""

ROUNDING = 1e-6


class Resources:
    """Counts by what is asked for: what others use is Ray's business, which lets calls wait until there is room."""

    def __init__(self) -> None:
        self._machines: Sequence[Mapping[str, float]] = ()
        self._total: dict[str, float] = {}
        self._used: defaultdict[str, float] = defaultdict(float)
        self._held: defaultdict[str, float] = defaultdict(float)

    def update(self, machines: Sequence[Mapping[str, float]]) -> bool:
        """These machines are there now; gives whether that is news."""
        total: defaultdict[str, float] = defaultdict(float)
        for machine in machines:
            for name, amount in machine.items():
                total[name] += amount
        news = total != self._total
        self._machines, self._total = machines, dict(total)
        return news

    def width(self, needs: Mapping[str, float]) -> int:
        """How many such calls fit, if nothing else is there."""
        if not needs:
            return MOST_FREE_CALLS
        return sum([_fitting(machine, needs) for machine in self._machines])

    def lacking(self, needs: Mapping[str, float]) -> list[str]:
        """What makes it impossible for one such call to fit anywhere."""
        if self.width(needs):
            return []
        most = {name: max([each.get(name, 0.0) for each in self._machines], default=0.0) for name in needs}
        return [name for name, amount in needs.items() if amount > most[name] + ROUNDING] or list(needs)

    def fits(self, needs: Mapping[str, float], times: int = 1) -> bool:
        """Whether there is room for one more call, if each place that no actor holds were there so many ``times``."""
        return all([self._used[name] + amount <= times * self._open(name) + ROUNDING for name, amount in needs.items()])

    def is_held(self, needs: Mapping[str, float]) -> bool:
        """Whether actors leave no room for even one such call."""
        return any([amount > self._open(name) + ROUNDING for name, amount in needs.items()])

    def _open(self, name: str) -> float:
        return self._total.get(name, 0.0) - self._held[name]

    def take(self, needs: Mapping[str, float]) -> None:
        """One more call is there."""
        _add(self._used, needs, 1)

    def give(self, needs: Mapping[str, float]) -> None:
        """One less is there."""
        _add(self._used, needs, -1)

    def hold(self, needs: Mapping[str, float]) -> None:
        """One more actor is there."""
        _add(self._held, needs, 1)

    def let_go(self, needs: Mapping[str, float]) -> None:
        """One less is there."""
        _add(self._held, needs, -1)


def _add(amounts: dict[str, float], needs: Mapping[str, float], sign: int) -> None:
    for name, amount in needs.items():
        amounts[name] += sign * amount


def _fitting(machine: Mapping[str, float], needs: Mapping[str, float]) -> int:
    return int(min([machine.get(name, 0.0) / amount + ROUNDING for name, amount in needs.items()]))

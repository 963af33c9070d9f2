"""What nodes of the works do that leave the event loop; worker processes import it, so it imports nothing large."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

__all__ = ["arrays", "spin", "spin_coro", "total", "total_coro", "twist", "twist_coro"]


def spin(item: int, seconds: float) -> int:
    """Fill a core for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return item


def spin_coro(self: Any, q_elt: tuple[int], seconds: float) -> int:
    """The same as a node."""
    return spin(q_elt[0], seconds)


def arrays(items: int, megabytes: float) -> Iterator[Any]:
    """Arrays whose elements sum up to their number."""
    import numpy

    size = round(megabytes * 2**20 / 8)
    for number in range(items):
        array = numpy.full(size, 0.0)  # in memory of its own, as data is
        array[0] = number
        yield array


def total(array: Any) -> float:
    """What the elements sum up to."""
    return float(array.sum())


def total_coro(self: Any, q_elt: tuple[Any]) -> float:
    """The same as a node."""
    return total(q_elt[0])


def twist(array: Any) -> Any:
    """Another array of the same size and sum."""
    return array[::-1].copy()


def twist_coro(self: Any, q_elt: tuple[Any]) -> Any:
    """The same as a node."""
    return twist(q_elt[0])

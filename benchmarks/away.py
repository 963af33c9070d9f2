"""What nodes of the works do that leave the event loop; worker processes import it, so it imports nothing large."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

__all__ = ["arrays", "made_coro", "spin", "spin_coro", "total", "total_coro", "twist_coro"]


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

    for number in range(items):
        array = numpy.full(round(megabytes * 2**20 / 8), 0.0)  # in memory of its own, as data is
        array[0] = number
        yield array


def made_coro(self: Any, q_elt: tuple[int], megabytes: float) -> Any:
    """An array that sums up to the item, as a node."""
    (array,) = arrays(1, megabytes)
    array[0] = q_elt[0]
    return array


def total(array: Any) -> float:
    """What the elements sum up to."""
    return float(array.sum())


def total_coro(self: Any, q_elt: tuple[Any]) -> float:
    """The same as a node."""
    return total(q_elt[0])


def twist_coro(self: Any, q_elt: tuple[Any]) -> Any:
    """Another array of the same size and sum, as a node."""
    return q_elt[0][::-1].copy()

"""What stands in a channel besides plain items: tombstones, and items somebody waits for.

Both are rare. A channel counts them (``noted``), so that a reader with none in front of it takes
plain items without looking at each.
"""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Ticket", "Tomb", "Tracked"]


class Ticket(Protocol):
    """The claim of somebody who waits for what becomes of one item; counts its living descendants."""

    def branch(self, more: int) -> None:
        """The item now lives on in ``more`` further places (or fewer, when negative)."""
        ...

    def drop(self, node: str) -> None:
        """One of the places ended at ``node`` without a result."""
        ...

    def result(self, sink: str, value: Any) -> None:
        """One of the places was a sink, which returned ``value``."""
        ...

    def fail(self, error: BaseException) -> None:
        """Something made of the item failed for good."""
        ...


class Tomb:
    """Stands at the positions of ``count`` dropped items, so that a zip cancels their pairs."""

    __slots__ = ("count",)

    def __init__(self, count: int = 1) -> None:
        self.count = count


class Tracked:
    """An item together with the tickets that wait for what becomes of it."""

    __slots__ = ("tickets", "value")

    def __init__(self, value: Any, tickets: tuple[Ticket, ...]) -> None:
        self.value = value
        self.tickets = tickets

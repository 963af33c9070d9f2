"""What stands in a channel besides plain items: tombstones, and items somebody waits for.

Both are rare. A channel counts them (``noted``), so that a reader with none in front of it takes
plain items without looking at each.
"""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Ticket", "Tomb", "Tracked", "unite"]


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


def unite(tickets: list[Ticket]) -> tuple[Ticket, ...]:
    """Each ticket once: what came together again, in a zip or a batch, lives on in one place."""
    united: dict[int, Ticket] = {}
    for ticket in tickets:
        if id(ticket) in united:
            ticket.branch(-1)
        else:
            united[id(ticket)] = ticket
    return tuple(united.values())

"""What stands in a channel besides plain items: tombstones, and items somebody waits for.

Both are rare. A channel counts them (``noted``), so that a reader with none in front of it takes
plain items without looking at each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

__all__ = ["Ticket", "Tomb", "Tracked", "followers", "unite"]


class Ticket(Protocol):
    """The claim of somebody who waits for what becomes of one item; counts its living descendants.

    Attributes:
        follows: Whether it also follows what is left of an item that was dropped or given up: tombstones,
            and what goes to a dead-letter node. Else the item is told to have ended there.
    """

    follows: bool

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

    def fork(self, number: int) -> Ticket:
        """The ticket for one of several branches that its item goes on in."""
        ...

    def join(self, other: Ticket) -> None:
        """Its item and that of ``other``, which both follow, go on as one: they are done together or not at all."""
        ...


class Tomb:
    """Stands at the positions of ``count`` dropped items, so that a zip cancels their pairs.

    One that has tickets stands for one position alone.
    """

    __slots__ = ("count", "tickets")

    def __init__(self, count: int = 1, tickets: tuple[Ticket, ...] = ()) -> None:
        self.count = count
        self.tickets = tickets


class Tracked:
    """An item together with the tickets that wait for what becomes of it."""

    __slots__ = ("tickets", "value")

    def __init__(self, value: Any, tickets: tuple[Ticket, ...]) -> None:
        self.value = value
        self.tickets = tickets


def followers(tickets: Iterable[Ticket]) -> tuple[Ticket, ...]:
    """Those that stay with what is left of a dropped item."""
    return tuple([ticket for ticket in tickets if ticket.follows])


def unite(tickets: Iterable[Ticket]) -> tuple[Ticket, ...]:
    """Each ticket once: what came together again, in a zip or a batch, lives on in one place."""
    united: dict[Ticket, Ticket] = {}
    for ticket in tickets:
        if ticket in united:
            ticket.branch(-1)
        else:
            united[ticket] = ticket
    if len(united) > 1:
        following = followers(united.values())
        for other in following[1:]:
            following[0].join(other)
    return tuple(united.values())

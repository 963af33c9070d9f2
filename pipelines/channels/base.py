"""What a node sees of the conduits around it, whatever carries the items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from .entries import Ticket

if TYPE_CHECKING:
    from .memory import MemoryChannel

__all__ = ["UNBOUNDED", "Inbox", "Port"]

UNBOUNDED = 1 << 60
"""The room of a port that never makes its writer wait."""


class Port(Protocol):
    """The sending end of one conduit: a channel, a collected list or somebody's stream.

    The writer asks for `room` first and never pushes more; so no push ever waits or fails.
    """

    on_items: Callable[[], None]
    """Tells the reader that something was pushed, or that the port is closed."""

    def room(self) -> int:
        """How many entries may be pushed now."""
        ...

    def push(self, item: Any) -> None:
        """Add one plain item."""
        ...

    def extend(self, items: list[Any]) -> None:
        """Add many plain items."""
        ...

    def push_tracked(self, item: Any, tickets: tuple[Ticket, ...]) -> None:
        """Add one item that somebody waits for."""
        ...

    def push_tomb(self, count: int, tickets: tuple[Ticket, ...] = ()) -> None:
        """Mark ``count`` positions as dropped, where that matters to the reader."""
        ...

    def close(self) -> None:
        """Nothing more will be pushed; tells the reader."""
        ...


class Inbox(Protocol):
    """The receiving end of a node: its incoming channels, joined into ``q_elt`` tuples."""

    channels: tuple[MemoryChannel, ...]

    tuples: bool
    """Whether `lend` gives tuples, one item of each channel; else it gives bare items."""

    def available(self) -> int:
        """How many `take` calls would succeed now."""
        ...

    @property
    def concerned(self) -> bool:
        """Whether anything can be done: something taken, something dropped as surplus, or the end noticed."""
        ...

    @property
    def noted(self) -> bool:
        """Whether `take` must be used: tombstones or tracked items may be inside."""
        ...

    def lend(self, count: int) -> Iterator[Any]:
        """Hand out up to ``count`` items (or tuples); they count as inside until `repay`."""
        ...

    def repay(self, done: int, rest: list[Any]) -> None:
        """Of what was lent the first ``done`` were taken; ``rest``, the others, come back."""
        ...

    def take(self) -> tuple[tuple[Any, ...] | None, tuple[Ticket, ...], int]:
        """Take the next: ``(q_elt, tickets, 0)``, or ``(None, tickets, n)`` for ``n`` cancelled positions."""
        ...

    def release(self) -> None:
        """Tell the writers that room was made."""
        ...

    @property
    def ended(self) -> bool:
        """Every channel is closed and empty."""
        ...

    def surplus(self, node: str) -> dict[str, int] | None:
        """Drop what can never be paired any more; the positions of each upstream if they differ at the end."""
        ...

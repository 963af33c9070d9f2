"""How a node's incoming channels become one stream of ``q_elt`` tuples.

`SingleInbox` takes items of one channel, `ZipInbox` one of each, paired by position, and
`MergeInbox` one at a time from whichever channel has any. All three keep the order of each channel
and take nothing that is not asked for, so what a cancelled or suspended loop leaves behind stays
in its channel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import cycle, islice, repeat
from typing import Any

from .entries import Ticket
from .memory import MemoryChannel

__all__ = ["MergeInbox", "SingleInbox", "ZipInbox", "join"]

_pop = deque.popleft


class SingleInbox:
    """The items of one channel, as 1-tuples."""

    __slots__ = ("channel", "channels", "items")

    def __init__(self, channel: MemoryChannel) -> None:
        self.channel = channel
        self.channels: tuple[MemoryChannel, ...] = (channel,)
        self.items = channel.items

    def available(self) -> int:
        """How many items can be taken now."""
        return len(self.items)

    @property
    def noted(self) -> bool:
        """Whether something inside is no plain item."""
        return self.channel.noted > 0

    def draw(self, count: int) -> Iterator[tuple[Any, ...]]:
        """Lazily take ``count`` plain items, all in C: about a third of a Python-level pop."""
        self.channel.see_peak()
        return zip(map(_pop, repeat(self.items, count)))

    def take(self) -> tuple[tuple[Any, ...] | None, tuple[Ticket, ...], int]:
        """Take the next entry."""
        self.channel.see_peak()
        item, tickets, tombs = self.channel.take()
        return (None if tombs else (item,)), tickets, tombs

    def drawn(self, count: int) -> None:
        """Account for ``count`` tuples that `draw` gave."""
        self.channel.taken += count

    def release(self) -> None:
        """Tell the writer that room was made."""
        self.channel.on_room()

    @property
    def ended(self) -> bool:
        """The channel is closed and empty."""
        return self.channel.closed and not self.items

    def surplus(self, node: str) -> dict[str, int] | None:
        """A single channel is never too long."""
        return None


class ZipInbox:
    """One item of each channel, paired by position; a tombstone cancels its pair."""

    __slots__ = ("_queues", "channels", "node")

    def __init__(self, channels: Sequence[MemoryChannel], node: str) -> None:
        self.channels = tuple(channels)
        self.node = node
        self._queues = [channel.items for channel in channels]

    def available(self) -> int:
        """How many tuples (or cancelled positions) can be taken now."""
        ready = min(map(len, self._queues))
        # A run of tombstones is one entry of many positions: entries no longer count positions.
        return min(ready, 1) if self.noted else ready

    @property
    def noted(self) -> bool:
        """Whether something inside is no plain item."""
        return any([channel.noted for channel in self.channels])

    def draw(self, count: int) -> Iterator[tuple[Any, ...]]:
        """Lazily take ``count`` tuples of plain items."""
        for channel in self.channels:
            channel.see_peak()
        return zip(*[map(_pop, repeat(items, count)) for items in self._queues], strict=True)

    def take(self) -> tuple[tuple[Any, ...] | None, tuple[Ticket, ...], int]:
        """Take the next position of every channel: a tuple, or one cancelled position."""
        parts = []
        for channel in self.channels:
            channel.see_peak()
            parts.append(channel.take_position())
        tickets = [ticket for _, of_part, _ in parts for ticket in of_part]
        if any(tombs for _, _, tombs in parts):
            for ticket in tickets:
                ticket.drop(self.node)
            return None, (), 1
        return tuple([item for item, _, _ in parts]), _unite(tickets), 0

    def drawn(self, count: int) -> None:
        """Account for ``count`` tuples that `draw` gave."""
        for channel in self.channels:
            channel.taken += count

    def release(self) -> None:
        """Tell the writers that room was made."""
        for channel in self.channels:
            channel.on_room()

    @property
    def ended(self) -> bool:
        """Every channel is closed and empty."""
        return all(channel.closed and not channel.items for channel in self.channels)

    def surplus(self, node: str) -> dict[str, int] | None:
        """Once a channel is at its end no further pair can form: drop and count what still comes.

        Gives the number of positions that each upstream had, when all have ended and the numbers
        differ; None otherwise.
        """
        if not any(channel.closed and not channel.items for channel in self.channels):
            return None
        for channel in self.channels:
            if channel.items:
                channel.discard(node)
                channel.on_room()
        counts = {channel.upstream: channel.taken for channel in self.channels}
        return counts if self.ended and len(set(counts.values())) > 1 else None


class MergeInbox:
    """One item at a time from all channels in turn, as 1-tuples; tombstones end here."""

    __slots__ = ("_next", "channels")

    def __init__(self, channels: Sequence[MemoryChannel]) -> None:
        self.channels = tuple(channels)
        self._next = 0

    def available(self) -> int:
        """How many entries can be taken now."""
        return sum([len(channel.items) for channel in self.channels])

    @property
    def noted(self) -> bool:
        """Whether something inside is no plain item."""
        return any([channel.noted for channel in self.channels])

    def draw(self, count: int) -> Iterator[tuple[Any, ...]]:
        """Lazily take up to ``count`` plain items, one of each non-empty channel in turn."""
        filled = [channel for channel in self._in_turn() if channel.items]
        for channel in filled:
            channel.see_peak()
        rounds = min([len(channel.items) for channel in filled])
        self._next += 1
        queues = [channel.items for channel in filled]
        return zip(map(_pop, islice(cycle(queues), min(count, rounds * len(queues)))))

    def take(self) -> tuple[tuple[Any, ...] | None, tuple[Ticket, ...], int]:
        """Take the next entry of the next channel that has any."""
        channel = next(channel for channel in self._in_turn() if channel.items)
        self._next = self.channels.index(channel) + 1
        channel.see_peak()
        item, tickets, tombs = channel.take()
        return (None if tombs else (item,)), tickets, tombs

    def drawn(self, count: int) -> None:
        """Account for ``count`` tuples that `draw` gave; `taken` of a merge is not needed."""

    def release(self) -> None:
        """Tell the writers that room was made."""
        for channel in self.channels:
            channel.on_room()

    @property
    def ended(self) -> bool:
        """Every channel is closed and empty."""
        return all(channel.closed and not channel.items for channel in self.channels)

    def surplus(self, node: str) -> dict[str, int] | None:
        """A merge never waits for a partner."""
        return None

    def _in_turn(self) -> list[MemoryChannel]:
        start = self._next % len(self.channels)
        return [*self.channels[start:], *self.channels[:start]]


def join(channels: Sequence[MemoryChannel], node: str, *, zips: bool) -> SingleInbox | ZipInbox | MergeInbox:
    """The inbox that ``node`` wants for its incoming channels."""
    if len(channels) == 1:
        return SingleInbox(channels[0])
    return ZipInbox(channels, node) if zips else MergeInbox(channels)


def _unite(tickets: list[Ticket]) -> tuple[Ticket, ...]:
    """Each ticket once: what came back together in a zip lives on in one place."""
    united: dict[int, Ticket] = {}
    for ticket in tickets:
        if id(ticket) in united:
            ticket.branch(-1)
        else:
            united[id(ticket)] = ticket
    return tuple(united.values())

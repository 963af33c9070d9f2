"""How a node's incoming channels become one stream of ``q_elt`` tuples.

`SingleInbox` takes items of one channel, `ZipInbox` one of each, paired by position, and
`MergeInbox` one at a time from whichever channel has any. All three keep the order of each channel.
Items are taken one by one, or lent many at a time to a loop that gives back what it does not use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Any

from .entries import Ticket, followers, unite
from .memory import MemoryChannel

__all__ = ["MergeInbox", "SingleInbox", "ZipInbox", "join"]


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

    def qsize(self) -> int:
        """How many ``q_elt`` could be taken now, under the name it has in ``asyncio.Queue``."""
        return self.available()

    concerned = True

    @property
    def noted(self) -> bool:
        """Whether something inside is no plain item."""
        return self.channel.noted > 0

    tuples = False

    def lend(self, count: int) -> Iterator[Any]:
        """Hand out ``count`` plain items at once; the channel counts them as inside until `repay`."""
        return iter(self.channel.lend(count))

    def repay(self, done: int, rest: list[Any]) -> None:
        """Of the items lent ``done`` were taken; ``rest`` comes back."""
        self.channel.repay(done, rest)

    def take(self) -> tuple[tuple[Any, ...] | None, tuple[Ticket, ...], int]:
        """Take the next entry."""
        self.channel.see_peak()
        item, tickets, tombs = self.channel.take()
        return (None if tombs else (item,)), tickets, tombs

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

    def qsize(self) -> int:
        """How many ``q_elt`` could be taken now, under the name it has in ``asyncio.Queue``."""
        return self.available()

    @property
    def concerned(self) -> bool:
        """Whether anything can be done: a tuple taken, surplus dropped, or the end noticed."""
        empty = [channel for channel in self.channels if not channel.items]
        if not empty or not any([channel.closed for channel in empty]):
            return not empty
        # One will have nothing any more: what others have is surplus.
        return len(empty) < len(self.channels) or all([channel.closed for channel in empty])

    @property
    def noted(self) -> bool:
        """Whether something inside is no plain item."""
        return any([channel.noted for channel in self.channels])

    tuples = True

    def lend(self, count: int) -> Iterator[Any]:
        """Hand out ``count`` tuples of plain items; the channels count them as inside until `repay`."""
        return zip(*[channel.lend(count) for channel in self.channels], strict=True)

    def repay(self, done: int, rest: list[Any]) -> None:
        """Of the tuples lent ``done`` were taken; ``rest`` comes back."""
        columns = zip(*rest, strict=True) if rest else repeat((), len(self.channels))
        for channel, items in zip(self.channels, columns, strict=True):
            channel.repay(done, items)

    def take(self) -> tuple[tuple[Any, ...] | None, tuple[Ticket, ...], int]:
        """Take the next position of every channel: a tuple, or one cancelled position."""
        parts = []
        for channel in self.channels:
            channel.see_peak()
            parts.append(channel.take_position())
        tickets = [ticket for _, of_part, _ in parts for ticket in of_part]
        if any(tombs for _, _, tombs in parts):
            for ticket in tickets:
                if not ticket.follows:
                    ticket.drop(self.node)
            return None, unite(followers(tickets)), 1
        return tuple([item for item, _, _ in parts]), unite(tickets), 0

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
        for channel in self.channels:
            if channel.closed and not channel.items:
                break
        else:
            return None
        for channel in self.channels:
            if channel.items:
                channel.discard(node)
                channel.on_room()
        counts = {channel.upstream: channel.taken for channel in self.channels}
        return counts if self.ended and len(set(counts.values())) > 1 else None


class MergeInbox:
    """One item at a time from all channels in turn, as 1-tuples; tombstones end here."""

    __slots__ = ("_lenders", "_next", "channels")

    def __init__(self, channels: Sequence[MemoryChannel]) -> None:
        self.channels = tuple(channels)
        self._lenders: list[MemoryChannel] = []
        self._next = 0

    def available(self) -> int:
        """How many entries can be taken now."""
        return sum([len(channel.items) for channel in self.channels])

    def qsize(self) -> int:
        """How many ``q_elt`` could be taken now, under the name it has in ``asyncio.Queue``."""
        return self.available()

    concerned = True

    @property
    def noted(self) -> bool:
        """Whether something inside is no plain item."""
        return any([channel.noted for channel in self.channels])

    tuples = False

    def lend(self, count: int) -> Iterator[Any]:
        """Hand out up to ``count`` plain items, one of each non-empty channel in turn."""
        filled = [channel for channel in self._in_turn() if channel.items]
        rounds = max(1, min(count // len(filled), min([len(channel.items) for channel in filled])))
        self._lenders = filled[:count]
        self._next += 1
        lent = [channel.lend(rounds) for channel in self._lenders]
        return chain.from_iterable(zip(*lent, strict=True))

    def repay(self, done: int, rest: list[Any]) -> None:
        """Of the items lent ``done`` were taken; ``rest`` comes back."""
        lenders = self._lenders
        for place, channel in enumerate(lenders):
            # Item number i was lent by lender number i modulo their number.
            first = (place - done) % len(lenders)
            channel.repay((done - place + len(lenders) - 1) // len(lenders), rest[first :: len(lenders)])

    def take(self) -> tuple[tuple[Any, ...] | None, tuple[Ticket, ...], int]:
        """Take the next entry of the next channel that has any."""
        channel = next(channel for channel in self._in_turn() if channel.items)
        self._next = self.channels.index(channel) + 1
        channel.see_peak()
        item, tickets, tombs = channel.take()
        if tombs:
            for ticket in tickets:
                ticket.drop(channel.downstream)
            return None, (), tombs
        return (item,), tickets, 0

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

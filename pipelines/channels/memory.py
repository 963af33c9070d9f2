"""The channel of an edge inside one event loop.

Promises: items come out in the order they went in; never more than ``capacity`` are inside; with
``overflow="block"`` nothing is lost, with ``drop_new`` and ``drop_old`` every loss is counted and,
where a zip further down counts positions, leaves a tombstone. Not for use from several threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal

from .base import UNBOUNDED
from .entries import Ticket, Tomb, Tracked, followers

__all__ = ["MemoryChannel"]


def _nobody() -> None:
    """Stand-in until a reader or writer asks to be told."""


class MemoryChannel:
    """The bounded conduit of one edge; the writer asks `room` first, so nothing here ever waits.

    Attributes:
        items: The entries inside, oldest first: plain items, `Tomb` and `Tracked`. The hot loops
            pop from and append to it directly.
        noted: How many of the entries are no plain items.
        tombs: How many of the entries are tombstones, which take no room.
        lent: Items in the hands of the reader that still count as inside.
        reader: Who takes from it, and may be handed items past the channel.
        on_items: Called when something was pushed, or the channel closed.
        on_room: Called when something was taken.
        taken: Positions taken so far, tombstones included.
        blocks: Whether a full channel makes its writer wait.
        dropped: Items lost to overflow so far.
        peak: Most items ever seen inside.
    """

    __slots__ = (
        "aligned",
        "blocks",
        "capacity",
        "closed",
        "downstream",
        "dropped",
        "items",
        "lent",
        "noted",
        "on_items",
        "on_room",
        "overflow",
        "peak",
        "push",
        "reader",
        "taken",
        "tombs",
        "upstream",
    )

    def __init__(
        self,
        upstream: str,
        downstream: str,
        capacity: int,
        *,
        aligned: bool = False,
        overflow: Literal["block", "drop_new", "drop_old"] = "block",
    ) -> None:
        self.upstream = upstream
        self.downstream = downstream
        self.capacity = capacity
        self.aligned = aligned
        self.overflow = overflow
        self.blocks = overflow == "block"
        self.items: deque[Any] = deque()
        self.noted = 0
        self.tombs = 0
        self.lent = 0
        self.closed = False
        self.taken = 0
        self.dropped = 0
        self.peak = 0
        self.reader: Any = None
        self.on_items: Callable[[], None] = _nobody
        self.on_room: Callable[[], None] = _nobody
        self.push: Callable[[Any], None] = self.items.append if self.blocks else self._push_lossy

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return f"<MemoryChannel {self.upstream}->{self.downstream} {len(self.items)}/{self.capacity}{state}>"

    # The words of asyncio.Queue, for those who look at a liason queue.

    @property
    def maxsize(self) -> int:
        """The capacity, under the name it has in ``asyncio.Queue``."""
        return self.capacity

    def qsize(self) -> int:
        """Items inside."""
        return len(self.items) - self.tombs + self.lent

    def empty(self) -> bool:
        """Whether nothing is inside."""
        return not self.qsize()

    def full(self) -> bool:
        """Whether a writer has to wait."""
        return self.qsize() >= self.capacity

    # The writer's end.

    def room(self) -> int:
        """How many items may be pushed now."""
        return self.capacity - len(self.items) + self.tombs - self.lent if self.blocks else UNBOUNDED

    def _push_lossy(self, item: Any) -> None:
        if self.qsize() < self.capacity:
            self.items.append(item)
        elif self.overflow == "drop_old" and len(self.items) > self.tombs:
            self._lose_oldest()
            self.items.append(item)
        else:
            self._lose(item)

    def extend(self, items: list[Any]) -> None:
        """Add many plain items."""
        if self.blocks:
            self.items.extend(items)
        else:
            for item in items:
                self._push_lossy(item)

    def push_tracked(self, item: Any, tickets: tuple[Ticket, ...]) -> None:
        """Add one item that somebody waits for."""
        entry = Tracked(item, tickets)
        self.noted += 1
        # Lossy channels may drop it again at once, which takes it off the count.
        self.push(entry)

    def push_tomb(self, count: int, tickets: tuple[Ticket, ...] = ()) -> None:
        """Mark ``count`` positions as dropped, if a zip further down counts them; ``tickets`` go along."""
        if not self.aligned:
            return
        last = self.items[-1] if self.items and not tickets else None
        if type(last) is Tomb and not last.tickets:
            last.count += count
        else:
            self.items.append(Tomb(count, tickets))
            self.noted += 1
            self.tombs += 1

    def close(self) -> None:
        """Nothing more will be pushed; what is inside can still be taken."""
        if not self.closed:
            self.closed = True
            self.on_items()

    # The reader's end.

    def see_peak(self) -> None:
        """Note how many items are inside; right before a take there are as many as there ever were."""
        self.peak = max(self.peak, self.qsize())

    def passed(self, count: int) -> None:
        """``count`` items went from the writer to the reader without a stay in here, one at a time."""
        if count:
            self.taken += count
            self.peak = self.peak or 1

    def lend(self, count: int) -> list[Any]:
        """Hand out the ``count`` oldest items, all of them plain; `repay` settles it."""
        items = self.items
        inside = len(items) - self.tombs
        if inside > self.peak:
            self.peak = inside
        self.lent = count
        if count < len(items):
            return [items.popleft() for _ in range(count)]
        lent = list(items)
        items.clear()
        return lent

    def repay(self, done: int, rest: Sequence[Any]) -> None:
        """Of the items lent ``done`` were taken; ``rest``, the others, come back to their places."""
        self.lent = 0
        self.taken += done
        if rest:
            self.items.extendleft(reversed(rest))
        self.on_room()

    def take(self) -> tuple[Any, tuple[Ticket, ...], int]:
        """Take the oldest entry: ``(item, tickets, 0)``, or ``(None, (), n)`` for ``n`` tombstones."""
        entry = self.items.popleft()
        if type(entry) is Tracked:
            self.noted -= 1
            self.taken += 1
            return entry.value, entry.tickets, 0
        if type(entry) is Tomb:
            self.noted -= 1
            self.tombs -= 1
            self.taken += entry.count
            return None, entry.tickets, entry.count
        self.taken += 1
        return entry, (), 0

    def take_plain(self) -> Any:
        """Take the oldest entry, a plain item, and tell the writer that room was made."""
        items = self.items
        if (inside := len(items) + self.lent - self.tombs) > self.peak:
            self.peak = inside
        self.taken += 1
        item = items.popleft()
        self.on_room()
        return item

    def take_position(self) -> tuple[Any, tuple[Ticket, ...], int]:
        """Like `take`, but one tombstone at a time, as a zip needs it."""
        head = self.items[0]
        if type(head) is Tomb and head.count > 1:
            head.count -= 1
            self.taken += 1
            return None, (), 1
        return self.take()

    def discard(self, node: str) -> int:
        """Take and drop everything inside; gives the number of positions dropped."""
        before = self.taken
        while self.items:
            _, tickets, _ = self.take()
            for ticket in tickets:
                ticket.drop(node)
        return self.taken - before

    # Losses.

    def _lose(self, item: Any) -> None:
        self.dropped += 1
        self.push_tomb(1, self._untrack(item))

    def _untrack(self, item: Any) -> tuple[Ticket, ...]:
        """Tell those who wait for a lost item; gives those who stay with its tombstone."""
        if type(item) is not Tracked:
            return ()
        self.noted -= 1
        stay = followers(item.tickets) if self.aligned else ()
        for ticket in item.tickets:
            if ticket not in stay:
                ticket.drop(self.downstream)
        return stay

    def _lose_oldest(self) -> None:
        # A tombstone at the head holds no item: the oldest item may stand behind it.
        head = self.items.popleft()
        if type(head) is Tomb:
            self._lose_behind(head)
            return
        self.dropped += 1
        self._bury_at_head(1, self._untrack(head))

    def _lose_behind(self, tomb: Tomb) -> None:
        self.noted -= 1
        self.tombs -= 1
        if self.items:
            self._lose_oldest()
        self._bury_at_head(tomb.count, tomb.tickets)

    def _bury_at_head(self, count: int, tickets: tuple[Ticket, ...]) -> None:
        if not self.aligned:
            return
        first = self.items[0] if self.items and not tickets else None
        if type(first) is Tomb and not first.tickets:
            first.count += count
        else:
            self.items.appendleft(Tomb(count, tickets))
            self.noted += 1
            self.tombs += 1

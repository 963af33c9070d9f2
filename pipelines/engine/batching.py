"""Collects items for one call: the ``batch`` property of a node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from ..channels.base import Inbox
from ..channels.entries import Ticket, unite
from ..channels.memory import MemoryChannel
from ..graph.model import Batch

__all__ = ["BatchInbox"]


class BatchInbox:
    """Makes lists of up to ``size`` items of what another inbox gives.

    A list is given when it is full, when ``timeout`` seconds have passed since its first item,
    when the input has ended, or when `hurry` was called. ``q_elt`` has one list per upstream; a
    zip's lists are equally long. Tombstones end here: a batch starts a new stream.
    """

    __slots__ = ("_batch", "_due", "_inner", "_loop", "_rows", "_tickets", "_timer", "_wake", "channels")

    def __init__(self, inner: Inbox, batch: Batch, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._inner = inner
        self.channels: tuple[MemoryChannel, ...] = inner.channels
        self._batch = batch
        self._loop = loop
        self._wake = wake
        self._rows: list[tuple[Any, ...]] = []
        self._tickets: list[Ticket] = []
        self._timer: asyncio.TimerHandle | None = None
        self._due = False

    def available(self) -> int:
        """How many lists can be taken now."""
        self._fill()
        if len(self._rows) >= self._batch.size:
            return 1 + self._inner.available() // self._batch.size
        return 1 if self._rows and (self._due or self._inner.ended) else 0

    def qsize(self) -> int:
        """Items that were collected for the next list."""
        return len(self._rows)

    concerned = True

    noted = True  # so that nobody borrows: every list is made by `take`

    tuples = True

    def lend(self, count: int) -> Iterator[Any]:
        """Not offered: lists are made one by one."""
        raise NotImplementedError

    def repay(self, done: int, rest: list[Any]) -> None:
        """Not offered, like `lend`."""
        raise NotImplementedError

    def take(self) -> tuple[tuple[Any, ...] | None, tuple[Ticket, ...], int]:
        """Take the next list (one for each upstream)."""
        self._fill()
        rows, tickets = self._rows, unite(self._tickets)
        self._rows, self._tickets = [], []
        self._disarm()
        return tuple(map(list, zip(*rows, strict=True))), tickets, 0

    def hurry(self) -> None:
        """Do not wait for more: what is inside is the next list."""
        if self._rows and not self._due:
            self._due = True
            self._wake()

    @property
    def partial(self) -> int:
        """Items inside that wait for more."""
        return len(self._rows)

    @property
    def timed(self) -> bool:
        """Whether a list that waits for more will be given some time."""
        return self._batch.timeout is not None

    def release(self) -> None:
        """Tell the writers that room was made."""
        self._inner.release()

    @property
    def ended(self) -> bool:
        """The input has ended and the last list was taken."""
        return self._inner.ended and not self._rows

    def surplus(self, node: str) -> dict[str, int] | None:
        """As the inbox inside."""
        return self._inner.surplus(node)

    def close(self) -> None:
        """Wake nobody any more."""
        self._disarm()

    def _fill(self) -> None:
        taken = False
        while len(self._rows) < self._batch.size and self._inner.available() > 0:
            q_elt, tickets, _ = self._inner.take()
            taken = True
            if q_elt is not None:
                self._rows.append(q_elt)
                self._tickets += tickets
            else:
                for ticket in tickets:
                    ticket.drop(self.channels[0].downstream)
        if taken:
            self._inner.release()
        if self._rows and self._timer is None and self._batch.timeout is not None:
            self._timer = self._loop.call_later(self._batch.timeout, self.hurry)

    def _disarm(self) -> None:
        self._due = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""Who may put an item into a source, and when."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ..errors import ClosedError
from ..graph.model import Node
from ..statistics import BLOCKED
from .outbox import Outbox
from .scheduler import Scheduler
from .timing import Pacer

__all__ = ["Gate"]


class Gate:
    """Lets items into the channels behind a source, as far as there is room, in the order of arrival.

    Whoever wants to put spends one ``credit``, and asks with `enter` when there is none. Credit is
    the room that was seen last: only this source fills its channels, so there may be more by now,
    never less.

    Attributes:
        credit: Puts that may go through unasked.
        ready: The source's setup is through.
        closed: Nothing more may be put.
    """

    __slots__ = (
        "_asks_when_quiet",
        "_half",
        "_name",
        "_on_opened",
        "_outbox",
        "_pacer",
        "_scheduler",
        "_steps",
        "_waiting",
        "closed",
        "credit",
        "ready",
    )

    def __init__(self, node: Node, outbox: Outbox, scheduler: Scheduler, half: int, on_opened: Callable[[], None]):
        self._name = node.name
        self._outbox = outbox
        self._scheduler = scheduler
        self._half = half
        self._on_opened = on_opened
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._asks_when_quiet = False
        self._steps: int | None = None  # None: not paused; else how many puts may still go through
        rate = node.properties.rate
        self._pacer = Pacer(scheduler.loop, rate, self.admit) if rate is not None else None
        self.credit = 0
        self.ready = False
        self.closed = False

    @property
    def paused(self) -> bool:
        """Whether items go through only by `step`."""
        return self._steps is not None

    @property
    def blocked(self) -> bool:
        """Whether somebody waits to put."""
        return bool(self._waiting)

    def pause(self) -> None:
        """Let nothing through."""
        if self._steps is None:
            self._steps = 0
            self.credit = 0
            self._scheduler.cut_turn()

    def resume(self) -> None:
        """Let items through again."""
        self._steps = None
        self.admit()

    def step(self, count: int) -> None:
        """Let ``count`` more items through and then pause."""
        self._steps = (self._steps or 0) + count
        self.credit = 0
        self.admit()

    def close(self) -> None:
        """Nothing more may be put; whoever waits gets a `ClosedError`."""
        self.closed = True
        self.credit = 0
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if not future.done():
                future.set_result(None)
        if self._pacer is not None:
            self._pacer.close()

    async def enter(self) -> None:
        """Wait for credit.

        Raises:
            ClosedError: The gate is closed, or is closed meanwhile.
        """
        first = True
        while True:
            if self.closed:
                raise ClosedError(f"source {self._name!r} is closed: nothing more can be put")
            if (not first or not self._waiting) and self.grant() > 0:
                return
            await self._wait_in_line(first)
            first = False

    def grant(self) -> int:
        """Give as much credit as there is room for, and say how much."""
        room = self._outbox.room()
        if room <= 0 or not self.ready or self.closed or self._scheduler.aborting:
            return 0
        if self._steps is not None:
            room = min(room, self._steps)
        if self._pacer is not None and room > 0:
            room = min(room, self._pacer.allowed())
        if room > 0 and (self._steps is not None or self._pacer is not None):
            room = 1  # these count every single put
            self._spend()
        self.credit = max(0, room)
        return self.credit

    def _spend(self) -> None:
        if self._steps is not None:
            self._steps -= 1
        if self._pacer is not None:
            self._pacer.started()

    async def _wait_in_line(self, first: bool) -> None:
        future = self._scheduler.loop.create_future()
        # Who was let in and found the room gone stands at the head of the line again.
        (self._waiting.append if first else self._waiting.appendleft)(future)
        before = self._outbox.meter.state
        self._outbox.meter.enter(BLOCKED, self._scheduler.clock())
        self._ask_when_quiet()
        try:
            await future
        except asyncio.CancelledError:
            if future in self._waiting:
                self._waiting.remove(future)
            elif not future.cancelled():
                self.admit()  # was let in and does not come: the next may
            raise
        finally:
            self._outbox.meter.enter(before, self._scheduler.clock())

    def ask_when_quiet(self) -> None:
        """Somebody waits for room, and takes whatever there is once the graph has come to rest.

        Otherwise a writer is let in when its channels are half empty: one waking moves many items.
        """
        if not self._asks_when_quiet:
            self._asks_when_quiet = True
            self._scheduler.on_park(self._on_quiet)

    def _ask_when_quiet(self) -> None:
        if self._waiting:
            self.ask_when_quiet()

    def _on_quiet(self) -> None:
        self._asks_when_quiet = False
        self.admit()
        self._ask_when_quiet()

    def on_room(self) -> None:
        """A channel has room again."""
        if self._outbox.room() >= self._half:
            self.admit()

    def admit(self) -> None:
        """Let in as many of those who wait as there is room for."""
        if not self.ready or self._steps == 0:
            return
        room = self._outbox.room()
        if room > 0:
            self._on_opened()
        while self._waiting and room > 0:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                room -= 1

"""Who may put an item into a source, and when."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice

from ..errors import ClosedError
from ..graph.model import Node
from ..statistics import BLOCKED
from .outbox import Outbox
from .run import Run
from .timing import Pacer

__all__ = ["Gate"]


class Gate:
    """Lets items into the channels behind a source, as far as there is room, in the order of arrival.

    Whoever wants to put takes one ``credit`` if there is any, else asks with `spend`. Credit is the
    room that was seen last: only this source fills its channels, so there may be more by now, never
    less. It is taken back whenever a reader has been at the channels: so all readers know of items
    inside as long as there is credit.

    Attributes:
        credit: Puts that may go through unasked, as long as there is no ``line``.
        ready: The source's setup is through.
        pulled: A generator stands before the gate, which is never in the line.
        closed: Nothing more may be put.
    """

    __slots__ = (
        "_asks_when_quiet",
        "_half",
        "_name",
        "_on_opened",
        "_outbox",
        "_pacer",
        "_run",
        "_scheduler",
        "_steps",
        "closed",
        "credit",
        "line",
        "pulled",
        "ready",
    )

    def __init__(self, node: Node, outbox: Outbox, run: Run, half: int, on_opened: Callable[[], None]) -> None:
        self._name = node.name
        self._outbox = outbox
        self._run = run
        self._scheduler = run.scheduler
        self._half = half
        self._on_opened = on_opened
        self.line: deque[_Waiter] = deque()
        self._asks_when_quiet = False
        self._steps: int | None = None  # None: not paused; else how many puts may still go through
        rate = node.properties.rate
        self._pacer = Pacer(run.scheduler.loop, rate, self.admit) if rate is not None else None
        self.credit = 0
        self.ready = False
        self.pulled = False
        self.closed = False

    @property
    def paused(self) -> bool:
        """Whether items go through only by `step`."""
        return self._steps is not None

    @property
    def blocked(self) -> bool:
        """Whether somebody waits to put."""
        return bool(self.line)

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
        for waiter in self.line:
            waiter.let_in()
        if self._pacer is not None:
            self._pacer.close()

    @property
    def free(self) -> bool:
        """Whether nothing but room limits what goes through."""
        return self.ready and not self.closed and not self._counts and not self._scheduler.aborting

    @property
    def _counts(self) -> bool:
        """Whether every single put counts."""
        return self._steps is not None or self._pacer is not None or self._run.items_left is not None

    async def spend(self) -> None:
        """Wait for credit, behind those who already wait, and take one.

        Raises:
            ClosedError: The gate is closed, or is closed meanwhile.
            LimitError: The run has put as many items as it may.
        """
        if self.credit <= 0 or self.line:
            await self._enter()
        self.credit -= 1
        self._run.count_item()

    async def _enter(self) -> None:
        if not self.closed and not self.line and self.grant() > 0:
            return
        waiter = _Waiter()
        self.line.append(waiter)
        before = self._outbox.meter.state
        self._outbox.meter.enter(BLOCKED, self._scheduler.clock())
        try:
            await self._wait(waiter)
        except BaseException:
            self.line.remove(waiter)
            self.admit()  # perhaps it was let in and does not come: the next may
            raise
        finally:
            self._outbox.meter.enter(before, self._scheduler.clock())
        self.line.remove(waiter)

    async def _wait(self, waiter: _Waiter) -> None:
        while True:
            if self.closed:
                raise self._refusal()
            # Whoever was let in together goes through in the order of the line.
            if waiter is self.line[0] and (self.credit > 0 or self.grant() > 0):
                return
            waiter.future = self._scheduler.loop.create_future()
            self.ask_when_quiet()
            await waiter.future

    def _refusal(self) -> ClosedError:
        failure = self._scheduler.error
        why = "closed" if failure is None else "closed, as the run has failed"
        error = ClosedError(f"source {self._name!r} is {why}: nothing more can be put")
        error.__cause__ = failure
        return error

    def grant(self) -> int:
        """Give as much credit as there is room for, and say how much."""
        allowed = self._allowed()
        if allowed > 0 and self._counts:
            allowed = 1
            self._count()
        self.credit = allowed
        return allowed

    def _allowed(self) -> int:
        if not self.ready or self.closed or self._scheduler.aborting:
            return 0
        allowed = self._outbox.room()
        if self._steps is not None:
            allowed = min(allowed, self._steps)
        if self._pacer is not None and allowed > 0:
            allowed = min(allowed, self._pacer.allowed())
        return max(0, allowed)

    def _count(self) -> None:
        if self._steps is not None:
            self._steps -= 1
        if self._pacer is not None:
            self._pacer.started()

    def ask_when_quiet(self) -> None:
        """Somebody waits for room, and takes whatever there is once the graph has come to rest.

        Otherwise a writer is let in when its channels are half empty: one waking moves many items.
        """
        if not self._asks_when_quiet:
            self._asks_when_quiet = True
            self._scheduler.on_park(self._on_quiet)

    def _on_quiet(self) -> None:
        self._asks_when_quiet = False
        # A generator need not come for a few items as long as nobody is short of them.
        if self.line or not self._outbox.all_filled:
            self.admit()
        if self.line or self.pulled:
            self.ask_when_quiet()

    def on_room(self) -> None:
        """A channel has room again."""
        if self._outbox.room() >= self._half:
            self.admit()

    def admit(self) -> None:
        """Let in as many of those who wait as may put."""
        allowed = self._allowed()
        if allowed > 0:
            self._on_opened()
        for waiter in islice(self.line, allowed):
            waiter.let_in()


class _Waiter:
    """Somebody in the line before the gate."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[None] | None = None

    def let_in(self) -> None:
        """Have another look at the gate."""
        if self.future is not None and not self.future.done():
            self.future.set_result(None)

"""The two clocks a node may have: a watchdog for attempts that take too long, a pacer for its rate.

Neither costs anything per item that matters: the watchdog has one timer per node, armed while calls
are suspended, and never looks at a call that does not suspend; the pacer counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Pacer", "Watchdog"]

RESOLUTION = 1e-6
"""Seconds by which a timer may ring early: event loops round."""


class Watchdog:
    """Cancels tasks whose attempt is older than ``limit`` seconds, and remembers which."""

    __slots__ = ("_expired", "_limit", "_loop", "_timer", "_watched")

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: float) -> None:
        self._loop = loop
        self._limit = limit
        # Insertion order is order of expiry, as the limit is the same for all.
        self._watched: dict[asyncio.Task[None], float] = {}
        self._expired: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def limit(self) -> float:
        """Seconds for one attempt."""
        return self._limit

    def start(self, task: asyncio.Task[None]) -> None:
        """An attempt starts in ``task``."""
        self._watched[task] = self._loop.time() + self._limit
        if self._timer is None:
            self._timer = self._loop.call_later(self._limit, self._look)

    def stop(self, task: asyncio.Task[None]) -> bool:
        """The attempt in ``task`` is over; whether it had been cancelled for its age.

        If so the task's cancellation is taken back: it was the attempt's, not the task's.
        """
        self._watched.pop(task, None)
        if task not in self._expired:
            return False
        self._expired.discard(task)
        task.uncancel()
        return True

    def close(self) -> None:
        """Watch nothing any more."""
        self._watched.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for task, due in list(self._watched.items()):
            if due - now > RESOLUTION:
                self._timer = self._loop.call_at(due, self._look)
                return
            del self._watched[task]
            self._expired.add(task)
            task.cancel()


class Pacer:
    """Lets at most ``rate`` calls a second start, evenly.

    Starts missed for want of items are not made up for, but for those of the last ten
    milliseconds: the timers of an event loop are no finer than that under load.
    """

    __slots__ = ("_interval", "_loop", "_next", "_slack", "_timer", "_wake")

    def __init__(self, loop: asyncio.AbstractEventLoop, rate: float, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._interval = 1.0 / rate
        self._slack = 0.01
        self._next = loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._wake = wake

    def allowed(self) -> int:
        """How many calls may start now; when none, ``wake`` is called as soon as one may."""
        now = self._loop.time()
        self._next = max(self._next, now - self._slack)
        if self._next - now > RESOLUTION:
            if self._timer is None:
                self._timer = self._loop.call_at(self._next, self._ring)
            return 0
        return 1 + int(max(0.0, now - self._next) / self._interval)

    def started(self) -> None:
        """A call starts."""
        self._next += self._interval

    def close(self) -> None:
        """Wake nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._wake()

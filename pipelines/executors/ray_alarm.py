"""How a worker of a cluster sees to it that no call takes longer than it may.

A call that runs out of time is interrupted by a signal; if that does not help, the worker notes which
call it was and ends, and if even that is impossible it is ended by a watchdog that needs no interpreter.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

__all__ = ["GRACE_SECONDS", "WATCHDOG_SECONDS", "Alarm", "Interrupted", "alarm_for"]

GRACE_SECONDS = 1.0
"""How long a call that was interrupted has before its worker ends."""

WATCHDOG_SECONDS = 3 * GRACE_SECONDS
"""How long a call may hold the interpreter when its time is over."""


class Interrupted(BaseException):
    """Raised inside a call that has run out of time."""


class Alarm:
    """Does nothing about calls that may take as long as they like."""

    def begin(self, index: int) -> None:
        """A call begins."""

    def end(self) -> None:
        """The call has ended."""

    def close(self) -> None:
        """No more calls."""


class RealAlarm(Alarm):
    """Interrupts calls that take too long.

    Args:
        seconds: For each.
        longest: For all of them, before the watchdog ends the process.
        tell: Is given the index of a call that cannot be interrupted, before the process ends.
    """

    def __init__(self, seconds: float, longest: float, tell: Callable[[bytes], None]) -> None:
        self._seconds = seconds
        self._tell = tell
        self._index = 0
        self._calling = False
        self._rung = False
        self._nowhere = open(os.devnull, "w")  # noqa: SIM115, PTH123
        self._before = signal.signal(signal.SIGALRM, self._ring)
        faulthandler.dump_traceback_later(longest, exit=True, file=self._nowhere)

    def begin(self, index: int) -> None:
        """A call begins."""
        self._index = index
        self._rung = False
        self._calling = True
        signal.setitimer(signal.ITIMER_REAL, self._seconds, GRACE_SECONDS)

    def end(self) -> None:
        """The call has ended."""
        self._calling = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def close(self) -> None:
        """No more calls."""
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, self._before)
        self._nowhere.close()

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        if not self._calling:
            return
        if self._rung:
            try:
                self._tell(b"%d" % self._index)
            finally:
                os._exit(1)
        self._rung = True
        raise Interrupted


def alarm_for(timeout: float | None, longest: float, tell: Callable[[bytes], None]) -> Alarm:
    """An alarm for calls that may take so long; see `RealAlarm`."""
    if timeout is None or threading.current_thread() is not threading.main_thread():
        return Alarm()
    return RealAlarm(timeout, longest + timeout + WATCHDOG_SECONDS, tell)

"""The items of one run that somebody waits for: nobody is left waiting at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import AbortedError, StoppedError
from .batching import BatchInbox
from .submission import Submission

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["Submissions"]


class Submissions:
    """Follows submitted items, and sees to it that they do not wait for a batch to fill.

    Attributes:
        batches: Where items wait for more of them.
    """

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._waiting: set[Submission] = set()
        self._hurrying = False  # asked to be called when the graph comes to rest
        self.batches = [each.inbox for each in execution.runners() if isinstance(each.inbox, BatchInbox)]

    def add(self, submission: Submission) -> None:
        """Follow a submitted item; it is told if the run ends before its result is there."""
        self._waiting.add(submission)
        submission.future.add_done_callback(lambda _: self._waiting.discard(submission))
        self._ask_to_hurry()

    def _ask_to_hurry(self) -> None:
        if self.batches and self._waiting and not self._hurrying:
            self._hurrying = True
            self._execution.scheduler.on_park(self._hurry_batches)

    def _hurry_batches(self) -> None:
        """Nobody waits for a batch to fill while nothing else is on its way to it."""
        self._hurrying = False
        if not any(runner.in_flight for runner in self._execution.runners()):
            for batch in self.batches:
                batch.hurry()
        self._ask_to_hurry()

    def end(self, outcome: str) -> None:
        """The run is over: tell those who still wait."""
        for submission in list(self._waiting):
            if outcome in ("completed", "stopped"):
                error: BaseException = StoppedError("the graph ended before the item was through")
            else:
                verb = "failed" if outcome == "failed" else "was aborted"
                error = AbortedError(f"the graph {verb} while the item was inside")
                error.__cause__ = self._execution.error
            submission.fail(error)

"""Notices when nothing moves any more although items are inside, and says who waits for whom."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ..errors import StalledError
from ..events import Stalled
from .snapshot import waits
from .source import Source

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["STALL_AFTER", "StallWatch"]

logger = logging.getLogger(__name__)

STALL_AFTER = 30.0
"""Seconds without any movement, with items inside, until a `Stalled` event is told."""


class StallWatch:
    """Watches over one run; fails it if nothing outside can make it move again."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._timer: asyncio.TimerHandle | None = None
        self._moved = -1

    def on_idle(self) -> None:
        """The driver has nothing to do: see later whether anything has moved by then."""
        if self._timer is None:
            self._moved = self._movement()
            self._timer = self._execution.loop.call_later(STALL_AFTER, self._look)

    def close(self) -> None:
        """The run is over."""
        if self._timer is not None:
            self._timer.cancel()

    def _movement(self) -> int:
        return sum(worker.meter.received + worker.meter.sent for worker in self._execution.workers.values())

    def _look(self) -> None:
        self._timer = None
        execution = self._execution
        if self._movement() != self._moved or not execution.scheduler.parked:
            if execution.scheduler.parked:
                self.on_idle()
            return
        path = waits(execution.assembly.graph, execution.workers)
        if not path:
            return
        # Calls in flight may just be long ones.
        level = logging.INFO if any(runner.in_flight for runner in execution.runners()) else logging.WARNING
        logger.log(level, "run %r has not moved for %g s: %s", execution.run.name, STALL_AFTER, "; ".join(path))
        execution.run.tell(Stalled, STALL_AFTER, path)
        if self._is_dead():
            execution.scheduler.fail(StalledError(path))

    def _is_dead(self) -> bool:
        """Nothing outside can make the graph move again: no call, no source, no program, no reader."""
        execution = self._execution
        workers = execution.workers.values()
        blocked = sum(isinstance(worker, Source) and worker.gate.blocked and not worker.is_fed for worker in workers)
        away = any(runner.executor is not None and runner.in_flight for runner in execution.runners())
        busy = away or len(execution.scheduler.tasks) > 1 + blocked or bool(execution.streams)
        waiting = any(w.paused or (isinstance(w, Source) and w.is_fed and not w.ended) for w in workers)
        timed = any(r.node.properties.rate is not None for r in execution.runners()) or any(
            batch.timed for batch in execution.submissions.batches
        )
        return not (busy or waiting or timed)

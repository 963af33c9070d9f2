"""Calls in worker processes that run out of time."""

from __future__ import annotations

import asyncio

from .wire import ALL
from .worker_process import GRACE_SECONDS, WorkerProcess

__all__ = ["watch"]


def watch(worker: WorkerProcess, seconds: float, *, asynchronous: bool) -> None:
    """Look at what ``worker`` does in so many seconds, and again, as long as it has calls with a timeout."""
    if worker.watch is None:
        look = _look_at_loop if asynchronous else _look_at_call
        worker.watch = asyncio.get_running_loop().call_later(seconds, look, worker)


def _limits(worker: WorkerProcess) -> list[float]:
    worker.watch = None
    if worker.gone:
        return []
    limits = [chunk.stage.job.timeout for chunk in worker.chunks.values()]
    return [limit for limit in limits if limit is not None]


def _look_at_call(worker: WorkerProcess) -> None:
    """Interrupt the call that ``worker`` is in if it has had its time."""
    left = _limits(worker)
    if not left:
        return
    chunk, index = worker.at()
    if chunk is not None and chunk.stage.job.timeout is not None and index != ALL:
        rest = chunk.stage.job.timeout - worker.seconds_in_call()
        if rest <= 0:
            worker.interrupt(chunk, index)
            rest = GRACE_SECONDS
        left.append(rest)
    watch(worker, max(0.001, min(left)), asynchronous=False)


def _look_at_loop(worker: WorkerProcess) -> None:
    """Kill ``worker`` if its event loop has stood still for so long that it keeps no timeout any more."""
    limits = _limits(worker)
    if not limits:
        return
    if worker.seconds_in_call() > max(limits) + GRACE_SECONDS:
        worker.overdue = True
        worker.kill()
    watch(worker, max(0.1, min(limits)), asynchronous=True)

"""The end of a run: cleanups, executors, and the parting from other hosts, whatever happens in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..errors import NodeError
from .assembly import Worker
from .model import Model
from .run import call_once
from .runner import Runner

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["wind_up"]


async def wind_up(execution: Execution) -> None:
    """Clean up after every node, let go of the executors, and take leave of the other parts."""
    if execution.outcome() in ("failed", "aborted"):
        for runner in execution.runners():
            if runner.away is not None:
                runner.away.cancel()
    for worker in execution.workers.values():
        await _clean_up(execution, worker)
    for executor in execution.acquired:
        try:
            await executor.release()
        except asyncio.CancelledError:  # it is in a hurry as well, and has ended all the same
            continue
    if execution.part is not None:
        try:
            await execution.part.leave(execution.outcome(), execution.error)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, Exception):
                execution.note_error(error)


async def _clean_up(execution: Execution, worker: Worker) -> None:
    try:
        if isinstance(worker, Runner) and worker.executor is not None:
            await _clean_up_away(execution, worker)
        elif worker.begun:
            await _clean_up_here(worker)
    except NodeError as error:
        execution.note_error(error)
    except asyncio.CancelledError as error:
        # The loop is being shut down around the graph; the other nodes are cleaned up all the same.
        execution.note_error(NodeError(worker.name, cause=error))


async def _clean_up_here(worker: Worker) -> None:
    try:
        if isinstance(worker, Runner) and isinstance(worker.call, Model):
            await call_once(worker.processor, worker.call.close)
    finally:
        if worker.node.cleanup is not None:
            await call_once(worker.processor, worker.node.cleanup)


async def _clean_up_away(execution: Execution, worker: Runner) -> None:
    if worker.away is not None:
        for error in await worker.away.finish(execution.outcome()):
            execution.note_error(NodeError(worker.name, cause=error))

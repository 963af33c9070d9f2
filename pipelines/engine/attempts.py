"""Calling a node's function for one ``q_elt``: attempts, timeouts, and what becomes of failures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ..errors import NodeError
from ..events import ItemFailed
from ..graph.model import Node, Route
from ..processor import Processor
from ..statistics import Meter
from ..types import AWAITABLE, FailedItem
from .outcomes import GivenUp, Outcome, WrongTargetError
from .run import Run
from .timing import Watchdog

__all__ = ["Attempts"]


class Attempts:
    """Makes the calls of one node.

    A failure is any exception of the coro, a timeout, and a `CancelledError` that nobody but the
    coro itself has caused. It is retried as the node's policy says; then ``on_error`` decides.

    Attributes:
        watchdog: Watches over the attempts of a node with a ``timeout``.
    """

    __slots__ = ("_call", "_meter", "_node", "_processor", "_resting", "_run", "watchdog")

    def __init__(self, node: Node, processor: Processor, call: Callable[..., Any], meter: Meter, run: Run) -> None:
        self._node = node
        self._processor = processor
        self._call = call
        self._meter = meter
        self._run = run
        self._resting: set[asyncio.Task[Any] | None] = set()
        limit = node.properties.timeout
        # What runs on an executor has its time watched there.
        here = node.properties.executor == "loop"
        self.watchdog = None if limit is None or not here else Watchdog(run.scheduler.loop, limit)

    async def make(self, q_elt: tuple[Any, ...]) -> Outcome:
        """Call for one ``q_elt``, as often as it takes; raises `NodeError` if the run is to fail."""
        try:
            return await self._once(q_elt)
        except BaseException as error:
            return await self.recover(q_elt, error)

    async def recover(
        self,
        q_elt: tuple[Any, ...],
        error: BaseException,
        once: Callable[[tuple[Any, ...]], Awaitable[Outcome]] | None = None,
        repeatable: Callable[[], bool] = lambda: True,
    ) -> Outcome:
        """The first attempt for ``q_elt`` raised ``error``: try again with ``once``, or give up."""
        retry = self._node.properties.retry
        attempt = 1
        while True:
            error = self._judge(error)
            if retry is None or attempt >= retry.attempts or not repeatable():
                return self._give_up(q_elt, error, attempt)
            self._meter.retried += 1
            try:
                await self._rest(retry.pause(attempt))
                attempt += 1
                return await (once or self._once)(q_elt)
            except BaseException as again:
                error = again

    async def _once(self, q_elt: tuple[Any, ...]) -> Outcome:
        if self.watchdog is None:
            result = self._call(self._processor, q_elt)
            return await result if type(result) in AWAITABLE else result
        task: Any = asyncio.current_task()
        self.watchdog.start(task)
        result = self._call(self._processor, q_elt)
        if type(result) in AWAITABLE:
            result = await result
        # After an exception `_judge` stops the watchdog: it needs to know whether it was the cause.
        self.watchdog.stop(task)
        return result

    async def _rest(self, seconds: float) -> None:
        if self.watchdog is None:
            await asyncio.sleep(seconds)
            return
        task = asyncio.current_task()
        self._resting.add(task)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._resting.discard(task)

    def watch(self, task: asyncio.Task[None] | None) -> None:
        """``task`` was found suspended in an attempt that nobody watches yet (or in a rest)."""
        if self.watchdog is not None and task is not None and task not in self._resting:
            self.watchdog.start(task)

    def _judge(self, error: BaseException) -> BaseException:
        """The failure of an attempt, to be dealt with here; what ends the run is raised."""
        if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit, WrongTargetError)):
            raise error
        task: Any = asyncio.current_task()
        timed_out = self.watchdog is not None and self.watchdog.stop(task)
        if self._run.scheduler.aborting:
            raise error
        if isinstance(error, asyncio.CancelledError):
            if task.cancelling():  # by somebody outside; the graph cannot do without this task
                raise NodeError(self._node.name, cause=error) from error
            if timed_out:
                return TimeoutError(f"no result within {self._node.properties.timeout} seconds")
        elif not isinstance(error, Exception):
            raise NodeError(self._node.name, cause=error) from error
        return error

    def _give_up(self, q_elt: tuple[Any, ...], error: BaseException, attempts: int) -> GivenUp:
        """No more attempts: fail the run with a `NodeError`, or let the item alone go."""
        item = q_elt[0] if len(q_elt) == 1 else q_elt
        policy = self._node.properties.on_error
        self._meter.failed += 1
        action = "route" if isinstance(policy, Route) else policy
        self._run.tell(ItemFailed, self._node.name, item, error, attempts, action)
        failed = FailedItem(item, self._node.name, error, attempts)
        self._run.note_failure(failed)
        if policy == "fail":
            failure = NodeError(self._node.name, item, attempts, cause=error)
            self._run.scheduler.fail(failure)  # at once: nobody is to start another call
            raise failure from error
        return GivenUp(failed)

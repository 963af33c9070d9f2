"""Whose turn it is: one task, the driver, visits every node that has work.

The driver awaits the coros directly. A coro that never suspends therefore costs no task and no
trip through the event loop. When one does suspend, it takes the driver with it; a callback that
was put behind the driver in the loop's queue (`_tick`) notices, makes the suspended task a helper
of that one node, and starts a new driver. So there is one driver at all times, and a task more for
each call that is really waiting.

Politeness: all tasks of a graph share one time budget per turn of the event loop. Whoever finds it
used up gives the loop back before starting another item.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from time import perf_counter
from typing import Any, Protocol

from .flight import Flight

__all__ = ["Scheduler"]

logger = logging.getLogger(__name__)

TURN_BUDGET = 0.0003
"""Seconds a graph may use in one turn of the event loop before its next item has to wait."""

INSIST_AFTER = 1.0
"""Seconds until tasks that ignored their cancellation are cancelled again."""


class Visited(Protocol):
    """A node, as the scheduler sees it."""

    queued: bool

    async def visit(self, flight: Flight) -> None:
        """Do what can be done now; return when there is nothing more, or the turn is over."""
        ...


class Scheduler:
    """The driver, the tasks and the turns of one graph.

    Attributes:
        known_tempo: Seconds that any call takes, if that is known beforehand.
        context: The context variables that every task of the graph begins with.
        live: Nodes that have not ended; at zero the driver leaves.
        aborting: Everything is being cancelled.
        error: The first failure of the run.
        started: `start` was called, and not everything has ended.
        turn: How many turns of the loop there were with any activity.
        deadline: When the budget of this turn of the loop is used up; 0.0 before the first activity of a turn.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_end: Callable[[], None], on_idle: Callable[[], None]
    ) -> None:
        self.loop = loop
        # Under a loop with virtual time the budget never runs out and every run is the same.
        self.clock: Callable[[], float] = getattr(loop, "virtual_clock", perf_counter)
        # Where time stands still a call takes none; else nothing is known of it before it was timed.
        self.known_tempo = 0.0 if self.clock == loop.time else None
        self.context = copy_context()
        self.live = 0
        self.aborting = False
        self.error: BaseException | None = None
        self.deadline = 0.0
        self.turn = 0
        self.tasks: set[asyncio.Task[Any]] = set()
        self._ready: deque[Visited] = deque()
        self._again: list[Visited] = []
        self._on_park: list[Callable[[], None]] = []
        self._ticking = False
        self._flight = Flight()
        self._parked: asyncio.Future[None] | None = None
        self._on_end = on_end
        self._on_idle = on_idle
        self.started = False
        self._insisting: asyncio.TimerHandle | None = None

    # Tasks.

    def start(self) -> None:
        """Start the driver; everything that runs from now on is found in ``tasks``."""
        self.started = True
        self._start_driver()

    def spawn(self, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``coro`` as a task of this graph; its failure fails the run."""
        self.begin_turn(self.clock())
        task = self.make_task(coro)
        self.tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def make_task(self, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that begins with the context variables of whoever started the run, not of some coro.

        Not by the loop's task factory: an eager one would run it before its maker is ready for that.
        """
        return asyncio.Task(coro, loop=self.loop, context=self.context.copy())

    def fail(self, error: BaseException) -> None:
        """The run has failed: remember the first reason, cancel everything.

        What fails while everything is being cancelled anyway is no reason any more.
        """
        if not self.aborting:
            self.error = error
            self.abort()

    def abort(self) -> None:
        """Cancel everything now; ``on_end`` is called when all of it has ended."""
        if not self.aborting:
            self.aborting = True
            self.cut_turn()
            self._cancel_all()
            self._end_if_over()

    def _cancel_all(self) -> None:
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            self._insisting = self.loop.call_later(INSIST_AFTER, self._insist)

    def _insist(self) -> None:
        # A coro that swallows its cancellation must not keep the graph alive for ever.
        logger.warning("%d tasks ignore their cancellation; cancelling them again", len(self.tasks))
        self._cancel_all()

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if task.cancelled():
            # Cancelled by nobody here: the loop is being shut down around the graph.
            if not self.aborting and task is self._flight.task:
                self.abort()
        elif (error := task.exception()) is not None:
            self.fail(error)
        self._end_if_over()

    def _end_if_over(self) -> None:
        if self.tasks or not self.started or not (self.aborting or self.live == 0):
            return
        self.started = False
        if self._insisting is not None:
            self._insisting.cancel()
        self._on_end()

    # Turns.

    @property
    def parked(self) -> bool:
        """Whether the driver has nothing to do."""
        return self._parked is not None and not self._parked.done()

    def mark(self, runner: Visited) -> None:
        """Have the driver visit ``runner``; call only when it is not ``queued`` yet."""
        runner.queued = True
        self._ready.append(runner)
        if self._parked is not None:
            self._unpark()

    def mark_first(self, runner: Visited) -> None:
        """Have the driver visit ``runner`` before all others: it was interrupted in the middle of its batch.

        Were it to wait for its turn, the readers of its first half would pass that on, and in a deep
        graph batches would fall into ever smaller pieces.
        """
        runner.queued = True
        self._ready.appendleft(runner)

    def mark_next_turn(self, runner: Visited) -> None:
        """Have the driver visit ``runner`` once more in the next turn of the loop."""
        self._again.append(runner)
        self.begin_turn(self.clock())

    def on_park(self, call: Callable[[], None]) -> None:
        """Call ``call`` once, when the driver has nothing left to do."""
        self._on_park.append(call)
        if self._parked is not None:
            self._unpark()

    def begin_turn(self, now: float) -> None:
        """Something of the graph is active in this turn of the loop: its time counts from now.

        Called before anything is put into the loop's queue, so that `_tick` stands before it: then
        one turn never sees the end of one budget and a whole new one.
        """
        if not self._ticking:
            self._ticking = True
            self.deadline = now + TURN_BUDGET
            self.loop.call_soon(self._tick)

    def cut_turn(self) -> None:
        """Whatever loop is at work ends after its current call, as if its time was used up.

        For commands given from inside a coro, which shall count for the very next call.
        """
        self.deadline = 0.0
        self._flight.cut()

    async def breathe(self, now: float) -> None:
        """Give the loop back if the graph has used up its share of this turn.

        Called by sources and helpers whenever ``now`` is past ``deadline``, which is also so at
        the first activity in a turn.
        """
        while self._ticking and now >= self.deadline:
            await asyncio.sleep(0)
            now = self.clock()
        self.begin_turn(now)

    def _tick(self) -> None:
        self.turn += 1
        self._ticking = False
        self.deadline = 0.0
        flight = self._flight
        if flight.runner is not None and not self.aborting:
            flight.taken = True
            flight.cut()
            self._start_driver()
            flight.runner.adopt(flight)
        again, self._again = self._again, []
        for runner in again:
            if not runner.queued:
                self.mark(runner)

    # The driver.

    def is_calling(self, runner: Visited) -> bool:
        """Whether the driver is in a call of ``runner`` right now."""
        return self._flight.runner is runner

    def _start_driver(self) -> None:
        flight = self._flight = Flight()
        self._parked = None
        flight.task = self.spawn(self._drive(flight))

    async def _drive(self, flight: Flight) -> None:
        ready = self._ready
        await self.breathe(self.clock())
        while not self._is_over():
            while ready and not self.aborting:
                runner = ready.popleft()
                runner.queued = False
                await runner.visit(flight)
                if flight.taken:
                    return
                if (now := self.clock()) >= self.deadline:
                    await self.breathe(now)
            if not self._is_over() and not self._stir():
                await self._park()
                await self.breathe(self.clock())

    def _is_over(self) -> bool:
        return not self.live or self.aborting

    def _stir(self) -> bool:
        """Before parking: let those act who were waiting for a quiet moment."""
        calls, self._on_park = self._on_park, []
        for call in calls:
            call()
        return bool(self._ready)

    async def _park(self) -> None:
        self._parked = self.loop.create_future()
        self._on_idle()
        try:
            await self._parked
        finally:
            self._parked = None

    def _unpark(self) -> None:
        parked = self._parked
        if parked is not None and not parked.done():
            self.begin_turn(self.clock())
            parked.set_result(None)

    def ended(self) -> None:
        """One more node has ended."""
        self.live -= 1
        if self.live == 0:
            self._unpark()

"""One run of a graph, from its first item to its report.

Once everything of the graph has ended - by itself, by a failure, by `stop` or by `abort` - cleanups
run, executors close, and only then is the report there. Every way to the end goes through `_wind_up`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from ..channels.base import UNBOUNDED
from ..errors import LimitError, NodeError
from ..events import Hook, RunEnded, RunStarted
from ..executors.base import Executor
from ..statistics import Report, Statistics
from .assembly import Assembly, Worker
from .ending import wind_up
from .run import Run
from .runner import Runner
from .scheduler import Scheduler
from .snapshot import edge_statistics, node_statistics, waits
from .source import Source
from .stalls import StallWatch
from .submissions import Submissions
from .taps import Collected, StreamPort

if TYPE_CHECKING:
    from .part import Part

__all__ = ["Execution"]

logger = logging.getLogger(__name__)

NO_EXECUTORS: Mapping[str, Executor] = MappingProxyType({})

_inside: ContextVar[tuple[Execution, ...]] = ContextVar("pipelines_inside", default=())
"""The runs that the current code is part of: a graph may run inside a coro of another."""

Outcome = Literal["completed", "failed", "stopped", "aborted"]


class Execution:
    """The running side of a `Plumber`; made inside the event loop that runs it.

    Attributes:
        workers: What works for each node, by name, upstreams first.
        done: Resolves to the report when nothing of the run is alive any more.
        collected: The results of sinks that are kept for the report.
        submissions: Items that somebody waits for.
        acquired: The executors that are in use.
        part: Joins the run to those of other hosts, if the graph is split.
    """

    def __init__(
        self,
        assembly: Assembly,
        name: str,
        hooks: Sequence[Hook] = (),
        *,
        max_items: int | None = None,
        max_seconds: float | None = None,
        executors: Mapping[str, Executor] = NO_EXECUTORS,
        join: Callable[[Execution], Part] | None = None,
    ) -> None:
        self.assembly = assembly
        self.loop = asyncio.get_running_loop()
        self.scheduler = Scheduler(self.loop, self._on_end, lambda: self._stalls.on_idle())
        self.scheduler.context.run(_inside.set, (*_inside.get(), self))
        self.run = Run(name, self.scheduler, hooks, max_items)
        self.executors = executors
        self.acquired: list[Executor] = []
        self.workers: dict[str, Worker] = assembly.workers(self.run, self.executors)
        self.done: asyncio.Future[Report] = self.loop.create_future()
        self.collected: dict[str, Collected] = {}
        self.streams: list[StreamPort] = []
        self.watched = 0  # how many wait for the end and will be told of a failure
        self._max_seconds = max_seconds
        self._winding_up = False
        self._closing: asyncio.Task[None] | None = None
        self._all_ended = asyncio.Event()
        self.submissions = Submissions(self)
        self._started_at: float | None = None
        self._elapsed: float | None = None
        self._error: BaseException | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._stalls = StallWatch(self)
        self._joining: asyncio.Task[None] | None = None
        self.part = join(self) if join is not None else None

    # Start and end.

    @property
    def started(self) -> bool:
        """Whether `start` was called."""
        return self._started_at is not None

    def start(self) -> None:
        """Start everything; only the first call does anything."""
        if self.started or self.done.done():
            return
        self._started_at = self.scheduler.clock()
        if self.part is None:
            self._begin()
        else:
            self._joining = self.scheduler.make_task(self._join(self.part))

    async def _join(self, part: Part) -> None:
        """Meet the other parts of a split graph, and begin."""
        try:
            has_work = await part.join()
        except asyncio.CancelledError:
            self._finish("stopped" if self.run.draining else "aborted")
        except Exception as error:
            self._error = error
            self._finish("failed")
        else:
            if has_work:
                self._begin()
                part.start()
            else:
                self._finish("completed")

    def _begin(self) -> None:
        now = self.scheduler.clock()
        for worker in self.workers.values():
            worker.meter.since = now
        self.scheduler.live = sum(not worker.ended for worker in self.workers.values())
        try:
            self._acquire_executors()
        except Exception as error:
            self._error = error
            self._closing = self.scheduler.make_task(self._wind_up())
            return
        if self._needs_winding_up():
            self._closing = self.scheduler.make_task(self._see_out())
        self.run.tell(RunStarted)
        if self._max_seconds is not None:
            self._timers["limit"] = self.loop.call_later(self._max_seconds, self._overtime)
        self.scheduler.start()
        for worker in self.workers.values():
            worker.start()

    def _acquire_executors(self) -> None:
        for executor in self.executors.values():
            executor.acquire()
            self.acquired.append(executor)

    def stop(self) -> None:
        """Stop the sources; what is inside goes on to the end."""
        if not self.started:
            self._finish("stopped")
            return
        if self._is_joining(draining=True):
            return
        if self.part is not None and not self.run.draining:
            self.part.tell_stop()
        for worker in self.workers.values():
            if isinstance(worker, Source):
                self.run.draining = self.run.draining or not worker.ended
                worker.stop()
        # What is inside must come out, whether or not anybody goes on reading.
        for stream in self.streams:
            stream.capacity = UNBOUNDED
        for worker in self.workers.values():
            worker.resume()

    @property
    def is_over(self) -> bool:
        """Whether everything has ended, but for cleanups."""
        return self._winding_up or self.done.done()

    def abort(self) -> None:
        """Cancel everything now."""
        if not self.started:
            self._finish("aborted")
        elif self._is_joining(draining=False):
            return
        elif self._winding_up and self._closing is not None:
            self._closing.cancel()  # a cleanup that hangs; the others still run
        else:
            self.scheduler.abort()

    def _is_joining(self, *, draining: bool) -> bool:
        """Whether it had not begun yet; then it ends here."""
        if self._joining is None or self._joining.done():
            return False
        self.run.draining = draining
        self._joining.cancel()
        return True

    async def see_to_the_end(self) -> None:
        """Wait for the end of an abort, even if the caller is cancelled; then that is raised."""
        cancelled: asyncio.CancelledError | None = None
        while not self.done.done():
            try:
                await asyncio.wait([self.done])
            except asyncio.CancelledError as error:
                cancelled = error
                self.abort()
        if cancelled is not None:
            raise cancelled

    def abort_later(self, seconds: float) -> None:
        """Abort what is still inside after so many seconds."""
        if not self.done.done():
            self._timers["stop"] = self.loop.call_later(seconds, self.abort)

    @property
    def is_inside(self) -> bool:
        """Whether the caller runs in this very run, or was started by a coro of it."""
        return self in _inside.get()

    @property
    def is_own_task(self) -> bool:
        """Whether the caller is a task of this very run, which cannot wait for its own end."""
        task = asyncio.current_task()
        return task in self.scheduler.tasks or task is self._closing

    def _overtime(self) -> None:
        self.scheduler.fail(LimitError("too_long", f"the run took longer than its limit of {self._max_seconds} s"))

    def _on_end(self) -> None:
        for worker in self.workers.values():
            worker.shut()
        for processor in self.assembly.processors.values():
            processor.outcome = self.outcome()
        if self._closing is not None:
            self._all_ended.set()
        else:
            self._finish(self.outcome())

    def _needs_winding_up(self) -> bool:
        nodes = [worker.node for worker in self.workers.values()]
        return bool(self.acquired or self.part or any([node.cleanup or node.is_model for node in nodes]))

    async def _see_out(self) -> None:
        """Clean up at the end; it is there from the start, for loops that are shut down around the graph."""
        while not self._all_ended.is_set():
            try:
                await self._all_ended.wait()
            except asyncio.CancelledError:
                self.scheduler.abort()
        await self._wind_up()

    async def _wind_up(self) -> None:
        self._winding_up = True  # from here on a cancellation finds somebody to handle it
        try:
            await wind_up(self)
        finally:
            self._finish(self.outcome())

    def note_error(self, error: Exception) -> None:
        """Something failed at the end: that is the run's failure, unless it has another."""
        if self.error is None:
            self._error = error
        elif isinstance(error, NodeError):
            logger.error("cleanup of node %r failed", error.node, exc_info=error)
        else:
            logger.error("the end of run %r failed", self.run.name, exc_info=error)

    def outcome(self) -> Outcome:
        """How the run ends, as far as is known."""
        if self.error is not None:
            return "failed"
        if self.scheduler.aborting:
            return "aborted"
        return "stopped" if self.run.draining else "completed"

    @property
    def error(self) -> BaseException | None:
        """What made the run fail."""
        return self.scheduler.error or self._error

    def _finish(self, outcome: Outcome) -> None:
        if self.done.done():
            return
        for timer in self._timers.values():
            timer.cancel()
        self._stalls.close()
        self._elapsed = self.elapsed
        for worker in self.workers.values():
            worker.shut()
        self.submissions.end(outcome)
        for stream in self.streams:
            stream.error = self.error
            stream.close()
        report = self._report(outcome)
        if self.error is not None and not self.watched and not self.streams:
            logger.error("run %r failed: %s", self.run.name, self.error, exc_info=self.error)
        self.done.set_result(report)
        self.run.tell(RunEnded, outcome, self._elapsed, self.error)

    def _report(self, outcome: Outcome) -> Report:
        outputs = {name: collected.items for name, collected in self.collected.items()}
        return Report(
            self.run.name,
            outcome,
            partial(self.statistics, outcome, self.scheduler.clock()),
            outputs,
            tuple(self.run.failures),
            self.error,
        )

    # What the program reads and feeds.

    def fed(self, name: str) -> Source:
        """The worker of a source that the program feeds."""
        worker = self.workers[name]
        assert isinstance(worker, Source)
        return worker

    def collect(self, sink: str, collected: Collected) -> None:
        """Keep the results of ``sink`` for the report."""
        if self.done.done():  # stopped before the start: there is nothing, and the report says so
            self.done.result().outputs[sink] = collected.items
        if sink in self.collected:
            return
        self.collected[sink] = collected
        self.workers[sink].outbox.tap(collected)

    def attach(self, sink: str, port: StreamPort) -> None:
        """Send the results of ``sink`` to a stream from now on."""
        if self.done.done() or self.workers[sink].ended:
            port.error = self.error
            port.close()
        else:
            self.workers[sink].outbox.tap(port)
            self.scheduler.cut_turn()
        self.streams.append(port)

    def detach(self, sink: str, port: StreamPort) -> None:
        """The reader of a stream has left."""
        if port in self.streams and not self.done.done():
            self.streams.remove(port)
            self.workers[sink].outbox.untap(port)
            self.workers[sink].on_room()
            self.scheduler.cut_turn()

    # Statistics.

    @property
    def elapsed(self) -> float:
        """Seconds since the start, until the end."""
        if self._elapsed is not None:
            return self._elapsed
        return 0.0 if self._started_at is None else self.scheduler.clock() - self._started_at

    @property
    def state(self) -> str:
        """The state of the run in one word."""
        if self.done.done():
            return self.done.result().state
        if not self.started:
            return "new"
        if self._joining is not None and not self._joining.done():
            return "joining"
        if self.scheduler.aborting:
            return "aborting"
        if self.run.draining:
            return "draining"
        live = [worker for worker in self.workers.values() if not worker.ended]
        return "paused" if live and all(worker.paused for worker in live) else "running"

    def statistics(self, state: str | None = None, now: float | None = None) -> Statistics:
        """A snapshot; at the end of the run, of then. Of a split graph that of all parts."""
        own = self.own_statistics(state, now)
        return own if self.part is None else self.part.whole(own)

    def own_statistics(self, state: str | None = None, now: float | None = None) -> Statistics:
        """The same, of this part alone."""
        elapsed = self.elapsed
        now = self.scheduler.clock() if now is None else now
        graph, workers = self.assembly.graph, self.workers
        items_in = sum(workers[name].meter.sent for name in graph.sources)
        items_out = sum(workers[name].meter.sent for name in graph.sinks)
        still = self.scheduler.parked or not self.started
        return Statistics(
            name=self.run.name,
            state=state or self.state,
            elapsed=elapsed,
            items_in=items_in,
            items_out=items_out,
            rate_in=items_in / elapsed if elapsed else 0.0,
            rate_out=items_out / elapsed if elapsed else 0.0,
            nodes=tuple(node_statistics(workers[name], elapsed, now) for name in graph.nodes),
            edges=edge_statistics(self.assembly.edges()),
            waits=waits(graph, workers) if still and state is None else (),
        )

    def runners(self) -> Iterator[Runner]:
        """What works for the nodes that are no sources."""
        return (worker for worker in self.workers.values() if isinstance(worker, Runner))

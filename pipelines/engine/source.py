"""A node that nothing flows into: the queue its coro puts into, and the task that runs the coro."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable
from typing import Any

from ..channels.entries import Ticket
from ..errors import ClosedError, LimitError, NodeError
from ..events import ItemFailed, NodeEnded, NodeStarted
from ..graph.model import CallKind, Node, Route
from ..processor import Processor
from ..statistics import BLOCKED, BUSY, WAITING
from ..types import FailedItem, To
from .outbox import GivenUp, Outbox
from .run import Run, call_once
from .timing import Pacer

__all__ = ["OutputQueue", "Source"]


class OutputQueue:
    """What a source puts its items into; they go to every downstream node.

    `put` waits while any downstream channel is full, and gives the event loop back when the graph
    has used up its share of this turn. Several tasks may put at once; they are served in turn.
    """

    __slots__ = ("_source",)

    def __init__(self, source: Source) -> None:
        self._source = source

    async def put(self, item: Any) -> None:
        """Send one item.

        Raises:
            ClosedError: The source was closed or the graph stopped.
        """
        await self._source.put(item)

    async def fail(self, item: Any, error: BaseException) -> None:
        """Report an item that could not be made, such as a line that cannot be read.

        The node's ``on_error`` decides: ``fail`` raises `NodeError` here and ends the run, ``skip``
        counts it, a route sends it to the dead-letter node. Its position is cancelled in zips.
        """
        await self._source.fail(item, error)

    def progress(self, done: float, total: float) -> None:
        """Say how far the source is, in any unit; shown by progress bars."""
        self._source.progress = min(1.0, done / total) if total > 0 else 1.0

    def full(self) -> bool:
        """Whether `put` would wait."""
        return self._source.outbox.room() <= 0

    def qsize(self) -> int:
        """Entries in the fullest downstream channel."""
        return max((len(channel) for channel in self._source.processor.liason_queues[1]), default=0)


class Source:
    """Works for one node without upstreams: runs its coro, or takes what the program puts.

    Attributes:
        progress: How far the coro says it is, 0 to 1; None if it does not say.
        blocked: Somebody waits in `put` for room.
        closed: Nothing more may be put.
        ended: Nothing more will come, and the channels are closed.
    """

    __slots__ = (
        "_asks_when_quiet",
        "_call",
        "_credit",
        "_pacer",
        "_ready",
        "_scheduler",
        "_steps",
        "_stopping",
        "_task",
        "_waiting",
        "closed",
        "ended",
        "meter",
        "name",
        "node",
        "outbox",
        "processor",
        "progress",
        "queue",
        "run",
    )

    def __init__(self, node: Node, processor: Processor, outbox: Outbox, run: Run, call: Callable[..., Any]) -> None:
        self.node = node
        self.name = node.name
        self.processor = processor
        self.outbox = outbox
        self.meter = outbox.meter
        self.run = run
        self.queue = OutputQueue(self)
        self.progress: float | None = None
        self.closed = False
        self.ended = False
        self._call = call
        self._scheduler = run.scheduler
        self._credit = 0  # puts that may go through unasked: only this source fills its channels
        self._ready = False
        self._steps: int | None = None  # None: not paused; else how many puts may still go through
        self._stopping = False
        self._asks_when_quiet = False
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        rate = node.properties.rate
        self._pacer = Pacer(run.scheduler.loop, rate, self._admit) if rate is not None else None

    @property
    def is_fed(self) -> bool:
        """Whether the program puts the items."""
        return self.node.kind is CallKind.FED

    @property
    def in_flight(self) -> int:
        """One while its coro runs."""
        return int(self._task is not None and not self.ended)

    @property
    def blocked(self) -> bool:
        """Whether somebody waits in `put`."""
        return bool(self._waiting) and not self.ended

    @property
    def paused(self) -> bool:
        """Whether items are put only by `step`."""
        return self._steps is not None

    @property
    def state(self) -> str:
        """What the source does, in one word."""
        if self.ended:
            return "ended"
        if not self._ready:
            return "starting"
        if self.paused:
            return "paused"
        if self.blocked:
            return "blocked"
        return "waiting" if self.is_fed else "busy"

    # What the program says.

    def start(self) -> None:
        """The run starts."""
        if self.ended:
            return
        if self.is_fed and self.node.setup is None:
            self._become_ready()
        else:
            self._task = self._scheduler.spawn(self._live())
            self._task.add_done_callback(self._on_cancelled)

    def pause(self) -> None:
        """Let nothing more be put."""
        if self._steps is None:
            self._steps = 0
            self._credit = 0

    def resume(self) -> None:
        """Let items be put again."""
        self._steps = None
        self._admit()

    def step(self, count: int) -> None:
        """Let ``count`` more items be put and then pause."""
        self._steps = (self._steps or 0) + count
        self._credit = 0
        self._admit()

    def close(self) -> None:
        """Nothing more may be put; whoever waits in `put` gets a `ClosedError`."""
        if self.closed:
            return
        self.closed = True
        self._credit = 0
        self._release_all()
        if self._task is None:
            self._end()

    def stop(self) -> None:
        """Stop the coro; what it has put goes on through the graph."""
        self._stopping = True
        self.close()
        if self._task is not None and not self.ended:
            self._task.cancel()

    def shut(self) -> None:
        """The run is over: nothing may be put, no timer fires."""
        self.closed = True
        self._credit = 0
        self._release_all()
        if self._pacer is not None:
            self._pacer.close()

    # Putting.

    async def put(self, item: Any, tickets: tuple[Ticket, ...] = ()) -> None:
        """Send one item downstream, when there is room."""
        if self._credit <= 0:
            await self._wait_for_credit()
        self._credit -= 1
        if self.run.items_left is not None:
            self.run.count_item()
        if tickets or type(item) is To:
            self._dispatch(item, tickets)
        else:
            self.meter.sent += 1
            self.outbox.append(item)
        self.outbox.announce()
        if (now := self._scheduler.clock()) >= self._scheduler.deadline:
            await self._scheduler.breathe(now)

    def _dispatch(self, item: Any, tickets: tuple[Ticket, ...]) -> None:
        if type(item) is To and item.node and item.node not in self.node.downstreams:
            known = ", ".join(self.node.downstreams) or "none"
            raise ValueError(f"To({item.node!r}): no such downstream node; downstream of {self.name!r} are: {known}")
        self.outbox.dispatch(item, tickets)

    async def fail(self, item: Any, error: BaseException) -> None:
        """An item could not be made: apply the node's ``on_error``."""
        if self._credit <= 0:
            await self._wait_for_credit()
        self._credit -= 1
        policy = self.node.properties.on_error
        self.meter.failed += 1
        action = "route" if isinstance(policy, Route) else policy
        self.run.tell(ItemFailed, self.name, item, error, 1, action)
        failed = FailedItem(item, self.name, error, 1)
        self.run.note_failure(failed)
        if policy == "fail":
            raise NodeError(self.name, item, cause=error) from error
        self.outbox.dispatch(GivenUp(failed))
        self.outbox.announce()

    async def _wait_for_credit(self) -> None:
        first = True
        while True:
            if self.closed:
                raise ClosedError(f"source {self.name!r} is closed: nothing more can be put")
            if (not first or not self._waiting) and self._grant():
                return
            await self._wait_in_line(first)
            first = False

    def _grant(self) -> bool:
        """Allow as many puts as there is room for; whether any."""
        room = self.outbox.room()
        if room <= 0 or not self._ready:
            return False
        if self._steps is not None:
            if self._steps <= 0:
                return False
            self._steps -= 1
            room = 1
        if self._pacer is not None:
            if self._pacer.allowed() <= 0:
                return False
            self._pacer.started()
            room = 1
        self._credit = room
        return True

    async def _wait_in_line(self, first: bool) -> None:
        future = self._scheduler.loop.create_future()
        # Who was let in and found the room gone stands at the head of the line again.
        (self._waiting.append if first else self._waiting.appendleft)(future)
        self.meter.enter(BLOCKED, self._scheduler.clock())
        self._ask_when_quiet()
        try:
            await future
        except asyncio.CancelledError:
            if future.cancelled():
                self._waiting.remove(future)
            else:
                self._admit()  # was let in and does not come: the next may
            raise
        finally:
            self.meter.enter(WAITING if self.is_fed else BUSY, self._scheduler.clock())

    def _ask_when_quiet(self) -> None:
        # Writers are let in when their channels are half empty; if the graph comes to rest before
        # that, whatever room there is must do.
        if self._waiting and not self._asks_when_quiet:
            self._asks_when_quiet = True
            self._scheduler.on_park(self._on_quiet)

    def _on_quiet(self) -> None:
        self._asks_when_quiet = False
        self._admit()
        self._ask_when_quiet()

    def on_room(self) -> None:
        """A channel has room again; half of it must be free, so that one waking moves many items."""
        if self._waiting and self.outbox.room() >= self._half:
            self._admit()

    @property
    def _half(self) -> int:
        return max(1, min([channel.capacity for channel in self.processor.liason_queues[1]], default=1) // 2)

    def _admit(self) -> None:
        """Let in as many of those who wait as there is room for."""
        if not self._ready or self._steps == 0:
            return
        room = self.outbox.room()
        while self._waiting and room > 0:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                room -= 1

    def _release_all(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    # The coro.

    def _become_ready(self) -> None:
        self._ready = True
        self.meter.enter(WAITING if self.is_fed else BUSY, self._scheduler.clock())
        self.run.tell(NodeStarted, self.name)
        self._admit()

    async def _live(self) -> None:
        task: Any = asyncio.current_task()
        try:
            if self.node.setup is not None:
                await call_once(self.processor, self.node.setup)
            self._become_ready()
            if self.is_fed:
                self._task = None
                if not self.closed:
                    return
            else:
                await self._produce()
        except (NodeError, LimitError):
            raise
        except asyncio.CancelledError as error:
            if not task.cancelling():
                raise NodeError(self.name, cause=error) from error
            if not self._stopping or self._scheduler.aborting:
                raise
        except Exception as error:
            if not (self._stopping and isinstance(error, ClosedError)):
                raise NodeError(self.name, cause=error) from error
        self._end()

    def _on_cancelled(self, task: asyncio.Task[None]) -> None:
        # A task that is cancelled before its first step never comes to its own end.
        if task.cancelled() and self._stopping and not self._scheduler.aborting:
            self._end()

    async def _produce(self) -> None:
        if self.node.kind is CallKind.COROUTINE:
            await self._call(self.processor, self.queue)
            return
        items = self._call(self.processor)
        if inspect.isawaitable(items):
            items = await items
        if hasattr(items, "__aiter__"):
            await self._put_all_async(items)
        else:
            await self._put_all(items)

    async def _put_all(self, items: Any) -> None:
        try:
            for item in items:
                await self.put(item)
        finally:
            if hasattr(items, "close") and inspect.isgenerator(items):
                items.close()

    async def _put_all_async(self, items: Any) -> None:
        try:
            async for item in items:
                await self.put(item)
        finally:
            if hasattr(items, "aclose"):
                await items.aclose()

    def _end(self) -> None:
        if self.ended:
            return
        self.closed = True
        self.ended = True
        self._credit = 0
        self._release_all()
        if self._pacer is not None:
            self._pacer.close()
        self.meter.enter(WAITING, self._scheduler.clock())
        self.outbox.end()
        self.run.tell(NodeEnded, self.name, self.meter.received, self.meter.sent)
        self._scheduler.ended()

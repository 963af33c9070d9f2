"""A node that nothing flows into: what the program or a coro puts, or a generator yields, goes in here."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from ..channels.entries import Ticket
from ..errors import ClosedError, LimitError, NodeError
from ..events import ItemFailed, NodeEnded, NodeStarted
from ..graph.model import CallKind, Node, Route
from ..processor import Processor
from ..statistics import BLOCKED, BUSY, WAITING
from ..types import FailedItem, To
from .attempts import check_target
from .gate import Gate
from .outbox import GivenUp, Outbox
from .output_queue import OutputQueue
from .run import Run, call_once
from .scheduler import Flight

__all__ = ["Source"]


class Source:
    """Works for one node without upstreams.

    A coro that puts, and an async generator, run in a task of their own. A plain generator is
    pulled by the driver, like a node. A source without coro does nothing: the program puts.

    Attributes:
        gate: Decides who may put.
        begun: The run has reached this node, so that its cleanup is due.
        progress: How far the coro says it is, 0 to 1; None if it does not say.
        ended: Nothing more will come, and the channels are closed.
        queued: Whether the scheduler has it on its list.
    """

    __slots__ = (
        "_call",
        "_iterator",
        "_scheduler",
        "_stopping",
        "_task",
        "begun",
        "ended",
        "gate",
        "meter",
        "name",
        "node",
        "outbox",
        "processor",
        "progress",
        "queue",
        "queued",
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
        self.ended = False
        self.begun = False
        self.queued = False
        self._call = call
        self._scheduler = run.scheduler
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._iterator: Iterator[Any] | None = None
        half = min([channel.capacity for channel in processor.liason_queues[1]], default=2) // 2
        self.gate = Gate(node, outbox, run.scheduler, max(1, half), self._on_opened)
        # Before the start the program may put what there are channels for.
        self.gate.ready = self.is_fed and node.setup is None and bool(node.downstreams)

    @property
    def is_fed(self) -> bool:
        """Whether the program puts the items."""
        return self.node.kind is CallKind.FED

    @property
    def in_flight(self) -> int:
        """One while its coro runs."""
        running = self._task is not None and not self._task.done()
        return int(not self.ended and (running or self._iterator is not None))

    @property
    def blocked(self) -> bool:
        """Whether it has something to put and finds no room."""
        return not self.ended and (self.gate.blocked or (self._iterator is not None and self.meter.state == BLOCKED))

    @property
    def paused(self) -> bool:
        """Whether items are put only by `step`."""
        return self.gate.paused

    @property
    def state(self) -> str:
        """What the source does, in one word."""
        if self.ended:
            return "ended"
        if not self.gate.ready:
            return "starting"
        if self.paused:
            return "paused"
        if self.blocked:
            return "blocked"
        return "waiting" if self.is_fed else "busy"

    # What the program says.

    def start(self) -> None:
        """The run starts."""
        if self.gate.closed:
            self.begun = self.node.setup is None
            self.run.tell(NodeStarted, self.name)
            self._end()
        elif self.is_fed and self.node.setup is None:
            self._become_ready()
        else:
            self._task = self._scheduler.spawn(self._live())
            self._task.add_done_callback(self._on_task_done)

    def pause(self) -> None:
        """Let nothing more be put."""
        self.gate.pause()

    def resume(self) -> None:
        """Let items be put again."""
        self.gate.resume()

    def step(self, count: int) -> None:
        """Let ``count`` more items be put and then pause."""
        self.gate.step(count)

    def close(self) -> None:
        """Nothing more may be put; whoever waits in `put` gets a `ClosedError`."""
        if not self.gate.closed:
            self.gate.close()
            if self._task is None and self._scheduler.started:
                self._end()

    def stop(self) -> None:
        """Stop the coro; what it has put goes on through the graph."""
        self._stopping = True
        self.close()
        if self._task is not None and not self.ended:
            self._task.cancel()

    def shut(self) -> None:
        """The run is over: nothing may be put, no timer fires."""
        self.ended = True
        self.gate.close()
        self._close_iterator()

    # Putting.

    async def put(self, item: Any, tickets: tuple[Ticket, ...] = ()) -> None:
        """Send one item downstream, when there is room. A put that is cancelled has sent nothing."""
        # Politeness comes first: behind the sending, nothing may wait or fail any more.
        if (now := self._scheduler.clock()) >= self._scheduler.deadline:
            await self._scheduler.breathe(now)
        gate = self.gate
        if gate.credit <= 0 or gate.line:
            await gate.enter()
        gate.credit -= 1
        if self.run.items_left is not None:
            self.run.count_item()
        if tickets or type(item) is To:
            self._dispatch(item, tickets)
        else:
            self.meter.sent += 1
            self.outbox.append(item)
        self.outbox.announce()

    def _dispatch(self, item: Any, tickets: tuple[Ticket, ...] = ()) -> None:
        if type(item) is To:
            check_target(item, self.node)
        self.outbox.dispatch(item, tickets)

    async def fail(self, item: Any, error: BaseException) -> None:
        """An item could not be made: apply the node's ``on_error``."""
        if (now := self._scheduler.clock()) >= self._scheduler.deadline:
            await self._scheduler.breathe(now)
        gate = self.gate
        if gate.credit <= 0 or gate.line:
            await gate.enter()
        gate.credit -= 1
        if self.run.items_left is not None:
            self.run.count_item()
        policy = self.node.properties.on_error
        self.meter.failed += 1
        action = "route" if isinstance(policy, Route) else policy
        self.run.tell(ItemFailed, self.name, item, error, 1, action)
        failed = FailedItem(item, self.name, error, 1)
        self.run.note_failure(failed)
        if policy == "fail":
            failure = NodeError(self.name, item, cause=error)
            self._scheduler.fail(failure)  # also if the coro catches it
            raise failure from error
        self.outbox.dispatch(GivenUp(failed))
        self.outbox.announce()

    def on_room(self) -> None:
        """A channel has room again."""
        if self._iterator is not None or self.gate.blocked:
            self.gate.on_room()

    # The coro, in its task.

    def _become_ready(self) -> None:
        self.begun = True
        self.gate.ready = True
        self.meter.enter(WAITING if self.is_fed else BUSY, self._scheduler.clock())
        self.run.tell(NodeStarted, self.name)
        self.gate.admit()

    async def _live(self) -> None:
        task: Any = asyncio.current_task()
        try:
            self.begun = True
            if self.node.setup is not None:
                await call_once(self.processor, self.node.setup)
            self._become_ready()
            if await self._produce():
                return
        except (NodeError, LimitError):
            raise
        except asyncio.CancelledError as error:
            if self._scheduler.aborting:
                raise
            if not (self._stopping and task.cancelling()):
                raise NodeError(self.name, cause=error) from error
        except Exception as error:
            if not (self._stopping and isinstance(error, ClosedError)):
                raise NodeError(self.name, cause=error) from error
        self._end()

    async def _produce(self) -> bool:
        """Run the coro; whether the source lives on without this task."""
        if self.is_fed:
            return not self.gate.closed
        if self.node.kind is CallKind.COROUTINE:
            await self._call(self.processor, self.queue)
            return False
        items = self._call(self.processor)
        if inspect.isawaitable(items):
            items = await items
        if hasattr(items, "__aiter__"):
            await self._put_all(items)
            return False
        self._iterator = iter(items)
        self.gate.pulled = True
        self._on_opened()
        return True

    async def _put_all(self, items: Any) -> None:
        try:
            async for item in items:
                await self.put(item)
        finally:
            if hasattr(items, "aclose"):
                await items.aclose()

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        # It never came to its own end if it was cancelled before its first step, or if the source was
        # closed while the task made an iterator that nobody will pull any more.
        if self.gate.closed and not self._scheduler.aborting:
            self._end()

    # The generator, pulled by the driver.

    def _on_opened(self) -> None:
        if self._iterator is not None and not self.queued:
            self._scheduler.mark(self)

    async def visit(self, flight: Flight) -> None:
        """Pull items as long as there is room, until the turn of the loop is over."""
        iterator, gate = self._iterator, self.gate
        if iterator is None or self.ended:
            return
        self.meter.enter(BUSY, self._scheduler.clock())
        credit = gate.grant()
        try:
            over = self._pull(iterator, credit)
        except (NodeError, LimitError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # a CancelledError too: nobody else's can come up here
            raise NodeError(self.name, cause=error) from error
        gate.credit = 0
        now = self._scheduler.clock()
        self.outbox.announce()
        if over or gate.closed:
            self._end()
        elif credit > 0:
            self._scheduler.mark(self) if not self.queued else None
        else:
            self.meter.enter(BLOCKED if self.outbox.room() <= 0 else WAITING, now)
            if not self.paused:
                gate.ask_when_quiet()

    def _pull(self, iterator: Iterator[Any], credit: int) -> bool:
        """Send up to ``credit`` items; whether the iterator is exhausted."""
        append, limited = self.outbox.append, self.run.items_left is not None
        scheduler, clock = self._scheduler, self._scheduler.clock
        sent = 0
        try:
            for item in islice(iterator, credit):
                if limited:
                    self.run.count_item()
                if type(item) is To:
                    self._dispatch(item)
                    self.meter.sent -= 1  # counted below with the others
                else:
                    append(item)
                sent += 1
                if clock() >= scheduler.deadline:
                    return False
        finally:
            self.meter.sent += sent
        return sent < credit

    def adopt(self, flight: Flight) -> None:
        """A generator cannot suspend."""
        raise AssertionError("a plain generator was suspended")

    def _close_iterator(self) -> None:
        iterator, self._iterator = self._iterator, None
        self.gate.pulled = False
        if inspect.isgenerator(iterator) and not iterator.gi_running:
            iterator.close()

    def _end(self) -> None:
        if self.ended:
            return
        self.ended = True
        self.gate.close()
        self._close_iterator()
        self.meter.enter(WAITING, self._scheduler.clock())
        self.outbox.end()
        self.run.tell(NodeEnded, self.name, self.meter.received, self.meter.sent)
        self._scheduler.ended()

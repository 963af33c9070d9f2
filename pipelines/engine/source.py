"""A node that nothing flows into: what the program or a coro puts, or a generator yields, goes in here."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from ..channels.entries import Ticket
from ..errors import ClosedError, LimitError, NodeError
from ..events import NodeEnded, NodeStarted
from ..graph.model import CallKind, Node
from ..processor import Processor
from ..statistics import BLOCKED, BUSY, WAITING
from ..types import To
from .flight import STRETCH_SECONDS, Flight, stretch_behind
from .gate import Gate
from .mesh import Mesh, mesh_behind
from .outbox import Outbox
from .outcomes import check_target
from .output_queue import OutputQueue
from .run import Run, call_once
from .runner import Runner

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
        track: Gives the ticket that follows the next item; it gives None for an item that need not be sent.
            None itself: items are not followed.
    """

    __slots__ = (
        "_call",
        "_hungry",
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
        "track",
    )

    def __init__(self, node: Node, processor: Processor, outbox: Outbox, run: Run, call: Callable[..., Any]) -> None:
        self.node = node
        self.name = node.name
        self.processor = processor
        self.outbox = outbox
        self.meter = outbox.meter
        self.run = run
        self.progress: float | None = None
        self.ended = False
        self.begun = False
        self.queued = False
        self.track: Callable[[], Ticket | None] | None = None
        self._call = call
        self._scheduler = run.scheduler
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._iterator: Iterator[Any] | None = None
        self._hungry = False  # the generator waits for room, or for leave
        half = min([channel.capacity for channel in processor.liason_queues[1]], default=2) // 2
        self.gate = Gate(node, outbox, run, max(1, half), self.wake)
        self.queue = OutputQueue(self)
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
        elif self.node.kind is CallKind.GENERATOR and self.node.setup is None:
            self._scheduler.mark(self)  # the driver calls it; that needs no task
        else:
            self._spawn()

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
            self._scheduler.cut_turn()
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

    # The channels behind it.

    def on_room(self) -> None:
        """A channel has room again, and its reader has taken what it was told of."""
        self.gate.credit = 0
        if self._hungry or self.gate.line:
            self.gate.on_room()

    # The coro, in its task.

    def _become_ready(self) -> None:
        self.begun = True
        self.gate.ready = True
        self.meter.enter(WAITING if self.is_fed else BUSY, self._scheduler.clock())
        self.run.tell(NodeStarted, self.name)
        self.gate.admit()

    def _spawn(self, produced: Any = None) -> None:
        self._task = self._scheduler.spawn(self._live(produced))
        self._task.add_done_callback(self._on_task_done)

    async def _live(self, produced: Any) -> None:
        """The source's task; ``produced`` is what its function gave, if that was called already."""
        task: Any = asyncio.current_task()
        try:
            if produced is None:
                self.begun = True
                if self.node.setup is not None:
                    await call_once(self.processor, self.node.setup)
                self._become_ready()
            if await self._produce(produced):
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

    async def _produce(self, items: Any) -> bool:
        """Run the coro; whether the source lives on without this task."""
        if self.is_fed:
            return not self.gate.closed
        if self.node.kind is CallKind.COROUTINE:
            await self._call(self.processor, self.queue)
            return False
        if items is None:
            items = self._call(self.processor)
        if inspect.isawaitable(items):
            items = await items
        if hasattr(items, "__aiter__"):
            await self._put_all(items)
            return False
        self._pull_from(items)
        self.wake()
        return True

    def _pull_from(self, items: Any) -> None:
        self._iterator = iter(items)
        self.gate.pulled = True

    def _call_generator(self) -> bool:
        """Call the source's function in the driver; whether it gives something to be pulled."""
        self._become_ready()
        items = self._call(self.processor)
        if inspect.isawaitable(items) or hasattr(items, "__aiter__"):
            self._spawn(items)
            return False
        self._pull_from(items)
        return True

    async def _put_all(self, items: Any) -> None:
        try:
            async for item in items:
                await self.queue.put(item)
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

    def wake(self) -> None:
        """There may be room again for what the generator yields."""
        if self._iterator is not None and not self.queued:
            self._scheduler.mark(self)

    async def visit(self, flight: Flight) -> None:
        """Pull items as long as there is room, until the turn of the loop is over."""
        gate, meter = self.gate, self.meter
        if self.ended:
            return
        try:
            if self._iterator is None and (self.begun or not self._call_generator()):
                return
            assert self._iterator is not None
            now = self._scheduler.clock()
            meter.enter(BUSY, now)
            self._hungry = False
            members, mesh, most = self._plan(now) if gate.free else ([], None, 0)
            if members:
                await flight.fly(self, members, islice(self._iterator, most), now, mesh=mesh)
                if flight.taken:
                    return
                over = not flight.begun
            else:
                most = gate.grant()
                over = self._pull(self._iterator, most)
        except (NodeError, LimitError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # a CancelledError too: nobody else's can come up in a generator
            if flight.fault is not None:
                raise
            raise NodeError(self.name, cause=error) from error
        gate.credit = 0
        if over or gate.closed:
            self._end()
        elif most > 0:
            self.wake()
        else:
            self._rest()

    def _plan(self, now: float) -> tuple[list[Runner], Mesh | None, int]:
        """Where items can fly from here, and how many."""
        outbox = self.outbox
        if self.track is not None:
            return [], None, 0
        members, most = stretch_behind(outbox.sole)
        if now >= outbox.no_mesh_until and (members[-1].outbox if members else outbox).fans_out:
            mesh = mesh_behind(None, outbox, 0.0, STRETCH_SECONDS)
            if mesh is not None and len(mesh.members) > len(members):
                return mesh.members, mesh, mesh.room
        return members, None, most

    def _rest(self) -> None:
        """Wait for room, or for leave."""
        self._hungry = True
        self.meter.enter(BLOCKED if self.outbox.room() <= 0 else WAITING, self._scheduler.clock())
        if not self.paused:
            self.gate.ask_when_quiet()

    def _pull(self, iterator: Iterator[Any], credit: int) -> bool:
        """Send up to ``credit`` items; whether the iterator is exhausted."""
        outbox, meter, batch = self.outbox, self.meter, list[Any]()
        append = batch.append if outbox.fans_out else outbox.append
        limited = self.run.items_left is not None or self.track is not None
        scheduler, clock = self._scheduler, self._scheduler.clock
        done = aside = 0
        try:
            for item in islice(iterator, credit):
                done += 1
                if limited or type(item) is To:
                    aside += 1
                    self.run.count_item()
                    outbox.extend(batch)
                    batch.clear()
                    self.send(item)
                else:
                    append(item)
                if clock() >= scheduler.deadline:
                    return False
        finally:
            meter.sent += done - aside
            outbox.extend(batch)
            outbox.announce()
        return done < credit

    def send(self, item: Any) -> None:
        """Send one item into the channels; there must be room."""
        if type(item) is To:
            check_target(item, self.node)
        self.dispatch(item, ())
        self.outbox.announce()

    def dispatch(self, outcome: Any, tickets: tuple[Ticket, ...]) -> None:
        """Send something that is more than a plain item, or that is followed."""
        if self.track is not None:
            origin = self.track()
            if origin is None:
                return
            tickets = (*tickets, origin)
        self.outbox.dispatch(outcome, tickets)

    def take_back(self, done: int, rest: list[Any] | None) -> None:
        """A flight from here is over: so many items have flown."""
        self.meter.sent += done

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

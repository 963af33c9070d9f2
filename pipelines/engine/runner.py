"""One node's receive -> call -> send loop.

Two loops do the same. The *quick* loop runs in the driver while nothing of the node is in flight
and nothing asks for more than "one item in, one result out": it awaits the coro for one item after
the other and appends results straight into the channels; its counts are local until the visit ends.
The *general* loop gives every item a place in the outbox's order and handles everything: calls in
flight side by side, tickets, tombstones, generators, batches, rates, stepping. A node whose calls
suspend is worked on by helpers, tasks in which the general loop runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..channels.base import UNBOUNDED, Inbox
from ..channels.entries import Ticket, Tomb
from ..errors import AlignmentError, NodeError
from ..events import NodeEnded, NodeStarted
from ..graph.model import Node
from ..processor import Processor
from ..statistics import BLOCKED, BUSY, WAITING
from ..types import To
from .attempts import Attempts, check_target
from .batching import BatchInbox
from .outbox import Outbox, Outcome
from .quick import QuickLoop, find_quick_loop
from .run import Run, call_once
from .scheduler import Flight
from .timing import Pacer
from .turns import Turns

__all__ = ["Runner"]


class Runner:
    """Works for one node that has upstreams.

    Attributes:
        queued: Whether the scheduler has it on its list.
        in_flight: Calls running now.
        blocked: It had something to do at its last visit, but no room for results.
        begun: The run has reached this node, so that its cleanup is due.
        ended: Input has ended and everything was sent.
    """

    __slots__ = (
        "_concurrency",
        "_helpers",
        "_pacer",
        "_quick_loop",
        "_ready",
        "_scheduler",
        "_steps",
        "_turns",
        "_width",
        "attempts",
        "begun",
        "blocked",
        "call",
        "ended",
        "in_flight",
        "inbox",
        "meter",
        "name",
        "node",
        "outbox",
        "processor",
        "queued",
        "run",
    )

    def __init__(
        self,
        node: Node,
        processor: Processor,
        inbox: Inbox,
        outbox: Outbox,
        run: Run,
        call: Callable[..., Any],
    ) -> None:
        properties, loop = node.properties, run.scheduler.loop
        self.node = node
        self.name = node.name
        self.processor = processor
        self.outbox = outbox
        self.meter = outbox.meter
        self.run = run
        self.inbox: Inbox = inbox
        if properties.batch is not None:
            self.inbox = BatchInbox(inbox, properties.batch, loop, self.wake)
        for channel in inbox.channels:
            channel.on_items = self.wake
        self.queued = False
        self.in_flight = 0
        self.blocked = False
        self.ended = False
        self.begun = False
        self._scheduler = run.scheduler
        self._concurrency = properties.concurrency
        self.attempts = Attempts(node, processor, call, self.meter, run)
        self._turns = Turns(node, self.attempts, outbox, run.scheduler, call, processor) if node.kind.yields else None
        self._pacer = Pacer(loop, properties.rate, self.wake) if properties.rate is not None else None
        self.call = call
        self._quick_loop = find_quick_loop(node)
        self._ready = node.setup is None
        self._steps: int | None = None  # None: not paused; else how many calls may still start
        self._width = 0  # how many helpers to start at once; 0 while calls do not suspend
        self._helpers = 0  # tasks that work on this node besides the driver

    # What the channels and the program say.

    def start(self) -> None:
        """The run starts."""
        if self.node.setup is not None:
            self._scheduler.spawn(self._set_up(self.node.setup))
        else:
            self.begun = True
            self.run.tell(NodeStarted, self.name)

    async def _set_up(self, setup: Callable[..., Any]) -> None:
        self.begun = True
        await call_once(self.processor, setup)
        self._ready = True
        self.run.tell(NodeStarted, self.name)
        self.wake()

    def wake(self) -> None:
        """Something may be possible now that was not before."""
        if not self.queued:
            self._scheduler.mark(self)

    def on_room(self) -> None:
        """A port has room again."""
        if not self.queued and (self.blocked or self.outbox.held or (self._turns and self._turns.waiting)):
            self._scheduler.mark(self)

    def pause(self) -> None:
        """Start no more calls; those in flight end and their results are sent."""
        if self._steps is None:
            self._steps = 0
            self._scheduler.cut_turn()

    def resume(self) -> None:
        """Start calls again."""
        self._steps = None
        self.wake()

    def step(self, count: int) -> None:
        """Let ``count`` more calls start and then pause."""
        self._steps = (self._steps or 0) + count
        self.wake()

    @property
    def paused(self) -> bool:
        """Whether calls start only by `step`."""
        return self._steps is not None

    @property
    def state(self) -> str:
        """What the node does, in one word."""
        if self.ended:
            return "ended"
        if not self._ready:
            return "starting"
        if self.in_flight or self.meter.state == BUSY:
            return "busy"
        if self.paused:
            return "paused"
        return "blocked" if self.blocked else "waiting"

    def shut(self) -> None:
        """The node's run is over: no timer of it fires any more."""
        self.ended = True
        if self.attempts.watchdog is not None:
            self.attempts.watchdog.close()
        if self._pacer is not None:
            self._pacer.close()
        if isinstance(self.inbox, BatchInbox):
            self.inbox.close()

    # One visit of the driver.

    async def visit(self, flight: Flight) -> None:
        """Do what can be done now, until the turn of the loop is over."""
        if self.ended or not self._ready:
            return
        if self.outbox.held:
            self.outbox.flush()
        if self._turns is not None:
            self._turns.call_next()
        if not self._helpers:
            self._width //= 2  # nothing is suspended any more: perhaps nothing will be
        if self._width:
            self._grow(self._startable())
        elif self._quick_loop is not None and self._is_plain():
            count = min(self.inbox.available(), self.outbox.room())
            if count > 0:
                await self._work_quickly(self._quick_loop, count, flight)
        elif self._startable() > 0:
            flight.take_off(self)
            try:
                await self._work(flight)
            finally:
                flight.runner = None
                if flight.taken:
                    self._leave()
        if not flight.taken:
            self._settle()

    def _is_plain(self) -> bool:
        """Whether the quick loop will do: one item in, one result out, nothing else to be minded."""
        return not self.in_flight and self._steps is None and not self.inbox.noted and not self.outbox.held

    def _startable(self) -> int:
        """How many calls may start now."""
        count = self.inbox.available()
        if count <= 0 or self._scheduler.aborting:
            return 0
        # Calls in flight and held results never exceed the concurrency and the room ahead (P4).
        room = self.outbox.room()
        ahead = self._concurrency - self.outbox.held + (room if room < UNBOUNDED else 0)
        count = min(count, min(self._concurrency, ahead) - self.in_flight)
        if self._steps is not None:
            count = min(count, self._steps)
        if self._pacer is not None and count > 0:
            count = min(count, self._pacer.allowed())
        return count

    def _settle(self) -> None:
        """After a visit: end, or note what the node waits for."""
        if self.node.zips:
            self._check_surplus()
        if self.in_flight or self._helpers:
            return
        held, available = self.outbox.held, self.inbox.available()
        if not held and not available and self.inbox.ended:
            self._end()
            return
        self.blocked = held > 0 or (available > 0 and self.outbox.room() <= 0)
        self.meter.enter(BLOCKED if self.blocked else WAITING, self._scheduler.clock())
        if available > 0 and not self.blocked and not self.queued and self._startable() > 0:
            self._scheduler.mark_first(self)

    def _check_surplus(self) -> None:
        counts = self.inbox.surplus(self.name)
        # Sources that were stopped were cut wherever they stood.
        if counts is not None and not self.run.draining:
            raise AlignmentError(self.name, counts)

    def _end(self) -> None:
        self.blocked = False
        self.shut()
        self.meter.enter(WAITING, self._scheduler.clock())
        self.outbox.end()
        self.run.tell(NodeEnded, self.name, self.meter.received, self.meter.sent)
        self._scheduler.ended()

    # The quick loop, and what happens around it.

    async def _work_quickly(self, quick_loop: QuickLoop, count: int, flight: Flight) -> None:
        start = self._scheduler.clock()
        self.meter.enter(BUSY, start)
        lent, count = self.inbox.lend(count)
        flight.take_off(self, lent, count)
        try:
            result = await quick_loop(self, lent, flight)
        except BaseException:
            self._account_failure(flight)
            raise
        if flight.taken:
            await self._go_on_as_helper(flight, result)
            return
        flight.runner = None
        done = self._account(flight)
        self.meter.latency.add((self._scheduler.clock() - start) / max(1, done))

    def _account(self, flight: Flight, in_flight: int = 0) -> int:
        """Add up what the quick loop has done, give back what it has not, and tell the neighbours."""
        rest = list(flight.lent or ())
        done = flight.count - len(rest)
        self.meter.received += done
        self.meter.sent += done - in_flight - flight.diverted
        self.outbox.announce()
        self.inbox.repay(done, rest)
        return done

    def _account_failure(self, flight: Flight) -> None:
        if flight.taken:
            self.in_flight -= 1
        else:
            flight.runner = None
            self._account(flight, in_flight=1)

    def divert(self, flight: Flight, result: Outcome) -> None:
        """The quick loop has a result that is no plain item."""
        if type(result) is To:
            check_target(result, self.node)
        flight.diverted += 1
        self.outbox.dispatch(result)

    def adopt(self, flight: Flight) -> None:
        """The driver was found suspended in a call of this node: that call is in flight from now on."""
        if flight.lent is not None:
            self._account(flight, in_flight=1)
            flight.place = self.outbox.open()
            self.in_flight += 1
            self.attempts.watch(flight.task)
        self._helpers += 1
        self._width = max(1, self._width)
        self.wake()

    async def _go_on_as_helper(self, flight: Flight, result: Outcome) -> None:
        if self.attempts.watchdog is not None and flight.task is not None:
            self.attempts.watchdog.stop(flight.task)
        if type(result) is To:
            check_target(result, self.node)
        self._close(flight.place, result, ())
        await self._work_as_helper()

    # The general loop.

    def _grow(self, count: int) -> None:
        """Start helpers: twice as many as the last time, as long as calls suspend."""
        helpers = min(count, self._width)
        # As long as one of the helpers is not suspended in a call, it can do what there is to do.
        if helpers <= 0 or self._helpers > self.in_flight:
            return
        self._width = min(2 * self._width, self._concurrency)
        self._helpers += helpers
        for _ in range(helpers):
            self._scheduler.spawn(self._work_as_helper())
        self._scheduler.mark_next_turn(self)

    async def _work_as_helper(self) -> None:
        try:
            await self._work(None)
        finally:
            self._leave()

    def _leave(self) -> None:
        """A task that is not the driver, or not any more, has done what it could."""
        self._helpers -= 1
        self.wake()

    async def _work(self, flight: Flight | None) -> None:
        """Process items until no call may start; in the driver, until the turn is over."""
        scheduler = self._scheduler
        while self._startable() > 0:
            if (now := scheduler.clock()) >= scheduler.deadline:
                if flight is not None and not flight.taken:
                    return
                await scheduler.breathe(now)
                continue
            await self._process_next(now)

    async def _process_next(self, now: float) -> None:
        q_elt, tickets, tombs = self.inbox.take()
        self.inbox.release()
        place = self.outbox.open()
        if q_elt is None:
            self.outbox.close(place, Tomb(tombs), ())
            return
        self._count_start(now)
        try:
            if self._turns is not None:
                outcome = await self._turns.exhaust(q_elt, tickets, place)
            else:
                outcome = await self.attempts.make(q_elt)
                if type(outcome) is To:
                    check_target(outcome, self.node)
        except BaseException as error:
            self.in_flight -= 1
            if isinstance(error, NodeError):
                for ticket in tickets:
                    ticket.fail(error)
            raise
        self.meter.latency.add(self._scheduler.clock() - now)
        self._close(place, outcome, tickets)

    def _count_start(self, now: float) -> None:
        if self._steps is not None:
            self._steps -= 1
        if self._pacer is not None:
            self._pacer.started()
        self.meter.received += 1
        self.in_flight += 1
        if self.in_flight == 1:
            self.meter.enter(BUSY, now)

    def _close(self, place: int, outcome: Outcome, tickets: tuple[Ticket, ...]) -> None:
        self.in_flight -= 1
        if self.in_flight == 0:
            self.meter.enter(WAITING, self._scheduler.clock())
        held = self.outbox.held
        self.outbox.close(place, outcome, tickets)
        if self.outbox.held < held:
            self.wake()  # others were waiting for this one: now more calls may start than this task can make
        if self._turns is not None:
            self._turns.call_next()

"""The calls of one node that are in flight, and the tasks in which they wait.

The *general* loop lives here. It gives every item a place in the outbox's order and handles everything:
calls side by side, tickets, tombstones, generators, batches, rates, stepping. The driver runs it for
nodes that cannot do with a quick loop; as soon as calls suspend it runs in helpers, tasks that take one
item after the other, as many as there is work for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..channels.entries import Ticket, Tomb
from ..channels.join import SingleInbox
from ..errors import NodeError
from ..graph import CallKind
from ..statistics import BUSY, WAITING
from ..types import To
from .flight import Flight
from .outcomes import Outcome, check_target
from .team import Team
from .turns import Turns

if TYPE_CHECKING:
    from .runner import Runner

__all__ = ["Crew"]

ENOUGH = 16
"""After so many calls that did not suspend, with none in flight, the helpers leave the rest to the driver."""


class Crew(Team):
    """Works for one runner wherever its calls suspend, or need more than "one item in, one result out".

    Attributes:
        width: How many helpers to start at once; 0 while calls do not suspend. Then the helpers leave.
        turns: Of a node that yields: whose turn it is to send.
    """

    __slots__ = ("_attempts", "_call", "_channel", "_is_plain", "_meter", "_processor", "turns", "width")

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner)
        node, inbox, attempts = runner.node, runner.inbox, runner.attempts
        self._attempts = attempts
        self._meter = runner.meter
        self._is_plain = (
            isinstance(inbox, SingleInbox)
            and node.kind is CallKind.COROUTINE
            and attempts.watchdog is None
            and node.properties.rate is None
        )
        self._channel = inbox.channels[0]
        yields = node.kind.yields
        self.turns = (
            Turns(node, attempts, runner.outbox, runner.scheduler, runner.call, runner.processor) if yields else None
        )
        self._call = runner.call
        self._processor = runner.processor
        self.width = 0

    @property
    def idle(self) -> bool:
        """Nothing is in flight and nothing asks for more than the quick loop gives."""
        return not self.helpers and not self.width and self.steps is None

    @property
    def yields(self) -> bool:
        """Whether a generator waits for its turn or for room."""
        return self.turns is not None and self.turns.waiting

    def close(self) -> None:
        """The node's run is over: no timer fires any more."""
        if self._attempts.watchdog is not None:
            self._attempts.watchdog.close()
        super().close()

    def _may_start(self) -> bool:
        """Whether a call may start, for those who start one at once if it may."""
        if self.credit <= 0 or self.counts:
            may = self.startable() > 0
            self.credit -= 1
            return may
        self.credit -= 1
        # Results that found room then will find it now; nobody else fills the channels.
        return self.in_flight < self.concurrency and self._inbox.available() > 0 and not self._scheduler.aborting

    async def visit(self, flight: Flight) -> None:
        """One visit of the driver."""
        if self.turns is not None:
            self.turns.call_next()
        if not self.helpers and self.width:
            self.width //= 2  # nothing is suspended any more: perhaps nothing will be
            self._runner.review()
        if self.width:
            self._grow()
        elif not self.helpers and self.startable() > 0:
            await self._lead(flight)

    # Helpers.

    def adopt(self, flight: Flight) -> None:
        """The driver was found suspended in a call of this node: from now on it is a helper.

        A call of a flight is in flight from now on; one of the general loop has been so all the time.
        """
        if flight.members:
            flight.place = self._outbox.open()
            self.in_flight += 1
            self._meter.enter(BUSY, self._scheduler.clock())
            self._attempts.watch(flight.task)
        self.helpers += 1
        self.credit = 0  # flights have used the room that it was given for
        self.width = max(1, self.width)
        self._runner.review()
        self._runner.wake()

    async def go_on(self, flight: Flight, outcome: Outcome) -> None:
        """The call of a taken flight came to ``outcome``: send it, and work on as a helper."""
        if self._attempts.watchdog is not None and flight.task is not None:
            self._attempts.watchdog.stop(flight.task)
        self._close(flight.place, outcome, flight.tickets)
        await self._help()

    def _grow(self) -> None:
        """Start helpers: twice as many as the last time, as long as calls suspend."""
        # As long as one of the helpers is not suspended in a call, it can do what there is to do.
        busy = self.helpers > self.in_flight
        helpers = 0 if busy else min(self.startable(), self.width)
        if busy or helpers > 0:
            self._scheduler.mark_next_turn(self._runner)
        if helpers <= 0:
            return
        self.width = min(2 * self.width, self.concurrency)
        self.helpers += helpers
        for _ in range(helpers):
            self._scheduler.spawn(self._help())

    async def _help(self) -> None:
        """Work in a task of its own: make one call after the other, as long as any may start."""
        scheduler, clock, channel = self._scheduler, self._scheduler.clock, self._channel
        straight = 0
        try:
            while (self.width or self.in_flight) and self._may_start():
                if (now := clock()) >= scheduler.deadline:
                    await scheduler.breathe(now)
                    continue
                turn = scheduler.turn
                if self.counts or channel.noted or not self._is_plain:
                    await self._process_next(now)
                else:
                    # The same for a node without extras and an item without tickets, written out here:
                    # a coroutine more between task and coro is resumed with each of its awaits.
                    item = channel.take_plain()
                    place = self._open(now)
                    try:
                        outcome = await self._call(self._processor, (item,))
                    except BaseException as error:
                        outcome = await self._recover((item,), error)
                    self._meter.measured(clock() - now)
                    self._close(place, outcome, ())
                straight = straight + 1 if scheduler.turn == turn else 0
                if straight >= ENOUGH and not self.in_flight:
                    self.width = 0
        finally:
            self._leave()

    async def _recover(self, q_elt: tuple[Any, ...], error: BaseException) -> Outcome:
        try:
            return await self._attempts.recover(q_elt, error)
        except BaseException:
            self.in_flight -= 1
            raise

    def _leave(self) -> None:
        """A task that is not the driver, or not any more, has done what it could."""
        self.helpers -= 1
        self._runner.review()
        self._runner.wake()

    async def _lead(self, flight: Flight) -> None:
        """Work in the driver until the turn is over, or until it is found suspended."""
        scheduler = self._scheduler
        flight.members = []
        flight.runner = self._runner
        try:
            while not flight.taken and self._may_start() and (now := scheduler.clock()) < scheduler.deadline:
                await self._process_next(now)
        except BaseException:
            if flight.taken:
                self._leave()
            raise
        finally:
            flight.runner = None
        if flight.taken:
            await self._help()

    # One call.

    async def _process_next(self, now: float) -> None:
        q_elt, tickets, tombs = self._inbox.take()
        self._inbox.release()
        if q_elt is None:
            self._outbox.close(self._outbox.open(), Tomb(tombs, tickets), ())
            return
        if self.steps is not None:
            self.steps -= 1
        if self._pacer is not None:
            self._pacer.started()
        place = self._open(now)
        try:
            if self.turns is not None:
                outcome = await self.turns.exhaust(q_elt, tickets, place)
            else:
                outcome = await self._attempts.make(q_elt)
        except BaseException as error:
            self.in_flight -= 1
            if isinstance(error, NodeError):
                for ticket in tickets:
                    ticket.fail(error)
            raise
        self._meter.measured(self._scheduler.clock() - now)
        self._close(place, outcome, tickets)

    def _open(self, now: float) -> int:
        """A call starts; gives its place in the order."""
        self._meter.received += 1
        self.in_flight += 1
        if self.in_flight == 1:
            self._meter.enter(BUSY, now)
        return self._outbox.open()

    def _close(self, place: int, outcome: Outcome, tickets: tuple[Ticket, ...]) -> None:
        """A call is over."""
        self.in_flight -= 1
        if self.in_flight == 0:
            self._meter.enter(WAITING, self._scheduler.clock())
        if type(outcome) is To:
            check_target(outcome, self._node)
        if self._outbox.close(place, outcome, tickets):
            self._runner.wake()  # others were waiting for this one: now more calls may start than this task can make
        if self.turns is not None:
            self.turns.call_next()

"""A flight: items that the driver carries right through neighbouring nodes, one after the other.

Where a node has a single reader which is idle, an item need not lie down in the channel between them:
it goes on to the next call at once. Channels, counts and neighbours learn of it when the flight is
over. A flight ends, and everything is where it would be without it, whenever something happens that is
more than "one item in, one result out": a call suspends, somebody pauses a node, a result has to wait.

A stretch of nodes costs one look at the clock for each item instead of one for each call. So that a
turn of the loop cannot become longer than promised, only nodes whose calls were found to be short join
one: each is timed on a flight of its own now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..channels.base import UNBOUNDED
from ..channels.entries import Ticket
from ..channels.memory import MemoryChannel
from ..errors import NodeError
from ..types import SKIP, To
from .outcomes import Outcome, check_target
from .quick import find_quick_loop

if TYPE_CHECKING:
    from .runner import Runner
    from .source import Source

__all__ = ["SOLO_EVERY", "STRETCH_SECONDS", "Flight", "stretch_behind"]

STRETCH_SECONDS = 0.0001
"""The calls that one item gets on one flight take no longer than this together, as far as is known."""

SOLO_EVERY = 32
"""A node joins so many flights until it is timed alone again."""


def stretch_behind(channel: MemoryChannel | None, seconds: float = 0.0) -> tuple[list[Runner], int]:
    """The nodes that items can go through at once from the reader of ``channel`` on, in order.

    Args:
        channel: The only one that the items are sent into; None if there is no such.
        seconds: How long the calls before it take for one item.

    Returns:
        The runners, and how many items they can take.
    """
    members: list[Runner] = []
    room, spare = 0, UNBOUNDED
    while channel is not None and (runner := channel.reader) is not None:
        if not runner.may_join(STRETCH_SECONDS - seconds) or (behind := runner.outbox.room()) <= 0:
            break
        seconds += runner.tempo
        members.append(runner)
        room = behind
        if runner.outbox.route is not None:
            spare = min(spare, runner.outbox.route.room())
        channel = runner.outbox.sole
    return members, min(room, spare)


class Flight:
    """What the driver is doing at this moment; there is one for each driver task.

    Attributes:
        runner: Whose coro is being called; None while the driver does anything else.
        origin: Where the items come from: the source that is pulled, else the first runner.
        members: The runners of the stretch, in order; empty while the general loop runs.
        rest: The steps behind the first one: a node, its function and its processor. Emptying it
            makes the item stop after its current call.
        append: Sends on what comes out at the end.
        whole: Neither cut short nor taken: an item that has gone through all of ``rest`` is at the end.
        pulled: How many items the source has given.
        tickets: Who waits for the one item of this flight, if anybody does.
        fault: Whose failure is being dealt with.
        taken: The driver was suspended and another has taken over; the rest is one helper's work.
        place: The suspended item's place in its node's outbox, given when it was found suspended.
        task: The task that flies.
    """

    __slots__ = (
        "_count",
        "_feed",
        "_stopped",
        "append",
        "fault",
        "members",
        "origin",
        "place",
        "pulled",
        "rest",
        "runner",
        "taken",
        "task",
        "tickets",
        "whole",
    )

    def __init__(self) -> None:
        self.runner: Runner | None = None
        self.origin: Runner | Source | None = None
        self.members: list[Runner] = []
        self.rest: list[tuple[Runner, Callable[..., Any], Any]] = []
        self.append: Callable[[Any], None]
        self.whole = True
        self.pulled = 0
        self.tickets: tuple[Ticket, ...] = ()
        self.fault: Runner | None = None
        self.taken = False
        self.place = 0
        self.task: asyncio.Task[None] | None = None
        self._feed: Iterator[tuple[Any, ...]] = iter(())
        self._count = 0
        self._stopped: dict[Runner, int] = {}

    async def fly(
        self,
        origin: Runner | Source,
        members: list[Runner],
        feed: Iterator[tuple[Any, ...]],
        count: int = 0,
        tickets: tuple[Ticket, ...] = (),
    ) -> None:
        """Carry the items of ``feed`` through ``members`` until the budget of the turn is used up.

        Args:
            origin: Where the items come from: ``members[0]``, or a source in front of it.
            count: How many items its inbox has lent; 0 if it has not lent them.
            tickets: Who waits for the item, if it is only one.
        """
        self._take_off(origin, members, feed, count, tickets)
        clock = members[0].scheduler.clock
        begin = clock()
        try:
            outcome = await find_quick_loop(members)(self, feed, origin is not members[0])
        except BaseException as error:
            self._crash(error)
            raise
        if self.taken:
            assert self.runner is not None
            await self.runner.crew.go_on(self, outcome)
            return
        self.runner = None
        done = self.land()
        self._log(done, begin, clock())

    def _take_off(
        self,
        origin: Runner | Source,
        members: list[Runner],
        feed: Iterator[tuple[Any, ...]],
        count: int,
        tickets: tuple[Ticket, ...],
    ) -> None:
        self.origin = origin
        self.members = members
        self.rest = [(runner, runner.call, runner.processor) for runner in members[1:]]
        self.append = self._deliver if tickets else members[-1].outbox.append
        self.whole = True
        self.pulled = 0
        self.tickets = tickets
        self._feed = feed
        self._count = count
        self._stopped.clear()

    def cut(self) -> None:
        """Let the item stop after the call that it is in."""
        self.whole = False
        self.rest.clear()

    def land(self, unfinished: bool = False) -> int:
        """Add up what was done, give back what was not, and tell the neighbours; gives the number of items.

        Args:
            unfinished: The last item is still in the call of ``runner``, or was lost there.
        """
        assert self.origin is not None
        done = entered = self.origin.take_back(self.pulled, self._count, self._feed)
        for place, runner in enumerate(self.members):
            runner.meter.received += entered
            if place:
                runner.inbox.channels[0].passed(entered)
            if self._stopped:
                entered -= self._stopped.get(runner, 0)
            if unfinished and runner is self.runner:
                entered -= 1
            runner.meter.sent += entered
        if entered:
            self.members[-1].outbox.announce()
        return done

    def _crash(self, error: BaseException) -> None:
        """The run fails."""
        assert self.runner is not None
        if self.taken:
            self.runner.crew.in_flight -= 1
        else:
            self.land(unfinished=self.fault is not None)
            self.runner = None
        if isinstance(error, NodeError):
            for ticket in self.tickets:
                ticket.fail(error)

    def _log(self, done: int, begin: float, now: float) -> None:
        """Say of each node how long it was busy."""
        members, seconds = self.members, now - begin
        if len(members) == 1 and self.origin is members[0]:
            members[0].timed(done, seconds, now)
            return
        each = seconds / max(1, done)
        known = sum([runner.tempo or 0.0 for runner in members])
        # Behind a source: what the nodes are not known to need was its own. Else they share it all.
        share = 1.0 if self.origin is not members[0] and known < each else each / max(known, 1e-9)
        for runner in members:
            runner.flown(share * (runner.tempo or 0.0) * done, now, short=each <= STRETCH_SECONDS)

    # What is more than one item in, one result out.

    def hold_back(self, item: Any) -> None:
        """The source has given an item that is for one node alone, or for which the nodes are not ready any more."""
        assert self.origin is not None
        self.origin.send(item)

    async def rescue(self, q_elt: tuple[Any, ...], error: BaseException) -> Outcome:
        """A call for ``q_elt`` raised ``error``: see what becomes of the item."""
        assert self.runner is not None
        self.fault = self.runner
        outcome = await self.runner.attempts.recover(q_elt, error)
        self.fault = None
        return outcome

    def divert(self, outcome: Outcome) -> bool:
        """An item leaves the stretch with ``outcome``, behind ``runner``; whether no other may follow it."""
        runner = self.runner
        assert runner is not None
        if type(outcome) is To:
            check_target(outcome, runner.node)
        self._stopped[runner] = self._stopped.get(runner, 0) + 1
        runner.outbox.dispatch(outcome, self.tickets)
        if outcome is SKIP and not runner.outbox.buries:
            return False
        runner.outbox.announce()
        # What lies in a channel now must not be overtaken.
        return runner is not self.members[-1]

    def _deliver(self, value: Any) -> None:
        """Send on the one item that somebody waits for."""
        last = self.members[-1]
        self._stopped[last] = 1
        last.outbox.dispatch(value, self.tickets)
        last.outbox.announce()

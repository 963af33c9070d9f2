"""A flight: items that the driver carries right through neighbouring nodes, one after the other.

Where a node has a single reader which is idle, an item need not lie down in the channel between them:
it goes on to the next call at once. Channels, counts and neighbours learn of it when the flight is
over. A flight ends, and everything is where it would be without it, whenever something happens that is
more than "one item in, one result out": a call suspends, somebody pauses a node, a result has to wait.

A stretch of nodes costs one look at the clock for each item instead of one for each call. So that a
turn of the loop cannot become longer than promised, this is so only for nodes whose calls were found to
be short together. Now and then, and at first, there is a look behind every call, and they are timed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..channels.base import UNBOUNDED, Port
from ..channels.entries import Ticket
from ..channels.memory import MemoryChannel
from ..errors import NodeError
from ..types import SKIP, To
from .mesh import Mesh
from .outcomes import Outcome, check_target
from .quick import find_quick_loop

if TYPE_CHECKING:
    from .runner import Runner
    from .source import Source

__all__ = ["STRETCH_SECONDS", "TIMED_EVERY", "Flight", "stretch_behind"]

STRETCH_SECONDS = 0.0001
"""The calls that one item gets on one flight take no longer than this together, as far as is known."""

TIMED_EVERY = 0.05
"""Seconds until a node is timed again."""

WORTH_A_MESH, MESH_PAUSE = 16, 0.01
"""Items that a flight through a mesh must carry, and for how many seconds none is tried if it did not."""


def stretch_behind(channel: MemoryChannel | None, seconds: float = 0.0) -> tuple[list[Runner], int]:
    """The nodes that items can go through at once from the reader of ``channel`` on, in order.

    Args:
        channel: The only one that the items are sent into; None if there is no such.
        seconds: How long the calls before it take for one item.

    Returns:
        The runners, and how many items they can take.
    """
    members: list[Runner] = []
    most = UNBOUNDED
    while channel is not None and not channel.items and (runner := channel.reader).flyable and runner.is_single:
        outbox = runner.outbox
        seconds += runner.meter.tempo or 0.0
        if outbox.waiting or seconds > STRETCH_SECONDS:
            break
        if outbox.route is not None:
            if (spare := outbox.route.room()) <= 0:
                break
            most = min(most, spare)
        members.append(runner)
        channel = outbox.sole
    while members and (room := members[-1].outbox.room()) <= 0:
        members.pop()
    return members, min(room, most) if members else 0


class Flight:
    """What the driver is doing at this moment; there is one for each driver task.

    Attributes:
        runner: Whose coro is being called; None while the driver does anything else.
        origin: Where the items come from: the source that is pulled, else the first runner.
        members: The runners of the stretch, in order; empty while the general loop runs.
        mesh: What the members form, if they are no line.
        rest: The steps behind the first one: a node, its function and its processor; of a mesh all its
            steps. Emptying it makes the item stop after its current call.
        slots: In a mesh, the results of the item that flies.
        append: Sends on what comes out at the end; None where nobody wants it.
        whole: Neither cut short nor taken: an item that has gone through all of ``rest`` is at the end.
        pulls: Whether the items are pulled from a source.
        tuples: Whether the first node's input comes as tuples, not as bare items.
        begun: How many items have been taken, the current one included.
        held_back: How many of them did not fly.
        timed: Whether there is a look at the clock behind every call.
        seconds: How long the calls of each node took, on a timed flight.
        tickets: Who waits for the one item of this flight, if anybody does.
        fault: Whose failure is being dealt with.
        taken: The driver was suspended and another has taken over; the rest is one helper's work.
        place: The suspended item's place in its node's outbox, given when it was found suspended.
        task: The task that flies.
    """

    __slots__ = (
        "_batch",
        "_begin",
        "_feed",
        "_lent",
        "_ports",
        "_spilled",
        "_stopped",
        "append",
        "begun",
        "fault",
        "held_back",
        "members",
        "mesh",
        "origin",
        "place",
        "pulls",
        "rest",
        "runner",
        "seconds",
        "slots",
        "taken",
        "task",
        "tickets",
        "timed",
        "tuples",
        "whole",
    )

    def __init__(self) -> None:
        self.runner: Runner | None = None
        self.origin: Runner | Source | None = None
        self.members: list[Runner] = []
        self.rest: list[Any] = []
        self.mesh: Mesh | None = None
        self.slots: list[Any] = []
        self._spilled = False
        self.append: Callable[[Any], None] | None = None
        self.whole = True
        self.pulls = False
        self.tuples = False
        self._begin = 0.0
        self.timed = False
        self.seconds: list[float] = []
        self.begun = 0
        self.held_back = 0
        self.tickets: tuple[Ticket, ...] = ()
        self.fault: Runner | None = None
        self.taken = False
        self.place = 0
        self.task: asyncio.Task[None] | None = None
        self._feed: Iterator[Any] = iter(())
        self._lent = False
        self._stopped: dict[Runner, int] = {}
        self._batch: list[Any] = []
        self._ports: tuple[Port, ...] = ()

    async def fly(
        self,
        origin: Runner | Source,
        members: list[Runner],
        feed: Iterator[Any],
        begin: float,
        *,
        mesh: Mesh | None = None,
        tuples: bool = False,
        lent: bool = False,
        tickets: tuple[Ticket, ...] = (),
    ) -> None:
        """Carry the items of ``feed`` through ``members`` until the budget of the turn is used up.

        Args:
            origin: Where the items come from: ``members[0]``, or a source in front of it.
            begin: The time.
            mesh: What ``members`` form, if they are no line.
            tuples: Whether ``feed`` gives tuples to call the first node with, not bare items.
            lent: Whether its inbox has lent them.
            tickets: Who waits for the item, if it is only one.
        """
        self.mesh = mesh
        self.tuples = tuples
        self._lent = lent
        self._take_off(origin, members, feed, tickets)
        self.timed = False
        self._begin = begin
        for runner in members:
            if begin >= runner.due:
                self.timed = True
                self.seconds = [0.0] * len(members)
                break
        try:
            outcome = await find_quick_loop(members, timed=self.timed, mesh=mesh is not None)(self, feed)
        except BaseException as error:
            self._crash(error)
            raise
        if self.taken:
            assert self.runner is not None
            await self.runner.crew.go_on(self, outcome)
            return
        done = self.land()
        self.runner = None
        self.slots = []
        now = members[0].scheduler.clock()
        if not self.timed and now - begin > STRETCH_SECONDS * done:
            for runner in members:
                runner.due = now  # one of them has become slow
        if self._spilled and self.begun < WORTH_A_MESH:
            origin.outbox.no_mesh_until = now + MESH_PAUSE

    def _take_off(
        self,
        origin: Runner | Source,
        members: list[Runner],
        feed: Iterator[Any],
        tickets: tuple[Ticket, ...],
    ) -> None:
        self.origin = origin
        self.members = members
        if self.mesh is None:
            self.rest = [(runner, runner.call, runner.processor) for runner in members[1:]]
        else:
            self.rest = list(self.mesh.steps)
            self.slots = [None] * (1 + len(members))
        self._spilled = False
        outbox = members[-1].outbox
        if tickets:
            self.append = self._deliver
        elif outbox.fans_out:
            self.append = self._batch.append  # and into each channel all at once
            self._ports = outbox.ports
        else:
            self.append = outbox.append if outbox.listened else None
        self.whole = True
        self.begun = 0
        self.held_back = 0
        self.tickets = tickets
        self.pulls = origin is not members[0]
        self._feed = feed
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
        done = entered = self.begun - self.held_back
        self.origin.take_back(done, list(self._feed) if self._lent else None)
        if self.mesh is not None:
            self._land_mesh(self.mesh, done, unfinished)
            return done
        members, stopped = self.members, self._stopped
        for place, runner in enumerate(members):
            meter = runner.meter
            meter.received += entered
            meter.flown += entered
            if place or self.pulls:
                runner.inbox.channels[0].passed(entered)
            if self.timed and entered and not unfinished:
                meter.time(entered, self.seconds[place])
                runner.due = self._begin + TIMED_EVERY
            if stopped:
                entered -= stopped.get(runner, 0)
            if unfinished and runner is self.runner:
                entered -= 1
            meter.sent += entered
        if entered:
            self._send_batch()
            members[-1].outbox.announce()
        return done

    def _land_mesh(self, mesh: Mesh, done: int, unfinished: bool) -> None:
        last = len(mesh.members)
        if unfinished or self._spilled:
            assert self.runner is not None
            last = mesh.place(self.runner)
            self._spill()
        whole = done - self._spilled
        for place, runner in enumerate(mesh.members):
            # Of an item that went no further than to one node, that has sent what it made by itself.
            entered, sent = whole + (self._spilled and place <= last), whole + (self._spilled and place < last)
            runner.meter.received += entered
            runner.meter.flown += entered
            runner.meter.sent += sent
            if self.timed and entered and not self._spilled:
                runner.meter.time(entered, self.seconds[place])
                runner.due = self._begin + TIMED_EVERY
            if place or self.pulls:
                for channel in runner.inbox.channels:
                    channel.passed(entered)
        mesh.announce(spilled=self._spilled)

    def _spill(self) -> None:
        """The item stays where it is: put what it has become into the channels, once."""
        if self.mesh is not None and not self._spilled:
            assert self.runner is not None
            self._spilled = True
            self.mesh.spill(self.runner, self.slots)

    def _send_batch(self) -> None:
        # To those who were there when it was made: somebody may have come since.
        if self._batch:
            for port in self._ports:
                port.extend(self._batch)
            self._batch.clear()

    def _crash(self, error: BaseException) -> None:
        """The run fails."""
        if self.runner is None:  # with the very first item that was asked for
            self.runner = self.members[0]
        if self.taken:
            self.runner.crew.in_flight -= 1
        else:
            self.land(unfinished=self.fault is not None)
            self.runner = None
        if isinstance(error, NodeError):
            for ticket in self.tickets:
                ticket.fail(error)

    # What is more than one item in, one result out.

    def hold_back(self, item: Any) -> None:
        """The source has given an item that is for one node alone, or for which the nodes are not ready any more."""
        assert self.origin is not None
        self.held_back += 1
        self.origin.send(item)

    async def rescue(self, item: Any, error: BaseException) -> Outcome:
        """A call for ``item`` raised ``error``: see what becomes of it."""
        assert self.runner is not None
        if self.mesh is not None:
            q_elt = self.mesh.q_elt(self.runner, self.slots)
        else:
            q_elt = item if self.tuples and self.runner is self.members[0] else (item,)
        self.fault = self.runner
        outcome = await self.runner.attempts.recover(q_elt, error)
        self.fault = None
        return outcome

    def divert(self, outcome: Outcome) -> bool:
        """An item leaves the stretch with ``outcome``, behind ``runner``; whether no other may follow it."""
        runner = self.runner
        assert runner is not None
        if type(outcome) is To:
            self.fault = runner
            check_target(outcome, runner.node)
            self.fault = None
        self._stopped[runner] = self._stopped.get(runner, 0) + 1
        self._spill()
        self._send_batch()
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

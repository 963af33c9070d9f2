"""What works for a node that does more than "one item in, one result out": how many calls it may start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..channels.base import UNBOUNDED
from .timing import Pacer

if TYPE_CHECKING:
    from .flight import Flight
    from .runner import Runner

__all__ = ["Team"]


class Team:
    """Works for one runner; either in the event loop (`crew`) or on an executor (`away`).

    Attributes:
        in_flight: Calls running now.
        helpers: Tasks that work on the node besides the driver.
        concurrency: The most calls that may run at once.
        credit: Calls that may start as long as there is input, as far as room is concerned.
        counts: Every single start counts, as there is a rate or the node is paused.
    """

    __slots__ = (
        "_inbox",
        "_node",
        "_outbox",
        "_pacer",
        "_reaches",
        "_runner",
        "_scheduler",
        "_steps",
        "concurrency",
        "counts",
        "credit",
        "helpers",
        "in_flight",
    )

    def __init__(self, runner: Runner) -> None:
        node, scheduler = runner.node, runner.scheduler
        rate, concurrency = node.properties.rate, node.properties.concurrency
        self._runner = runner
        self._node = node
        self._inbox = runner.inbox
        self._outbox = runner.outbox
        self._scheduler = scheduler
        self.concurrency = concurrency
        # As long as the first result is missing, others may come early: were their number part of the
        # concurrency, one long call would soon keep all others from starting.
        self._reaches = runner.outbox.ordered and concurrency > 1
        self._pacer = Pacer(scheduler.loop, rate, runner.wake) if rate is not None else None
        self.counts = rate is not None
        self.in_flight = 0
        self.helpers = 0
        self.credit = 0
        self._steps: int | None = None

    @property
    def steps(self) -> int | None:
        """None while the node is not paused; else how many calls may still start."""
        return self._steps

    @steps.setter
    def steps(self, steps: int | None) -> None:
        self._steps = steps
        self.counts = steps is not None or self._pacer is not None

    @property
    def idle(self) -> bool:
        """Nothing is in flight and nothing asks for more than a quick loop gives."""
        raise NotImplementedError

    @property
    def yields(self) -> bool:
        """Whether a generator waits for its turn or for room."""
        return False

    async def visit(self, flight: Flight) -> None:
        """One visit of the driver."""
        raise NotImplementedError

    def adopt(self, flight: Flight) -> None:
        """The driver was found suspended in a call of this node; not where calls run elsewhere."""
        raise AssertionError(f"no call of {self._node.name!r} runs here")

    async def go_on(self, flight: Flight, outcome: Any) -> None:
        """The call of a taken flight came to ``outcome``; not where calls run elsewhere."""
        raise AssertionError(f"no call of {self._node.name!r} runs here")

    def close(self) -> None:
        """The node's run is over: no timer fires any more."""
        if self._pacer is not None:
            self._pacer.close()

    def startable(self) -> int:
        """How many calls may start now."""
        count = self._inbox.available()
        free = self.concurrency - self.in_flight
        if count <= 0 or free <= 0 or self._scheduler.aborting:
            return 0
        # What is in flight or held never exceeds the concurrency and the room ahead (P4); while there is
        # room, as many again may wait for one that is in flight.
        room, early, waiting = self._outbox.outlook()
        inside = self.in_flight + early + waiting - (room if room < UNBOUNDED else 0)
        self.credit = min(self.concurrency - inside, room)
        reach = 2 * self.concurrency if self._reaches and room > 0 and not waiting else self.concurrency
        count = min(count, free, reach - inside)
        if self._steps is not None:
            count = min(count, self._steps)
        if self._pacer is not None and count > 0:
            count = min(count, self._pacer.allowed())
        return count

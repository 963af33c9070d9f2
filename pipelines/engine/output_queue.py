"""What the coro of a source puts its items into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..channels.entries import Ticket
from ..errors import NodeError
from ..events import ItemFailed
from ..graph.model import Route
from ..types import FailedItem, To
from .outcomes import GivenUp, check_target

if TYPE_CHECKING:
    from .source import Source

__all__ = ["OutputQueue"]


class OutputQueue:
    """What a source puts its items into; they go to every downstream node.

    `put` waits while any downstream channel is full, and gives the event loop back when the graph
    has used up its share of this turn. Several tasks may put at once; they are served in turn.
    """

    __slots__ = ("_clock", "_gate", "_meter", "_outbox", "_scheduler", "_source")

    def __init__(self, source: Source) -> None:
        self._source = source
        self._gate = source.gate
        self._meter = source.meter
        self._outbox = source.outbox
        self._scheduler = source.run.scheduler
        self._clock = self._scheduler.clock

    async def put(self, item: Any) -> None:
        """Send one item. If the call is cancelled, nothing was sent.

        Raises:
            ClosedError: The source was closed or the graph stopped.
        """
        # Politeness comes first: behind the sending, nothing may wait or fail any more.
        if (now := self._clock()) >= self._scheduler.deadline:
            await self._scheduler.breathe(now)
        gate = self._gate
        if gate.credit <= 0 or gate.line or type(item) is To or self._source.track is not None:
            await self._put_first(item, ())
            return
        gate.credit -= 1
        self._meter.sent += 1
        self._outbox.append(item)  # the readers were told when the credit was given

    async def put_tracked(self, item: Any, tickets: tuple[Ticket, ...]) -> None:
        """Send one item that somebody waits for."""
        if (now := self._clock()) >= self._scheduler.deadline:
            await self._scheduler.breathe(now)
        await self._put_first(item, tickets)

    async def _put_first(self, item: Any, tickets: tuple[Ticket, ...]) -> None:
        """Send an item for which there is no credit yet, or that is more than a plain one."""
        gate, outbox = self._gate, self._outbox
        await gate.spend()
        if tickets or type(item) is To or self._source.track is not None:
            if type(item) is To:
                check_target(item, self._source.node)
            self._source.dispatch(item, tickets)
            gate.credit = 0  # not every reader has something now: the next put tells them again
        else:
            self._meter.sent += 1
            outbox.append(item)
        outbox.announce()

    async def fail(self, item: Any, error: BaseException) -> None:
        """Report an item that could not be made, such as a line that cannot be read.

        The node's ``on_error`` decides: ``fail`` raises `NodeError` here and ends the run, ``skip``
        counts it, a route sends it to the dead-letter node. Its position is cancelled in zips.
        """
        if (now := self._clock()) >= self._scheduler.deadline:
            await self._scheduler.breathe(now)
        await self._gate.spend()
        source = self._source
        policy = source.node.properties.on_error
        self._meter.failed += 1
        action = "route" if isinstance(policy, Route) else policy
        source.run.tell(ItemFailed, source.name, item, error, 1, action)
        failed = FailedItem(item, source.name, error, 1)
        source.run.note_failure(failed)
        if policy == "fail":
            failure = NodeError(source.name, item, cause=error)
            self._scheduler.fail(failure)  # also if the coro catches it
            raise failure from error
        source.dispatch(GivenUp(failed), ())
        self._gate.credit = 0
        self._outbox.announce()

    def progress(self, done: float, total: float) -> None:
        """Say how far the source is, in any unit; shown by progress bars."""
        self._source.progress = min(1.0, done / total) if total > 0 else 1.0

    def full(self) -> bool:
        """Whether `put` would wait."""
        return self._outbox.room() <= 0

    def qsize(self) -> int:
        """Entries in the fullest downstream channel."""
        return max((channel.qsize() for channel in self._source.processor.liason_queues[1]), default=0)

"""What stands at the cut ends of a split graph's edges: one carries entries out to Redis, one brings them in."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from ..channels.entries import Ticket, followers
from ..channels.memory import MemoryChannel
from ..channels.redis import Entry, Inlet, Outlet
from ..channels.wire import WireError, decode, encode
from ..errors import NodeError
from .origins import Branch, Origin
from .submission import Claim

if TYPE_CHECKING:
    from .part import Part

__all__ = ["Arrival", "Departure"]

MOST_AT_ONCE = 256

ITEM, TOMB = 0, 1


class _Waker:
    """Lets one task wait until a channel says something."""

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Something may be possible now."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> None:
        """Wait for the next `wake`."""
        self._future = asyncio.get_running_loop().create_future()
        await self._future


class Departure:
    """Reads a channel whose other end is on another host; to its writer it is a node that takes no flights.

    Attributes:
        ended: Everything was sent, the end included.
    """

    flyable = False
    is_single = False

    def __init__(self, part: Part, channel: MemoryChannel, outlet: Outlet) -> None:
        self._part = part
        self._channel = channel
        self._outlet = outlet
        self._waker = _Waker()
        self.ended = False
        channel.reader = self
        channel.on_items = self._waker.wake

    def joins_mesh(self) -> bool:
        """Never: nothing is called here."""
        return False

    async def carry(self) -> None:
        """Send everything that comes, until the channel is closed."""
        channel, scheduler = self._channel, self._part.scheduler
        while True:
            if (now := scheduler.clock()) >= scheduler.deadline:
                await scheduler.breathe(now)
            entries, tickets = self._take()
            if entries:
                await self._part.flush()  # what others were told of these items comes before them
                await self._outlet.send(entries)
                for ticket in tickets:
                    ticket.drop("")
            elif channel.closed:
                break
            else:
                await self._waker.wait()
        await self._outlet.close()
        self.ended = True

    def _take(self) -> tuple[list[Entry], list[Ticket]]:
        """Take what there is, as far as the turn allows."""
        channel, scheduler = self._channel, self._part.scheduler
        entries: list[Entry] = []
        taken: list[Ticket] = []
        channel.see_peak()
        while channel.items and len(entries) < MOST_AT_ONCE:
            item, tickets, tombs = channel.take()
            entries += [self._entry(item, tickets, TOMB if tombs else ITEM) for _ in range(max(1, tombs))]
            taken += followers(tickets)
            if scheduler.clock() >= scheduler.deadline:
                break
        if entries:
            channel.on_room()
        return entries, taken

    def _entry(self, item: Any, tickets: tuple[Ticket, ...], kind: int) -> Entry:
        origins = [ticket for ticket in tickets if isinstance(ticket, (Origin, Branch))]
        claims = [self._part.claim(ticket) for ticket in tickets if not ticket.follows]
        name = origins[0].child(self._outlet) if origins else self._part.new_id()
        try:
            body = encode((kind, claims, item))
        except WireError as error:
            raise NodeError(self._channel.upstream, item, cause=error) from error
        return Entry(name, body)


class Arrival:
    """Writes a channel whose other end is on another host.

    Args:
        number: Of the edge, in the whole graph.

    Attributes:
        ended: Everything has come, and the channel is closed.
    """

    def __init__(self, part: Part, channel: MemoryChannel, inlet: Inlet, number: int) -> None:
        self._part = part
        self._number = number
        self._channel = channel
        self._inlet = inlet
        self._waker = _Waker()
        self.ended = False
        channel.on_room = self._waker.wake

    async def carry(self) -> None:
        """Bring in everything that comes, until the end of the edge."""
        channel, scheduler = self._channel, self._part.scheduler
        while entries := await self._inlet.read():
            for token, entry in entries:
                if channel.room() <= 0:
                    channel.on_items()
                    while channel.room() <= 0:
                        await self._waker.wait()
                if (now := scheduler.clock()) >= scheduler.deadline:
                    channel.on_items()
                    await scheduler.breathe(now)
                self._push(token, entry)
            channel.on_items()
        channel.close()
        self.ended = True

    def _push(self, token: str, entry: Entry) -> None:
        kind, claims, value = decode(entry.body)
        # What one item became may come by several edges: that are several things, with ids of their own.
        origin = Origin(f"{entry.id}/{self._number}", partial(self._done, token))
        if kind == TOMB and self._channel.aligned:
            self._channel.push_tomb(1, (origin,))
        elif kind == TOMB:
            origin.drop("")
        else:
            tickets = [Claim(self._part, f"{self._inlet.edge}/{entry.id}", host, number) for host, number in claims]
            self._channel.push_tracked(value, (origin, *tickets))

    def _done(self, token: str, origin: Origin) -> None:
        self._inlet.done(token, origin.sent)

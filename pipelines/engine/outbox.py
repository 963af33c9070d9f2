"""The sending end of a node: its ports, the order in which results leave, and the room for them.

Results are *opened* when their call starts and *closed* when it ends. With ``order="input"`` they
leave in the order in which they were opened: one that comes early is held until its turn. Nothing
is pushed into a port that has no room, so what cannot leave is held as well; the runner starts no
call whose result might find no place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..channels.base import UNBOUNDED, Port
from ..channels.entries import Ticket, Tomb, followers
from ..channels.memory import MemoryChannel
from ..errors import NodeError
from ..statistics import Meter
from ..types import SKIP, FailedItem, To
from .outcomes import NOTHING, GivenUp, Outcome

if TYPE_CHECKING:
    from .mesh import Mesh

__all__ = ["Outbox"]


SPECIAL = frozenset({To, GivenUp, Tomb})
"""Types of outcomes that are no plain items."""

Held = tuple[Outcome, tuple[Ticket, ...]]
"""An outcome that waits, and who waits for it."""


class Outbox:
    """Sends the outcomes of one node in order, and knows how much room there is for more.

    Attributes:
        append: Pushes one plain item into all ports and taps. Where there is only one, the quick loops
            call it directly.
        room: Says how many outcomes all ports can take now.
        sole: The only channel that items go into, if there is just one and it never drops any.
        mesh: What items flew through the last time.
        no_mesh_until: Until when items behind it had better lie down in their channels.
        fans_out: Whether every item goes to several.
        listened: Whether anybody takes what it sends.
        ports: All that every item is pushed into.
        buries: Whether a dropped item leaves a tombstone.
        waiting: Outcomes whose turn it is, but for which there is no room.
        ordered: Whether outcomes leave in the order in which their calls started.
    """

    __slots__ = (
        "_early",
        "_head",
        "_next",
        "_readers",
        "append",
        "buries",
        "channels",
        "fans_out",
        "listened",
        "mesh",
        "meter",
        "name",
        "no_mesh_until",
        "ordered",
        "ports",
        "room",
        "route",
        "sole",
        "taps",
        "waiting",
    )

    def __init__(
        self,
        name: str,
        channels: Sequence[MemoryChannel],
        route: MemoryChannel | None,
        meter: Meter,
        *,
        ordered: bool,
    ) -> None:
        self.name = name
        self.channels = tuple(channels)
        self.route = route
        self.meter = meter
        self.taps: tuple[Port, ...] = ()
        self.append: Callable[[Any], None]
        self.room: Callable[[], int]
        self.sole: MemoryChannel | None
        self.buries = any([channel.aligned for channel in channels])
        self.ordered = ordered
        self.mesh: Mesh | None = None
        self.no_mesh_until = 0.0
        self._next = 0
        self._head = 0
        # Made when there is something to hold: a graph may have thousands of nodes.
        self._early: dict[int, Held] | None = None
        self.waiting: deque[Held] | None = None
        self._wire()

    def tap(self, port: Port) -> None:
        """Send every result to ``port`` as well."""
        self.taps = (*self.taps, port)
        self._wire()

    def untap(self, port: Port) -> None:
        """Stop sending to ``port``."""
        if port in self.taps:
            self.taps = tuple([tap for tap in self.taps if tap is not port])
            self._wire()

    def _wire(self) -> None:
        self.ports: tuple[Port, ...] = (*self.channels, *self.taps) if self.taps else self.channels
        only = self.channels[0] if len(self.ports) == len(self.channels) == 1 else None
        self.sole = only if only is not None and only.blocks else None
        self.fans_out = len(self.ports) > 1
        self.listened = bool(self.ports)
        # Where there is only one port, its own methods do.
        self.append = self.ports[0].push if len(self.ports) == 1 else self._push_to_all
        self.room = only.room if only is not None and self.route is None else self._least_room
        self._readers: list[Callable[[], None]] | None = None

    def _push_to_all(self, item: Any) -> None:
        for port in self.ports:
            port.push(item)

    def _least_room(self) -> int:
        rooms = [port.room() for port in self.ports]
        if self.route is not None:
            rooms.append(self.route.room())
        return min(rooms, default=UNBOUNDED)

    @property
    def held(self) -> int:
        """Outcomes that are there but cannot leave yet."""
        return (len(self._early) if self._early else 0) + (len(self.waiting) if self.waiting else 0)

    @property
    def all_filled(self) -> bool:
        """Whether there is something in every channel."""
        return all([channel.items for channel in self.channels])

    def outlook(self) -> tuple[int, int, int]:
        """How much room there is, how many outcomes came early, and how many wait for room."""
        return self.room(), len(self._early) if self._early else 0, len(self.waiting) if self.waiting else 0

    def qsize(self) -> int:
        """The same, under the name it has in ``asyncio.Queue``."""
        return self.held

    # Order.

    def open(self) -> int:
        """A call starts: its place in the order."""
        place = self._next
        self._next = place + 1
        return place

    def close(self, place: int, outcome: Outcome, tickets: tuple[Ticket, ...]) -> bool:
        """The call with this place came to ``outcome``: send what can be sent now.

        Gives whether others had waited for it, or wait now no more.
        """
        if self.ordered:
            if place != self._head:
                if self._early is None:
                    self._early = {}
                self._early[place] = (outcome, tickets)
                return False
            self._head = place + 1
        held = self.held
        if not held and not tickets and type(outcome) not in SPECIAL and self.room() > 0:
            self.meter.sent += 1
            self.append(outcome)
            self.announce()
            return False
        if self.waiting is None:
            self.waiting = deque()
        self.waiting.append((outcome, tickets))
        while self._early and (early := self._early.pop(self._head, None)) is not None:
            self.waiting.append(early)
            self._head += 1
        self.flush()
        return self.held < held

    @property
    def next_place(self) -> int:
        """The place that the next call will have."""
        return self._next

    def open_many(self, count: int) -> int:
        """So many calls start: the place of the first in the order."""
        place = self._next
        self._next = place + count
        return place

    def close_many(self, place: int, outcomes: list[Any]) -> None:
        """The calls from ``place`` on came to these plain items."""
        if (not self.ordered or place == self._head) and not self.held:
            count = min(len(outcomes), max(self.room(), 0))
            self.extend(outcomes[:count])
            self.meter.sent += count
            self._head += count
            if count:
                self.announce()
            place += count
            outcomes = outcomes[count:]
        for index, outcome in enumerate(outcomes):
            self.close(place + index, outcome, ())

    def flush(self) -> None:
        """Send held outcomes whose turn it is, as far as there is room."""
        waiting, room, sent = self.waiting, self.room(), False
        while waiting and (room > 0 or self._needs_no_room(waiting[0][0])):
            outcome, tickets = waiting.popleft()
            if tickets or self.route is not None or type(outcome) in SPECIAL:
                self.dispatch(outcome, tickets)
                room = self.room()
            else:
                self.meter.sent += 1
                self.append(outcome)
                room -= 1  # no more than that of the fullest port
            sent = True
        if sent:
            self.announce()

    def _needs_no_room(self, outcome: Outcome) -> bool:
        """Whether nothing but tombstones comes of it, which have a place in every channel."""
        return (
            outcome is SKIP
            or outcome is NOTHING
            or type(outcome) is Tomb
            or (type(outcome) is GivenUp and self.route is None)
        )

    def is_turn(self, place: int) -> bool:
        """Whether a generator with this place may send its next item."""
        return not self.waiting and (not self.ordered or place == self._head) and self.room() > 0

    # Sending.

    def dispatch(self, outcome: Outcome, tickets: tuple[Ticket, ...] = ()) -> None:
        """Send one outcome to where it goes; there must be room."""
        kind = type(outcome)
        if kind is To:
            self._dispatch_to(outcome, tickets)
        elif kind is GivenUp:
            self._dispatch_failed(outcome.failed, tickets)
        elif kind is Tomb:
            self.bury(outcome.count, outcome.tickets)
            for ticket in outcome.tickets:
                ticket.drop(self.name)
        elif tickets:
            self._dispatch_tracked(outcome, tickets)
        else:
            self.meter.sent += 1
            self.append(outcome)

    def _dispatch_tracked(self, value: Any, tickets: tuple[Ticket, ...]) -> None:
        self.meter.sent += 1
        for tap in self.taps:
            tap.push(value)
        if not self.channels:
            for ticket in tickets:
                ticket.result(self.name, value)
            return
        for ticket in tickets:
            ticket.branch(len(self.channels) - 1)
        if len(self.channels) == 1:
            self.channels[0].push_tracked(value, tickets)
            return
        for number, channel in enumerate(self.channels):
            channel.push_tracked(value, tuple([ticket.fork(number) for ticket in tickets]))

    def _dispatch_to(self, outcome: To, tickets: tuple[Ticket, ...]) -> None:
        if outcome is NOTHING:
            for ticket in tickets:
                ticket.branch(-1)
            return
        if outcome is SKIP:
            self.meter.skipped += 1
            self.bury(1, tickets)
            for ticket in tickets:
                ticket.drop(self.name)
        else:
            self.meter.sent += 1
            target = next(channel for channel in self.channels if channel.downstream == outcome.node)
            target.push_tracked(outcome.value, tickets) if tickets else target.push(outcome.value)
            self.bury(1, tickets, but=outcome.node)

    def _dispatch_failed(self, failed: FailedItem, tickets: tuple[Ticket, ...]) -> None:
        for ticket in tickets:
            ticket.fail(NodeError(failed.node, failed.item, failed.attempts, cause=failed.error))
        self.bury(1, tickets)
        stay = followers(tickets)
        if self.route is None:
            for ticket in stay:
                ticket.drop(self.name)
        elif stay:
            self.route.push_tracked(failed, stay)
        else:
            self.route.push(failed)

    def bury(self, count: int, tickets: tuple[Ticket, ...] = (), but: str = "") -> None:
        """Leave ``count`` tombstones in all ports except the one to ``but``, with those of ``tickets`` that follow."""
        stay = followers(tickets)
        for channel in self.channels:
            if channel.downstream != but and channel.aligned:
                for ticket in stay:
                    ticket.branch(1)
                channel.push_tomb(count, stay)

    def extend(self, items: list[Any]) -> None:
        """Push many plain items into all ports and taps; there must be room."""
        for port in self.ports:
            port.extend(items)

    def announce(self) -> None:
        """Tell all readers that something was sent."""
        if self._readers is None:  # made late: readers register after their writers were made
            ports = self.ports if self.route is None else (*self.ports, self.route)
            self._readers = [port.on_items for port in ports]
        for on_items in self._readers:
            on_items()

    def end(self) -> None:
        """Nothing more will come: close every port."""
        for port in self.ports:
            port.close()
        if self.route is not None:
            self.route.close()

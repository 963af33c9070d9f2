"""Nodes behind a fan-out that an item can go through at once, branches and zips included.

A stretch is a line. A *mesh* is what a line cannot be: every node whose inputs all come from nodes of
the mesh belongs to it, so that a diamond is passed without any channel, too. Its nodes are called in
an order in which all inputs of a node are there before it; each result has a *slot*.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ..channels.base import UNBOUNDED, Port
from ..channels.memory import MemoryChannel

if TYPE_CHECKING:
    from .outbox import Outbox
    from .runner import Runner

__all__ = ["Mesh", "MeshStep", "mesh_behind"]

MOST_MEMBERS = 16
"""Nodes that one item goes through at the most."""

USES = 64
"""Flights through one mesh until it is made anew."""

MeshStep = tuple["Runner", Callable[..., Any], Any, int, Callable[[list[Any]], Any] | None, int]
"""A node, its function and its processor; the slot of its input, or what picks several out; the slot of its result."""


class Mesh:
    """Nodes to fly through, and where their results go.

    Attributes:
        members: The nodes, in the order of their calls; the result of number ``n`` gets slot ``n + 1``.
        steps: How each is called. In slot 0 is what comes from the origin.
        leaves: What leaves the mesh: the slot, and the port it is pushed into.
        room: How many items the leaves can take.
    """

    __slots__ = ("_behind", "_inner", "_left", "_outboxes", "_places", "_taps", "leaves", "members", "room", "steps")

    def __init__(
        self, members: list[Runner], steps: list[MeshStep], outboxes: list[tuple[int, Outbox]], *, headed: bool
    ) -> None:
        self.members = members
        self._behind = members[headed:]
        self.steps = steps
        self._outboxes = outboxes
        self._places = {runner: place for place, runner in enumerate(members)}
        self.leaves: list[tuple[int, Port]] = []
        for slot, outbox in outboxes:
            self.leaves += [(slot, channel) for channel in outbox.channels if channel.reader not in self._places]
            self.leaves += [(slot, tap) for tap in outbox.taps]
        self._taps = [outbox.taps for _, outbox in outboxes]
        self._inner = [channel for runner in self._behind for channel in runner.inbox.channels]
        self._left = USES
        self.room = self._measured()

    def _measured(self) -> int:
        return min([port.room() for _, port in self.leaves], default=UNBOUNDED)

    def fits(self, seconds: float, limit: float) -> bool:
        """Whether it can be used once more; it is made anew now and then, as it might grow."""
        self._left -= 1
        for runner in self._behind:
            if not runner.joins_mesh():
                return False
            seconds += runner.meter.tempo or 0.0
        for channel in self._inner:
            if channel.items:
                return False
        for (_, outbox), taps in zip(self._outboxes, self._taps, strict=True):
            if outbox.taps is not taps:
                return False
        self.room = self._measured()
        return self.room > 0 and seconds <= limit and self._left > 0

    def place(self, runner: Runner) -> int:
        """The number of a member."""
        return self._places[runner]

    def q_elt(self, runner: Runner, slots: list[Any]) -> Any:
        """What ``runner`` is called with."""
        _, _, _, slot, pick, _ = self.steps[self._places[runner]]
        return (slots[slot],) if pick is None else pick(slots)

    def spill(self, runner: Runner, slots: list[Any]) -> None:
        """An item goes no further than to ``runner``: what others have not used goes into the channels."""
        here = self._places[runner]
        for slot, outbox in self._outboxes:
            if slot > here:
                return
            for channel in outbox.channels:
                if self._places.get(channel.reader, here + 1) > here:
                    channel.push(slots[slot])
            for tap in outbox.taps:
                tap.push(slots[slot])

    def announce(self, *, spilled: bool) -> None:
        """Tell all readers outside, and those of what was ``spilled``."""
        if spilled:
            for _, outbox in self._outboxes:
                outbox.announce()
        else:
            for _, port in self.leaves:
                port.on_items()


def mesh_behind(head: Runner | None, outbox: Outbox, seconds: float, limit: float) -> Mesh | None:
    """The mesh behind ``outbox``, its node ``head`` included if that is no source; None if there is none.

    Args:
        seconds: How long the calls before it take for one item.
        limit: How long all calls for one item may take.
    """
    if outbox.mesh is not None and outbox.mesh.fits(seconds, limit):
        return outbox.mesh
    outbox.mesh = None
    for channel in outbox.channels:
        if channel.reader.is_single and not channel.items:
            break
    else:
        return None  # whoever reads has other inputs, too: in a large graph that is so for most nodes
    members: list[Runner] = []
    steps: list[MeshStep] = []
    if head is not None:
        members.append(head)
        # Tuples that a zip gives are in their slot as they are.
        steps.append((head, head.call, head.processor, 0, itemgetter(0) if head.inbox.tuples else None, 1))
    outboxes = [(len(members), outbox)]
    slots: dict[MemoryChannel, int] = dict.fromkeys(outbox.channels, len(members))
    found: dict[Runner, int] = {}
    channels = list(outbox.channels)
    for channel in channels:  # grows while it is gone through
        runner = channel.reader
        if channel.items or not channel.blocks or not runner.joins_mesh():
            continue
        found[runner] = found.get(runner, 0) + 1
        inputs = runner.inbox.channels
        if found[runner] < len(inputs):
            continue
        seconds += runner.meter.tempo or 0.0
        if seconds > limit or len(members) == MOST_MEMBERS:
            break
        pick = itemgetter(*[slots[each] for each in inputs]) if len(inputs) > 1 else None
        members.append(runner)
        steps.append((runner, runner.call, runner.processor, slots[channel], pick, len(members)))
        outboxes.append((len(members), runner.outbox))
        slots |= dict.fromkeys(runner.outbox.channels, len(members))
        channels += runner.outbox.channels
    mesh = Mesh(members, steps, outboxes, headed=head is not None)
    outbox.mesh = mesh if len(members) > 1 and mesh.room > 0 else None
    return outbox.mesh

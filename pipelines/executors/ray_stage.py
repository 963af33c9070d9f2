"""One node's place on a cluster: what waits, what is under way, and the actors that work for it."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .base import Failure, Job, Listener
from .portions import PORTION_SECONDS, Sizer
from .ray_values import KeptValue, take_out
from .stage import PoolStage
from .surroundings import surroundings_here

if TYPE_CHECKING:
    from .ray_cluster import Cluster

__all__ = ["MOST_COROUTINES", "Member", "Portion", "RayStage"]

MOST_COROUTINES = 64
"""Coroutine calls that one actor has at once."""

LONGER = 4
"""Portions are so many times as long as those for a process of this machine: a hop is that much dearer."""

PREFETCH_BELOW = 0.005
"""Calls shorter than this many seconds may wait at a worker that is busy, so that it need not wait for them."""

BUDGET_SECONDS = 2 * LONGER * PORTION_SECONDS
"""After so long a worker gives back the rest of a portion."""

MOST_SLOTS = 8
"""Results of one portion that may stay in the object store."""


@dataclass(slots=True, eq=False)
class Portion:
    """Some items on their way through a worker.

    Attributes:
        alone: It is a single item that was at a worker that died.
        slots: How many of the results may be return values of their own.
        refs: To the return values; empty before it is sent.
        dropped: Nobody wants its results any more.
        counted: What it needs is taken from the resources.
        expired: It is being ended because it has run out of time.
        roots: What its results were made of, if they stay in the object store.
        weight: The bytes of the items, once they are sent.
        sent_at: In the time of the event loop.
    """

    key: str
    stage: RayStage
    place: int
    items: Sequence[Any]
    alone: bool
    slots: int | None
    member: Member | None
    sent_at: float
    refs: list[Any] = field(default_factory=list)
    roots: tuple[Any, ...] = ()
    weight: int = 0
    dropped: bool = False
    counted: bool = False
    expired: bool = False


@dataclass(slots=True, eq=False)
class Member:
    """An actor of a stage.

    Attributes:
        load: The portions that it has, oldest first.
        ready: It is set up.
        retiring: It gets nothing more to do.
        counted: What it needs is taken from the resources.
        gone: It is dead, or being killed.
        at: What it was at when it died.
        since: When it was asked for, and then when it was ready.
        setup_seconds: From the one to the other.
        here: Says that it was alive when it was asked to clean up.
        dismissed: Settled when it has cleaned up and is gone, once that has begun.
    """

    stage: RayStage
    since: float
    counted: bool
    handle: Any = None
    load: list[Portion] = field(default_factory=list)
    ready: bool = False
    retiring: bool = False
    gone: bool = False
    at: Portion | None = None
    setup_seconds: float = 0.0
    here: Future[Any] | None = None
    dismissed: asyncio.Future[None] | None = None

    @property
    def items(self) -> int:
        """How many items it has."""
        return sum([len(portion.items) for portion in self.load])


class RayStage(PoolStage):
    """One node's place on the cluster.

    Args:
        needs: What one call, or one actor, needs of each resource.

    Attributes:
        key: Its name, in the whole cluster.
        blob: The pickled job, or a list with a reference to it; None before the first portion is sent.
        stateful: It has actors; else its portions are tasks.
        again: Items that were at workers that died; each is sent alone.
        deaths: By place, how many workers died with that item.
        failed_starts: How many actors in a row died before they were ready.
        errors: What cleanups of actors that ended early have raised.
        resting: Items that will be sent again in a while.
        warned: It was said that no machine can serve it.
    """

    def __init__(self, cluster: Cluster, job: Job, listener: Listener, needs: Mapping[str, float]) -> None:
        super().__init__(cluster, job, listener)
        self.key = uuid.uuid4().hex
        self.needs = needs
        self.sizer = Sizer()
        self.surroundings = surroundings_here()
        self.blob: Any = None
        self.stateful = job.coroutine or isinstance(job.function, type) or bool(job.setup or job.cleanup)
        self.again: deque[tuple[int, Any]] = deque()
        self.resting = 0
        self.deaths: dict[int, int] = {}
        self.failed_starts = 0
        self.portions: set[Portion] = set()
        self.members: list[Member] = []
        self.errors: list[BaseException] = []
        self.warned = False
        self._cluster = cluster
        self._sent = 0

    # What waits.

    @property
    def waiting(self) -> int:
        """Items that could be sent now."""
        return self.backlog.count + len(self.again)

    def appetite(self) -> int:
        """How many more items may be fed now."""
        return 0 if self.cancelled else self.wanted() - self.at_workers - self.waiting - self.resting

    def wanted(self) -> int:
        """Enough to fill every place that it may have, and one portion more."""
        width = max(1, self._cluster.width(self))
        if self.job.coroutine:
            return MOST_COROUTINES * width
        return (width * self.depth + 1) * self.portion_size()

    @property
    def prefetches(self) -> bool:
        """Whether a portion may wait at a worker that is busy."""
        return self.sizer.tempo is not None and self.sizer.tempo < PREFETCH_BELOW

    @property
    def depth(self) -> int:
        """How many portions a worker may have."""
        return 2 if self.prefetches else 1

    def portion_size(self) -> int:
        """How many items go to a worker at once, if there are enough."""
        size, tempo = self.sizer.size, self.sizer.tempo
        if tempo is None or size * tempo < PORTION_SECONDS / 2:  # it still grows, or large values keep it small
            return size
        return max(size, int(min(LONGER * size, LONGER * PORTION_SECONDS / tempo)))

    def take(self, most: int) -> tuple[int, list[Any], bool]:
        """The next items, the place of the first, and whether it is one that goes alone."""
        if self.again:
            place, item = self.again.popleft()
            return place, [item], True
        return *self.backlog.take(most), False

    def portion(self, most: int, member: Member | None, now: float) -> Portion:
        """The next portion, on its way."""
        place, items, alone = self.take(most)
        self._sent += 1
        slots = min(len(items), MOST_SLOTS) if self.job.keeps else None
        portion = Portion(f"{self.key}-{self._sent}", self, place, items, alone, slots, member, now)
        self.portions.add(portion)
        self.at_workers += len(items)
        if member is not None:
            member.load.append(portion)
        return portion

    def cancel(self) -> None:
        """Forget what waits, interrupt what runs."""
        self.again.clear()
        super().cancel()

    # What comes back.

    def give_back(self, place: int, items: Sequence[Any]) -> None:
        """Items that were sent are to be sent again."""
        if not self.cancelled:
            self.backlog.give_back(place, list(items))

    def rest(self, place: int, item: Any, seconds: float) -> None:
        """An item that was at a worker that died is to be sent again, alone, and not at once."""

        def rested() -> None:
            if not self.cancelled:
                self.resting -= 1
                self.again.append((place, item))
                self._cluster.dispatch()

        self.resting += 1
        if seconds:
            self._cluster.loop.call_later(seconds, rested)
        else:
            rested()

    def tell(self, place: int, items: Sequence[Any], outcomes: list[Any], seconds: float, *, plain: bool) -> None:
        """Tell of results; for items that failed the values are fetched that are kept elsewhere."""
        if plain or not any([type(outcome) is Failure for outcome in outcomes]):
            self.deliver(place, items, outcomes, seconds, plain=plain)
            return
        share = seconds / len(outcomes)
        for index, (item, outcome) in enumerate(zip(items, outcomes, strict=True)):
            if type(outcome) is Failure and not outcome.fatal and take_out([item])[1]:
                self._cluster.fetch(item, self._failed_at(place + index, outcome, share))
            else:
                self.deliver(place + index, [item], [outcome], share)

    def _failed_at(self, place: int, failure: Failure, seconds: float) -> Any:
        return lambda item: self.deliver(place, [item], [failure], seconds)

    def roots_of(self, items: Sequence[Any]) -> tuple[Any, ...]:
        """What the kept values among ``items`` were made of."""
        kept: list[KeptValue] = take_out(items)[1]
        return tuple({id(root): root for each in kept for root in each.roots}.values())

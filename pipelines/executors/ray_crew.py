"""The actors of all nodes on a cluster that need some: made as needed, and given back when others need more.

An actor holds what it needs as long as it lives. So a node has at most its share of the cluster, and a node
that has no actor at all gets the place of another one's: of one that has nothing to do, of one beyond its
node's share, or of one that has been there for long.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import WorkerDiedError
from .base import Failure
from .ray_stage import MOST_COROUTINES, Member, RayStage
from .ray_values import unpack

if TYPE_CHECKING:
    from .ray_cluster import Cluster

__all__ = ["Crew", "died"]

STARTS_TRIED = 3
"""So many actors of a node in a row may die before they are set up."""

HOLD_SECONDS = 1.0
"""How long an actor has its place at least, if others need it that have none."""

HOLD_TIMES = 5
"""And how many times as long as its setup took."""

PENDING_SECONDS = 2.0
"""When an actor has not come for so long, something must be in its way."""


class Crew:
    """The actors; all of it is called in the event loop."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def serve(self, stage: RayStage, barred: set[str]) -> bool:
        """Give an actor of ``stage`` a portion, if one has room; see to it that there are enough of them."""
        best = min([each for each in stage.members if _has_room(each)], key=lambda each: each.items, default=None)
        if best is None or (best.load and not stage.job.coroutine):
            self._hire_if_allowed(stage, barred)
        if best is None:
            return False
        self._cluster.send(stage.portion(self._most(stage, best), best, self._cluster.now()))
        return True

    def _most(self, stage: RayStage, member: Member) -> int:
        ready = sum([each.ready and not each.retiring for each in stage.members])
        most = min(stage.portion_size(), -(-stage.waiting // max(1, ready)))
        return max(1, min(most, MOST_COROUTINES - member.items) if stage.job.coroutine else most)

    # Beginning.

    def _hire_if_allowed(self, stage: RayStage, barred: set[str]) -> None:
        resources, needs = self._cluster.resources, stage.needs
        if any([not each.ready for each in stage.members]) or len(stage.members) >= self._limit(stage):
            return
        if self._cluster.is_lacking(stage):
            if not stage.members:
                self._hire(stage, counted=False)  # a cluster that grows by itself must see what is needed
        elif resources.fits(needs) and barred.isdisjoint(needs):
            self._hire(stage, counted=True)
        elif not stage.members:
            barred.update(needs)
            self.reclaim(stage)

    def _limit(self, stage: RayStage) -> int:
        share = max(1, self._cluster.width(stage) // max(1, self._cluster.active()))
        return min(share, stage.job.concurrency or share)

    def _hire(self, stage: RayStage, *, counted: bool) -> None:
        member = Member(stage, self._cluster.now(), counted)
        stage.members.append(member)
        if counted:
            self._cluster.resources.hold(stage.needs)
        self._cluster.ask(partial(self._create, member))

    def _create(self, member: Member) -> None:
        """In a thread: start the actor."""
        cluster = self._cluster
        if member.gone:
            return
        try:
            cluster.gate.create(member, lambda future: cluster.tell(self._on_opened, member, future))
        except Exception as error:
            cluster.tell(self._refused, member, error)

    def _refused(self, member: Member, error: BaseException) -> None:
        self.lose(member)
        member.stage.fail(self._cluster.refusal(error))

    def _on_opened(self, member: Member, future: Future[Any]) -> None:
        """An actor is set up, or it is dead, or its setup failed."""
        stage, error = member.stage, future.exception()
        if member.gone:
            return
        if error is not None:
            self._on_failed_start(member, error)
            return
        failure = unpack(future.result())
        if type(failure) is Failure:
            stage.fail(failure.error)
        now = self._cluster.now()
        stage.failed_starts = 0
        member.setup_seconds, member.since, member.ready = now - member.since, now, True
        if member.retiring:
            self._dismiss(member, None)
        self._cluster.dispatch()
        stage.listener.on_appetite()

    def _on_failed_start(self, member: Member, error: BaseException) -> None:
        stage = member.stage
        self.lose(member)
        stage.failed_starts += 1
        if not self._cluster.gate.is_death(error) or stage.failed_starts >= STARTS_TRIED:
            stage.fail(died(error) if self._cluster.gate.is_death(error) else error)
        self._cluster.dispatch()

    # Giving back.

    def reclaim(self, stage: RayStage) -> None:
        """Have some actor of another node give its place to ``stage``, which has none."""
        others = [
            member
            for other in self._cluster.stages()
            if other is not stage and not stage.needs.keys().isdisjoint(other.needs)
            for member in other.members
        ]
        if any([member.retiring for member in others]):
            return
        victims = [member for member in others if member.ready and self._can_go(member)]
        if victims:
            self._retire(min(victims, key=lambda member: (member.items + member.stage.waiting > 0, member.since)))

    def _can_go(self, member: Member) -> bool:
        stage = member.stage
        if not member.load and not stage.waiting:
            return True
        if len(stage.members) > self._limit(stage):
            return True
        hold = max(HOLD_SECONDS, HOLD_TIMES * member.setup_seconds)
        return self._cluster.now() - member.since >= hold

    def _retire(self, member: Member) -> None:
        member.retiring = True
        if not member.load:
            self._dismiss(member, None)

    def freed(self, member: Member) -> None:
        """A portion of this actor is over."""
        if member.retiring and not member.load and not member.gone and member.dismissed is None:
            self._dismiss(member, None)

    def look(self) -> None:
        """Make room for actors that do not come; now and then."""
        now = self._cluster.now()
        for stage in self._cluster.stages():
            coming = [member for member in stage.members if not member.ready]
            if coming and len(coming) == len(stage.members) and now - coming[0].since > PENDING_SECONDS:
                self.reclaim(stage)

    # The end.

    def _dismiss(self, member: Member, outcome: str | None) -> None:
        """Have an actor clean up, and end it."""
        cluster = self._cluster
        member.retiring = True
        member.dismissed = cluster.loop.create_future()

        def close() -> None:
            try:
                cluster.gate.close(member, outcome, lambda future: cluster.tell(self._on_closed, member, future))
            except Exception as error:
                cluster.tell(self._on_unclosed, member, error)

        cluster.ask(close)

    def _on_closed(self, member: Member, future: Future[Any]) -> None:
        error = future.exception()
        if error is not None:
            self._on_unclosed(member, error)
            return
        member.stage.errors += unpack(future.result())
        self.lose(member)

    def _on_unclosed(self, member: Member, error: BaseException) -> None:
        if not member.gone:  # else it was killed by us
            if not self._cluster.gate.is_death(error):
                member.stage.errors.append(error)
            elif member.here is not None and member.here.done() and member.here.exception() is None:
                member.stage.errors.append(died(error))  # it died in its cleanup; else it was dead before
        self.lose(member)

    def lose(self, member: Member) -> None:
        """An actor is dead, or is to be."""
        if not member.gone:
            member.gone = True
            member.at = member.load[0] if member.load else None
            member.stage.members.remove(member)
            if member.counted:
                self._cluster.resources.let_go(member.stage.needs)
            self._cluster.ask(partial(self._cluster.gate.kill, member))
        if member.dismissed is not None and not member.dismissed.done():
            member.dismissed.set_result(None)
        self._cluster.dispatch()

    async def close(self, stage: RayStage, outcome: str | None) -> list[BaseException]:
        """Have all actors of a node clean up, and end them; gives what that raised, then and before."""
        members = list(stage.members)
        for member in members:
            if not member.ready:
                self.lose(member)
            elif member.dismissed is None:
                self._dismiss(member, outcome)
        try:
            waiting = [member.dismissed for member in members if member.dismissed is not None]
            if waiting:
                await asyncio.wait(waiting)
        except asyncio.CancelledError:
            for member in members:  # their cleanup hangs
                self.lose(member)
            raise
        return stage.errors

    def kill_stuck(self, stage: RayStage) -> None:
        """End the actors that are still at something that nobody wants any more."""
        for member in list(stage.members):
            if any([portion.dropped for portion in member.load]):
                self.lose(member)


def _has_room(member: Member) -> bool:
    stage = member.stage
    if not member.ready or member.retiring or (member.load and (stage.again or member.load[0].alone)):
        return False
    if stage.job.coroutine:
        return member.items < MOST_COROUTINES
    return len(member.load) < stage.depth


def died(error: BaseException) -> WorkerDiedError:
    """The death of a worker as the library tells it, with what Ray knows of it."""
    told = WorkerDiedError(None)
    told.add_note(str(error).strip())
    return told

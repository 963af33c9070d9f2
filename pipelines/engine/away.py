"""The calls of a node whose function runs on an executor.

Items are handed over as many as the executor has appetite for, with a place each in the outbox's order;
results come back in runs. So short calls cost little here: no task, and no trip through the event loop
for each. Only an item that is tried again gets a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..channels.entries import Ticket, Tomb
from ..errors import NodeError
from ..executors.base import Executor, Failure, Job, Needs, Stage
from ..graph.model import CallKind, Node
from ..statistics import BUSY, WAITING
from ..types import To
from .flight import Flight
from .outcomes import check_target
from .team import Team

if TYPE_CHECKING:
    from .runner import Runner

__all__ = ["Away", "job_of"]

UNLIMITED = 1 << 30


class Away(Team):
    """Works for one runner by means of a stage on an executor."""

    __slots__ = ("_again", "_bare", "_executor", "_job", "_measured", "_stage", "_tickets")

    def __init__(self, runner: Runner, executor: Executor) -> None:
        super().__init__(runner)
        self._executor = executor
        self._job = job = job_of(runner.node, runner.processor, runner.run.name, runner.rank, keeps=runner.keeps)
        # Of short calls there must be many away at once; how many, the executor knows best.
        self._measured = job.concurrency is None and executor.measures and not job.coroutine
        if self._measured:
            self.concurrency = UNLIMITED
        self._bare = job.bare
        self._stage: Stage | None = None
        # Of the items that are away: who waits for them, and who has sent them away again.
        self._tickets: dict[int, tuple[Ticket, ...]] = {}
        self._again: dict[int, asyncio.Future[Any]] = {}

    @property
    def idle(self) -> bool:
        """Never: nothing flies through a node whose function is not here."""
        return False

    @property
    def stage(self) -> Stage:
        """The node's place on the executor; taken when the first item is to go there."""
        if self._stage is None:
            self._stage = self._scheduler.context.run(self._executor.open, self._job, self)
        return self._stage

    def startable(self) -> int:
        """How many items may go away now."""
        count = super().startable()
        if count <= 0 or not self._scheduler.started:
            return 0
        appetite = self.stage.appetite()
        if self._measured:
            appetite -= self._outbox.held  # results that nobody takes are not to pile up (P4)
        return min(count, appetite)

    # There.

    async def visit(self, flight: Flight) -> None:
        """Send items away, as many as may go."""
        scheduler = self._scheduler
        while (count := self.startable()) > 0:
            now = scheduler.clock()
            if now >= scheduler.deadline:
                return
            if self._inbox.noted or self.counts or not self._bare:
                self._send_next(now)
            else:
                self._send(list(self._lend(count)), now)

    def _lend(self, count: int) -> list[Any]:
        items = list(self._inbox.lend(count))
        self._inbox.repay(len(items), [])
        return items

    def _send_next(self, now: float) -> None:
        """Send the next entry away: an item with all that belongs to it; a tombstone stays here."""
        q_elt, tickets, tombs = self._inbox.take()
        self._inbox.release()
        if q_elt is None:
            self._outbox.close(self._outbox.open(), Tomb(tombs, tickets), ())
            return
        if self.steps is not None:
            self.steps -= 1
        if self._pacer is not None:
            self._pacer.started()
        if tickets:
            self._tickets[self._outbox.next_place] = tickets
        self._send([q_elt[0] if self._bare else q_elt], now)

    def _send(self, items: list[Any], now: float) -> None:
        meter = self._outbox.meter
        if not self.in_flight:
            meter.enter(BUSY, now)
        self.in_flight += len(items)
        meter.received += len(items)
        self.stage.feed(self._outbox.open_many(len(items)), items)

    # And back.

    def on_results(self, place: int, items: Sequence[Any], outcomes: list[Any], seconds: float, *, plain: bool) -> None:
        """Results have come."""
        scheduler = self._scheduler
        if scheduler.aborting or self._runner.ended:
            return
        scheduler.begin_turn(now := scheduler.clock())
        meter = self._outbox.meter
        meter.measured(seconds / len(outcomes), len(outcomes))
        if plain and not self._tickets and not self._again:
            self.in_flight -= len(outcomes)
            self._outbox.close_many(place, outcomes)
        else:
            for index, outcome in enumerate(outcomes):
                self._on_result(place + index, items[index], outcome)
        if not self.in_flight:
            meter.enter(WAITING, now)
        self._runner.wake()

    def _on_result(self, place: int, item: Any, outcome: Any) -> None:
        again = self._again.pop(place, None)
        if self._scheduler.aborting:
            return
        if again is not None:
            if not again.done():
                again.set_result(outcome)
        elif type(outcome) is Failure:
            self._scheduler.spawn(self._recover(place, item, outcome.error))
        else:
            self._close(place, outcome)

    def _close(self, place: int, outcome: Any) -> None:
        self.in_flight -= 1
        if type(outcome) is To:
            try:
                check_target(outcome, self._node)
            except NodeError as error:
                self._scheduler.fail(error)
                return
        self._outbox.close(place, outcome, self._tickets.pop(place, ()))

    async def _recover(self, place: int, item: Any, error: BaseException) -> None:
        """Try an item again as its policy says, and deal with what that comes to."""

        async def once(_: tuple[Any, ...]) -> Any:
            self._again[place] = future = self._scheduler.loop.create_future()
            self.stage.feed(place, [item])
            outcome = await future
            if type(outcome) is Failure:
                raise outcome.error
            return outcome

        q_elt = (item,) if self._bare else item
        try:
            outcome = await self._runner.attempts.recover(q_elt, error, once)
        except NodeError as failure:
            for ticket in self._tickets.pop(place, ()):
                ticket.fail(failure)
            raise
        self._close(place, outcome)
        if not self.in_flight:
            self._outbox.meter.enter(WAITING, self._scheduler.clock())
        self._runner.wake()

    def on_appetite(self) -> None:
        """More items may go away."""
        if not self._runner.ended:
            self._runner.wake()

    def on_repeated(self, count: int) -> None:
        """Items begin anew, as their worker has died."""
        self._outbox.meter.retried += count

    def on_failure(self, error: BaseException) -> None:
        """Nothing more will come back."""
        failure = NodeError(self._node.name, cause=error)
        self._scheduler.fail(failure)

    # The end.

    def cancel(self) -> None:
        """The run is over before its end: forget what is away."""
        if self._stage is not None:
            self._stage.cancel()

    async def finish(self, outcome: str) -> Sequence[BaseException]:
        """End everything of the node on the executor; gives what cleanups raised."""
        return [] if self._stage is None else await self._stage.close(outcome)


def job_of(node: Node, processor: Any, run: str, rank: int, *, keeps: bool) -> Job:
    """What workers must know of a node."""
    properties = node.properties
    assert node.function is not None
    coroutine = node.kind is CallKind.COROUTINE
    return Job(
        name=node.name,
        uuid=processor.uuid,
        function=node.function,
        args=dict(node.args),
        env_vars=dict(processor.env_vars),
        setup=node.setup,
        cleanup=node.cleanup,
        coroutine=coroutine,
        bare=not node.zips,
        concurrency=properties.concurrency if "concurrency" in node.given else None,
        timeout=properties.timeout,
        keeps=keeps,
        needs=Needs(properties.num_cpus, properties.num_gpus, properties.resources),
        run=run,
        rank=rank,
    )

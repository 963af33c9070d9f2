"""One node's place on a pool of workers: what all pools have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any, Protocol

from .base import Failure, Job, Listener
from .portions import Backlog

__all__ = ["Pool", "PoolStage"]

_numbers = count(1)


class Pool(Protocol):
    """What a stage asks of its workers."""

    def add(self, stage: Any) -> None:
        """There is work for one more node."""
        ...

    def remove(self, stage: Any) -> None:
        """A node is over."""
        ...

    def dispatch(self) -> None:
        """Hand out what can be handed out."""
        ...

    def cancel(self, stage: Any) -> None:
        """Interrupt what runs for ``stage``, and have it return."""
        ...

    async def close_job(self, stage: Any, outcome: str | None) -> list[BaseException]:
        """Clean up in every worker that knows the node; gives what that raised."""
        ...


class PoolStage:
    """Items that wait for workers, items that are with workers, and whom to tell of results.

    Attributes:
        number: Tells the stages of this process apart.
        backlog: Items that wait.
        at_workers: How many items are with workers.
        cancelled: Nobody wants any more results.
    """

    def __init__(self, pool: Pool, job: Job, listener: Listener) -> None:
        self.number = next(_numbers)
        self.job = job
        self.listener = listener
        self.backlog = Backlog()
        self.at_workers = 0
        self.cancelled = False
        self._pool = pool
        self._quiet: asyncio.Future[None] | None = None
        self._begun = False

    def appetite(self) -> int:
        """How many more items may be fed now."""
        return 0 if self.cancelled else self.wanted() - self.at_workers - self.backlog.count

    def wanted(self) -> int:
        """How many items the pool would like to have in all."""
        raise NotImplementedError

    def feed(self, place: int, items: list[Any]) -> None:
        """Take items; the first is at ``place``."""
        if self.cancelled:
            return
        if not self._begun:
            self._begun = True
            self._pool.add(self)
        self.backlog.add(place, items)
        self._pool.dispatch()

    def cancel(self) -> None:
        """Forget what waits, interrupt what runs."""
        if not self.cancelled:
            self.cancelled = True
            self.backlog.clear()
            self._pool.cancel(self)

    async def close(self, outcome: str | None) -> Sequence[BaseException]:
        """Clean up in every worker that has worked for the node."""
        try:
            if self.at_workers:
                self._quiet = asyncio.get_running_loop().create_future()
                await self._quiet
            return await self._pool.close_job(self, outcome)
        finally:
            self._pool.remove(self)

    # What the pool says.

    def returned(self, count: int) -> None:
        """So many items are with no worker any more."""
        self.at_workers -= count
        if self._quiet is not None and not self.at_workers and not self._quiet.done():
            self._quiet.set_result(None)

    def deliver(
        self, place: int, items: Sequence[Any], outcomes: list[Any], seconds: float, *, plain: bool = False
    ) -> None:
        """Results have come."""
        if self.cancelled or not outcomes:
            return
        if not plain:
            for outcome in outcomes:
                if type(outcome) is Failure and outcome.fatal:
                    self.fail(outcome.error)
                    return
        self.listener.on_results(place, items, outcomes, seconds, plain=plain)

    def fail(self, error: BaseException) -> None:
        """Nothing more can be done here."""
        if not self.cancelled:
            self.cancel()
            self.listener.on_failure(error)

"""Functions on a pool of worker processes, for work that fills a core.

Promises: short calls go to a worker by the portion, long ones one by one, and an item never waits for
others while a worker is free; a worker that dies fails only the item it was at, and the others that it
held begin anew elsewhere; a call that runs out of time is interrupted, and if that does not help its
process is killed, so its place is free in any case. Processes come from a fork server (never by forking
this process, which may have threads), start when they are needed and end with the last user of the pool.
Arguments and results must be picklable; arrays, tables and other large values travel through memory
that both processes see.
"""

from __future__ import annotations

import asyncio
import atexit
import multiprocessing
import multiprocessing.util  # its own work at exit must come behind that of this module
import os
from typing import Any, Literal, Self

from .async_worker import serve_coroutines
from .base import Job, Listener
from .packing import dumps
from .portions import Sizer
from .stage import PoolStage
from .surroundings import surroundings_here
from .team import MOST_COROUTINES, Team
from .wire import SLOTS
from .worker import serve

__all__ = ["ProcessExecutor", "ProcessStage"]

PREFETCH_BELOW = 0.005
"""Calls shorter than this many seconds are sent while the worker is still busy, so that it need not wait."""


class ProcessExecutor:
    """At most ``workers`` processes for plain functions, and as many for coroutines.

    Give it to a plumber as ``executors={"name": ProcessExecutor(4)}``; the name ``process`` is there
    without that, with a worker for every core. Graphs in one event loop share it. Its processes live as
    long as any graph uses it; inside ``async with`` they live until the end of that.

    Args:
        workers: None for as many as there are cores for this process.
        start_method: ``forkserver``, or ``spawn`` where the parent's modules must not be inherited.
    """

    def __init__(
        self, workers: int | None = None, *, start_method: Literal["forkserver", "spawn"] = "forkserver"
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        if start_method not in ("forkserver", "spawn"):
            raise ValueError(f"start_method is 'forkserver' or 'spawn', not {start_method!r}")
        self.workers = workers or _cores()
        self._context = multiprocessing.get_context(start_method)
        self._users = 0
        self._teams: tuple[Team, ...] = ()

    @property
    def capacity(self) -> int:
        """How many plain calls can run at once."""
        return self.workers

    @property
    def measures(self) -> bool:
        """Short calls go to workers by the portion."""
        return True

    @property
    def keeps(self) -> str:
        """Every result comes back to the event loop."""
        return ""

    def check(self, job: Job) -> list[tuple[str, str]]:
        """What of ``job`` cannot be pickled, and why."""
        parts = {"coro": job.function, "properties.setup": job.setup, "properties.cleanup": job.cleanup}
        parts |= {f"args.{name}": value for name, value in job.args.items()}
        parts |= {f"env_vars.{name}": value for name, value in job.env_vars.items()}
        return [(part, why) for part, value in parts.items() if (why := _why_not_dumped(value))]

    def acquire(self) -> None:
        """Come to life in the running event loop, or count one more user."""
        loop = asyncio.get_running_loop()
        if not self._users:
            plain = Team(self._context, self.workers, serve, asynchronous=False)
            self._teams = (plain, Team(self._context, self.workers, serve_coroutines, asynchronous=True))
            self._loop = loop
            atexit.register(self._hang_up)
        elif loop is not self._loop:
            raise RuntimeError("a ProcessExecutor is used by one event loop at a time")
        self._users += 1

    async def release(self) -> None:
        """One user less; the last waits until all processes have ended."""
        self._users -= 1
        if not self._users:
            atexit.unregister(self._hang_up)
            teams, self._teams = self._teams, ()
            del self._loop  # an executor that is not in use holds no event loop
            await asyncio.gather(*(team.close() for team in teams))

    async def __aenter__(self) -> Self:
        self.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.release()

    def open(self, job: Job, listener: Listener) -> ProcessStage:
        """A place for one node; processes are started when there are items."""
        return ProcessStage(self._teams[job.coroutine], job, listener)

    def _hang_up(self) -> None:
        # Else the interpreter would wait at its end for processes that wait for a word.
        for team in self._teams:
            for worker in team.workers:
                worker.hang_up()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _why_not_dumped(value: Any) -> str:
    try:
        dumps(value)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


class ProcessStage(PoolStage):
    """One node's place on the pool.

    Attributes:
        sizer: Says how many items go to a worker at once.
        pickled: The job, as it is sent to workers.
        alone: So many of the next items go to workers one by one, as one of them cannot be read.
        deaths: How many workers in a row died setting up for the node.
    """

    def __init__(self, team: Team, job: Job, listener: Listener) -> None:
        super().__init__(team, job, listener)
        self.sizer = Sizer()
        self.pickled = dumps((job, surroundings_here()))
        self.alone = 0
        self.deaths = 0.0
        self._limit = team.limit

    def wanted(self) -> int:
        """Enough to fill every slot, and one portion more."""
        if self.job.coroutine:
            return MOST_COROUTINES * self._limit
        return (self._limit * (SLOTS if self.prefetches else 1) + 1) * self.sizer.size

    @property
    def prefetches(self) -> bool:
        """Whether a portion may be sent to a worker that is busy."""
        return self.sizer.tempo is not None and self.sizer.tempo < PREFETCH_BELOW

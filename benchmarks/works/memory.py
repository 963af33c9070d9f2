"""A sink that stops for a while: what piles up behind it, and how fast the graph gets going again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from ..bodies import Body
from ..jobs import Chain, WrongResultError
from ..meter import Reading, resident
from .base import FULL, QUICK, TINY, Figure, Work, usual_figures

__all__ = ["WORKS", "StallingChain"]

LOOK_EVERY_ITEMS = 1 << 12
LOOKS_PER_STALL = 40


@dataclass
class StallingChain(Chain):
    """A chain whose last node stops for ``stall`` seconds at the middle item, and keeps nothing.

    Whoever calls it meanwhile waits too. It looks at the resident memory every few thousand items
    and many times during the stall, which costs each contender the same.

    Attributes:
        stall: The seconds.
        growth: The most megabytes above the memory at the first item that were seen.
        resumed: When the stall was over, on the clock of `time.perf_counter`.
        ended: When the last item was done with.
    """

    stall: float = 0.0
    growth: float = 0.0
    resumed: float = 0.0
    ended: float = 0.0

    def __post_init__(self) -> None:
        self._seen = 0
        self._first = 0.0
        self._wrong: tuple[Any, int] | None = None
        self._gate: asyncio.Event | None = None
        self.sink = self._body()

    def check(self) -> None:
        """Every integer came once, in order."""
        if self._wrong is not None:
            raise WrongResultError(f"{self._wrong[0]!r} came when {self._wrong[1]!r} was due")
        if self._seen != self.items:
            raise WrongResultError(f"{self._seen} items came, not {self.items}")

    @property
    def rate_after(self) -> float:
        """Items per second from the end of the stall to the last item."""
        return (self.items - self.items // 2) / (self.ended - self.resumed)

    def _body(self) -> Body:
        last, middle = self.items - 1, self.items // 2

        def arrive(x: int) -> None:
            if x != self._seen:
                self._wrong = self._wrong or (x, self._seen)
            self._seen += 1
            if not x % LOOK_EVERY_ITEMS:
                self._look()
            if x == middle:
                self._begin_stall()

        async def call(x: int) -> None:
            arrive(x)
            if self._gate is not None:
                await self._gate.wait()
            if x == last:
                self.ended = time.perf_counter()

        async def coro(processor: Any, q_elt: tuple[int, ...]) -> None:
            arrive(q_elt[0])
            if self._gate is not None:
                await self._gate.wait()
            if q_elt[0] == last:
                self.ended = time.perf_counter()

        return Body(call, None, coro, None)

    def _begin_stall(self) -> None:
        self._gate = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in range(1, LOOKS_PER_STALL):
            loop.call_later(self.stall * number / LOOKS_PER_STALL, self._look)
        loop.call_later(self.stall, self._end_stall)

    def _end_stall(self) -> None:
        assert self._gate is not None
        self._gate.set()
        self._gate = None
        self.resumed = time.perf_counter()

    def _look(self) -> None:
        now = resident()
        if not self._first:
            self._first = now
        self.growth = max(self.growth, now - self._first)


def _figures(job: StallingChain, reading: Reading) -> dict[str, float]:
    return usual_figures(job, reading) | {
        "after_us": 1e6 / job.rate_after,
        "held_mb": job.growth,
    }


def _job(items: int, stall: float) -> StallingChain:
    return StallingChain(items, 5, stall=stall)


WORKS = (
    Work(
        "memory",
        "2,000,000 items through a chain of 5, whose last node stops for 2 s in the middle",
        "memory",
        _job,
        {
            FULL: {"items": 2_000_000, "stall": 2.0},
            QUICK: {"items": 100_000, "stall": 0.5},
            TINY: {"items": 1_000, "stall": 0.02},
        },
        (
            Figure("after_us", "us per item after the stall"),
            Figure("held_mb", "memory growth from the first item on, MB"),
            Figure("growth_mb", "memory growth, MB"),
            Figure("cpu_us", "CPU us per item"),
        ),
        figures_of=_figures,
    ),
)

"""What a work is: a job of a certain size, and the figures that one run of it gives."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ..meter import Meter, Reading

__all__ = ["FULL", "QUICK", "TINY", "Contestant", "Figure", "Job", "Size", "Work", "usual_figures"]

FULL, QUICK, TINY = "full", "quick", "tiny"

Size = Mapping[str, Any]
"""The parameters of a job, by name."""


class Job(Protocol):
    """What is asked of a contender; see `benchmarks.jobs`."""

    @property
    def items(self) -> int:
        """How many there are, of what the figures are per."""
        ...

    def check(self) -> None:
        """Raise `WrongResultError` unless it was done right."""
        ...


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a run.

    Attributes:
        key: Its name in the results.
        title: The head of its column, with the unit.
        better: Whether less or more of it is better.
        digits: How many significant digits are worth showing; 0 for a count.
    """

    key: str
    title: str
    better: Literal["less", "more"] = "less"
    digits: int = 3


@dataclass(frozen=True, slots=True)
class Contestant:
    """A contender's function for one work, with the event loop that it wants.

    Attributes:
        function: Does a job; a coroutine function, or a plain one that blocks.
        loop_factory: Makes the event loop; None for asyncio's own.
        prepare: Makes what a user would have beforehand, such as the description of a graph; it is
            not measured, and is found as the job's ``prepared``.
    """

    function: Callable[[Any], Any]
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    prepare: Callable[[Any], Any] | None = None

    @property
    def blocks(self) -> bool:
        """Whether it must not be called inside an event loop."""
        return not inspect.iscoroutinefunction(self.function)

    def do(self, job: Any) -> Reading:
        """Do a job in an event loop of its own; making and closing that loop is not measured."""
        if self.prepare is not None:
            job.prepared = self.prepare(job)
        if self.blocks:
            with Meter() as meter:
                self.function(job)
        else:
            meter = self.in_loop(self._metered(job))
        return meter.reading

    def in_loop(self, coroutine: Any) -> Any:
        """What ``coroutine`` returns, run in a new event loop."""
        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            return runner.run(coroutine)

    async def _metered(self, job: Any) -> Meter:
        with Meter() as meter:
            await self.function(job)
        return meter


def usual_figures(job: Any, reading: Reading) -> dict[str, float]:
    """Wall and CPU time per item, and the growth of memory."""
    return {
        "us": reading.seconds / job.items * 1e6,
        "cpu_us": reading.cpu / job.items * 1e6,
        "growth_mb": reading.growth,
    }


def do_once(contestant: Contestant, work: Work, size: Size) -> dict[str, float]:
    """Do one job, check it, and give its figures."""
    job = work.job(**size)
    reading = contestant.do(job)
    job.check()
    return work.figures_of(job, reading)


@dataclass(frozen=True, slots=True)
class Work:
    """One comparison: the same job for every contender.

    Attributes:
        name: Its name on the command line and in the results.
        about: What is done, in one sentence.
        shape: The name of the adapters' functions that do such jobs.
        job: Makes a job of the parameters in a size.
        sizes: The parameters of a `FULL`, a `QUICK` and a `TINY` run.
        scaled: The parameter that is lowered for a slow contender.
        figures: What is shown of it; the first is the one that ratios are made of.
        figures_of: The figures of a job that was done and found right.
        measure: Does the job and gives the figures; another one than `do_once` where one job is not enough.
        proof: Parameters of `job` that make mistakes show, for the run before the measured one.
        reference: The contender to whom the ratios are.
        contenders: Those that are asked at all; None for all of them.
        variants: Where one contender competes against itself: further parameters, by the name in the table.
    """

    name: str
    about: str
    shape: str
    job: Callable[..., Any]
    sizes: Mapping[str, Size]
    figures: tuple[Figure, ...]
    scaled: str = "items"
    figures_of: Callable[[Any, Reading], dict[str, float]] = usual_figures
    measure: Callable[[Contestant, Work, Size], dict[str, float]] = do_once
    proof: Size = field(default_factory=dict)
    reference: str = "queues"
    contenders: tuple[str, ...] | None = None
    variants: Mapping[str, Size] = field(default_factory=dict)

    @property
    def figure(self) -> Figure:
        """The figure that ratios are made of."""
        return self.figures[0]

    def size(self, name: str, share: float = 1.0) -> dict[str, Any]:
        """The parameters of a size, lowered to ``share`` for a slow contender."""
        size = dict(self.sizes[name])
        if share != 1.0:
            size[self.scaled] = max(1, round(size[self.scaled] * share))
        return size

    def prove(self, contestant: Contestant, variant: Size) -> None:
        """Let the contender do a tiny job whose result shows every mistake; warms it up, too.

        Raises:
            WrongResultError: It was not done right.
        """
        job = self.job(**self.size(TINY), **self.proof, **variant)
        contestant.do(job)
        job.check()

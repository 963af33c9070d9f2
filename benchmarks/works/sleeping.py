"""Works whose nodes wait: how near the many sleeps come to all places being taken all the time."""

from __future__ import annotations

import random

from ..jobs import Sleep
from ..meter import Reading
from .base import FULL, QUICK, TINY, Figure, Work, usual_figures

__all__ = ["WORKS"]

FIGURES = (
    Figure("share", "share of the ideal rate", "more"),
    Figure("ms", "wall time, ms"),
    Figure("cpu_us", "CPU us per item"),
)
SIZES = {
    FULL: {"items": 5_000, "concurrency": 500},
    QUICK: {"items": 5_000, "concurrency": 500},
    TINY: {"items": 60, "concurrency": 20},
}


def _figures(job: Sleep, reading: Reading) -> dict[str, float]:
    return usual_figures(job, reading) | {"share": job.ideal / reading.seconds, "ms": reading.seconds * 1e3}


def _equal(items: int, concurrency: int) -> Sleep:
    return Sleep([0.005] * items, concurrency, ordered=True)


def _random_ordered(items: int, concurrency: int) -> Sleep:
    return Sleep(_random_delays(items), concurrency, ordered=True)


def _random_unordered(items: int, concurrency: int) -> Sleep:
    return Sleep(_random_delays(items), concurrency, ordered=False)


def _random_delays(items: int) -> list[float]:
    chance = random.Random(3)
    return [chance.uniform(0.001, 0.020) for _ in range(items)]


WORKS = (
    Work(
        "sleep_ordered",
        "5,000 items sleep 5 ms each, 500 at a time; the results in order",
        "sleep_ordered",
        _equal,
        SIZES,
        FIGURES,
        figures_of=_figures,
    ),
    Work(
        "sleep_random_ordered",
        "5,000 items sleep 1 to 20 ms each, 500 at a time; the results in order",
        "sleep_ordered",
        _random_ordered,
        SIZES,
        FIGURES,
        figures_of=_figures,
    ),
    Work(
        "sleep_random_unordered",
        "5,000 items sleep 1 to 20 ms each, 500 at a time; the results in any order",
        "sleep_unordered",
        _random_unordered,
        SIZES,
        FIGURES,
        figures_of=_figures,
    ),
)

"""Works with one item in the graph at a time: how long its way takes when nobody else is there."""

from __future__ import annotations

import statistics

from ..bodies import ADD_ONE, SAME, Body
from ..jobs import RoundTrips
from ..meter import Reading
from .base import FULL, QUICK, TINY, Figure, Work

__all__ = ["WORKS"]

SIZES = {FULL: {"trips": 20_000}, QUICK: {"trips": 2_000}, TINY: {"trips": 20}}
FIGURES = (
    Figure("p50_us", "p50, us"),
    Figure("p99_us", "p99, us"),
    Figure("cpu_us", "CPU us per item"),
)


def _job(trips: int, node: Body = SAME) -> RoundTrips:
    return RoundTrips(trips, 5, node)


def _figures(job: RoundTrips, reading: Reading) -> dict[str, float]:
    hundredths = statistics.quantiles(job.seconds, n=100, method="inclusive")
    return {
        "p50_us": hundredths[49] * 1e6,
        "p99_us": hundredths[98] * 1e6,
        "cpu_us": reading.cpu / job.trips * 1e6,
    }


def _work(name: str, about: str) -> Work:
    return Work(
        name,
        about,
        name,
        _job,
        SIZES,
        FIGURES,
        scaled="trips",
        figures_of=_figures,
        proof={"node": ADD_ONE},
    )


WORKS = (
    _work("latency_put", "one item at a time is put into an idle chain of 5 and taken out at its end"),
    _work("latency_submit", "one item at a time is given to an idle chain of 5 by a call that returns its own result"),
)

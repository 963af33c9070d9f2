"""Works that leave the event loop: calls that fill a core, large values, a cluster, another host."""

from __future__ import annotations

from functools import partial

from ..jobs import Cores, Edge, Hops, RayChain, Timed
from ..meter import Reading
from .base import FULL, QUICK, TINY, Figure, Work

__all__ = ["WORKS"]


def _per_item(job: Timed, reading: Reading) -> dict[str, float]:
    return {"us": job.seconds / job.items * 1e6}


MICROSECONDS = (Figure("us", "us per item"),)

WORKS = (
    Work(
        "cores_1ms",
        "1,000 calls that fill a core for 1 ms each, on two processes; the results in order",
        "cores",
        partial(Cores, spin=0.001),
        {FULL: {"items": 1_000}, QUICK: {"items": 500}, TINY: {"items": 20}},
        MICROSECONDS,
        figures_of=_per_item,
        reference="limit",
    ),
    Work(
        "cores_20us",
        "50,000 calls that fill a core for 20 us each, on two processes; the results in order",
        "cores",
        partial(Cores, spin=0.00002),
        {FULL: {"items": 50_000}, QUICK: {"items": 25_000}, TINY: {"items": 200}},
        MICROSECONDS,
        figures_of=_per_item,
        reference="limit",
    ),
    Work(
        "hop_1mb",
        "arrays of 1 MB go to another process, which tells their sum, one after the other",
        "hops",
        partial(Hops, megabytes=1.0),
        {FULL: {"items": 500}, QUICK: {"items": 200}, TINY: {"items": 3}},
        MICROSECONDS,
        figures_of=_per_item,
    ),
    Work(
        "ray_10mb",
        "arrays of 10 MB are made, turned and summed by three nodes on Ray; between them they stay there or come back",
        "ray_chain",
        partial(RayChain, megabytes=10.0),
        {FULL: {"items": 60}, QUICK: {"items": 20}, TINY: {"items": 2}},
        MICROSECONDS,
        figures_of=_per_item,
        reference="back",
        contenders=("pipelines",),
        variants={"back": {"back": True}, "stay": {"back": False}},
    ),
    Work(
        "redis_edge",
        "small items go from one process to another over a Redis on the same machine, and are acknowledged",
        "redis_edge",
        Edge,
        {FULL: {"items": 100_000}, QUICK: {"items": 30_000}, TINY: {"items": 200}},
        MICROSECONDS,
        figures_of=_per_item,
    ),
)

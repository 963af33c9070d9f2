"""Works that send many items through nodes which do next to nothing: what an item's way costs."""

from __future__ import annotations

from dataclasses import replace

from ..bodies import ADD_ONE, SAME, Body
from ..jobs import Chain, Diamond, SkippingDiamond
from ..meter import Reading
from .base import FULL, QUICK, TINY, Figure, Work, usual_figures

__all__ = ["WORKS"]

PER_ITEM = Figure("us", "us per item")
PER_HOP = Figure("hop_us", "us per hop")
CPU_PER_ITEM = Figure("cpu_us", "CPU us per item")
GROWTH = Figure("growth_mb", "memory growth, MB")


def _chain_figures(job: Chain, reading: Reading) -> dict[str, float]:
    return usual_figures(job, reading) | {"hop_us": reading.seconds / job.items / job.depth * 1e6}


def _chain(name: str, depth: int, items: int, *, plain: bool = False) -> Work:
    kind = "plain functions" if plain else "async functions"

    def job(items: int, node: Body = SAME) -> Chain:
        return Chain(items, depth, node)

    return Work(
        name,
        f"{items:,} items through a chain of {depth} trivial {kind}",
        "plain" if plain else "chain",
        job,
        {FULL: {"items": items}, QUICK: {"items": items // 10}, TINY: {"items": 300}},
        (PER_ITEM, PER_HOP, CPU_PER_ITEM, GROWTH),
        figures_of=_chain_figures,
        proof={"node": ADD_ONE},
    )


def _diamond(items: int, left: Body = SAME, right: Body = SAME) -> Diamond:
    return Diamond(items, left, right)


def _skipping(items: int, longest: float) -> SkippingDiamond:
    return SkippingDiamond(items, longest)


WORKS = (
    _chain("chain1", 1, 400_000),
    _chain("chain5", 5, 200_000),
    _chain("chain20", 20, 50_000),
    replace(_chain("chain5_put", 5, 200_000), shape="chain_put", contenders=("queues", "pipelines")),
    _chain("plain5", 5, 200_000, plain=True),
    Work(
        "diamond",
        "100,000 items through two branches of one trivial node each, zipped again; every pair is checked",
        "diamond",
        _diamond,
        {FULL: {"items": 100_000}, QUICK: {"items": 10_000}, TINY: {"items": 300}},
        (PER_ITEM, CPU_PER_ITEM, GROWTH),
        # Only one branch adds: an item that came through the wrong branch shows.
        proof={"left": ADD_ONE},
    ),
    Work(
        "diamond_skips",
        "the same with 2,000 items; one branch sleeps 0 to 2 ms for each and drops 10 % of them; every pair is checked",
        "diamond_skips",
        _skipping,
        {
            FULL: {"items": 2_000, "longest": 0.002},
            QUICK: {"items": 500, "longest": 0.002},
            TINY: {"items": 100, "longest": 0.002},
        },
        (PER_ITEM, CPU_PER_ITEM),
    ),
)

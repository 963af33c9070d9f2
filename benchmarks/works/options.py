"""What is switched on and not needed: what it takes from the chain of 5, relative to the same chain without it."""

from __future__ import annotations

from ..bodies import ADD_ONE, SAME, Body
from ..jobs import Chain, Variant
from .base import FULL, QUICK, TINY, Figure, Work

__all__ = ["WORKS"]

PLAIN = "plain"
OPTIONS = ("statistics", "hooks", "timeout", "retry")


def _job(items: int, node: Body = SAME, option: str | None = None) -> Variant:
    return Variant(option, Chain(items, 5, node))


WORKS = (
    Work(
        "options",
        "200,000 items through a chain of 5 of `pipelines`: as it is, with its statistics read 50 times a second, "
        "with a hook, with a timeout and with a retry policy on every node, of which none is ever needed",
        "options",
        _job,
        {FULL: {"items": 200_000}, QUICK: {"items": 20_000}, TINY: {"items": 300}},
        (Figure("us", "us per item"), Figure("cpu_us", "CPU us per item"), Figure("growth_mb", "memory growth, MB")),
        proof={"node": ADD_ONE},
        reference=PLAIN,
        contenders=("pipelines",),
        variants={PLAIN: {}} | {option: {"option": option} for option in OPTIONS},
    ),
)

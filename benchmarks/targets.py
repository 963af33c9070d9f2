"""What the library shall reach, as data; a run of the benchmarks says of each target whether it was met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .results import Result

__all__ = ["TARGETS", "Target", "Verdict", "judge"]

NOISE = 1.05
"""Two equal figures of two works may differ by this much."""


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on one number of one contender in one work.

    Attributes:
        kind: What is bounded, always a median: the ``ratio`` to the reference within the rounds, a
            ``figure``, by how much a figure goes ``beyond`` the reference's, or a figure over the
            same one in another work (``against``).
        figure: The figure; None for the one that the work's ratios are made of.
        at_least, at_most: The bound; one of the two.
        other: The other work of an ``against``.
        aim: Whether it is only hoped for: nothing fails if it is missed.
    """

    work: str
    kind: Literal["ratio", "figure", "beyond", "against"]
    figure: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    other: str | None = None
    contender: str = "pipelines"
    aim: bool = False

    def __str__(self) -> str:
        bound = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        what = {
            "ratio": "times the reference",
            "figure": "",
            "beyond": "beyond the reference",
            "against": f"times that of {self.other}",
        }[self.kind]
        name = f"{self.figure} " if self.figure else ""
        return f"{'aim: ' if self.aim else ''}{self.contender}: {name}{bound} {what}".rstrip()

    def measured(self, results: Mapping[str, Result]) -> float | None:
        """The number that is bounded; None where it was not measured."""
        result = results.get(self.work)
        outcome = result.outcomes.get(self.contender) if result is not None else None
        if result is None or outcome is None or outcome.status != "ok":
            return None
        figures = {figure.key: figure for figure in result.work.figures}
        figure = figures[self.figure] if self.figure else result.work.figure
        if self.kind == "ratio":
            ratio = result.ratio(self.contender, figure)
            return None if ratio is None else ratio.median
        if self.kind == "beyond":
            beyond = result.beyond(self.contender, figure.key)
            return None if beyond is None else beyond.median
        own = outcome.range(figure.key).median
        return own if self.kind == "figure" else self._against(own, figure.key, results)

    def _against(self, own: float, key: str, results: Mapping[str, Result]) -> float | None:
        other = results.get(self.other or "")
        outcome = other.outcomes.get(self.contender) if other is not None else None
        if outcome is None or outcome.status != "ok":
            return None
        return own / outcome.range(key).median


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target, the number that was measured for it, and whether that meets it; None where nothing was measured."""

    target: Target
    measured: float | None

    @property
    def met(self) -> bool | None:
        """Whether the bound holds."""
        if self.measured is None:
            return None
        if self.target.at_least is not None:
            return self.measured >= self.target.at_least
        assert self.target.at_most is not None
        return self.measured <= self.target.at_most

    @property
    def missed(self) -> bool:
        """Whether it was measured, and does not hold, and is more than an aim."""
        return self.met is False and not self.target.aim

    def __str__(self) -> str:
        if self.measured is None:
            return f"{self.target}: not measured"
        return f"{self.target}: {self.measured:.3g}, {'met' if self.met else 'MISSED'}"


TARGETS = (
    Target("chain5", "ratio", at_least=1.5),
    Target("chain5", "ratio", at_least=4.0),
    Target("chain20", "ratio", at_least=4.2),
    Target("chain1", "ratio", at_least=3.5),
    Target("chain5", "against", "hop_us", at_most=NOISE, other="chain1"),
    Target("chain20", "against", "hop_us", at_most=NOISE, other="chain5"),
    Target("plain5", "ratio", at_least=6.0),
    Target("diamond", "ratio", at_least=3.5),
    Target("sleep_ordered", "figure", "share", at_least=0.78),
    Target("sleep_ordered", "figure", "cpu_us", at_most=8.0),
    Target("sleep_random_ordered", "figure", "share", at_least=0.80),
    Target("sleep_random_ordered", "figure", "cpu_us", at_most=8.0),
    Target("sleep_random_unordered", "figure", "share", at_least=0.82),
    Target("sleep_random_unordered", "figure", "cpu_us", at_most=8.0),
    Target("polite", "figure", "p99_ms", at_most=2.7),
    Target("polite", "figure", "speed", at_least=0.95),
    Target("memory", "beyond", "held_mb", at_most=1.0),
    Target("memory", "ratio", "after_us", at_least=3.3),
    Target("dag10k", "ratio", at_least=2.0),
    Target("dag10k", "figure", "growth_mb", at_most=45.0),
    Target("graphs1000", "ratio", at_least=1.6),
    Target("graphs1000_parse", "ratio", at_least=0.9),
    Target("latency_put", "ratio", at_least=1.1),
    Target("latency_put", "ratio", at_least=1.6, aim=True),
    Target("latency_submit", "ratio", at_least=0.8),
    Target("cores_1ms", "ratio", at_least=1.85),
    Target("cores_20us", "ratio", at_least=1.75),
    Target("hop_1mb", "ratio", at_least=3.0),
    Target("ray_10mb", "ratio", at_least=2.0, contender="stay"),
    Target("redis_edge", "figure", "us", at_most=50.0),
    *(
        Target("options", "ratio", at_least=0.9, contender=option)
        for option in ("statistics", "hooks", "timeout", "retry")
    ),
)


def judge(results: Mapping[str, Result]) -> list[Verdict]:
    """What became of each target of the works in ``results``."""
    return [Verdict(target, target.measured(results)) for target in TARGETS if target.work in results]

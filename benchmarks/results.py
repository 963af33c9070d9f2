"""What was measured: every run's figures, and the medians and ratios made of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .works import Figure, Work

__all__ = ["Outcome", "Range", "Result", "Status"]

Status = Literal["ok", "cannot", "missing", "wrong", "failed", "timeout"]
"""It was done; it cannot be expressed; the contender is not installed; the result was wrong; the run failed or took too
long."""


@dataclass(frozen=True, slots=True)
class Range:
    """The median of a figure, and its least and greatest value."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Range:
        """The range of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass
class Outcome:
    """What came of one contender's runs of one work.

    Attributes:
        status: ``ok`` only if every run was done right.
        reason: Why it is not ``ok``.
        share: The part of the items that it got.
        runs: The figures of each round, in their order; of no use unless the status is ``ok``.
    """

    status: Status
    reason: str | None = None
    share: float = 1.0
    runs: list[dict[str, float]] = field(default_factory=list)

    @property
    def is_error(self) -> bool:
        """Whether something went wrong that should not."""
        return self.status in ("wrong", "failed")

    def range(self, key: str) -> Range:
        """The median, least and greatest value of a figure over the rounds."""
        return Range.of([run[key] for run in self.runs])

    def add(self, answer: Mapping[str, Any]) -> None:
        """Take in what a run answered; a run that is not ``ok`` makes the whole outcome so."""
        self.status = answer["status"]
        self.reason = answer.get("reason")
        if self.status == "ok":
            self.share = answer["share"]
            self.runs.append(answer["figures"])


@dataclass
class Result:
    """All contenders' outcomes of one work.

    Attributes:
        work: What was done.
        size: ``full`` or ``quick``.
        rounds: How many runs each contender had.
        outcomes: What came of it, by contender (or variant).
    """

    work: Work
    size: str
    rounds: int
    outcomes: dict[str, Outcome]

    def ratio(self, name: str, figure: Figure | None = None) -> Range | None:
        """How many times better than the reference a contender is, compared within each round.

        The median is that of the rounds' ratios, not the ratio of two medians: what disturbs a round
        disturbs both sides of its ratio. None where one of the two has no figures.
        """
        pairs = self._pairs(name)
        if not pairs:
            return None
        figure = figure or self.work.figure
        key, less = figure.key, figure.better == "less"
        return Range.of([theirs[key] / own[key] if less else own[key] / theirs[key] for own, theirs in pairs])

    def beyond(self, name: str, key: str) -> Range | None:
        """By how much a contender's figure exceeds the reference's, compared within each round."""
        pairs = self._pairs(name)
        return Range.of([own[key] - theirs[key] for own, theirs in pairs]) if pairs else None

    def _pairs(self, name: str) -> list[tuple[dict[str, float], dict[str, float]]]:
        """The figures of the contender and of the reference, round by round."""
        own, theirs = self.outcomes.get(name), self.outcomes.get(self.work.reference)
        if own is None or theirs is None or own.status != "ok" or theirs.status != "ok":
            return []
        return list(zip(own.runs, theirs.runs, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-able data: each run's figures, and the medians and ratios of all."""
        return {
            "work": self.work.name,
            "about": self.work.about,
            "size": self.size,
            "parameters": self.work.size(self.size),
            "reference": self.work.reference,
            "rounds": self.rounds,
            "contenders": {name: self._summary(name) for name in self.outcomes},
        }

    def _summary(self, name: str) -> dict[str, Any]:
        outcome = self.outcomes[name]
        summary = asdict(outcome)
        if outcome.status == "ok":
            ratio = self.ratio(name)
            summary["figures"] = {key: asdict(outcome.range(key)) for key in outcome.runs[0]}
            summary["ratio"] = None if ratio is None else asdict(ratio)
        return summary

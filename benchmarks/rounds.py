"""Rounds over all contenders, each run in a fresh process, in an order that rotates from round to round."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .results import Outcome, Result
from .works import Work

__all__ = ["Laboratory", "errors", "rotated"]

ROOT = Path(__file__).parents[1]
LAST_LINES = 3


def rotated(names: list[str], turns: int) -> list[str]:
    """``names``, beginning with another one for each turn."""
    start = turns % len(names) if names else 0
    return names[start:] + names[:start]


@dataclass
class Laboratory:
    """Runs works with contenders in processes of their own.

    Attributes:
        contenders: Whom to ask.
        seconds: The longest that one run may take.
        tell: Is told of each step, in a line.
    """

    contenders: tuple[str, ...]
    seconds: float = 600.0
    tell: Callable[[str], None] = field(default=lambda line: None, repr=False)

    def __post_init__(self) -> None:
        self.descriptions = {name: self._ask(contender=name) for name in self.contenders}

    def measure(self, work: Work, size: str, rounds: int) -> Result:
        """Let all contenders do a work in every round; whoever did it wrong once is not asked again."""
        entrants = self._entrants(work)
        outcomes = {label: self._before(contender, work) for label, contender in entrants.items()}
        for turn in range(rounds):
            able = [label for label, outcome in outcomes.items() if outcome.status == "ok"]
            for label in rotated(able, turn):
                outcomes[label].add(self._run(entrants[label], work, size, label))
                self.tell(f"{work.name}, round {turn + 1} of {rounds}: {label} {_brief(outcomes[label], work)}")
        return Result(work, size, rounds, outcomes)

    def _entrants(self, work: Work) -> dict[str, str]:
        """The contender behind each row of a work's table."""
        asked = [name for name in self.contenders if work.contenders is None or name in work.contenders]
        if work.variants:
            return {variant: name for name in asked for variant in work.variants}
        return {name: name for name in asked}

    def _before(self, contender: str, work: Work) -> Outcome:
        """The outcome before the first run: whether there can be one."""
        description = self.descriptions[contender]
        if description["status"] != "ok":
            return Outcome(description["status"], description["reason"])
        reason = description["works"][work.name]
        return Outcome("ok") if reason is None else Outcome("cannot", reason)

    def _run(self, contender: str, work: Work, size: str, label: str) -> dict[str, Any]:
        variant = label if work.variants else None
        return self._ask(contender=contender, work=work.name, size=size, variant=variant)

    def _ask(self, **request: Any) -> dict[str, Any]:
        """The answer of a fresh process to a request; one that dies or takes too long has an answer too."""
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
            answer = Path(folder) / "answer.json"
            command = [sys.executable, "-m", "benchmarks.child", str(answer), json.dumps(request)]
            try:
                process = subprocess.run(
                    command, cwd=ROOT, capture_output=True, text=True, timeout=self.seconds, check=False
                )
            except subprocess.TimeoutExpired:
                return {"status": "timeout", "reason": f"over {self.seconds:g} s"}
            if not answer.exists():
                last = " / ".join(process.stderr.strip().splitlines()[-LAST_LINES:])
                return {"status": "failed", "reason": f"the process ended with {process.returncode}: {last}"}
            result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
            return result


def _brief(outcome: Outcome, work: Work) -> str:
    if outcome.status != "ok":
        return f"{outcome.status}: {outcome.reason}"
    return f"{outcome.runs[-1][work.figure.key]:.4g} {work.figure.title}"


def errors(results: Iterable[Result]) -> list[str]:
    """One line for each contender that did a work wrong, or failed."""
    return [
        f"{result.work.name}: {name}: {outcome.status}: {outcome.reason}"
        for result in results
        for name, outcome in result.outcomes.items()
        if outcome.is_error
    ]

"""Retry policy: how often a failed attempt is made again, and after which pause."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["Retry"]


@dataclass(frozen=True, slots=True)
class Retry:
    """How a node repeats failed attempts.

    The pause before attempt ``n + 1`` is ``backoff * 2 ** (n - 1)`` seconds, at most
    ``max_backoff``. With ``jitter`` it is drawn uniformly between zero and that value ("full
    jitter"), so that items which failed together do not come back together.

    Attributes:
        attempts: Calls per item in all, the first one included; at least 1.
        backoff: Seconds before the second attempt; zero or more.
        max_backoff: Longest pause in seconds.
        jitter: Whether pauses are randomised.
    """

    attempts: int = 1
    backoff: float = 0.1
    max_backoff: float = 30.0
    jitter: bool = True

    def pause(self, attempt: int) -> float:
        """Seconds to wait after failed attempt number ``attempt`` (1 is the first)."""
        # The exponent is capped: 2.0 ** 1024 overflows, and long before that the limit rules.
        longest = min(self.max_backoff, self.backoff * 2.0 ** min(attempt - 1, 60))
        return random.uniform(0.0, longest) if self.jitter else longest

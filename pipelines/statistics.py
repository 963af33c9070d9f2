"""What a run counts, the frozen snapshots of it, and the report of a finished run.

`Meter` is the mutable side that the engine keeps per node; everything else here is frozen and
turns into JSON with ``to_dict``. Times are seconds, rates items per second, shares fractions of
the time since the start that add up to at most 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .errors import shortened
from .types import FailedItem

__all__ = [
    "BLOCKED",
    "BUSY",
    "WAITING",
    "EdgeStatistics",
    "Latency",
    "Meter",
    "NodeStatistics",
    "PartStatistics",
    "Report",
    "Statistics",
]

BUSY, WAITING, BLOCKED = 0, 1, 2
"""What a node does: calls are in flight; no input; input or results, but no room for them."""

_STEPS = 8  # sub-buckets per factor of two: a quantile is off by less than 1/8 of its value


class Latency:
    """A histogram of durations with logarithmic buckets: a few dozen integers, whatever it has seen."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def add(self, seconds: float, count: int = 1) -> None:
        """Count one duration, or ``count`` equal ones."""
        mantissa, exponent = math.frexp(seconds if seconds > 1e-9 else 1e-9)  # 0.5 <= mantissa < 1
        bucket = exponent * _STEPS + int((mantissa - 0.5) * 2 * _STEPS)
        try:
            self._counts[bucket] += count
        except KeyError:
            self._counts[bucket] = count

    def quantile(self, share: float) -> float | None:
        """The duration, in seconds, that ``share`` of all do not exceed; None before the first."""
        wanted = share * sum(self._counts.values())
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return _middle(bucket)
        return None


def _middle(bucket: int) -> float:
    exponent, step = divmod(bucket, _STEPS)
    return math.ldexp(0.5 + (step + 0.5) / (2 * _STEPS), exponent)


class Meter:
    """The running counts of one node.

    Attributes:
        received: Calls' worth of input taken.
        sent: Items sent on (of a sink: results).
        skipped: Items dropped by ``SKIP``.
        failed: Items given up.
        retried: Attempts made again.
        state: `BUSY`, `WAITING` or `BLOCKED`, since ``since``.
        spent: Seconds in each state, up to ``since``. Calls that do not suspend change no state.
        tempo: Seconds that such a call took when they were last timed; None when they never were.
        flown: How many there have been since then.
        flew: Seconds that all the earlier ones took.
    """

    __slots__ = (
        "failed",
        "flew",
        "flown",
        "latency",
        "received",
        "retried",
        "sent",
        "since",
        "skipped",
        "spent",
        "state",
        "tempo",
    )

    def __init__(self, now: float) -> None:
        self.received = 0
        self.sent = 0
        self.skipped = 0
        self.failed = 0
        self.retried = 0
        self.state = WAITING
        self.since = now
        self.spent = [0.0, 0.0, 0.0]
        self.tempo: float | None = None
        self.flown = 0
        self.flew = 0.0
        self.latency: Latency | None = None

    def measured(self, seconds: float, calls: int = 1) -> None:
        """One call took so long, or each of several."""
        if self.latency is None:
            self.latency = Latency()
        self.latency.add(seconds, calls)

    def enter(self, state: int, now: float) -> None:
        """The node does something else from now on."""
        self.spent[self.state] += now - self.since
        self.state = state
        self.since = now

    def time(self, calls: int, seconds: float) -> None:
        """The last ``calls`` of the calls that flew took ``seconds``."""
        if calls:
            before = (self.flown - calls) * (self.tempo or 0.0)
            self.flew += before + seconds
            self.flown = 0
            self.tempo = seconds / calls
            self.measured(self.tempo)

    def seconds_a_call(self, share: float) -> float | None:
        """The seconds that ``share`` of all calls do not exceed; None before the first."""
        measured = self.latency.quantile(share) if self.latency is not None else None
        return self.tempo if measured is None and self.received else measured

    def shares(self, elapsed: float, now: float) -> tuple[float, float, float]:
        """Fractions of ``elapsed`` seconds spent busy, waiting and blocked."""
        spent = list(self.spent)
        spent[self.state] += max(0.0, now - self.since)
        flew = self.flew + self.flown * (self.tempo or 0.0)
        for state in (WAITING, BLOCKED):  # what the node did between two flights
            part = min(flew, spent[state])
            spent[state] -= part
            spent[BUSY] += part
            flew -= part
        total = max(elapsed, 1e-9)
        busy, waiting, blocked = (min(1.0, seconds / total) for seconds in spent)
        return busy, waiting, blocked


@dataclass(frozen=True, slots=True)
class NodeStatistics:
    """One node at one moment.

    Attributes:
        state: ``starting``, ``waiting``, ``busy``, ``blocked``, ``paused`` or ``ended``.
        received: Calls' worth of input taken since the start.
        sent: Items sent on since the start (of a sink: results).
        skipped, failed, retried: Items dropped by ``SKIP``, items given up, attempts repeated.
        in_flight: Calls running now.
        held: Results finished but not sent yet, for want of their turn or of room.
        busy, waiting, blocked: Shares of the time since the start.
        latency_p50, latency_p99: Seconds one call takes, retries and timeouts included. Of calls that
            never suspend some are measured, and their mean counts; so it is for ``busy``.
        progress: How far a source is, 0 to 1, where it says so.
    """

    name: str
    state: str
    received: int
    sent: int
    skipped: int
    failed: int
    retried: int
    in_flight: int
    held: int
    busy: float
    waiting: float
    blocked: float
    latency_p50: float | None
    latency_p99: float | None
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class EdgeStatistics:
    """One edge at one moment: entries ``queued`` of ``capacity``, the most there ever were, losses to overflow."""

    upstream: str
    downstream: str
    queued: int
    capacity: int
    peak: int
    dropped: int
    route: bool = False


@dataclass(frozen=True, slots=True)
class PartStatistics:
    """One part of a split graph: its host, its state, and how many seconds ago it was heard of."""

    host: str
    state: str
    age: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """A whole graph at one moment.

    Attributes:
        name: The run's name.
        state: ``new``, ``joining`` (a part that waits for its place among the others), ``running``,
            ``paused``, ``draining``, ``aborting``, ``completed``, ``failed``, ``stopped`` or ``aborted``.
        elapsed: Seconds since the start, until the end.
        items_in: Items put by all sources.
        items_out: Results of all sinks.
        rate_in, rate_out: The same per second of ``elapsed``.
        nodes, edges: In the order of the dict.
        waits: When nothing moves: who waits for whom, one sentence a node. Else empty.
        parts: Of a split graph: every part that was heard of. ``name``, ``state``, ``elapsed`` and ``waits``
            are those of this part, the figures those of all.
    """

    name: str
    state: str
    elapsed: float
    items_in: int
    items_out: int
    rate_in: float
    rate_out: float
    nodes: tuple[NodeStatistics, ...]
    edges: tuple[EdgeStatistics, ...]
    waits: tuple[str, ...] = ()
    parts: tuple[PartStatistics, ...] = ()

    def node(self, name: str) -> NodeStatistics:
        """The statistics of one node; ``KeyError`` when there is none of that name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def edge(self, upstream: str, downstream: str) -> EdgeStatistics:
        """The statistics of one edge; ``KeyError`` when there is none."""
        for edge in self.edges:
            if (edge.upstream, edge.downstream) == (upstream, downstream):
                return edge
        raise KeyError((upstream, downstream))

    def to_dict(self) -> dict[str, Any]:
        """The snapshot as plain JSON-able data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Report:
    """What a finished run says.

    Attributes:
        state: ``completed``, ``failed``, ``stopped`` or ``aborted``.
        outputs: What the sinks named in ``collect`` returned, by name, in the order it was sent.
        failures: The first hundred items that were given up; ``statistics`` counts them all.
        error: What made the run fail, or None.
    """

    name: str
    state: Literal["completed", "failed", "stopped", "aborted"]
    _statistics: Statistics | Callable[[], Statistics] = field(repr=False)
    outputs: dict[str, list[Any]] = field(default_factory=dict)
    failures: tuple[FailedItem, ...] = ()
    error: BaseException | None = None

    @property
    def statistics(self) -> Statistics:
        """The last snapshot."""
        taken = self._statistics
        if not isinstance(taken, Statistics):
            # Made when somebody asks: it takes as long as all the rest of a small graph's end.
            taken = taken()
            object.__setattr__(self, "_statistics", taken)
        return taken

    @property
    def ok(self) -> bool:
        """The run came to its end and no item was given up."""
        return self.state == "completed" and not any(node.failed for node in self.statistics.nodes)

    @property
    def elapsed(self) -> float:
        """Seconds from the start to the end."""
        return self.statistics.elapsed

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data: JSON-able if the collected outputs are; errors as text."""
        return {
            "name": self.name,
            "state": self.state,
            "statistics": self.statistics.to_dict(),
            "outputs": {name: list(values) for name, values in self.outputs.items()},
            "failures": [
                {"node": f.node, "item": shortened(f.item), "error": shortened(f.error), "attempts": f.attempts}
                for f in self.failures
            ],
            "error": None if self.error is None else shortened(self.error, str, limit=2000),
        }

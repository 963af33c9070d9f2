"""What a graph of the property tests is, and a plain interpreter that says what must come out of it.

A `Case` is a graph whose coros depend on nothing but the item: `Step` says what a node does with it. The
interpreter knows nothing of tasks, channels or time: node after node it turns lists into lists. Dropped
positions are None in these lists, so that a zip pairs by position.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

from pipelines.statistics import Statistics
from pipelines.types import FailedItem

SOURCE_KINDS = ("put", "generator source", "async generator source", "list source", "fed")
YIELDING = ("generator", "async generator")


@dataclass(frozen=True, slots=True)
class Item:
    """A value that knows where it comes from.

    ``tags`` says, of every stream it belongs to, which item of that stream it descends from: a zip must
    never see two parts that disagree about a stream.
    """

    key: int
    tags: tuple[tuple[str, int], ...] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Step:
    """What a node does with one item.

    ``pass``, ``skip``, ``to`` (the downstream number ``count``), ``fail`` (after ``count`` yields), ``flaky`` (fail
    in the first ``count`` attempts), ``hang`` (until its time is out) or ``many`` (yield ``count`` items).
    """

    action: str = "pass"
    count: int = 0
    delay: float | None = None
    """Seconds to sleep first; None: do not suspend at all."""


@dataclass(frozen=True)
class NodeSpec:
    """One node of a case."""

    name: str
    kind: str
    steps: tuple[Step, ...]
    upstreams: tuple[str, ...] = ()
    feeders: tuple[str, ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)
    flat: bool = False
    """It returns the keys of its batch: which items come together depends on the schedule."""

    @property
    def is_source(self) -> bool:
        return self.kind in SOURCE_KINDS

    @property
    def zips(self) -> bool:
        return len(self.upstreams) > 1 and bool(self.properties.get("aggregate_inputs", True))

    @property
    def batch(self) -> int:
        return int(self.properties["batch"]["size"]) if "batch" in self.properties else 0

    @property
    def timed(self) -> bool:
        """How large its batches are is a matter of time."""
        return "timeout" in self.properties.get("batch", {})

    @property
    def attempts(self) -> int:
        return int(self.properties["retry"]["attempts"]) if "retry" in self.properties else 1

    @property
    def starts_stream(self) -> bool:
        """Position n of its output has nothing to do with position n of its input."""
        merges = len(self.upstreams) > 1 and not self.zips
        completion = self.properties.get("order") == "completion"
        return bool(self.is_source or merges or self.feeders or self.kind in YIELDING or completion or self.batch)

    def step_for(self, key: int) -> Step:
        return self.steps[key % len(self.steps)]


@dataclass(frozen=True)
class Case:
    """A graph; ``nodes`` stand with upstreams first, ``order`` is the order of their names in the dict."""

    nodes: tuple[NodeSpec, ...]
    order: tuple[str, ...]
    lengths: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> dict[str, NodeSpec]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def downstreams(self) -> dict[str, tuple[str, ...]]:
        """The downstreams of every node, in the order of the dict."""
        return {name: tuple(each for each in self.order if name in self.by_name[each].upstreams) for name in self.order}

    @property
    def sources(self) -> list[NodeSpec]:
        return [node for node in self.nodes if node.is_source]

    @property
    def sinks(self) -> list[str]:
        return [name for name in self.order if not self.downstreams[name]]

    def upstreams(self, node: NodeSpec) -> list[str]:
        """The upstreams in the order in which their items stand in ``q_elt``."""
        return [name for name in self.order if name in node.upstreams]

    def target(self, node: NodeSpec, step: Step) -> str:
        downstreams = self.downstreams[node.name]
        return downstreams[step.count % len(downstreams)]

    def shape(self, source: str) -> dict[str, bool]:
        """The sinks that ``source`` reaches, and whether one item of it may give several results there."""
        several = {source: False}
        for node in self.nodes:
            reached = [several[name] for name in node.upstreams if name in several]
            if reached:
                merges = len(reached) > 1 and not node.zips
                several[node.name] = any(reached) or merges or node.kind in YIELDING
        return {name: several[name] for name in self.sinks if name in several}

    @cached_property
    def exact(self) -> dict[str, bool]:
        """By node: whether its output has the same order in every run."""
        exact: dict[str, bool] = {}
        for node in self.nodes:
            inputs = [*node.upstreams, *node.feeders]
            in_order = node.zips or len(inputs) <= 1
            completion = node.properties.get("order") == "completion"
            exact[node.name] = in_order and not completion and all(exact[name] for name in inputs)
        return exact


@dataclass
class Counts:
    """The counters of one node."""

    received: int = 0
    sent: int = 0
    skipped: int = 0
    failed: int = 0
    retried: int = 0


def digest(*parts: object) -> int:
    """A number that is the same for the same parts, in every run."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=7).digest(), "big")


def key_of(value: Any) -> int:
    """The number that says what a node does with ``value``."""
    if isinstance(value, Item):
        return value.key
    if isinstance(value, FailedItem):
        return digest("failed", value.node, value.attempts, key_of(value.item))
    assert isinstance(value, list | tuple), value
    return digest(*map(key_of, value))


def made_by(node: NodeSpec, q_elt: Sequence[Any], number: int = 0) -> Item:
    """What ``node`` makes of ``q_elt``; generators make several, by ``number``."""
    key = digest(node.name, number, *map(key_of, q_elt))
    if node.starts_stream:
        return Item(key, ((node.name, key),))
    return Item(key, tuple(sorted(set(chain.from_iterable(part.tags for part in q_elt)))))


def first_of(source: NodeSpec, position: int) -> Item:
    """What a source puts at ``position``."""
    return Item(digest(source.name, position), ((source.name, position),))


def is_consistent(q_elt: Sequence[Item]) -> bool:
    """Whether the parts of a zip descend from the same items (P3).

    Parts of different sources pair by position, which is what the tag of a source's stream is.
    """
    tags = set(chain.from_iterable(part.tags for part in q_elt))
    shared = set.intersection(*({stream for stream, _ in part.tags} for part in q_elt))
    if not shared:
        return len({position for _, position in tags}) == 1
    return len({stream for stream, _ in tags}) == len(tags)


Positions = list[Any]
"""What stands on an edge: values, and None where something was dropped."""


def positions_put(case: Case, statistics: Statistics) -> dict[str, range]:
    """What each source has put, by its counters."""
    counts = {node.name: statistics.node(node.name) for node in case.sources}
    return {name: range(node.sent + node.skipped + node.failed) for name, node in counts.items()}


class Reference:
    """Works a case out.

    Args:
        case: The graph.
        positions: What the sources put; if left out, everything.
        cut: The sources may have been stopped anywhere: a zip ends with its shortest input.
    """

    def __init__(self, case: Case, positions: Mapping[str, Sequence[int]] | None = None, *, cut: bool = False) -> None:
        self.case = case
        self.cut = cut
        self.positions = positions or {name: range(length) for name, length in case.lengths.items()}
        self.counts: dict[str, Counts] = {node.name: Counts() for node in case.nodes}
        self.outputs: dict[str, list[Any]] = {name: [] for name in case.sinks}
        self.has_failure = False
        self._edges: dict[tuple[str, str], Positions] = {}
        self._failed: dict[str, list[FailedItem]] = {node.name: [] for node in case.nodes}
        for node in case.nodes:
            for downstream in case.downstreams[node.name]:
                self._edges[node.name, downstream] = []
            self._work(node)

    def _work(self, node: NodeSpec) -> None:
        if node.is_source:
            for position in self.positions[node.name]:
                self._call(node, (first_of(node, position),), node.step_for(position))
            self.counts[node.name].received = 0
            return
        for q_elt in self._batched(node, self._tuples(node)):
            if q_elt is None:
                self._drop(node)
            else:
                self._call(node, q_elt, node.step_for(digest(*map(key_of, q_elt))))

    def _tuples(self, node: NodeSpec) -> Iterable[tuple[Any, ...] | None]:
        columns = [self._edges[upstream, node.name] for upstream in self.case.upstreams(node)]
        if node.zips:
            return [None if None in row else row for row in zip(*columns, strict=not self.cut)]
        columns += [self._failed[feeder] for feeder in node.feeders]
        return [None if value is None else (value,) for value in chain.from_iterable(columns)]

    def _batched(self, node: NodeSpec, rows: Iterable[tuple[Any, ...] | None]) -> Iterable[tuple[Any, ...] | None]:
        if not node.batch:
            return rows
        whole = [row for row in rows if row is not None]
        parts = [whole[start : start + node.batch] for start in range(0, len(whole), node.batch)]
        return [tuple(map(list, zip(*part, strict=True))) for part in parts]

    # One call.

    def _call(self, node: NodeSpec, q_elt: tuple[Any, ...], step: Step) -> None:
        counts = self.counts[node.name]
        counts.received += 1
        if step.action == "flaky":
            counts.retried += step.count
        if step.action in ("fail", "hang"):
            if node.kind in YIELDING:
                self._send_many(node, q_elt, step.count)
            self._fail(node, q_elt, step)
        elif step.action == "skip":
            counts.skipped += 1
            self._drop(node)
        elif step.action == "many":
            self._send_many(node, q_elt, step.count)
        elif node.flat:
            self._send(node, [key_of(value) for value in q_elt[0]])
        else:
            target = self.case.target(node, step) if step.action == "to" else None
            self._send(node, q_elt[0] if node.is_source else made_by(node, q_elt), target)

    def _send_many(self, node: NodeSpec, q_elt: tuple[Any, ...], count: int) -> None:
        for number in range(count):
            self._send(node, made_by(node, q_elt, number))

    def _send(self, node: NodeSpec, value: Any, target: str | None = None) -> None:
        self.counts[node.name].sent += 1
        downstreams = self.case.downstreams[node.name]
        for downstream in downstreams:
            self._edges[node.name, downstream].append(value if target in (None, downstream) else None)
        if not downstreams:
            self.outputs[node.name].append(value)

    def _drop(self, node: NodeSpec) -> None:
        for downstream in self.case.downstreams[node.name]:
            self._edges[node.name, downstream].append(None)

    def _fail(self, node: NodeSpec, q_elt: tuple[Any, ...], step: Step) -> None:
        self.has_failure = True
        counts = self.counts[node.name]
        attempts = node.attempts if not (node.kind in YIELDING and step.count) else 1
        counts.failed += 1
        counts.retried += attempts - 1
        item = q_elt[0] if len(q_elt) == 1 else q_elt
        self._failed[node.name].append(FailedItem(item, node.name, ValueError(), attempts))
        self._drop(node)

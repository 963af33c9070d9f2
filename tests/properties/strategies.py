"""Draws random graphs that are valid and cannot deadlock, for the property tests of the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import hypothesis
from hypothesis import strategies as st

from .reference import SOURCE_KINDS, YIELDING, Case, NodeSpec, Step

EXPLORING = hypothesis.settings().derandomize is False
"""Whether the nightly profile is on: ``HYPOTHESIS_PROFILE=explore pytest --timeout 0 -o faulthandler_timeout=0``."""


def examples(count: int) -> hypothesis.settings:
    """The settings of a property that is tried with ``count`` graphs.

    Nightly it is tried with other graphs every time, 30 times as many, and what fails is made small. In the gate a
    failing graph is told as it is: making it small would take longer than a test may.
    """
    if EXPLORING:
        return hypothesis.settings(max_examples=count * 30)
    return hypothesis.settings(max_examples=count, phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate))


DELAYS = (None, None, None, 0.0, 0.001, 0.5, 7.0)
SHORT_DELAYS = (None, None, 0.0, 0.001)

PALETTE = {
    "put": ("pass", "pass", "pass", "skip", "to", "fail"),
    "generator source": ("pass", "pass", "pass", "skip", "to"),
    "async generator source": ("pass", "pass", "pass", "skip", "to"),
    "list source": ("pass", "pass", "skip", "to"),
    "fed": ("pass", "pass", "pass", "skip", "to"),
    "async": ("pass", "pass", "pass", "pass", "skip", "to", "fail", "flaky", "hang"),
    "function": ("pass", "pass", "pass", "skip", "to", "fail", "flaky"),
    "thread": ("pass", "pass", "skip", "fail"),
    "generator": ("many", "many", "many", "skip", "to", "fail", "flaky"),
    "async generator": ("many", "many", "many", "skip", "to", "fail", "flaky", "hang"),
}
"""What nodes of each kind may do with an item; ``to`` only where there is a downstream."""

KINDS = ("async", "async", "async", "function", "function", "async generator", "generator")
CAN_SLEEP = ("put", "async generator source", "fed", "async", "async generator")
ATTEMPTS = 3
TIMEOUT = 20.0


@dataclass(frozen=True)
class Shape:
    """Which of the many things random graphs may contain."""

    max_nodes: int = 12
    max_sources: int = 3
    source_kinds: tuple[str, ...] = SOURCE_KINDS
    batches: bool = True
    threads: bool = False
    max_items: int = 15
    independent: bool = True
    overflow: bool = False
    real_time: bool = False
    """Runs in seconds that pass: short delays, no rates, no pauses before a retry, nothing that times out."""


@dataclass(frozen=True)
class _Output:
    """What is known of a node's output while a graph is being drawn."""

    streams: frozenset[str]
    of_sources: bool  # position n of it is position n of sources
    exact: bool


class _Drawing:
    """A graph half-way."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any], shape: Shape) -> None:
        self.draw = draw
        self.shape = shape
        self.nodes: list[NodeSpec] = []
        self.outputs: dict[str, _Output] = {}
        self.ends: set[str] = set()  # nodes that must stay sinks
        self.routing: list[str] = []  # nodes that still look for a dead-letter node

    def source(self) -> None:
        kind = self.draw(st.sampled_from(self.shape.source_kinds))
        node = NodeSpec(f"s{len(self.nodes)}", kind, self._steps(kind), properties=self._rate())
        if any(step.action == "fail" for step in node.steps):
            node = self._with_policy(node)
        self.nodes.append(node)
        self.outputs[node.name] = _Output(frozenset({node.name}), of_sources=True, exact=True)

    def inner(self) -> None:
        kind = self.draw(st.sampled_from(KINDS + (("thread", "thread") if self.shape.threads else ())))
        feeders = [name for name in self.routing if self.draw(st.booleans())]
        upstreams = self._upstreams(0 if feeders else 1)
        self.routing = [name for name in self.routing if name not in feeders]
        node = NodeSpec(f"n{len(self.nodes)}", kind, self._steps(kind), tuple(upstreams), tuple(feeders))
        node = self._with_properties(node)
        self.nodes.append(node)
        self.outputs[node.name] = self._output(node)

    def _upstreams(self, least: int) -> list[str]:
        names = [node.name for node in self.nodes if node.name not in self.ends]
        count = self.draw(st.integers(least, 3))
        if count == 0:
            return []
        first = self.draw(st.sampled_from(names))
        if self.draw(st.booleans()):  # among those it can be zipped with
            names = [name for name in names if self.outputs[name].streams & self.outputs[first].streams]
        rest = [name for name in names if name != first]
        count = min(count - 1, len(rest))
        others = self.draw(st.lists(st.sampled_from(rest), min_size=count, max_size=count, unique=True)) if rest else []
        return [first, *others]

    def _steps(self, kind: str) -> tuple[Step, ...]:
        step = st.builds(
            Step,
            st.sampled_from([action for action in PALETTE[kind] if not (self.shape.real_time and action == "hang")]),
            st.integers(0, 3 if kind in YIELDING else 2),
            st.sampled_from(SHORT_DELAYS if self.shape.real_time else DELAYS) if kind in CAN_SLEEP else st.none(),
        )
        first = Step("many", 2) if kind in YIELDING else Step()  # so that something comes through most graphs
        return (first, *map(_sensible, self.draw(st.lists(step, min_size=1, max_size=3))))

    def _rate(self) -> dict[str, Any]:
        return {"rate": 10} if not self.shape.real_time and self.draw(st.integers(0, 15)) == 15 else {}

    def _with_policy(self, node: NodeSpec) -> NodeSpec:
        if self.draw(st.booleans()):
            self.routing.append(node.name)
        return replace(node, properties={**node.properties, "on_error": "skip"})

    def _with_properties(self, node: NodeSpec) -> NodeSpec:
        draw, actions = self.draw, {step.action for step in node.steps}
        properties: dict[str, Any] = {
            "queue_size": draw(st.integers(1, 5)),
            "concurrency": draw(st.integers(1, 8)),
            **self._rate(),
        }
        if len(node.upstreams) > 1 and not (self._can_zip(node) and draw(st.integers(0, 3)) < 3):
            properties["aggregate_inputs"] = False
        if draw(st.integers(0, 5)) == 5:
            properties["order"] = "completion"
        if "flaky" in actions or ("fail" in actions and draw(st.booleans())):
            properties["retry"] = {"attempts": ATTEMPTS, "backoff": 0 if self.shape.real_time else 0.5, "jitter": False}
        if "hang" in actions:
            properties["timeout"] = TIMEOUT
        if node.kind == "thread":
            properties["executor"] = "thread"
        if self.shape.overflow:
            properties["overflow"] = draw(st.sampled_from(("drop_new", "drop_old", "block")))
        node = replace(node, properties=properties)
        if actions & {"fail", "hang"}:
            node = self._with_policy(node)
        return self._with_batch(node)

    def _with_batch(self, node: NodeSpec) -> NodeSpec:
        if not self.shape.batches or node.kind in YIELDING or self.draw(st.integers(0, 7)) < 7:
            return node
        batch: dict[str, Any] = {"size": self.draw(st.integers(1, 4))}
        if not self.shape.real_time and self.draw(st.integers(0, 3)) == 3:
            batch["timeout"] = 0.4
        elif self._inputs(node).exact:
            return replace(node, properties={**node.properties, "batch": batch})
        # Which items come together is a matter of chance: the node must be the end, and zip nothing.
        self.ends.add(node.name)
        self.routing = [name for name in self.routing if name != node.name]
        kept = ("queue_size", "concurrency", "rate", "order", "executor")
        properties = {key: value for key, value in node.properties.items() if key in kept} | {"batch": batch}
        if len(node.upstreams) > 1:
            properties["aggregate_inputs"] = False
        return replace(node, steps=(Step(),), properties=properties, flat=True)

    def _can_zip(self, node: NodeSpec) -> bool:
        if node.feeders:
            return False
        inputs = [self.outputs[name] for name in node.upstreams]
        # Other zips of independent streams are valid, but their order is not defined, or they may deadlock.
        aligned = self.shape.independent and all(each.of_sources and each.exact for each in inputs)
        return aligned or bool(frozenset.intersection(*(each.streams for each in inputs)))

    def _inputs(self, node: NodeSpec) -> _Output:
        inputs = [self.outputs[name] for name in (*node.upstreams, *node.feeders)]
        in_order = node.zips or len(inputs) <= 1
        return _Output(
            frozenset().union(*(each.streams for each in inputs)),
            all(each.of_sources for each in inputs),
            in_order and all(each.exact for each in inputs),
        )

    def _output(self, node: NodeSpec) -> _Output:
        inputs = self._inputs(node)
        exact = inputs.exact and node.properties.get("order") != "completion"
        if node.starts_stream:
            return _Output(frozenset({node.name}), of_sources=False, exact=exact)
        return replace(inputs, exact=exact)


def _sensible(step: Step) -> Step:
    if step.action == "flaky":
        return replace(step, count=1 + step.count % (ATTEMPTS - 1))
    if step.action == "hang":
        return replace(step, count=0)
    return step


@st.composite
def cases(draw: Callable[[st.SearchStrategy[Any]], Any], shape: Shape = Shape()) -> Case:
    """A valid graph and the lengths of its sources."""
    drawing = _Drawing(draw, shape)
    sources = draw(st.integers(1, shape.max_sources))
    for _ in range(sources):
        drawing.source()
    for _ in range(draw(st.integers(1, shape.max_nodes - sources))):
        drawing.inner()
    length = draw(st.sampled_from((shape.max_items, 7, 3, 1, 0)))
    nodes = _wired(drawing)
    return Case(
        tuple(nodes),
        tuple(draw(st.permutations([node.name for node in nodes]))),
        {node.name: length for node in nodes if node.is_source},
    )


def _wired(drawing: _Drawing) -> list[NodeSpec]:
    """Routes set where a dead-letter node was found, and no ``to`` where there is no downstream."""
    routes = {feeder: node.name for node in drawing.nodes for feeder in node.feeders}
    inner = {upstream for node in drawing.nodes for upstream in node.upstreams}
    wired = []
    for node in drawing.nodes:
        if node.name in routes:
            node = replace(node, properties={**node.properties, "on_error": {"route": routes[node.name]}})
        if node.name not in inner:
            steps = tuple(replace(step, action="skip") if step.action == "to" else step for step in node.steps)
            node = replace(node, steps=steps)
        wired.append(node)
    return wired

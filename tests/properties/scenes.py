"""Ten small graphs that use everything the engine offers, for tests that disturb a run at every moment."""

from __future__ import annotations

from typing import Any

from .reference import Case, NodeSpec, Step

PASS, SKIPPED = Step(), Step("skip")
SLEEPS, SLEEPS_LONG, YIELDS_TO_THE_LOOP = Step(delay=0.3), Step(delay=1.0), Step(delay=0.0)
RETRY = {"attempts": 3, "backoff": 0.5, "jitter": False}


def node(name: str, kind: str, *steps: Step, after: str = "", feeders: str = "", **properties: Any) -> NodeSpec:
    """A node behind the nodes named in ``after``."""
    if not kind.endswith("source") and kind not in ("put", "fed"):
        properties = {"queue_size": 2, "concurrency": 3} | properties
    return NodeSpec(name, kind, steps or (PASS,), tuple(after.split()), tuple(feeders.split()), properties)


def scene(*nodes: NodeSpec, length: int = 9) -> Case:
    """The nodes as a case, in which every source puts ``length`` times."""
    lengths = {each.name: length for each in nodes if each.is_source}
    return Case(nodes, tuple(each.name for each in nodes), lengths)


SCENES = {
    "suspending chain": scene(
        node("in", "put", PASS, SLEEPS),
        node("a", "async", SLEEPS, PASS, after="in"),
        node("b", "function", PASS, SKIPPED, after="a", queue_size=1),
        node("c", "async", SLEEPS_LONG, YIELDS_TO_THE_LOOP, after="b", concurrency=2),
    ),
    "quick chain": scene(
        node("in", "generator source", PASS, PASS, SKIPPED),
        node("a", "function", PASS, after="in"),
        node("b", "async", PASS, Step("fail"), after="a", on_error="skip", queue_size=1),
        node("c", "function", PASS, after="b", concurrency=1),
        length=30,
    ),
    "diamond": scene(
        node("in", "async generator source", PASS, YIELDS_TO_THE_LOOP, SLEEPS),
        node("a", "async", SLEEPS, SKIPPED, PASS, after="in"),
        node("b", "function", PASS, PASS, SKIPPED, after="in", queue_size=1),
        node("zip", "async", PASS, SLEEPS, after="a b in"),
    ),
    "two sources": scene(
        node("left", "put", SLEEPS),
        node("right", "async generator source", PASS, SLEEPS_LONG),
        node("a", "async", PASS, YIELDS_TO_THE_LOOP, SKIPPED, after="left"),
        node("zip", "async", PASS, SLEEPS, after="a right"),
    ),
    "merge": scene(
        node("fed", "fed", PASS, SLEEPS),
        node("in", "put", PASS, SLEEPS),
        node("a", "async", SLEEPS, PASS, after="in", order="completion"),
        node("merge", "async", PASS, SLEEPS, SKIPPED, after="a fed in", aggregate_inputs=False),
    ),
    "generators": scene(
        node("in", "list source"),
        node("a", "async generator", Step("many", 2, 0.3), Step("many", 0), Step("many", 3), after="in"),
        node("b", "generator", Step("many", 2), Step("fail", 1), after="a", on_error="skip", queue_size=1),
        node("c", "async", PASS, SLEEPS, after="a"),
        node("zip", "function", PASS, after="a c"),
        length=6,
    ),
    "batches": scene(
        node("in", "put", PASS, YIELDS_TO_THE_LOOP),
        node("a", "async", PASS, SLEEPS, after="in", batch={"size": 3}),
        node("b", "function", PASS, after="a", rate=5),
        length=14,
    ),
    "failures": scene(
        node("in", "put", PASS, PASS, Step("fail"), on_error={"route": "dead"}),
        node("a", "async", PASS, Step("flaky", 2), Step("hang"), after="in", retry=RETRY, timeout=2.0, on_error="skip"),
        node("b", "async generator", Step("many", 1), Step("fail"), after="a", on_error={"route": "dead"}),
        node("dead", "async", PASS, SLEEPS, feeders="in b"),
    ),
    "directed": scene(
        node("fed", "fed", PASS, SLEEPS),
        node("a", "async", Step("to", 0), Step("to", 1), PASS, SLEEPS, after="fed"),
        node("b", "async", PASS, SLEEPS, after="a"),
        node("c", "function", PASS, after="a", queue_size=1),
        node("zip", "function", PASS, after="b c"),
    ),
    "paced": scene(
        node("in", "put", rate=3),
        node("a", "function", PASS, after="in", rate=2, concurrency=1),
        node("b", "async", SLEEPS_LONG, after="a", concurrency=1, queue_size=1),
        length=5,
    ),
}

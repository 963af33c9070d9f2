"""haystack: components joined to a pipeline that is run once for every input, made for language models."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when it is imported

from haystack import Pipeline, component

from ..bodies import SKIPPED
from ..jobs import Chain, Dag, Diamond, RoundTrips, SkippingDiamond

ABOUT = (
    "A `component` for each node and one `Pipeline.run_async` (for plain functions `run`) for each item; "
    "telemetry off. A run holds one item: there is nothing to buffer."
)
DISTRIBUTION = "haystack-ai"
_ONE = "a run holds one item; many at once are the caller's work"
CANNOT = {
    "sleep_ordered": _ONE,
    "sleep_unordered": _ONE,
    "memory": "a run holds one item: nothing waits anywhere",
    "latency_put": "no way to put an item in: a run takes all its input (see latency_submit)",
    "options": "no such options",
}
SHARE = {"chain1": 0.02, "chain5": 0.02, "chain20": 0.02, "plain5": 0.02, "diamond": 0.05, "polite": 0.5}

Function = Callable[..., Any]


@component
class _Node:
    def __init__(self, call: Function, plain: Function | None) -> None:
        self._call = call
        self._plain = plain

    @component.output_types(value=object)
    def run(self, value: object) -> dict[str, Any]:
        assert self._plain is not None
        return {"value": self._plain(value)}

    @component.output_types(value=object)
    async def run_async(self, value: object) -> dict[str, Any]:
        result = await self._call(value)
        return {} if result is SKIPPED else {"value": result}


@component
class _Pair:
    def __init__(self, call: Function) -> None:
        self._call = call

    @component.output_types()
    def run(self, left: object, right: object) -> dict[str, Any]:
        raise NotImplementedError("run asynchronously")

    @component.output_types()
    async def run_async(self, left: object, right: object) -> dict[str, Any]:
        await self._call(left, right)
        return {}


@component
class _Sum:
    def __init__(self, plain: Function, inputs: int) -> None:
        self._plain = plain
        component.set_input_types(self, **{f"x{number}": object for number in range(inputs)})

    @component.output_types(value=object)
    def run(self, **xs: int) -> dict[str, int]:
        return {"value": self._plain(list(xs.values()))}


def _same(x: int) -> int:
    return x


def _chain(bodies: list[tuple[Function, Function | None]]) -> Pipeline:
    pipeline = Pipeline()
    for number, body in enumerate(bodies):
        pipeline.add_component(f"n{number}", _Node(*body))
    for number in range(len(bodies) - 1):
        pipeline.connect(f"n{number}.value", f"n{number + 1}.value")
    return pipeline


def _chain_of(job: Chain) -> Pipeline:
    return _chain([*[(job.node.call, job.node.plain)] * (job.depth - 1), (job.sink.call, job.sink.plain)])


async def chain(job: Chain) -> None:
    """A component per node, a run per item."""
    pipeline = _chain_of(job)
    for x in range(job.items):
        await pipeline.run_async({"n0": {"value": x}})


def plain(job: Chain) -> None:
    """The same without an event loop."""
    pipeline = _chain_of(job)
    for x in range(job.items):
        pipeline.run({"n0": {"value": x}})


async def _diamond(items: int, left: Function, right: Function, pair: Function) -> None:
    pipeline = Pipeline()
    pipeline.add_component("left", _Node(left, None))
    pipeline.add_component("right", _Node(right, None))
    pipeline.add_component("pair", _Pair(pair))
    pipeline.connect("left.value", "pair.left")
    pipeline.connect("right.value", "pair.right")
    for x in range(items):
        await pipeline.run_async({"left": {"value": x}, "right": {"value": x}})


async def diamond(job: Diamond) -> None:
    """Two components that are given the item, and one with two inputs."""
    await _diamond(job.items, job.left.call, job.right.call, job.pair.call)


async def diamond_skips(job: SkippingDiamond) -> None:
    """The same; a component that gives nothing leaves the one behind it out."""
    await _diamond(job.items, job.left().call, job.right.call, job.pair.call)


def dag(job: Dag) -> None:
    """A component per node, a run per item."""
    pipeline = Pipeline()
    pipeline.add_component("n0", _Node(_same, _same))
    for number in range(1, job.nodes):
        plain = job.bodies[number].plain
        assert plain is not None
        pipeline.add_component(f"n{number}", _Sum(plain, len(job.upstreams[number])))
        for position, upstream in enumerate(job.upstreams[number]):
            pipeline.connect(f"n{upstream}.value", f"n{number}.x{position}")
    for x in range(job.items):
        pipeline.run({"n0": {"value": x}})


async def latency_submit(job: RoundTrips) -> None:
    """A run gives its result."""
    pipeline = _chain([(job.node.call, None)] * job.depth)

    async def send(x: int) -> Any:
        result = await pipeline.run_async({"n0": {"value": x}})
        return result[f"n{job.depth - 1}"]["value"]

    await job.drive(send)

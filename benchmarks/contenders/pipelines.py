"""`pipelines`: this library, through its public names, as its users get it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pipelines
from pipelines import SKIP, Graph, Plumber

from ..away import made_coro, spin_coro, total_coro, twist_coro
from ..jobs import (
    BUFFER,
    Chain,
    Cores,
    Dag,
    Diamond,
    Edge,
    Graphs,
    Hops,
    RayChain,
    RoundTrips,
    SkippingDiamond,
    Sleep,
    Variant,
)

ABOUT = (
    f"This library: `Plumber(dict).run()` with its defaults (up to 64 calls of a node at once, results in the order "
    f"of the input, bounded channels, statistics on) and `queue_size` {BUFFER}. Sources are functions that return an "
    "iterable, but where a work is about putting. Sleeping nodes have `concurrency` 500."
)
DISTRIBUTION: str | None = None
VERSION = pipelines.__version__

Coro = Callable[..., Any]
DEFAULTS: Mapping[str, Any] = {"queue_size": BUFFER}
OPTION_PROPERTIES: Mapping[str, dict[str, Any]] = {"timeout": {"timeout": 60.0}, "retry": {"retry": {"attempts": 3}}}
READS_PER_SECOND = 50


def _source(items: int) -> Coro:
    def source(self: Any) -> range:
        return range(items)

    return source


def _line(coros: Sequence[Coro | None]) -> dict[str, Any]:
    """The dict of nodes one behind the other; None is a source that the program feeds."""
    names = [f"n{number}" for number in range(len(coros))]
    return {
        "nodes": {name: {} if coro is None else {"coro": coro} for name, coro in zip(names, coros, strict=True)},
        "graph": {name: [after] for name, after in pairwise(names)},
    }


def _chain_of(job: Chain) -> dict[str, Any]:
    return _line([_source(job.items), *[job.node.coro] * (job.depth - 1), job.sink.coro])


async def chain(job: Chain) -> None:
    """A source and async functions, one behind the other."""
    await Plumber(_chain_of(job), defaults=DEFAULTS).run()


async def chain_put(job: Chain) -> None:
    """The same, from a source that puts."""

    async def source(self: Any, output_q: Any) -> None:
        for x in range(job.items):
            await output_q.put(x)

    await Plumber(_line([source, *[job.node.coro] * (job.depth - 1), job.sink.coro]), defaults=DEFAULTS).run()


async def plain(job: Chain) -> None:
    """A source and plain functions, one behind the other."""
    coros = [_source(job.items), *[job.node.plain_coro] * (job.depth - 1), job.sink.plain_coro]
    await Plumber(_line(coros), defaults=DEFAULTS).run()


async def _diamond(items: int, left: Coro, right: Coro, pair: Coro) -> None:
    nodes = {"source": _source(items), "left": left, "right": right, "pair": pair}
    graph = {
        "nodes": {name: {"coro": coro} for name, coro in nodes.items()},
        "graph": {"source": ["left", "right"], "left": ["pair"], "right": ["pair"]},
    }
    await Plumber(graph, defaults=DEFAULTS).run()


async def diamond(job: Diamond) -> None:
    """Two branches that are zipped, as several upstreams are by default."""
    await _diamond(job.items, job.left.coro, job.right.coro, job.pair.coro)


async def diamond_skips(job: SkippingDiamond) -> None:
    """The same; one branch returns `SKIP` for what it drops."""
    await _diamond(job.items, job.left(SKIP).coro, job.right.coro, job.pair.coro)


async def _sleep(job: Sleep, order: str) -> None:
    graph = _line([_source(job.items), job.node.coro, job.sink.coro])
    graph["nodes"]["n1"]["properties"] = {"concurrency": job.concurrency, "order": order}
    await Plumber(graph, defaults=DEFAULTS).run()


async def sleep_ordered(job: Sleep) -> None:
    """A node with the concurrency that was asked for."""
    await _sleep(job, "input")


async def sleep_unordered(job: Sleep) -> None:
    """The same, with its results in the order in which they come."""
    await _sleep(job, "completion")


def prepare_dag(job: Dag) -> dict[str, Any] | Graph:
    """The dict, as it would be read from a file; parsed where that was asked for."""
    coros = [_source(job.items), *(body.coro for body in job.bodies[1:])]
    description = {
        "nodes": {f"n{number}": {"coro": coro} for number, coro in enumerate(coros)},
        "graph": {f"n{number}": [f"n{after}" for after in job.downstreams[number]] for number in range(job.nodes)},
    }
    return Graph.parse(description, defaults=DEFAULTS) if job.parsed else description


async def dag(job: Dag) -> None:
    """The whole graph as one dict."""
    await Plumber(job.prepared, defaults=None if job.parsed else DEFAULTS).run()


async def graphs(job: Graphs) -> None:
    """A `Plumber` for each graph: of one parsed `Graph`, or each of a dict of its own."""
    if not job.parsed:
        runs = [Plumber(_chain_of(job.chain()), defaults=DEFAULTS).run() for _ in range(job.count)]
    else:
        graph = Graph.parse(_chain_of(job.chain()), defaults=DEFAULTS)
        runs = [Plumber(graph).run() for _ in range(job.count)]
    await asyncio.gather(*runs)


def _idle_chain(job: RoundTrips) -> Plumber:
    return Plumber(_line([None, *[job.node.coro] * job.depth]), defaults=DEFAULTS)


async def latency_put(job: RoundTrips) -> None:
    """`Plumber.put` into a source without coro, `Plumber.stream` at the sink."""
    async with _idle_chain(job) as plumber, plumber.stream(f"n{job.depth}") as results:

        async def send(x: int) -> Any:
            await plumber.put("n0", x)
            return await anext(results)

        await job.drive(send)


async def latency_submit(job: RoundTrips) -> None:
    """`Plumber.submit`."""
    async with _idle_chain(job) as plumber:
        await job.drive(plumber.submit)


async def options(job: Variant) -> None:
    """The chain, with an option that is set and never needed."""
    properties = OPTION_PROPERTIES.get(job.option or "", {})
    hooks = [lambda event: None] if job.option == "hooks" else []
    plumber = Plumber(_chain_of(job.chain), defaults={**DEFAULTS, **properties}, hooks=hooks)
    if job.option == "statistics":
        await _run_while_read(plumber)
    else:
        await plumber.run()


async def _run_while_read(plumber: Plumber) -> None:
    async def read() -> None:
        while True:
            plumber.statistics()
            await asyncio.sleep(1 / READS_PER_SECOND)

    reader = asyncio.create_task(read())
    try:
        await plumber.run()
    finally:
        reader.cancel()


def _away(coro: Coro, executor: str, **args: Any) -> dict[str, Any]:
    return {"coro": coro, "args": args, "properties": {"executor": executor}}


async def _through(source: Coro, nodes: list[dict[str, Any]], executor: Any = None) -> list[Any]:
    names = [f"n{number}" for number in range(len(nodes))]
    graph = {
        "nodes": {"in": {"coro": source}, **dict(zip(names, nodes, strict=True))},
        "graph": {name: [after] for name, after in pairwise(["in", *names])},
    }
    executors = {"mine": executor} if executor is not None else None
    report = await Plumber(graph, executors=executors).run(collect=names[-1:])
    return report.outputs[names[-1]]


async def cores(job: Cores) -> None:
    """A node on the executor of processes, which were there before."""
    from pipelines.executors.process import ProcessExecutor

    node = _away(spin_coro, "mine", seconds=job.spin)
    async with ProcessExecutor(job.workers) as executor:
        await _through(_source(200), [node], executor)
        with job.timed():
            job.recorded.extend(await _through(_source(job.items), [node], executor))


async def hops(job: Hops) -> None:
    """A node on an executor of one process."""
    from pipelines.executors.process import ProcessExecutor

    given = list(job.arrays())
    async with ProcessExecutor(1) as executor:
        await _through(lambda self: given[:2], [_away(total_coro, "mine")], executor)
        with job.timed():
            job.recorded.extend(await _through(lambda self: given, [_away(total_coro, "mine")], executor))


async def ray_chain(job: RayChain) -> None:
    """Three nodes on Ray, which keeps the values between them; a node in the loop between two has them come back."""
    from pipelines.executors.ray import RayExecutor

    nodes = [_away(made_coro, "mine", megabytes=job.megabytes), _away(twist_coro, "mine"), _away(total_coro, "mine")]
    if job.back:
        here = {"coro": lambda self, q_elt: q_elt[0]}
        nodes = [nodes[0], here, nodes[1], here, nodes[2]]
    async with RayExecutor(init={"num_cpus": 2}) as executor:
        await _through(_source(10), nodes, executor)
        with job.timed():
            job.recorded.extend(await _through(_source(job.items), nodes, executor))


async def redis_edge(job: Edge) -> None:
    """Two parts of one graph: the sending one in a process of its own."""
    from ..redis_edge import receive

    await receive(job)

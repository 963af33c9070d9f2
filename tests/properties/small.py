"""Small graphs made by hand, and a way to run them that ends."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from pipelines import Plumber, Report
from pipelines.testing import no_leaks

from .running import LONGEST, run_bounded


def chain(source: Any, *coros: Any, **properties: Any) -> dict[str, Any]:
    """``in -> n0 -> n1 ...``; without a source ``in`` is fed by the program. The properties are those of n0."""
    names = ["in", *(f"n{number}" for number in range(len(coros)))]
    nodes: dict[str, dict[str, Any]] = {name: {"coro": coro} for name, coro in zip(names[1:], coros, strict=True)}
    nodes["in"] = {} if source is None else {"coro": source}
    nodes["n0"]["properties"] = {"queue_size": 2, **properties}
    return {"nodes": nodes, "graph": {name: [after] for name, after in itertools.pairwise(names)}}


async def pass_on(processor: Any, q_elt: tuple[Any, ...]) -> Any:
    return q_elt[0]


async def later(processor: Any, q_elt: tuple[Any, ...]) -> Any:
    await asyncio.sleep(1)
    return q_elt[0]


def run(graph: dict[str, Any], **options: Any) -> tuple[Plumber, Report | BaseException]:
    """Run a graph in virtual time; what came of it, a report or an error."""
    plumber = Plumber(graph, **options)

    async def main() -> Report | BaseException:
        with no_leaks():
            async with asyncio.timeout(LONGEST):
                try:
                    return await plumber.run(collect=plumber.graph.sinks)
                except BaseException as error:
                    return error

    return plumber, run_bounded(main())

"""Small graphs and listeners that the unit tests of the engine share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from pipelines import NodeError, Plumber, Report
from pipelines.events import Event

FED: dict[str, Any] = {}
"""The entry of a source that the program feeds."""

Graph = dict[str, Any]


def node(coro: Any = None, args: dict[str, Any] | None = None, **properties: Any) -> Graph:
    """The entry of one node."""
    entry: Graph = {} if coro is None else {"coro": coro}
    if args:
        entry["args"] = args
    if properties:
        entry["properties"] = properties
    return entry


def line(**nodes: Any) -> Graph:
    """A graph in which every node feeds the next; a node is a coro or a whole entry."""
    names = list(nodes)
    return graph({name: [after] for name, after in pairwise(names)}, **nodes)


def graph(edges: Mapping[str, Sequence[str]], **nodes: Any) -> Graph:
    """A graph with these edges; a node is a coro or a whole entry."""
    entries = {name: entry if isinstance(entry, dict) else {"coro": entry} for name, entry in nodes.items()}
    return {"nodes": entries, "graph": edges}


async def same(self: Any, q_elt: tuple[Any, ...]) -> Any:
    """A coro that passes its item on, and never suspends."""
    return q_elt[0]


async def pair(self: Any, q_elt: tuple[Any, ...]) -> Any:
    """A coro that passes on all it was called with."""
    return q_elt


def sleeper(seconds: float | Callable[[Any], float]) -> Any:
    """A coro that passes its item on after a while, which may depend on the item."""

    async def sleep(self: Any, q_elt: tuple[Any, ...]) -> Any:
        await asyncio.sleep(seconds(q_elt[0]) if callable(seconds) else seconds)
        return q_elt[0]

    return sleep


def failing(*bad: Any, error: type[Exception] = ValueError) -> Any:
    """A coro that passes items on, except those on which it fails."""

    async def fail(self: Any, q_elt: tuple[Any, ...]) -> Any:
        if q_elt[0] in bad:
            raise error(f"no {q_elt[0]}")
        return q_elt[0]

    return fail


def now() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()


async def quiet() -> None:
    """Return when nothing happens any more without time passing; for virtual time."""
    await asyncio.sleep(1e-6)


async def failed(plumber: Plumber, **options: Any) -> Report:
    """Run a graph that must fail with a `NodeError`, and give its report."""
    try:
        await plumber.run(**options)
    except NodeError:
        assert plumber.report is not None
        return plumber.report
    raise AssertionError("the run did not fail")


class Listener:
    """A hook that remembers what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def story(self) -> list[str]:
        """Every event as a word, with the node's name where it is about one."""
        return [" ".join([type(each).__name__, getattr(each, "node", "")]).strip() for each in self.events]

    def of(self, kind: type[Event]) -> list[Any]:
        """The events of one kind."""
        return [each for each in self.events if type(each) is kind]

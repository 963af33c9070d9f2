"""How much a graph from a stranger may ask for."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, fields

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a graph from a stranger may ask for; more is refused, never cut down.

    Attributes:
        bytes: Length of the graph as JSON.
        values: Numbers, texts, lists and everything else in the graph, counted together.
        depth: How deep lists and objects may be nested.
        nodes: Nodes of the graph.
        edges: Edges of the graph, dead-letter routes included.
        degree: Edges into, and edges out of, one node.
        name_length: Characters in the name of a node.
        arg_bytes: Length of one node's ``args`` as JSON.
        queue_size: ``queue_size`` of a node.
        concurrency: ``concurrency`` of a node.
        batch_size: ``size`` of a node's ``batch``.
        attempts: ``attempts`` of a node's ``retry``.
        items: Items that the sources of one run may put, all together.
        seconds: How long one run may last; also the longest of any time that a node asks for.
        executors: Names of the executors that a node may ask for.

    Raises:
        ValueError: A limit is no number of at least 1, or not whole where it counts things.
    """

    bytes: int = 256 * 1024
    values: int = 20_000
    depth: int = 32
    nodes: int = 256
    edges: int = 1024
    degree: int = 64
    name_length: int = 128
    arg_bytes: int = 64 * 1024
    queue_size: int = 1024
    concurrency: int = 256
    batch_size: int = 1024
    attempts: int = 10
    items: int = 100_000
    seconds: float = 3600.0
    executors: Collection[str] = frozenset({"loop"})

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "executors":
                _check_names(value)
            elif each.name == "seconds":
                _check_seconds(value)
            elif type(value) is not int or value < 1:
                raise ValueError(f"limit {each.name} must be an integer of at least 1, not {value!r}")
        object.__setattr__(self, "executors", frozenset(self.executors))


def _check_names(names: object) -> None:
    if isinstance(names, str) or not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"limit executors must be a set of names, not {names!r}")


def _check_seconds(seconds: object) -> None:
    if type(seconds) not in (int, float) or not (isinstance(seconds, (int, float)) and 0 < seconds < math.inf):
        raise ValueError(f"limit seconds must be a number greater than 0, not {seconds!r}")

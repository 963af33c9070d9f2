"""The `Graph`: a dict that was read, found right, and frozen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ..errors import UnknownNodeError
from ..types import CoroMap, GraphDict
from . import draw, shape
from .model import CallKind, Edge, Node
from .reader import Parts, read_graph

__all__ = ["Graph", "assembled"]


@dataclass(frozen=True, slots=True, repr=False)
class Graph:
    """A valid graph: what the engine runs and the drawings show.

    Two graphs are equal when their nodes and edges are. A graph cannot be changed; the argument
    values in it are those of the dict, shared and not copied.

    Attributes:
        nodes: The nodes by name, in the order of the dict's ``nodes``.
        order: The names, sources first, every node behind all that feed it; equal graphs have equal orders.
        edges: Every edge and dead-letter route, in the order of ``nodes``.
        sources: Names of the nodes into which nothing flows.
        sinks: Names of the nodes without downstream.
    """

    nodes: Mapping[str, Node]
    order: tuple[str, ...]
    edges: tuple[Edge, ...]
    sources: tuple[str, ...]
    sinks: tuple[str, ...]
    _written: Mapping[str, Any] = field(compare=False)

    @staticmethod
    def parse(
        input_d: GraphDict | Graph,
        coro_map: CoroMap | None = None,
        *,
        defaults: Mapping[str, Any] | None = None,
        strict: bool = False,
        executors: Collection[str] = (),
    ) -> Graph:
        """Read a graph dict, or refuse it with everything that is wrong with it.

        The order of keys in ``nodes`` and ``graph`` may differ and never changes the wiring. The
        time is linear in nodes and edges.

        Args:
            input_d: The dict with ``nodes`` and ``graph``. A `Graph` is returned as it is, or read
                again when anything else is given too.
            coro_map: Where names of coros are looked up: a mapping; a `Registry` or anything else with
                ``resolve(name)``; or a callable, which is asked about everything that stands in
                ``coro``, functions too. None leaves names unresolved: such a graph can be checked
                and drawn, not run.
            defaults: Properties for all nodes that do not set them.
            strict: Apply the rules for strangers: functions by name only, readable node names of
                bounded length, arguments as strict JSON, at most 100 problems told.
            executors: Names that nodes may have as ``executor``, besides loop, thread, process and ray.

        Raises:
            GraphError: The dict is wrong; ``problems`` lists everything.
            TypeError: ``coro_map`` is nothing that can be asked.
        """
        if isinstance(input_d, Graph):
            if coro_map is None and defaults is None and not strict and not executors:
                return input_d
            input_d = input_d._written
        return assembled(read_graph(input_d, coro_map, defaults=defaults, strict=strict, executors=executors))

    def __repr__(self) -> str:
        return f"<Graph of {len(self.nodes)} nodes and {len(self.edges)} edges>"

    def to_dict(self) -> dict[str, Any]:
        """The dict that `parse` makes this graph of: what was given, functions as functions."""
        nodes = {name: dict(entry) for name, entry in self._written["nodes"].items()}
        for entry in nodes.values():
            if "args" in entry:
                entry["args"] = dict(entry["args"])
            if "properties" in entry:
                entry["properties"] = shape.copied(entry["properties"])
        return {"nodes": nodes, "graph": {name: list(targets) for name, targets in self._written["graph"].items()}}

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts over which the graph is split, in the order of ``nodes``; empty if it is not."""
        return tuple(dict.fromkeys([n.properties.host for n in self.nodes.values() if n.properties.host is not None]))

    def part(self, host: str) -> Graph:
        """What ``host`` runs of a split graph: its nodes, and all edges that begin or end at one of them.

        Raises:
            UnknownNodeError: No node is on that host.
        """
        if host not in self.hosts:
            raise UnknownNodeError("host", host, self.hosts)
        nodes = {name: node for name, node in self.nodes.items() if node.properties.host == host}
        return Graph(
            MappingProxyType(nodes),
            tuple([name for name in self.order if name in nodes]),
            tuple([edge for edge in self.edges if edge.upstream in nodes or edge.downstream in nodes]),
            tuple([name for name in self.sources if name in nodes]),
            tuple([name for name in self.sinks if name in nodes]),
            self._written,
        )

    def held_behind(self, name: str) -> int:
        """How many items a part can hold that came to node ``name``, in its own nodes from there on.

        Items in channels, in calls, in results that wait for their turn, and in batches that fill.
        """
        host = self.nodes[name].properties.host
        found, held = [name], 0
        for each in found:  # grows while it is gone through
            properties = self.nodes[each].properties
            batch = properties.batch.size if properties.batch is not None else 1
            held += properties.queue_size + (2 * properties.concurrency + 1) * batch
            behind = [edge.downstream for edge in self.edges if edge.upstream == each]
            found += [n for n in dict.fromkeys(behind) if n not in found and self.nodes[n].properties.host == host]
        return held

    @property
    def digest(self) -> str:
        """What the graph is known by among the parts of a run: equal for equal dicts, functions by name."""
        text = json.dumps(self.to_dict(), sort_keys=True, default=_named)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def is_resolved(self) -> bool:
        """Whether every coro is known, so that the graph can run."""
        return not any(node.kind is CallKind.UNRESOLVED for node in self.nodes.values())

    def to_mermaid(self) -> str:
        """The graph as a Mermaid flowchart; every name is escaped."""
        return draw.mermaid(self.nodes, self.edges)

    def to_dot(self) -> str:
        """The graph in Graphviz' language; every name is escaped."""
        return draw.dot(self.nodes, self.edges)

    def to_text(self) -> str:
        """The graph for a terminal: a line per node, by distance from the sources."""
        return draw.text(self.nodes, self.edges, self.order)

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """The shape of a graph dict in JSON Schema, draft 2020-12: types, keys and ranges, no wiring."""
        return shape.json_schema()


def _named(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', type(value).__qualname__)}"


def assembled(parts: Parts) -> Graph:
    """The graph that was read."""
    nodes = parts.nodes
    return Graph(
        MappingProxyType(nodes),
        parts.order,
        parts.edges,
        tuple([name for name, node in nodes.items() if node.is_source]),
        tuple([name for name, node in nodes.items() if node.is_sink]),
        parts.written,
    )

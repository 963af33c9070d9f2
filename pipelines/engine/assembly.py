"""From a graph to its parts: channels, processors, and the runners that work for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..channels.join import join
from ..channels.memory import MemoryChannel
from ..executors.base import Executor
from ..graph import Edge, Graph, Node
from ..processor import InputProcessor, Processor
from ..statistics import Meter
from .outbox import Outbox
from .run import Run
from .runner import Runner
from .source import Source

__all__ = ["Assembly", "Worker"]

Worker = Runner | Source


class Assembly:
    """The channels and processors of one run; they exist before anything runs.

    Attributes:
        processors: By node name, in the order of ``nodes``.
        channels: By edge, in the order of the graph's edges.
    """

    def __init__(self, graph: Graph, env_vars: Mapping[str, Any]) -> None:
        self.graph = graph
        self.channels: dict[Edge, MemoryChannel] = {edge: _channel(graph, edge) for edge in graph.edges}
        self.incoming: dict[str, list[MemoryChannel]] = {name: [] for name in graph.nodes}
        self.outgoing: dict[str, list[MemoryChannel]] = {name: [] for name in graph.nodes}
        self.routes: dict[str, MemoryChannel] = {}
        self._connect()
        self.processors = {name: self._processor(node, env_vars) for name, node in graph.nodes.items()}

    def _connect(self) -> None:
        by_ends: dict[tuple[str, str, bool], MemoryChannel] = {}
        for edge, channel in self.channels.items():
            by_ends[edge.upstream, edge.downstream, edge.route] = channel
        for name, node in self.graph.nodes.items():
            # q_elt has the order of the upstreams in `nodes`, which is that of `node.upstreams`.
            self.incoming[name] += [by_ends[upstream, name, False] for upstream in node.upstreams]
            self.incoming[name] += [by_ends[feeder, name, True] for feeder in node.feeders]
            self.outgoing[name] += [by_ends[name, downstream, False] for downstream in node.downstreams]
            for feeder in node.feeders:
                self.routes[feeder] = by_ends[feeder, name, True]

    def _processor(self, node: Node, env_vars: Mapping[str, Any]) -> Processor:
        inputs, outputs = tuple(self.incoming[node.name]), tuple(self.outgoing[node.name])
        make = InputProcessor if node.is_source else Processor
        return make(node.name, node.function, node.args, env_vars, inputs, outputs, node.properties)

    def matrix(self) -> list[list[MemoryChannel | None]]:
        """The channels as a matrix: row and column are positions in ``nodes``."""
        index = {name: i for i, name in enumerate(self.graph.nodes)}
        rows: list[list[MemoryChannel | None]] = [[None] * len(index) for _ in index]
        for edge, channel in self.channels.items():
            if not edge.route:
                rows[index[edge.upstream]][index[edge.downstream]] = channel
        return rows

    def workers(self, run: Run, executors: Mapping[str, Executor]) -> dict[str, Worker]:
        """A worker for every node, wired to its channels, upstreams first."""
        return {name: self._worker(self.graph.nodes[name], run, executors) for name in self.graph.order}

    def _worker(self, node: Node, run: Run, executors: Mapping[str, Executor]) -> Worker:
        processor = self.processors[node.name]
        ports = {channel.downstream: channel for channel in self.outgoing[node.name]}
        route = self.routes.get(node.name)
        ordered = node.properties.order == "input"
        outbox = Outbox(node.name, ports, route, Meter(run.scheduler.clock()), ordered=ordered)
        call = _bind(node, executors)
        worker: Worker
        if node.is_source:
            worker = Source(node, processor, outbox, run, call)
            processor.output_queue = worker.queue
        else:
            inbox = join(self.incoming[node.name], node.name, zips=node.zips)
            worker = Runner(node, processor, inbox, outbox, run, call)
            processor.input_queue = worker.inbox
            processor.output_queue = outbox
        for channel in [*self.outgoing[node.name], *([self.routes[node.name]] if node.name in self.routes else [])]:
            channel.on_room = worker.on_room
        return worker


def _channel(graph: Graph, edge: Edge) -> MemoryChannel:
    properties = graph.nodes[edge.downstream].properties
    return MemoryChannel(
        edge.upstream,
        edge.downstream,
        properties.queue_size,
        aligned=edge.aligned,
        overflow=properties.overflow,
    )


def _bind(node: Node, executors: Mapping[str, Executor]) -> Callable[..., Any]:
    """The node's function with its arguments, on its executor."""
    function = node.function
    if function is None:
        return _no_coro
    call: Callable[..., Any] = partial(function, **node.args) if node.args else function
    executor = executors.get(node.properties.executor)
    return call if executor is None else partial(executor.call, call)


def _no_coro(*_: Any) -> None:
    """Stands for the coro of a source that the program feeds."""

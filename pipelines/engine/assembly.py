"""From a graph to its parts: channels, processors, and the runners that work for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ..channels.join import join
from ..channels.memory import MemoryChannel
from ..executors.base import Executor
from ..garbage import only_new_objects
from ..graph import Edge, Graph, Node
from ..processor import InputProcessor, Processor
from ..statistics import Meter
from .model import Model
from .outbox import Outbox
from .run import Run
from .runner import Runner
from .source import Source

__all__ = ["Assembly", "Worker"]

Worker = Runner | Source


class Assembly:
    """The channels and processors of one run; they exist before anything runs.

    Args:
        whole: The whole graph, if ``graph`` is one host's part of it.

    Attributes:
        processors: By node name, in the order of ``nodes``.
        channels: In the order of the graph's edges.
        routes: Those for failed items, by the name of the node that fails.
    """

    def __init__(self, graph: Graph, env_vars: Mapping[str, Any], whole: Graph | None = None) -> None:
        self.graph = graph
        with only_new_objects():
            self.channels = [_channel(whole or graph, edge) for edge in graph.edges]
            self.routes = {edge.upstream: channel for edge, channel in self.edges() if edge.route}
            self.processors = self._processors(env_vars)

    def edges(self) -> Iterator[tuple[Edge, MemoryChannel]]:
        """Every edge with its channel."""
        return zip(self.graph.edges, self.channels, strict=True)

    def _processors(self, env_vars: Mapping[str, Any]) -> dict[str, Processor]:
        nodes = self.graph.nodes
        # Edges stand in the order of `nodes`: so q_elt has the order of the upstreams there. Those that
        # only send failed items come last.
        inputs: dict[str, list[MemoryChannel]] = {name: [] for name in nodes}
        outputs: dict[str, list[MemoryChannel]] = {name: [] for name in nodes}
        for edge, channel in self.edges():
            if not edge.route:
                # Of a part of a split graph one end may be on another host.
                if edge.downstream in nodes:
                    inputs[edge.downstream].append(channel)
                if edge.upstream in nodes:
                    outputs[edge.upstream].append(channel)
        for edge, channel in self.edges():
            if edge.route and edge.downstream in nodes:
                inputs[edge.downstream].append(channel)
        return {
            name: (InputProcessor if node.is_source else Processor)(
                name, node.function, node.args, env_vars, tuple(inputs[name]), tuple(outputs[name]), node.properties
            )
            for name, node in nodes.items()
        }

    def matrix(self) -> list[list[MemoryChannel | None]]:
        """The channels as a matrix: row and column are positions in ``nodes``."""
        index = {name: i for i, name in enumerate(self.graph.nodes)}
        rows: list[list[MemoryChannel | None]] = [[None] * len(index) for _ in index]
        for edge, channel in self.edges():
            if not edge.route and edge.upstream in index and edge.downstream in index:
                rows[index[edge.upstream]][index[edge.downstream]] = channel
        return rows

    def workers(self, run: Run, executors: Mapping[str, Executor]) -> dict[str, Worker]:
        """A worker for every node, wired to its channels, upstreams first."""
        with only_new_objects():
            nodes, order = self.graph.nodes, self.graph.order
            return {name: self._worker(nodes[name], run, executors, rank) for rank, name in enumerate(order)}

    def _keeps(self, node: Node, executor: Executor, executors: Mapping[str, Executor]) -> bool:
        """Whether all who receive the node's results can fetch them from where they are."""
        nodes = self.graph.nodes
        receivers = [executors.get(nodes[n].properties.executor) if n in nodes else None for n in node.downstreams]
        return bool(executor.keeps and receivers) and all(
            [receiver is not None and receiver.keeps == executor.keeps for receiver in receivers]
        )

    def _worker(self, node: Node, run: Run, executors: Mapping[str, Executor], rank: int) -> Worker:
        processor = self.processors[node.name]
        inputs, outputs = processor.liason_queues
        route = self.routes.get(node.name) if self.routes else None
        ordered = node.properties.order == "input"
        outbox = Outbox(node.name, outputs, route, Meter(run.scheduler.clock()), ordered=ordered)
        call = _bind(node)
        worker: Worker
        if node.is_source:
            worker = Source(node, processor, outbox, run, call)
            processor.output_queue = worker.queue
        else:
            executor = executors.get(node.properties.executor) if executors else None
            inbox = join(inputs, node.name, zips=node.zips)
            keeps = executor is not None and self._keeps(node, executor, executors)
            worker = Runner(node, processor, inbox, outbox, run, call, executor, rank, keeps=keeps)
            processor.input_queue = worker.inbox
            processor.output_queue = outbox
        on_room = worker.on_room
        for channel in outputs:
            channel.on_room = on_room
        if route is not None:
            route.on_room = on_room
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


def _bind(node: Node) -> Callable[..., Any]:
    """The node's function with its arguments."""
    function = node.function
    if function is None:
        return _no_coro
    if inspect.isclass(function) and node.is_model:
        return Model(function)
    return partial(function, **node.args) if node.args else function


def _no_coro(*_: Any) -> None:
    """Stands for the coro of a source that the program feeds."""

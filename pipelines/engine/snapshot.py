"""Reads a running graph: its statistics, and who waits for whom when nothing moves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..channels.memory import MemoryChannel
from ..graph import Edge, Graph
from ..statistics import EdgeStatistics, NodeStatistics, Statistics
from .assembly import Assembly, Worker
from .batching import BatchInbox
from .source import Source

__all__ = ["edge_statistics", "empty_statistics", "node_statistics", "unstarted_node", "waits"]


def node_statistics(worker: Worker, elapsed: float, now: float) -> NodeStatistics:
    """One node, ``elapsed`` seconds after the start."""
    meter = worker.meter
    busy, waiting, blocked = meter.shares(elapsed, now)
    return NodeStatistics(
        name=worker.name,
        state=worker.state,
        received=meter.received,
        sent=meter.sent,
        skipped=meter.skipped,
        failed=meter.failed,
        retried=meter.retried,
        in_flight=worker.in_flight,
        held=worker.outbox.held,
        busy=busy,
        waiting=waiting,
        blocked=blocked,
        latency_p50=meter.seconds_a_call(0.5),
        latency_p99=meter.seconds_a_call(0.99),
        progress=worker.progress if isinstance(worker, Source) else None,
    )


def edge_statistics(channels: Iterable[tuple[Edge, MemoryChannel]]) -> tuple[EdgeStatistics, ...]:
    """All edges, in the order of the graph."""
    return tuple(
        EdgeStatistics(
            edge.upstream,
            edge.downstream,
            queued=channel.qsize(),
            capacity=channel.capacity,
            peak=max(channel.peak, channel.qsize()),
            dropped=channel.dropped,
            route=edge.route,
        )
        for edge, channel in channels
    )


def empty_statistics(name: str, assembly: Assembly) -> Statistics:
    """A graph of which nothing has been started."""
    nodes = tuple(map(unstarted_node, assembly.processors))
    return Statistics(name, "new", 0.0, 0, 0, 0.0, 0.0, nodes, edge_statistics(assembly.edges()))


def unstarted_node(name: str) -> NodeStatistics:
    """A node of which nothing was heard yet."""
    return NodeStatistics(name, "starting", 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, None, None)


def waits(graph: Graph, workers: Mapping[str, Worker]) -> tuple[str, ...]:
    """The wait-for path: from the first node that waits, over the one it waits for, to the reason.

    Empty when nothing is inside the graph.
    """
    name = _first_waiting(graph, workers)
    path: list[str] = []
    seen: set[str] = set()
    while name is not None and name not in seen and name in workers:
        seen.add(name)
        sentence, name = _explain(workers[name])
        path.append(sentence)
    return tuple(path)


def _first_waiting(graph: Graph, workers: Mapping[str, Worker]) -> str | None:
    live = [name for name in graph.order if not workers[name].ended]
    for wanted in (_is_blocked, _has_work):
        for name in live:
            if wanted(workers[name]):
                return name
    return None


def _is_blocked(worker: Worker) -> bool:
    return worker.blocked


def _has_work(worker: Worker) -> bool:
    if isinstance(worker, Source):
        return False
    queued = any(channel.items for channel in worker.inbox.channels)
    partial = isinstance(worker.inbox, BatchInbox) and worker.inbox.partial
    return bool(queued or partial or worker.in_flight or worker.outbox.held)


def _explain(worker: Worker) -> tuple[str, str | None]:
    """Why ``worker`` does not move, and the node that it waits for, if any."""
    name = worker.name
    if worker.paused:
        return f"{name!r} is paused", None
    if worker.state == "starting":
        return f"{name!r} waits for its setup", None
    if worker.in_flight and not worker.blocked:
        return f"{name!r} has {worker.in_flight} calls in flight", None
    outgoing = [*worker.processor.liason_queues[1], *([worker.outbox.route] if worker.outbox.route else [])]
    full = [channel for channel in outgoing if channel.room() <= 0]
    if full and worker.outbox.room() <= 0:
        channel = full[0]
        sentence = f"{name!r} waits for room in {channel.downstream!r} ({channel.qsize()}/{channel.capacity})"
        return sentence, channel.downstream
    if worker.outbox.room() <= 0:
        return f"{name!r} waits for whoever reads its results", None
    if isinstance(worker, Source):
        return f"{name!r} waits for its next item", None
    if isinstance(worker.inbox, BatchInbox) and worker.inbox.partial:
        return f"{name!r} has {worker.inbox.partial} items and waits for a full batch", None
    empty = [channel.upstream for channel in worker.inbox.channels if not channel.items]
    return f"{name!r} waits for items of {_listed(empty)}", empty[0] if empty else None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "nobody"

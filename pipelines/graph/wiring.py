"""Who feeds whom: the edges of a dict looked up, ordered, and searched for circles.

Everything here is linear in nodes and edges, and nothing recurses along the graph.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .model import Route
from .problems import Problems, bare, shown
from .shape import Reading

__all__ = ["Wiring", "chain_text", "connect"]

_LONGEST_CHAIN = 100


@dataclass(slots=True)
class Wiring:
    """The edges between known nodes; every list in the order of ``nodes``.

    Attributes:
        feeders: For each node the nodes whose failed items come here.
        routes: For each node that has one, its dead-letter node.
        order: The nodes from the sources on; those in or behind a circle are missing.
        certain: Whether every edge of the dict is here; otherwise a node may have more upstreams.
    """

    upstreams: dict[str, list[str]] = field(default_factory=dict)
    downstreams: dict[str, list[str]] = field(default_factory=dict)
    feeders: dict[str, list[str]] = field(default_factory=dict)
    routes: dict[str, str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    certain: bool = True

    @property
    def acyclic(self) -> bool:
        """Whether no node is in or behind a circle."""
        return len(self.order) == len(self.upstreams)

    def targets(self, name: str) -> list[str]:
        """The nodes that get anything from this one: items, or failed items."""
        route = self.routes.get(name)
        return self.downstreams[name] if route is None else [*self.downstreams[name], route]


def connect(reading: Reading, routes: Mapping[str, Route], shared: Route | None, problems: Problems) -> Wiring:
    """Look up every edge and route, order the nodes, and note what cannot be.

    ``routes`` are the dead-letter routes that nodes set themselves, ``shared`` is the one for all
    nodes that have no ``on_error`` of their own.
    """
    before = len(problems)
    wiring = Wiring()
    for name in reading.drafts:
        wiring.upstreams[name], wiring.downstreams[name], wiring.feeders[name] = [], [], []
    _connect_edges(reading, wiring, problems)
    _connect_routes(reading, wiring, routes, shared, problems)
    wiring.certain = reading.certain and len(problems) == before
    wiring.order = _ordered(wiring)
    if not wiring.acyclic:
        _explain_circles(wiring, problems)
    return wiring


def _connect_edges(reading: Reading, wiring: Wiring, problems: Problems) -> None:
    for name in reading.wiring:
        if name not in reading.drafts:
            hint = problems.choices(name, reading.drafts, "nodes are")
            problems.add("unknown_node", ("graph", name), f"unknown node {shown(name)}", hint)
    for name in reading.drafts:
        for downstream in reading.wiring.get(name, ()):
            if downstream == name:
                message = f"node {shown(name)} is its own downstream"
                problems.add("self_loop", _place(reading, name, downstream), message)
            elif downstream in reading.drafts:
                wiring.downstreams[name].append(downstream)
                wiring.upstreams[downstream].append(name)
            else:
                hint = problems.choices(downstream, reading.drafts, "nodes are")
                message = f"node {shown(name)}: unknown downstream {shown(downstream)}"
                problems.add("unknown_node", _place(reading, name, downstream), message, hint)
    position = {name: index for index, name in enumerate(reading.drafts)}
    for downstreams in wiring.downstreams.values():
        if len(downstreams) > 1:
            downstreams.sort(key=position.__getitem__)


def _place(reading: Reading, name: str, downstream: str) -> tuple[str | int, ...]:
    return ("graph", name, reading.wiring[name][downstream])


def _connect_routes(
    reading: Reading, wiring: Wiring, routes: Mapping[str, Route], shared: Route | None, problems: Problems
) -> None:
    if shared is not None and shared.node not in reading.drafts:
        _unknown_route(shared, ("defaults", "on_error", "route"), "defaults", reading, problems)
        shared = None
    for name, draft in reading.drafts.items():
        route = routes.get(name)
        at = ("nodes", name, "properties", "on_error", "route")
        if route is None:
            # The dead-letter node of all others cannot be its own.
            inherits = shared is not None and "on_error" not in draft.written and shared.node != name
            if shared is not None and inherits:
                _route(wiring, name, shared)
        elif route.node == name:
            problems.add("self_loop", at, f"node {shown(name)} is its own dead-letter node")
        elif route.node in reading.drafts:
            _route(wiring, name, route)
        else:
            _unknown_route(route, at, f"node {shown(name)}", reading, problems)


def _route(wiring: Wiring, name: str, route: Route) -> None:
    wiring.routes[name] = route.node
    wiring.feeders[route.node].append(name)


def _unknown_route(route: Route, at: tuple[str, ...], who: str, reading: Reading, problems: Problems) -> None:
    hint = problems.choices(route.node, reading.drafts, "nodes are")
    problems.add("unknown_node", at, f"{who}: unknown dead-letter node {shown(route.node)}", hint)


def _ordered(wiring: Wiring) -> list[str]:
    """Sources first, then every node behind all of its upstreams; equal graphs give equal orders."""
    waiting = {name: len(ups) + len(wiring.feeders[name]) for name, ups in wiring.upstreams.items()}
    order = [name for name, count in waiting.items() if not count]
    for name in order:  # grows while it is read
        for target in wiring.targets(name):
            waiting[target] -= 1
            if not waiting[target]:
                order.append(target)
    return order


def _explain_circles(wiring: Wiring, problems: Problems) -> None:
    ordered = set(wiring.order)
    rest = [name for name in wiring.upstreams if name not in ordered]
    rank = {name: index for index, name in enumerate(rest)}
    for component in _components(rest, wiring):
        circle = _circle(min(component, key=rank.__getitem__), set(component), wiring)
        message = f"nodes feed each other in a circle: {chain_text(circle)}"
        problems.add("cycle", ("graph", circle[0]), message, "break it at one edge; dead-letter routes count")
    if not ordered:
        problems.add("no_source", ("graph",), "no node is a source: every one has an upstream")
        return
    for name in rest:
        problems.add("unreachable", ("nodes", name), f"no source leads to node {shown(name)}, or only through a circle")


def _components(rest: Iterable[str], wiring: Wiring) -> list[list[str]]:
    """The groups of several nodes that reach each other (Tarjan's algorithm with its own stack)."""
    low: dict[str, int] = {}  # for every node met: the earliest node of the path that it reaches
    path: dict[str, int] = {}  # nodes whose component is not complete yet, with the number they were met as
    components = []
    for root in rest:
        stack = [(root, iter(wiring.targets(root)))] if root not in low else []
        while stack:
            name, targets = stack[-1]
            if name not in low:
                low[name] = path[name] = len(low)
            for target in targets:
                if target not in low:
                    stack.append((target, iter(wiring.targets(target))))
                    break
                low[name] = min(low[name], path.get(target, low[name]))
            else:
                stack.pop()
                if stack:
                    parent = stack[-1][0]
                    low[parent] = min(low[parent], low[name])
                if low[name] == path[name]:
                    component = _cut(path, name)
                    if len(component) > 1:
                        components.append(component)
    return components


def _cut(path: dict[str, int], name: str) -> list[str]:
    """Take ``name`` and everything met after it off the path."""
    component = []
    while name in path:
        component.append(path.popitem()[0])
    return component


def _circle(start: str, inside: set[str], wiring: Wiring) -> list[str]:
    """A shortest circle through ``start``, that node at both ends."""
    came_from: dict[str, str] = {}
    queue = deque([start])
    while start not in came_from:
        name = queue.popleft()
        for target in wiring.targets(name):
            if target in inside and target not in came_from:
                came_from[target] = name
                queue.append(target)
    circle = [start, came_from[start]]
    while circle[-1] != start:
        circle.append(came_from[circle[-1]])
    return circle[::-1]


def chain_text(names: list[str]) -> str:
    """``a -> b -> c``; the middle of a very long chain is left out."""
    if len(names) > _LONGEST_CHAIN:
        half = _LONGEST_CHAIN // 2
        left_out = f"... ({len(names) - 2 * half} more) ..."
        return " -> ".join([*map(bare, names[:half]), left_out, *map(bare, names[-half:])])
    return " -> ".join(map(bare, names))

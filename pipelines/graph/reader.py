"""From the dict to nodes and edges: every step is taken, whatever the ones before it found wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .alignment import check_zips, counted
from .coros import Resolver, call_of, check_call, check_lifecycle
from .model import CallKind, Edge, Node, Properties, Route
from .problems import At, Problems, shown
from .shape import Draft, Reading, read_defaults, read_shape
from .wiring import Wiring, connect

__all__ = ["NAME_LENGTH", "Inspect", "Parts", "read_graph"]

NAME_LENGTH = 128
"""The longest name of a node in a graph from a stranger, when nobody says otherwise."""

PROBLEM_LIMIT = 100
"""How many problems a stranger is told of."""

EXECUTORS = ("loop", "thread", "process", "ray")
"""Those that are there without being given to a plumber."""

Inspect = Callable[[str, Properties, Mapping[str, Any], Problems], None]
"""Looks at a node's name, properties and args (as written) and notes what it does not like."""

_SOURCELESS = frozenset({"batch", "retry", "timeout", "executor"})
"""Properties about taking items and calling for each; a source takes none and is called once."""

_DEFAULT_PROPERTIES = Properties()
_NO_ARGS: Mapping[str, Any] = MappingProxyType({})

_Function = Callable[..., Any] | None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a `Graph` is made of."""

    nodes: dict[str, Node]
    order: tuple[str, ...]
    edges: tuple[Edge, ...]
    written: dict[str, Any]


def read_graph(
    input_d: Any,
    coro_map: Any = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    strict: bool = False,
    name_length: int = NAME_LENGTH,
    inspect: Inspect | None = None,
    executors: Collection[str] = (),
) -> Parts:
    """Read the dict as `Graph.parse` promises.

    ``name_length`` is the longest name if ``strict``. ``inspect`` is called for every node; what it
    notes is refused together with everything else. ``executors`` are names besides the usual ones.
    """
    problems = Problems(PROBLEM_LIMIT if strict else None)
    resolver = Resolver(coro_map, problems, strict=strict)
    shared, shared_written = read_defaults(defaults, problems)
    reading = read_shape(input_d, problems, strict=strict, name_length=name_length)
    wiring = _connected(reading, shared, problems)
    named = (*EXECUTORS, *executors)
    reader = _Reader(wiring, resolver, problems, shared, shared_written, inspect, named)
    nodes = {name: reader.node(draft) for name, draft in reading.drafts.items()}
    _check_hosts(nodes, problems)
    zips = any([node.zips for node in nodes.values()])
    if zips and wiring.acyclic:
        check_zips(nodes, wiring.order, problems)
    problems.refuse()
    counts = counted(nodes, wiring.order) if zips else set()
    return Parts(nodes, tuple(wiring.order), _edges(nodes, wiring, counts), _written(reading))


def _check_hosts(nodes: Mapping[str, Node], problems: Problems) -> None:
    hosts = dict.fromkeys([node.properties.host for node in nodes.values()])
    if len(hosts) > 1 and None in hosts:
        known = ", ".join(shown(host) for host in hosts if host is not None)
        for name, node in nodes.items():
            if node.properties.host is None:
                message = f"node {shown(name)} does not say which host runs it, as others do"
                problems.add("missing_host", ("nodes", name, "properties", "host"), message, f"hosts are: {known}")


def _connected(reading: Reading, shared: Mapping[str, Any], problems: Problems) -> Wiring:
    routes = {
        name: draft.values["on_error"]
        for name, draft in reading.drafts.items()
        if draft.values and isinstance(draft.values.get("on_error"), Route)
    }
    everywhere = shared.get("on_error")
    return connect(reading, routes, everywhere if isinstance(everywhere, Route) else None, problems)


def _edges(nodes: Mapping[str, Node], wiring: Wiring, counts: set[str]) -> tuple[Edge, ...]:
    edges: list[Edge] = []
    for name, node in nodes.items():
        edges += [Edge(name, downstream, downstream in counts) for downstream in node.downstreams]
        route = wiring.routes.get(name)
        if route is not None:
            edges.append(Edge(name, route, route in counts, True))
    return tuple(edges)


def _written(reading: Reading) -> dict[str, Any]:
    nodes = {}
    for name, draft in reading.drafts.items():
        entry: dict[str, Any] = {} if draft.coro is None else {"coro": draft.coro}
        if draft.args:
            entry["args"] = draft.args
        if draft.written:
            entry["properties"] = draft.written
        nodes[name] = entry
    return {"nodes": nodes, "graph": {name: list(downstreams) for name, downstreams in reading.wiring.items()}}


@dataclass(slots=True)
class _Reader:
    """Finishes the nodes one by one, when all edges are known."""

    wiring: Wiring
    resolver: Resolver
    problems: Problems
    shared: dict[str, Any]
    shared_written: dict[str, Any]
    inspect: Inspect | None
    executors: tuple[str, ...]

    def node(self, draft: Draft) -> Node:
        """The node as far as it can be said what it is; what is wrong with it is noted."""
        name = draft.name
        upstreams, feeders = self.wiring.upstreams[name], self.wiring.feeders[name]
        source = not upstreams and not feeders
        if self.shared:
            self._inherit(draft, source)
        properties = _DEFAULT_PROPERTIES
        if draft.values:
            properties = Properties(**draft.values)
            self._check_properties(draft, properties, source)
        if feeders and len(upstreams) > 1 and properties.aggregate_inputs:
            self._refuse_route(draft)
        function, kind, args, is_model = self._coro(draft, properties, source)
        setup, cleanup = self._lifecycle(draft, function)
        if self.inspect is not None:
            self.inspect(name, properties, draft.args, self.problems)
        return Node(
            name,
            draft.coro,
            function,
            kind,
            MappingProxyType(args) if args else _NO_ARGS,
            properties,
            tuple(upstreams),
            tuple(self.wiring.downstreams[name]),
            tuple(feeders),
            setup,
            cleanup,
            tuple(draft.written),
            is_model,
        )

    def _inherit(self, draft: Draft, source: bool) -> None:
        for key, value in self.shared.items():
            pointless = source and key in _SOURCELESS
            own_route = isinstance(value, Route) and draft.name not in self.wiring.routes
            if key not in draft.written and not pointless and not own_route:
                draft.values[key] = value
                draft.written[key] = self.shared_written[key]

    def _check_properties(self, draft: Draft, properties: Properties, source: bool) -> None:
        at: At = ("nodes", draft.name, "properties")
        if properties.executor not in self.executors:
            message = f"node {shown(draft.name)}: unknown executor {shown(properties.executor)}"
            hint = self.problems.choices(properties.executor, self.executors, "there are")
            self.problems.add("unknown_executor", (*at, "executor"), message, hint)
        if source and self.wiring.certain:
            self._check_source(draft, properties, at)

    def _check_source(self, draft: Draft, properties: Properties, at: At) -> None:
        pointless = [key for key in ("batch", "retry", "timeout") if draft.values.get(key) is not None]
        if properties.order == "completion":
            pointless.append("order")
        if properties.executor != "loop":
            pointless.append("executor")
        for key in pointless:
            message = f"node {shown(draft.name)} is a source, which takes no items: {key} has no meaning there"
            self.problems.add("source_property", (*at, key), message, "set it on the nodes behind")

    def _refuse_route(self, draft: Draft) -> None:
        message = f"node {shown(draft.name)} zips its upstreams, so it cannot receive failed items of others too"
        self.problems.add("route_into_zip", ("nodes", draft.name), message, "set aggregate_inputs to false")

    def _coro(
        self, draft: Draft, properties: Properties, source: bool
    ) -> tuple[_Function, CallKind, dict[str, Any], bool]:
        if draft.coro is None:
            return None, self._fed(draft, source), draft.args, False
        function = self.resolver.find(draft.coro, ("nodes", draft.name, "coro"))
        if function is None:
            return None, CallKind.UNRESOLVED, draft.args, False
        items = len(self.wiring.upstreams[draft.name]) if properties.aggregate_inputs else 1
        called = call_of(function, draft, max(items, 1), source=source, certain=self.wiring.certain)
        wrong = check_call(called, draft, self.problems)
        args = self.resolver.validated(draft, wrong)
        if properties.executor != "loop" and not source and not called.movable:
            message = f"node {shown(draft.name)} asks for executor {shown(properties.executor)}, but its coro yields"
            at = ("nodes", draft.name, "properties", "executor")
            self.problems.add("bad_executor", at, message, "write it with return: one call, one result")
        return function, called.kind, args, called.shape.model

    def _fed(self, draft: Draft, source: bool) -> CallKind:
        if draft.broken:
            return CallKind.UNRESOLVED
        if not source:
            message = f"node {shown(draft.name)} has upstreams, but no coro"
            self.problems.add("missing_coro", ("nodes", draft.name, "coro"), message, "only a source can be without")
            return CallKind.UNRESOLVED
        for name in draft.args:
            message = f"node {shown(draft.name)} has no coro that would take an argument {shown(name)}"
            self.problems.add("unknown_argument", ("nodes", draft.name, "args", name), message)
        return CallKind.FED

    def _lifecycle(self, draft: Draft, coro: _Function) -> tuple[_Function, _Function]:
        setup, cleanup = self.resolver.lifecycle(draft.coro, coro)
        written = draft.written
        if setup is not None or "setup" in written:
            setup = self._once(draft, "setup", setup)
        if cleanup is not None or "cleanup" in written:
            cleanup = self._once(draft, "cleanup", cleanup)
        return setup, cleanup

    def _once(self, draft: Draft, key: str, function: _Function) -> _Function:
        """The node's own ``setup`` or ``cleanup`` if it sets one (None sets none), or the registered one."""
        at: At = ("nodes", draft.name, "properties", key)
        if key in draft.written:
            wanted = draft.values.get(key)
            own = wanted is self.shared.get(key)
            function = None if wanted is None else self.resolver.find(wanted, at, own=own)
        if function is not None:
            check_lifecycle(function, at, self.problems)
        return function

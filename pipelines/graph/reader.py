"""From the dict to nodes and edges: every step is taken, whatever the ones before it found wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .alignment import check_zips, counted
from .coros import Resolver, call_of, check_call, check_lifecycle
from .model import CallKind, Edge, Node, Properties, Route
from .problems import At, Problems, shown
from .shape import Draft, read_defaults, read_shape
from .wiring import Wiring, connect

__all__ = ["NAME_LENGTH", "Inspect", "Parts", "read_graph"]

NAME_LENGTH = 128
"""The longest name of a node in a graph from a stranger, when nobody says otherwise."""

PROBLEM_LIMIT = 100
"""How many problems a stranger is told of."""

EXECUTORS = ("loop", "thread")

Inspect = Callable[[str, Properties, Mapping[str, Any], Problems], None]
"""Looks at a node's name, properties and args (as written) and notes what it does not like."""

_SOURCELESS = ("batch", "retry", "timeout", "rate")
"""Properties that say how items are taken or calls are made; a source takes none and is called once."""

_DEFAULT_PROPERTIES = Properties()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a `Graph` is made of."""

    nodes: dict[str, Node]
    order: tuple[str, ...]
    edges: tuple[Edge, ...]
    written: dict[str, Any]


@dataclass(slots=True)
class _Reader:
    wiring: Wiring
    resolver: Resolver
    problems: Problems
    shared: dict[str, Any]
    shared_written: dict[str, Any]
    inspect: Inspect | None

    def node(self, draft: Draft) -> Node:
        """The finished node; with problems about it noted, as far as it can be said what it is."""
        name = draft.name
        upstreams, feeders = self.wiring.upstreams[name], self.wiring.feeders[name]
        source = not upstreams and not feeders
        self._inherit(draft, source)
        properties = Properties(**draft.values) if draft.values else _DEFAULT_PROPERTIES
        self._check_properties(draft, properties, source, len(upstreams))
        function, kind, args = self._coro(draft, properties, source, len(upstreams))
        setup, cleanup = self._lifecycle(draft)
        if self.inspect is not None:
            self.inspect(name, properties, draft.args, self.problems)
        return Node(
            name,
            draft.coro,
            function,
            kind,
            MappingProxyType(args),
            properties,
            tuple(upstreams),
            tuple(self.wiring.downstreams[name]),
            tuple(feeders),
            setup,
            cleanup,
            tuple(draft.written),
        )

    def _inherit(self, draft: Draft, source: bool) -> None:
        for key, value in self.shared.items():
            if key in draft.written or (source and key in _SOURCELESS) or (source and key == "executor"):
                continue
            if key == "on_error" and isinstance(value, Route) and draft.name not in self.wiring.routes:
                continue
            draft.values[key] = value
            draft.written[key] = self.shared_written[key]

    def _check_properties(self, draft: Draft, properties: Properties, source: bool, upstreams: int) -> None:
        at: At = ("nodes", draft.name, "properties")
        if properties.executor not in EXECUTORS:
            hint = "there are loop and thread; process and ray come with extras of their own"
            self.problems.add(
                "unknown_executor", (*at, "executor"), f"unknown executor {shown(properties.executor)}", hint
            )
        if properties.host is not None:
            message = f"node {shown(draft.name)} is to run on host {shown(properties.host)}, but split graphs are not there yet"
            self.problems.add("unsupported_host", (*at, "host"), message, "leave host out")
        if source and self.wiring.certain:
            self._check_source(draft, properties, at)
        if upstreams > 1 and properties.aggregate_inputs and self.wiring.feeders[draft.name]:
            message = (
                f"node {shown(draft.name)} zips its upstreams, so it cannot receive the failed items of others too"
            )
            self.problems.add("route_into_zip", ("nodes", draft.name), message, "set aggregate_inputs to false")

    def _check_source(self, draft: Draft, properties: Properties, at: At) -> None:
        pointless = [key for key in _SOURCELESS if draft.values.get(key) is not None]
        if properties.order == "completion":
            pointless.append("order")
        if properties.executor == "thread":
            pointless.append("executor")
        for key in pointless:
            message = f"node {shown(draft.name)} is a source, which takes no items: {key} has no meaning there"
            self.problems.add("source_property", (*at, key), message, "set it on the nodes behind")

    def _coro(
        self, draft: Draft, properties: Properties, source: bool, upstreams: int
    ) -> tuple[Callable[..., Any] | None, CallKind, dict[str, Any]]:
        at: At = ("nodes", draft.name, "coro")
        if draft.broken:
            return None, CallKind.UNRESOLVED, draft.args
        if draft.coro is None:
            return None, self._fed(draft, source), draft.args
        function = self.resolver.find(draft.coro, at)
        if function is None:
            return None, CallKind.UNRESOLVED, draft.args
        items = upstreams if properties.aggregate_inputs and upstreams and properties.batch is None else 1
        certain = self.wiring.certain or (not source and properties.batch is None)
        called = call_of(function, draft, items, source=source, certain=certain)
        wrong = check_call(called, draft, self.problems, source=source)
        args = self.resolver.validated(draft.coro, draft.args, ("nodes", draft.name, "args"), wrong)
        if (
            properties.executor == "thread"
            and not source
            and (called.kind is not CallKind.FUNCTION or called.shape.wraps_async)
        ):
            message = f"node {shown(draft.name)} is to run on threads, but its coro is no plain function"
            self.problems.add(
                "bad_executor", ("nodes", draft.name, "properties", "executor"), message, "write it with `def`"
            )
        return function, called.kind, args

    def _fed(self, draft: Draft, source: bool) -> CallKind:
        if not source:
            message = f"node {shown(draft.name)} has upstreams, but no coro"
            self.problems.add("missing_coro", ("nodes", draft.name, "coro"), message, "only a source can be without")
            return CallKind.UNRESOLVED
        for name in draft.args:
            message = f"node {shown(draft.name)} has no coro that takes an argument {shown(name)}"
            self.problems.add("unknown_argument", ("nodes", draft.name, "args", name), message)
        return CallKind.FED

    def _lifecycle(self, draft: Draft) -> tuple[Callable[..., Any] | None, Callable[..., Any] | None]:
        registered = dict(zip(("setup", "cleanup"), self.resolver.lifecycle(draft.coro), strict=True))
        found: dict[str, Callable[..., Any] | None] = {}
        for key, function in registered.items():
            at: At = ("nodes", draft.name, "properties", key)
            if key in draft.written:
                wanted = draft.values.get(key)
                function = None if wanted is None else self.resolver.find(wanted, at)
            if function is not None:
                check_lifecycle(function, at, self.problems)
            found[key] = function
        return found["setup"], found["cleanup"]


def read_graph(
    input_d: Any,
    coro_map: Any = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    strict: bool = False,
    name_length: int = NAME_LENGTH,
    inspect: Inspect | None = None,
) -> Parts:
    """Read the dict; see `Graph.parse`.

    Args:
        name_length: The longest name when ``strict``.
        inspect: Called for every node; what it notes is refused together with everything else.

    Raises:
        GraphError: With everything that is wrong.
    """
    problems = Problems(PROBLEM_LIMIT if strict else None)
    resolver = Resolver(coro_map, problems, strict=strict)
    shared, shared_written = read_defaults(defaults, problems)
    reading = read_shape(input_d, problems, strict=strict, name_length=name_length)
    routes = {name: draft.values["on_error"] for name, draft in reading.drafts.items() if "on_error" in draft.values}
    routes = {name: route for name, route in routes.items() if isinstance(route, Route)}
    on_error = shared.get("on_error")
    wiring = connect(reading, routes, on_error if isinstance(on_error, Route) else None, problems)
    reader = _Reader(wiring, resolver, problems, shared, shared_written, inspect)
    nodes = {name: reader.node(draft) for name, draft in reading.drafts.items()}
    if wiring.acyclic:
        check_zips(nodes, wiring.order, problems)
    problems.refuse()
    written = _written(reading.drafts, reading.wiring)
    return Parts(nodes, tuple(wiring.order), _edges(nodes, wiring), written)


def _edges(nodes: Mapping[str, Node], wiring: Wiring) -> tuple[Edge, ...]:
    counts = counted(nodes, wiring.order)
    edges = []
    for name, node in nodes.items():
        for downstream in node.downstreams:
            edges.append(Edge(name, downstream, downstream in counts))
        route = wiring.routes.get(name)
        if route is not None:
            edges.append(Edge(name, route, route in counts, True))
    return tuple(edges)


def _written(drafts: Mapping[str, Draft], wiring: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    nodes = {}
    for name, draft in drafts.items():
        entry: dict[str, Any] = {} if draft.coro is None else {"coro": draft.coro}
        if draft.args:
            entry["args"] = draft.args
        if draft.written:
            entry["properties"] = draft.written
        nodes[name] = entry
    return {"nodes": nodes, "graph": {name: list(downstreams) for name, downstreams in wiring.items()}}

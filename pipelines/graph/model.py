"""The graph as frozen data: what `Graph.parse` makes of the dict, and all the engine reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal

from ..retry import Retry

__all__ = ["Batch", "CallKind", "Edge", "Node", "Properties", "Route"]


class CallKind(Enum):
    """What calling a node's function gives, found out once when the graph is read."""

    COROUTINE = "coroutine"
    FUNCTION = "function"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async generator"
    FED = "fed"
    """A source without a coro: the program puts its items."""
    UNRESOLVED = "unresolved"
    """A name nobody has looked up yet; such a graph can be checked and drawn, not run."""

    @property
    def yields(self) -> bool:
        """Whether one call may give any number of items."""
        return self in (CallKind.GENERATOR, CallKind.ASYNC_GENERATOR)


@dataclass(frozen=True, slots=True)
class Batch:
    """Collect up to ``size`` items for one call; call with fewer ``timeout`` seconds after the first."""

    size: int
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """An ``on_error`` that sends failed items to ``node`` as `FailedItem`."""

    node: str


@dataclass(frozen=True, slots=True)
class Properties:
    """A node's ``properties``, every one with its default; DESIGN and reference explain each."""

    aggregate_inputs: bool = True
    concurrency: int = 64
    order: Literal["input", "completion"] = "input"
    queue_size: int = 64
    overflow: Literal["block", "drop_new", "drop_old"] = "block"
    on_error: Literal["fail", "skip"] | Route = "fail"
    retry: Retry | None = None
    timeout: float | None = None
    rate: float | None = None
    batch: Batch | None = None
    executor: str = "loop"
    num_cpus: float | None = None
    num_gpus: float | None = None
    resources: Mapping[str, float] | None = None
    host: str | None = None
    setup: str | Callable[..., Any] | None = None
    cleanup: str | Callable[..., Any] | None = None


_NO_ARGS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Node:
    """One node: as written, and as resolved.

    Attributes:
        coro: What the dict says: a name, a callable, or None for a source fed by the program.
        function: The callable that ``coro`` stands for; None for a fed or unresolved node.
        kind: What calling ``function`` gives.
        args: Keyword arguments of every call.
        upstreams: Names of the nodes with an edge to this one, in the order of ``nodes``.
        downstreams: Names of the nodes this one has an edge to, in the order of ``nodes``.
        feeders: Names of the nodes whose ``on_error`` routes failed items here, in the order of ``nodes``.
        setup, cleanup: The resolved functions, or None.
        is_model: ``function`` is a class, of which an object is made that is called instead.
        given: The names of the properties that the dict set, in its order, and then of those that came
            from shared defaults.
    """

    name: str
    coro: str | Callable[..., Any] | None
    function: Callable[..., Any] | None
    kind: CallKind
    args: Mapping[str, Any] = field(default_factory=lambda: _NO_ARGS)
    properties: Properties = field(default_factory=Properties)
    upstreams: tuple[str, ...] = ()
    downstreams: tuple[str, ...] = ()
    feeders: tuple[str, ...] = ()
    setup: Callable[..., Any] | None = None
    cleanup: Callable[..., Any] | None = None
    given: tuple[str, ...] = ()
    is_model: bool = False

    @property
    def is_source(self) -> bool:
        """Nothing flows into it: neither items nor failed items."""
        return not self.upstreams and not self.feeders

    @property
    def is_sink(self) -> bool:
        """No node is downstream of it (a dead-letter route is no downstream)."""
        return not self.downstreams

    @property
    def merges(self) -> bool:
        """Takes items from several channels one at a time, as they come."""
        return len(self.upstreams) + len(self.feeders) > 1 and not self.zips

    @property
    def zips(self) -> bool:
        """Takes one item of each of several upstreams, paired by position."""
        return len(self.upstreams) > 1 and self.properties.aggregate_inputs

    @property
    def keeps_stream(self) -> bool:
        """Position ``n`` of its output descends from position ``n`` of its input.

        False for sources too: they start a stream of their own.
        """
        starts_new = (
            self.is_source
            or self.merges
            or self.kind.yields
            or self.properties.order == "completion"
            or self.properties.batch is not None
        )
        return not starts_new


@dataclass(frozen=True, slots=True)
class Edge:
    """One channel to be: items flow from ``upstream`` to ``downstream``.

    Attributes:
        aligned: Whether a zip further down counts positions of this stream, so that dropped
            items must leave tombstones. On a route positions count failed items alone.
        route: Whether this edge carries only the failed items of ``upstream`` (its dead-letter route).
    """

    upstream: str
    downstream: str
    aligned: bool = False
    route: bool = False

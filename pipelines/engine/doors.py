"""Where the program puts items into a graph, and where it takes results out: the names, checked."""

from __future__ import annotations

from functools import cached_property

from ..errors import StateError, UnknownNodeError
from ..graph import CallKind, Graph
from .submission import result_shapes

__all__ = ["Doors"]


class Doors:
    """The sources that the program feeds, and the sinks, of one graph; of a split one those that are here."""

    def __init__(self, graph: Graph, whole: Graph) -> None:
        self._graph = graph
        self._whole = whole

    @cached_property
    def fed(self) -> tuple[str, ...]:
        """Names of the sources without coro."""
        return tuple(name for name in self._graph.sources if self._graph.nodes[name].kind is CallKind.FED)

    @cached_property
    def shapes(self) -> dict[str, dict[str, bool]]:
        """Of each such source the sinks that an item reaches, and whether there may be several results."""
        return {name: result_shapes(self._whole, name) for name in self.fed}

    def check_sink(self, name: str) -> None:
        """Raise `UnknownNodeError` if ``name`` is no sink."""
        if name not in self._graph.sinks:
            raise UnknownNodeError("sink", name, self._graph.sinks)

    def check_fed(self, name: str) -> None:
        """Raise `UnknownNodeError` if ``name`` is no source that the program feeds."""
        if name not in self.fed:
            raise UnknownNodeError("source without coro", name, self.fed)

    def only_fed(self) -> str:
        """The source to submit to when nobody names one; `StateError` unless there is just one."""
        if len(self.fed) != 1:
            known = ", ".join(map(repr, self.fed)) or "there is none"
            raise StateError(f"submit needs source=..., one of the sources without coro: {known}")
        return self.fed[0]

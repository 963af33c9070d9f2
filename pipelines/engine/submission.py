"""The ticket of a submitted item: follows what becomes of it until there is a result or none can come."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from ..channels.entries import Ticket
from ..errors import SkippedError
from ..graph import Graph

__all__ = ["Claim", "Home", "Submission", "result_shapes"]


class Submission:
    """Waits for the results that one submitted item gives at the sinks.

    ``many`` says of every sink that can be reached whether several results may come there. Of one
    such sink the result is its value, or the list of its values; of several a dict by sink name.
    """

    __slots__ = ("_living", "_many", "_results", "_skipped_at", "future")

    follows = False

    def __init__(self, future: asyncio.Future[Any], many: Mapping[str, bool]) -> None:
        self.future = future
        self._many = many
        self._living = 1
        self._results: dict[str, list[Any]] = {}
        self._skipped_at = ""

    def branch(self, more: int) -> None:
        """The item lives on in ``more`` further places."""
        self._living += more
        if self._living <= 0:
            self._settle()

    def drop(self, node: str) -> None:
        """One of the places ended at ``node``."""
        self._skipped_at = self._skipped_at or node
        self.branch(-1)

    def result(self, sink: str, value: Any) -> None:
        """A sink returned ``value``."""
        self._results.setdefault(sink, []).append(value)
        self.branch(-1)

    def fail(self, error: BaseException) -> None:
        """It failed, whatever else becomes of it."""
        if not self.future.done():
            self.future.set_exception(error)

    def fork(self, number: int) -> Ticket:
        """The same everywhere."""
        return self

    def join(self, other: Ticket) -> None:
        """Nothing to do: each submitted item has its own result."""

    def _settle(self) -> None:
        if self.future.done():
            return
        if not self._results:
            self.future.set_exception(SkippedError(self._skipped_at))
            return
        values = {
            sink: self._results[sink] if many else self._results[sink][0]
            for sink, many in self._many.items()
            if sink in self._results
        }
        self.future.set_result(next(iter(values.values())) if len(self._many) == 1 else values)


class Home(Protocol):
    """Tells the host where an item was submitted what becomes of it."""

    def report(self, host: str, number: int, key: str, what: str, *details: Any) -> None:
        """Say that ``what`` happened to an item of ``host``; the same ``key`` means the same happening."""
        ...


class Claim:
    """The ticket of an item that was submitted on another host; tells its `Submission` there."""

    __slots__ = ("_entry", "_home", "_said", "host", "number")

    follows = False

    def __eq__(self, other: object) -> bool:
        # What was sent on two edges, and came together again, is one item's.
        return isinstance(other, Claim) and (self.host, self.number) == (other.host, other.number)

    def __hash__(self) -> int:
        return hash((self.host, self.number))

    def __init__(self, home: Home, entry: str, host: str, number: int) -> None:
        self._home = home
        self._entry = entry
        self._said = 0
        self.host = host
        self.number = number

    def _say(self, what: str, *details: Any) -> None:
        self._said += 1
        self._home.report(self.host, self.number, f"{self._entry}/{self._said}", what, *details)

    def branch(self, more: int) -> None:
        """The item lives on in ``more`` further places."""
        if more:
            self._say("branch", more)

    def drop(self, node: str) -> None:
        """One of the places ended at ``node``."""
        self._say("drop", node)

    def result(self, sink: str, value: Any) -> None:
        """A sink returned ``value``."""
        self._say("result", sink, value)

    def fork(self, number: int) -> Ticket:
        """The same everywhere."""
        return self

    def join(self, other: Ticket) -> None:
        """Nothing to do: each submitted item has its own result."""

    def fail(self, error: BaseException) -> None:
        """It failed, whatever else becomes of it."""
        self._say("fail", getattr(error, "node", ""), str(error.__cause__ or error))


def result_shapes(graph: Graph, source: str) -> dict[str, bool]:
    """The sinks that ``source`` reaches, and whether one of its items may give several results there."""
    many: dict[str, bool] = {source: False}
    for name in graph.order:
        node = graph.nodes[name]
        reached = [many[upstream] for upstream in node.upstreams if upstream in many]
        if reached:
            many[name] = any(reached) or node.kind.yields or (node.merges and len(reached) > 1)
    return {name: several for name, several in many.items() if graph.nodes[name].is_sink}

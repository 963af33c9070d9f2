"""Aliases and protocols, the words of the graph dict in types, and the values coros may return."""

from __future__ import annotations

import asyncio
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CoroutineType
from typing import Any, Final, Protocol

__all__ = ["AWAITABLE", "SKIP", "Coro", "CoroMap", "CoroResolver", "FailedItem", "GraphDict", "To"]

Coro = Callable[..., Any]
"""A user's function: coroutine function, plain function, generator or async generator function."""

AWAITABLE: Final = frozenset({CoroutineType, asyncio.Future, asyncio.Task})
"""Types of results to be awaited: also a plain function may hand on a coroutine."""

GraphDict = Mapping[str, Any]
"""The dict with ``nodes`` and ``graph``."""


class CoroResolver(Protocol):
    """What a `Registry` offers to the graph reader; a bare mapping or callable is wrapped into one."""

    def resolve(self, name: str) -> Coro:
        """The function registered under exactly this name; ``KeyError`` when there is none."""
        ...


CoroMap = Callable[[Any], Coro] | Mapping[str, Coro] | CoroResolver
"""What `Plumber` accepts as ``coro_map``."""


class To:
    """A coro's return value that sends ``value`` to the one downstream node ``node`` alone."""

    __slots__ = ("node", "value")

    def __init__(self, node: str, value: Any) -> None:
        self.node = node
        self.value = value

    def __repr__(self) -> str:
        return "SKIP" if self is SKIP else f"To({self.node!r}, {self.value!r})"

    def __reduce__(self) -> Any:
        # SKIP is compared by identity, also after a trip through pickle or copy.
        return "SKIP" if self is SKIP else (To, (self.node, self.value))


# SKIP is a To that leads nowhere: so the hot loop asks one question of a result, not two.
SKIP: Final = To("", None)
"""A coro's return value that drops the item."""


@dataclass(frozen=True, slots=True)
class FailedItem:
    """What a dead-letter node receives: an item that a node gave up.

    Attributes:
        item: What the coro was called with: the item itself, or the tuple of items of a zip.
        node: Name of the node that gave it up.
        error: The exception of the last attempt.
        attempts: How many times the coro was called.
    """

    item: Any
    node: str
    error: BaseException
    attempts: int = 1

    def __repr__(self) -> str:
        # reprlib: an item may be huge, or have a __repr__ that raises.
        item, error = _brief.repr(self.item), _brief.repr(self.error)
        return f"FailedItem(item={item}, node={self.node!r}, error={error}, attempts={self.attempts})"


_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _brief.maxlong = 200

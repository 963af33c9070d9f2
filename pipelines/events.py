"""What happened, as frozen records, and the protocol of those who want to be told.

A hook is any callable that takes one event. It is called in the event loop, at the moment of the
event, so it must be quick; what it raises is logged and changes nothing. Nothing is reported per
item that goes well: a hook costs a graph nothing until something ends or fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Event", "Hook", "ItemFailed", "NodeEnded", "NodeStarted", "RunEnded", "RunStarted", "Stalled", "tell"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; ``run`` is the name of the graph's run."""

    run: str


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """The graph was instantiated and runs."""


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """Everything of the graph has ended.

    Attributes:
        state: ``completed``, ``failed``, ``stopped`` or ``aborted``.
        elapsed: Seconds since the start.
        error: What made it fail, or None.
    """

    state: str
    elapsed: float
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class NodeStarted(Event):
    """A node is ready to take items; its ``setup`` is through."""

    node: str


@dataclass(frozen=True, slots=True)
class NodeEnded(Event):
    """A node's input has ended and all it made of it was sent."""

    node: str
    received: int
    sent: int


@dataclass(frozen=True, slots=True)
class ItemFailed(Event):
    """A node gave an item up.

    Attributes:
        item: What the coro was called with: the item itself, or the tuple of items of a zip.
        error: The exception of the last attempt.
        attempts: How many times the coro was called.
        action: What ``on_error`` says: ``fail``, ``skip`` or ``route``.
    """

    node: str
    item: Any
    error: BaseException
    attempts: int
    action: str


@dataclass(frozen=True, slots=True)
class Stalled(Event):
    """Nothing has moved for ``seconds`` although items are inside; ``path`` says who waits for whom."""

    seconds: float
    path: tuple[str, ...]


Hook = Callable[[Event], None]
"""Somebody who wants to be told."""


def tell(hooks: Iterable[Hook], event: Event) -> None:
    """Call every hook with ``event``; a hook that raises is logged and disturbs nobody."""
    for hook in hooks:
        try:
            hook(event)
        except Exception:
            logger.exception("hook %r failed on %r", hook, type(event).__name__)

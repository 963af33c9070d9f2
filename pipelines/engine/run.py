"""What all nodes of one run share."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import LimitError, NodeError
from ..events import Event, Hook, tell
from ..processor import Processor
from ..types import FailedItem
from .scheduler import Scheduler

__all__ = ["Run"]

FAILURES_KEPT = 100
"""Failed items that the report lists; all are counted."""


class Run:
    """One run: its name, its scheduler, who is told of it, what it may use, and what failed.

    Attributes:
        failures: The first `FAILURES_KEPT` items that were given up.
        items_left: Items that the sources may still put; None without a limit.
        draining: Sources were stopped where they stood.
    """

    __slots__ = ("draining", "failures", "hooks", "items_left", "name", "scheduler")

    def __init__(
        self, name: str, scheduler: Scheduler, hooks: Sequence[Hook] = (), max_items: int | None = None
    ) -> None:
        self.name = name
        self.scheduler = scheduler
        self.hooks = tuple(hooks)
        self.items_left = max_items
        self.draining = False
        self.failures: list[FailedItem] = []

    def tell(self, make: type[Event], *details: Any) -> None:
        """Tell the hooks of an event; it is made only if there are any."""
        if self.hooks:
            tell(self.hooks, make(self.name, *details))

    def note_failure(self, failed: FailedItem) -> None:
        """Remember an item that was given up, for the report."""
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(failed)

    def count_item(self) -> None:
        """A source puts an item; raises `LimitError` when that is one too many."""
        if self.items_left is not None:
            if self.items_left <= 0:
                error = LimitError("too_many_items", "the run put more items than its limit allows")
                self.scheduler.fail(error)  # also when a coro catches it, or the program has put the item
                raise error
            self.items_left -= 1


async def call_once(processor: Processor, function: Callable[..., Any]) -> None:
    """Run a node's ``setup`` or ``cleanup``; what it raises becomes a `NodeError`."""
    task = asyncio.current_task()
    try:
        result = function(processor)
        if inspect.isawaitable(result):
            await result
    except asyncio.CancelledError as error:
        if task is not None and task.cancelling():
            raise
        raise NodeError(processor.name, cause=error) from error
    except Exception as error:
        raise NodeError(processor.name, cause=error) from error

"""From what a `Plumber` was told to a running execution."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import StateError
from ..events import Hook
from ..executors.base import Executor
from ..graph import Graph
from ..limits import Limits
from ..version import VERSION
from .assembly import Assembly
from .execution import Execution
from .placement import Placement

if TYPE_CHECKING:
    from .part import Part

__all__ = ["Launch"]


class Launch:
    """Everything that an execution is made of, checked before there is an event loop.

    Args:
        graph: The whole graph.
        host: Whose part of it is run here; None: all of it.
        redis: Where the parts meet.
        run_id: What keeps runs apart; None: the graph itself does.

    Attributes:
        local: What is run here.
        limits: What the run may use, if that is limited.
    """

    def __init__(
        self,
        graph: Graph,
        env_vars: Mapping[str, Any],
        executors: Mapping[str, Executor],
        hooks: Iterable[Hook],
        *,
        host: str | None,
        redis: Any,
        run_id: str | None,
    ) -> None:
        if (host is None) != (redis is None):
            raise ValueError("a part of a split graph needs both: host, whose part it is, and redis, where parts meet")
        self.local = graph if host is None else graph.part(host)
        self.limits: Limits | None = None
        self._whole = graph
        self._env_vars = env_vars
        self._hooks = tuple(hooks)
        self._host = host
        self._redis = redis
        self._run_id = run_id or f"graph-{graph.digest[:12]}" if host is not None else ""
        self._placement = Placement(self.local, executors, env_vars)

    @cached_property
    def assembly(self) -> Assembly:
        """The channels and processors."""
        return Assembly(self.local, self._env_vars, self._whole)

    def execution(self, name: str) -> Execution:
        """The execution, in the running event loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise StateError("there is no running event loop; from synchronous code use pipelines.run()") from None
        limits = self.limits
        return Execution(
            self.assembly,
            name,
            self._hooks,
            max_items=limits.items if limits else None,
            max_seconds=limits.seconds if limits else None,
            executors=self._placement.executors(),
            join=self._joiner(),
        )

    def _joiner(self) -> Callable[[Execution], Part] | None:
        host = self._host
        if host is None:
            return None
        from .part import Part, Split  # loads redis

        split = Split(self._whole, host, self._redis, self._run_id)
        return lambda execution: Part(execution, split, VERSION)

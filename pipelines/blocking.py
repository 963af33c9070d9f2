"""Running a graph from synchronous code."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from .events import Hook
from .graph import Graph
from .plumber import Plumber
from .statistics import Report
from .types import CoroMap, GraphDict

__all__ = ["run", "run_with_signals"]


def run(
    input_d: GraphDict | Graph,
    coro_map: CoroMap | None = None,
    env_vars: Mapping[str, Any] | None = None,
    *,
    collect: Iterable[str] = (),
    name: str | None = None,
    defaults: Mapping[str, Any] | None = None,
    hooks: Iterable[Hook] = (),
) -> Report:
    """Run a graph to its end in an event loop of its own, and report.

    In the main thread the first SIGINT or SIGTERM drains the graph (sources stop, what is inside
    goes through; the report's ``state`` is ``stopped``), the second aborts it.

    The arguments are those of `Plumber` and `Plumber.run`.

    Raises:
        GraphError: The dict is no valid graph.
        NodeError: The first failure of a coro (other errors of the run likewise).
    """
    plumber = Plumber(input_d, coro_map, env_vars, name=name, defaults=defaults, hooks=hooks)
    return asyncio.run(run_with_signals(plumber, collect))


async def run_with_signals(plumber: Plumber, collect: Iterable[str] = ()) -> Report:
    """Run ``plumber``; the first SIGINT or SIGTERM drains it, the second aborts it."""
    with _Signals(plumber):
        return await plumber.run(collect)


class _Signals:
    """While entered, signals steer the plumber; afterwards they mean what they meant before."""

    def __init__(self, plumber: Plumber) -> None:
        self._plumber = plumber
        self._tasks: list[asyncio.Task[None]] = []
        self._handled: list[signal.Signals] = []
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):  # loops of Windows
                self._loop.add_signal_handler(number, self._on_signal)
                self._handled.append(number)

    def __exit__(self, *_: object) -> None:
        for number in self._handled:
            self._loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        command = self._plumber.abort() if self._tasks else self._plumber.stop()
        self._tasks.append(self._loop.create_task(command))

"""Running a graph from synchronous code."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .errors import StateError
from .events import Hook
from .executors.base import Executor
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
    executors: Mapping[str, Executor] | None = None,
    hooks: Iterable[Hook] = (),
) -> Report:
    """Run a graph to its end in an event loop of its own, and report.

    In the main thread the first SIGINT or SIGTERM drains the graph (sources stop, what is inside
    goes through; the report's ``state`` is ``stopped``), the second aborts it, and every further one
    raises `KeyboardInterrupt` wherever the program is.

    The arguments are those of `Plumber` and `Plumber.run`.

    Raises:
        GraphError: The dict is no valid graph.
        NodeError: The first failure of a coro (other errors of the run likewise).
        StateError: It was called inside a running event loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise StateError("there is a running event loop here: use 'await Plumber(...).run()'")
    plumber = Plumber(input_d, coro_map, env_vars, name=name, defaults=defaults, executors=executors, hooks=hooks)
    return asyncio.run(run_with_signals(plumber, collect))


async def run_with_signals(
    plumber: Plumber, collect: Iterable[str] = (), on_signal: Callable[[int], None] | None = None
) -> Report:
    """Run ``plumber``; the first SIGINT or SIGTERM drains it, the second aborts it.

    Signals are counted even while a coro blocks the event loop. Outside the main thread, where
    there are none, the graph just runs.

    Args:
        plumber: What to run.
        collect: As for `Plumber.run`.
        on_signal: Called with 1 for the first signal, 2 for the second and so on, at whatever
            point of the program it comes.
    """
    with _Signals(plumber, on_signal) as signals:
        try:
            return await plumber.run(collect)
        finally:
            await signals.obeyed()


class _Signals:
    """While entered, signals steer the plumber; afterwards they mean what they meant before."""

    def __init__(self, plumber: Plumber, on_signal: Callable[[int], None] | None) -> None:
        self._plumber = plumber
        self._on_signal = on_signal
        self._count = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._before: dict[signal.Signals, Any] = {}
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # Not the loop's own handlers: they wait for the loop, which a coro may be blocking.
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, *_: object) -> None:
        self._count += 1
        if self._on_signal is not None:
            self._on_signal(self._count)
        if self._count > 2:
            self.__exit__()  # now, as asyncio looks for its own handler when it is interrupted
            raise KeyboardInterrupt
        # Whatever code the signal has interrupted, its context is not that of the commands.
        self._loop.call_soon_threadsafe(self._obey, self._count, context=self._context)

    def _obey(self, count: int) -> None:
        command = self._plumber.stop() if count == 1 else self._plumber.abort()
        self._tasks.append(self._loop.create_task(command))

    async def obeyed(self) -> None:
        """Return when the commands that signals gave have been carried out."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

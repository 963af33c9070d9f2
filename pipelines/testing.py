"""Helpers for testing graphs: virtual time, shuffled schedules, probes, and a check for leaks.

Example:
    >>> from pipelines.testing import Probe, feed, run_graph
    >>> seen = Probe()
    >>> report = run_graph({
    ...     "nodes": {"inp": {"coro": feed([1, 2, 3])}, "out": {"coro": seen}},
    ...     "graph": {"inp": ["out"]},
    ... })
    >>> seen.items
    [(1,), (2,), (3,)]
"""

from __future__ import annotations

import asyncio
import math
import random
import selectors
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .graph import Graph
from .plumber import Plumber
from .statistics import Report
from .types import Coro, CoroMap, GraphDict

__all__ = ["FuzzLoop", "Probe", "VirtualTimeLoop", "feed", "no_leaks", "run_graph"]


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when there is nothing to do.

    An hour's sleep is instant, and two runs of the same program are the same. Without any timer it
    waits for real, for threads and sockets; with timers it does not wait for them.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_JumpingSelector(self._jump))

    def time(self) -> float:
        """Seconds of virtual time since the loop was made."""
        return self._now

    @property
    def virtual_clock(self) -> Callable[[], float]:
        """The clock by which a graph in this loop measures itself."""
        return self.time

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """As in any loop, but without the timeout: its timer would ring before any thread has ended."""
        await super().shutdown_default_executor()

    def _jump(self, seconds: float) -> None:
        # The smallest step there is, at least: adding very little to a float may add nothing.
        self._now = max(self._now + seconds, math.nextafter(self._now, math.inf))


class FuzzLoop(VirtualTimeLoop):
    """A virtual-time loop that runs ready callbacks in an order drawn from ``seed``.

    Code that is right only because callbacks run in the order they were scheduled fails here for
    some seed, and fails again with the same seed.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)

    def _run_once(self) -> None:
        self._random.shuffle(self._ready)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        events = super().select(0)
        if not events and timeout > 0:
            self._jump(timeout)
        return events


class Probe:
    """A coro that remembers what it was called with and passes the first item of it on.

    Attributes:
        items: Every ``q_elt``, in the order of the calls.
        at_once: The most calls that were running at the same time.
    """

    def __init__(self, function: Callable[[tuple[Any, ...]], Any] | None = None, *, delay: float = 0.0) -> None:
        self.items: list[tuple[Any, ...]] = []
        self.at_once = 0
        self._function = function
        self._delay = delay
        self._running = 0

    async def __call__(self, processor: Any, q_elt: tuple[Any, ...]) -> Any:
        """Remember the call; give what ``function`` makes of it."""
        self.items.append(q_elt)
        self._running += 1
        self.at_once = max(self.at_once, self._running)
        try:
            if self._delay:
                await asyncio.sleep(self._delay)
            return q_elt[0] if self._function is None else self._function(q_elt)
        finally:
            self._running -= 1


def feed(items: Iterable[Any], *, delay: float = 0.0) -> Coro:
    """A source that puts ``items``, each after ``delay`` seconds."""

    async def source(processor: Any) -> AsyncIterator[Any]:
        for item in items:
            if delay:
                await asyncio.sleep(delay)
            yield item

    return source


def run_graph(
    input_d: GraphDict | Graph,
    coro_map: CoroMap | None = None,
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = VirtualTimeLoop,
    **options: Any,
) -> Report:
    """Run a graph in virtual time, with the results of all sinks collected and a check for leaks.

    Args:
        input_d: The graph.
        coro_map: As for `Plumber`.
        loop_factory: Makes the event loop, for example ``lambda: FuzzLoop(seed)``.
        **options: Further arguments of `Plumber`.

    Raises:
        AssertionError: Something of the graph was still alive after its end.
        NodeError: The first failure of a coro.
    """
    plumber = Plumber(input_d, coro_map, **options)

    async def main() -> Report:
        with no_leaks():
            return await plumber.run(collect=plumber.graph.sinks)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main())


@contextmanager
def no_leaks() -> Iterator[None]:
    """Inside a running loop: fail if the block leaves tasks or threads behind that it has made.

    Raises:
        AssertionError: It names what is still alive.
    """
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    try:
        yield
    finally:
        leaked: Mapping[str, Any] = {
            "tasks": [task for task in asyncio.all_tasks() - tasks if not task.done()],
            "threads": [thread for thread in set(threading.enumerate()) - threads if thread.is_alive()],
        }
    assert not any(leaked.values()), f"still alive: {leaked}"

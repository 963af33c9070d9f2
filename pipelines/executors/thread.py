"""Plain functions on a pool of threads.

For functions that block: files, databases without an asyncio driver, libraries that release the
interpreter's lock. Context variables of the caller are visible in the function. A thread cannot be
stopped from outside: a call that is cancelled or times out gives its place in the node free, while
its thread ends with the function.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

__all__ = ["ThreadExecutor"]


class ThreadExecutor:
    """At most ``workers`` threads, started as they are needed."""

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="pipelines")
        self._running: set[Future[Any]] = set()

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run ``function(*args)`` in a thread."""
        context = contextvars.copy_context()
        future = self._pool.submit(context.run, _call, function, args)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Wait for the functions that run, drop those that wait, and end all threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if running := [asyncio.wrap_future(future) for future in list(self._running)]:
            await asyncio.wait(running)
            for future in running:
                if not future.cancelled():
                    future.exception()  # it was raised where the call was awaited, if anybody still did
        self._pool.shutdown(wait=True)


def _call(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return function(*args)
    except StopIteration as error:
        # A future cannot carry a StopIteration: the awaiting coroutine would just end.
        raise RuntimeError("the function raised StopIteration") from error

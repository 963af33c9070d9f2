"""Where results of sinks go besides nowhere: collected lists, and streams that somebody reads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from ..channels.base import UNBOUNDED
from ..channels.entries import Ticket

__all__ = ["Collected", "Stream", "StreamPort"]


def _nobody() -> None:
    """Nobody waits."""


class Collected:
    """Keeps every result of a sink for the report; never full."""

    __slots__ = ("items", "on_items", "push")

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.push: Callable[[Any], None] = self.items.append
        self.on_items: Callable[[], None] = _nobody

    def room(self) -> int:
        """A list never makes anybody wait."""
        return UNBOUNDED

    def extend(self, items: list[Any]) -> None:
        """Keep many results."""
        self.items.extend(items)

    def push_tracked(self, item: Any, tickets: tuple[Ticket, ...]) -> None:
        """Keep a result; the outbox of a sink settles its tickets itself."""
        self.push(item)

    def push_tomb(self, count: int, tickets: tuple[Ticket, ...] = ()) -> None:
        """What was dropped is not collected."""

    def close(self) -> None:
        """Nothing more will come."""


class StreamPort:
    """The buffer between a sink and whoever reads its stream; a full one makes the sink wait."""

    __slots__ = ("_waiting", "capacity", "closed", "error", "items", "on_items", "push")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.items: deque[Any] = deque()
        self.push: Callable[[Any], None] = self.items.append
        self.on_items: Callable[[], None] = self._wake
        self.closed = False
        self.error: BaseException | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    def room(self) -> int:
        """How many results may be pushed now."""
        return self.capacity - len(self.items)

    def extend(self, items: list[Any]) -> None:
        """Buffer many results."""
        self.items.extend(items)

    def push_tracked(self, item: Any, tickets: tuple[Ticket, ...]) -> None:
        """Buffer a result; the outbox of a sink settles its tickets itself."""
        self.push(item)

    def push_tomb(self, count: int, tickets: tuple[Ticket, ...] = ()) -> None:
        """What was dropped is not streamed."""

    def close(self) -> None:
        """Nothing more will come."""
        self.closed = True
        self._wake()

    async def take(self) -> Any:
        """The next result; waits for it. Raises `StopAsyncIteration` or the run's error at the end."""
        while not self.items:
            if self.error is not None:
                raise self.error
            if self.closed:
                raise StopAsyncIteration
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
        return self.items.popleft()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if not future.done():
                future.set_result(None)


class Stream:
    """The results of a sink, as they come: an async iterator.

    It gets every result from the moment it was made, in order. At most as many as the sink's
    ``queue_size`` are buffered; a reader that does not keep up slows the graph down. A reader that
    leaves (the iterator is closed, or nobody holds it any more) slows nothing. At the end of a
    failed run the iterator raises the run's error.
    """

    def __init__(self, port: StreamPort, on_leave: Callable[[], None], on_taken: Callable[[], None]) -> None:
        self._port = port
        self._on_leave = on_leave
        self._on_taken = on_taken

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Any:
        value = await self._port.take()
        self._on_taken()
        return value

    async def aclose(self) -> None:
        """Leave: nothing is buffered for this reader any more."""
        self._port.items.clear()
        self._port.close()
        self._on_leave()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # ``async for`` over a stream that is left with ``break`` drops the last reference to it.
        self._on_leave()

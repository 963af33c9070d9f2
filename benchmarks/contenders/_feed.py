"""A way in for contenders that take their input from an asynchronous iterable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

__all__ = ["Feed"]

_END: Final = object()


class Feed:
    """An asynchronous iterable of what is put into it, until it is closed."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()

    def put(self, x: Any) -> None:
        """Let ``x`` be the next item."""
        self._queue.put_nowait(x)

    def close(self) -> None:
        """Let nothing more come."""
        self._queue.put_nowait(_END)

    async def items(self) -> AsyncIterator[Any]:
        """What is put, as it comes."""
        while (x := await self._queue.get()) is not _END:
            yield x

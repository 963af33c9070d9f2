"""What an executor is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Executor"]


class Executor(Protocol):
    """Runs functions somewhere else; the event loop goes on meanwhile.

    Promises: an exception of the function is raised by `call` unchanged; when `close` returns,
    nothing of the executor is alive any more. Cancelling a call stops the wait for it, which need
    not stop the function.
    """

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run ``function(*args)`` and give its result."""
        ...

    async def close(self) -> None:
        """Wait for the functions that run, drop those that wait, and end."""
        ...

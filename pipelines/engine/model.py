"""A node whose coro is a class, in the event loop: one object is made of it, and called for every item."""

from __future__ import annotations

import inspect
from typing import Any

from ..executors.post import build
from ..processor import Processor

__all__ = ["Model"]


class Model:
    """Stands for the node's function; the object is made before the first item."""

    __slots__ = ("_class", "_object")

    def __init__(self, model: type) -> None:
        self._class = model
        self._object: Any = None

    def __call__(self, _processor: Processor, q_elt: tuple[Any, ...]) -> Any:
        """Call the object with an item."""
        return self._object(q_elt)

    def build(self, processor: Processor) -> None:
        """Make the object."""
        self._object = build(self._class, processor)

    async def close(self, _processor: Processor) -> None:
        """Close the object, if it was made and can be closed."""
        close = getattr(self._object, "close", None)
        if close is not None:
            result = close()
            if inspect.isawaitable(result):
                await result

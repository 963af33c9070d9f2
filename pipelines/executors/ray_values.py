"""Values on their way through a cluster: packed, kept in its object store, or on the way from there.

A packed value is a list: the pickle, and the large buffers of arrays and tables behind it. So Ray copies
them once into shared memory. There the next node on Ray can use them as they are; what comes back to the
program is copied, and whatever happens to the store later is nothing to it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

from ..types import SKIP, To
from .base import Kept

__all__ = [
    "LARGE",
    "Hole",
    "InSlot",
    "KeptValue",
    "Packed",
    "Packer",
    "around",
    "fill",
    "inside",
    "take_out",
    "unpack",
    "view",
    "weigh",
]

LARGE = 100_000
"""Bytes from which on a result stays in the object store; Ray itself carries what is smaller along with a call."""

OUT_OF_BAND = 1 << 16
"""Bytes from which on a buffer is not copied into the pickle."""

Message = list[Any]


class KeptValue(Kept):
    """A packed value in the cluster's object store.

    Attributes:
        ref: Ray's reference to it.
        size: In bytes, roughly.
        roots: References to what this program has put into the store and the value was made of: while it
            lives they must, too, so that the value can be made again if its machine is lost.
    """

    __slots__ = ("ref", "roots", "size")

    def __init__(self, ref: Any, size: int, roots: tuple[Any, ...]) -> None:
        self.ref = ref
        self.size = size
        self.roots = roots

    def __repr__(self) -> str:
        return f"<a value of {self.size:,} bytes in the object store>"


class Hole:
    """Where a kept value belongs in an item."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index

    def __reduce__(self) -> Any:
        return Hole, (self.index,)


class InSlot:
    """Stands for a result that is a return value of its own, the ``index``-th; it has ``size`` bytes."""

    __slots__ = ("index", "size")

    def __init__(self, index: int, size: int) -> None:
        self.index = index
        self.size = size

    def __reduce__(self) -> Any:
        return InSlot, (self.index, self.size)


class Packed:
    """A value that has been packed by itself, inside another one."""

    __slots__ = ("message",)

    def __init__(self, message: Message) -> None:
        self.message = message

    def __reduce__(self) -> Any:
        return Packed, (self.message,)


class Packer:
    """Packs values.

    Args:
        dumps: Pickles like `pickle.dumps`.
    """

    def __init__(self, dumps: Callable[..., bytes]) -> None:
        self.dumps = dumps

    def pack(self, value: Any) -> Message:
        """The value as a message; whatever pickling raises is raised."""
        buffers: list[pickle.PickleBuffer] = []

        def keep(buffer: pickle.PickleBuffer) -> bool:
            if buffer.raw().nbytes < OUT_OF_BAND:
                return True
            buffers.append(buffer)
            return False

        data = self.dumps(value, protocol=5, buffer_callback=keep)
        return [data, *buffers]

    def why_not(self, value: Any) -> str:
        """Why a value cannot be packed; empty if it can."""
        try:
            self.pack(value)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""


def weigh(message: Message) -> int:
    """The bytes of a message."""
    return sum([memoryview(part).nbytes for part in message])


def unpack(message: Message) -> Any:
    """The value of a message; nothing of it lies in the store, so its arrays can be written to."""
    data, *buffers = message
    return pickle.loads(data, buffers=[bytearray(memoryview(buffer)) for buffer in buffers])


def view(message: Message) -> Any:
    """The value of a message whose large arrays lie in the store, and cannot be written to."""
    data, *buffers = message
    return pickle.loads(data, buffers=buffers)


# Kept values stand as items, in the tuples of zips and in the lists of batches.


def take_out(items: Sequence[Any]) -> tuple[Sequence[Any], list[KeptValue]]:
    """The items with holes where values are kept, and these."""
    kept: list[KeptValue] = []
    without = [_take_out(item, kept, 2) for item in items]
    return (without, kept) if kept else (items, kept)


def _take_out(item: Any, kept: list[KeptValue], depth: int) -> Any:
    kind = type(item)
    if kind is KeptValue:
        kept.append(item)
        return Hole(len(kept) - 1)
    if depth and (kind is tuple or kind is list):
        before = len(kept)
        parts = [_take_out(part, kept, depth - 1) for part in item]
        if len(kept) > before:
            return kind(parts)
    return item


def fill(item: Any, value_of: Callable[[int], Any], depth: int = 2) -> Any:
    """An item without holes."""
    kind = type(item)
    if kind is Hole:
        return value_of(item.index)
    if depth and (kind is tuple or kind is list) and item:
        return kind([fill(part, value_of, depth - 1) for part in item])
    return item


def inside(outcome: Any) -> Any:
    """The value that an outcome carries on."""
    return outcome.value if type(outcome) is To and outcome is not SKIP else outcome


def around(outcome: Any, value: Any) -> Any:
    """The outcome with another value."""
    return To(outcome.node, value) if type(outcome) is To and outcome is not SKIP else value

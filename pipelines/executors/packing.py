"""Values on their way to another process and back.

Small ones go through the socket. What is large goes through a file in memory that both processes
have mapped: pickle (protocol 5) hands out the buffers of arrays and tables, which are copied into the
file by the one process and out of it by the other. The file is used again and again; so its pages are
there, and a megabyte takes no longer than two copies of it.
"""

from __future__ import annotations

import ctypes
import io
import mmap
import os
import pickle
import struct
import tempfile
from collections.abc import Callable
from typing import Any

from ..signature import LIFTED, lift

__all__ = ["Arena", "dumps", "keep_freed_memory", "pack", "unpack", "weight"]

IN_ARENA = 1 << 16
"""Bytes from which on a message goes through memory, not through the socket."""

OUT_OF_BAND = 1 << 12
"""Bytes from which on a buffer is not copied into the pickle."""

KEPT = 1 << 26
"""Bytes of an arena that are kept when a larger message has gone through it."""

PAGES = 1 << 16

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Of glibc's ``mallopt``."""

HEADER = struct.Struct("<?IQ")


class Arena:
    """A file in memory that two processes have mapped; one writes it, then the other reads it.

    Args:
        descriptor: Of the file, if the other process made it.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _file_in_memory() if descriptor is None else descriptor
        self._map: mmap.mmap | None = None
        self._size = 0

    def view(self, size: int) -> memoryview:
        """The first ``size`` bytes, which the other process has written, or this one is about to write."""
        in_pages = -(-size // PAGES) * PAGES
        if os.fstat(self.descriptor).st_size < in_pages:  # the other side may have made it smaller
            os.ftruncate(self.descriptor, in_pages)
        if size > self._size:
            self._unmap()
            self._map = mmap.mmap(self.descriptor, in_pages)
            self._size = in_pages
        assert self._map is not None
        return memoryview(self._map)[:size]

    def shrink(self) -> None:
        """Give memory back after an unusually large message; nobody else uses the arena now."""
        if self._size > KEPT:
            self._unmap()
            os.ftruncate(self.descriptor, 0)

    def unmap_large(self) -> None:
        """Forget an unusually large mapping: the other side will make the file smaller."""
        if self._size > KEPT:
            self._unmap()

    def close(self) -> None:
        """Give everything back; only once."""
        self._unmap()
        os.close(self.descriptor)

    def _unmap(self) -> None:
        if self._map is not None:
            self._map.close()
        self._map, self._size = None, 0


def keep_freed_memory() -> None:
    """Have the allocator keep what is freed, as the next large value will need as much.

    Otherwise every array of a megabyte gets fresh pages from the system, which costs several times as
    much as to copy it. Only where the C library is glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(MMAP_THRESHOLD, KEPT // 2)
    mallopt(TRIM_THRESHOLD, KEPT)


def _file_in_memory() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("pipelines")
    with tempfile.TemporaryFile() as file:  # where there are no files in memory
        return os.dup(file.fileno())


class _Pickler(pickle.Pickler):
    """Pickles lifted functions by what they were made of: under their name stands another function."""

    def reducer_override(self, value: Any) -> Any:
        plain = getattr(value, LIFTED, None) if callable(value) else None
        return NotImplemented if plain is None else (lift, (plain,))


def dumps(value: Any, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None) -> bytes:
    """Pickle what may hold functions of nodes."""
    file = io.BytesIO()
    _Pickler(file, 5, buffer_callback=buffer_callback).dump(value)
    return file.getvalue()


def pack(value: Any, arena: Arena) -> list[bytes | bytearray]:
    """Pickle ``value`` and put it into the message, or into ``arena`` if it is large.

    Returns:
        The parts of the message, to be sent one behind the other.

    Raises:
        Exception: Whatever pickling raises.
    """
    buffers: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < OUT_OF_BAND:
            return True
        buffers.append(raw)
        return False

    data = pickle.dumps(value, 5, buffer_callback=keep)
    sizes = [buffer.nbytes for buffer in buffers]
    whole = len(data) + sum(sizes)
    header = HEADER.pack(whole > IN_ARENA, len(sizes), len(data)) + struct.pack(f"<{len(sizes)}Q", *sizes)
    if whole <= IN_ARENA:
        return [header, data, *map(bytes, buffers)]
    with arena.view(whole) as view:
        at = 0
        parts: tuple[Any, ...] = (data, *buffers)
        for part in parts:
            end = at + len(part)
            view[at:end] = part
            at = end
    return [header]


def weight(message: memoryview | bytes | bytearray) -> int:
    """Bytes that a packed value has, wherever they are."""
    _, count, size = HEADER.unpack_from(message)
    return int(size + sum(struct.unpack_from(f"<{count}Q", message, HEADER.size)))


def unpack(message: memoryview, arena: Arena) -> Any:
    """The value of a message made by `pack`; nothing of it lies in ``message`` or ``arena`` any more.

    Raises:
        Exception: Whatever unpickling raises.
    """
    in_arena, count, size = HEADER.unpack_from(message)
    sizes = struct.unpack_from(f"<{count}Q", message, HEADER.size)
    if in_arena:
        with arena.view(size + sum(sizes)) as view:
            return _load(view, 0, size, sizes)
    return _load(message, HEADER.size + 8 * count, size, sizes)


def _load(view: memoryview, at: int, size: int, sizes: tuple[int, ...]) -> Any:
    data_at, at = at, at + size
    buffers = []
    for length in sizes:
        buffers.append(bytearray(view[at : at + length]))
        at += length
    with view[data_at : data_at + size] as data:
        return pickle.loads(data, buffers=buffers)

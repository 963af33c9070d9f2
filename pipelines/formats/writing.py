"""Files that appear only when they are complete: what the writers of all formats stand on.

A file is written under its name with ``.partial`` behind it. When the run ends well it is put on
disk and gets its own name in one step; until then, and for good if it does not end well, what stood
there before stays as it is. Items stand in the file in the order in which their calls started. An
item is written exactly once if its call returns, and not at all if its call raises or is cancelled.

When the disk is full, what could not be written is kept, and each further call begins by trying
again: it raises, and its item is not taken, until that succeeds. So memory stays bounded, and a
retry policy can wait for room.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import logging
import os
import stat
import threading
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any
from weakref import WeakValueDictionary

from ..errors import StateError
from .base import Encoding, FileThread, FormatError, check_regular, is_gzip

__all__ = ["TargetFile", "Writer", "cleanup_writer", "items_of", "setup_writer", "writer_of"]

_log = logging.getLogger(__name__)

BUFFER = 1 << 20
"""Bytes that are gathered before a thread writes them: so many that it is seldom waited for."""

PATIENCE = 1.0
"""Seconds after which a call has written what was gathered, however little it is."""

_PIECE = 1 << 20


class TargetFile:
    """A file being written. Its methods wait for the disk: they belong into the file's thread.

    Nobody else in this process can open the same target until it is closed. With ``append`` there is
    no partial file: what is written is added to the target itself at once, for good.

    Attributes:
        path: The target, as it was named.
        partial: Where it is written until it is complete; the target itself with ``append``.
        fresh: Whether nothing stands in front of what will be written.
        encoding: How text is to be encoded; of a file that is appended to, as it was begun.
    """

    def __init__(self, path: str, encoding: str = "utf-8", *, append: bool = False) -> None:
        self.path = path
        self.append = append
        self.encoding = Encoding.of(encoding)
        self.fresh = True
        self._target = Path(path)
        self.partial = self._target
        self._raw: io.FileIO | None = None
        self._packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16) if is_gzip(path) else None
        self._unwritten: list[memoryview] = []

    def open(self) -> None:
        """Claim the target and open it.

        Raises:
            OSError: As the system says it.
            FormatError: Another writer has it; it is no regular file; or it cannot be appended to.
        """
        # Behind a symbolic link lies the file to be replaced; the link stays.
        self._target = Path(self.path).resolve()
        self.partial = self._target if self.append else self._target.with_name(self._target.name + ".partial")
        exists = self._target.exists()
        if exists:
            check_regular(self._target)
        _claim(self, {self._target, self.partial})
        try:
            if exists and self.append:
                self._look_at_end()
            self._raw = io.FileIO(self.partial, "a" if self.append else "w")
            if exists and not self.append:
                self.partial.chmod(stat.S_IMODE(self._target.stat().st_mode))
        except BaseException:
            self.close()
            raise

    def _look_at_end(self) -> None:
        """Find out how the file was begun, and that its last line is complete."""
        try:
            with gzip.open(self._target) if self._packer else self._target.open("rb") as file:
                head = file.read(4)
                if not head:
                    return
                self.fresh = False
                self.encoding = Encoding.of(self.encoding.name, head)
                if head == self.encoding.mark:
                    return
                end = _last_bytes(file, len(self.encoding.newline), seekable=self._packer is None)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FormatError(f"{self.path} cannot be appended to, its compressed data is broken: {error}") from error
        if end != self.encoding.newline:
            raise FormatError(
                f"{self.path} cannot be appended to, its last line has no end; complete the line, or remove it"
            )

    def write(self, data: bytes) -> None:
        """Write ``data``, after what is left of earlier data that could not be written.

        Raises:
            OSError: Something is left; it will be tried again by the next call.
        """
        if data:
            self._unwritten.append(memoryview(self._packer.compress(data) if self._packer else data))
        self._write_out()

    def _write_out(self) -> None:
        assert self._raw is not None, "the file is not open"
        try:
            while self._unwritten:
                written = self._raw.write(self._unwritten[0])
                self._unwritten[0] = self._unwritten[0][written:]
                if not self._unwritten[0]:
                    del self._unwritten[0]
        except OSError as error:
            error.filename = str(self.partial)
            raise

    def finish(self, data: bytes, *, complete: bool) -> None:
        """Write the last data and close the file; if ``complete``, put it on disk and give it its name."""
        try:
            self.write(data)
            if self._packer:
                self._unwritten.append(memoryview(self._packer.flush()))
                self._write_out()
            if complete:
                self._put_in_place()
        finally:
            self.close()

    def _put_in_place(self) -> None:
        assert self._raw is not None, "the file is not open"
        os.fsync(self._raw.fileno())
        self._raw.close()
        if not self.append:
            self.partial.replace(self._target)
            _sync_folder(self._target.parent)

    def close(self) -> None:
        """Close the file as it is and let others have the target; harmless if it is not open."""
        if self._raw is not None:
            self._raw.close()
        _release(self)


_claims: WeakValueDictionary[Path, TargetFile] = WeakValueDictionary()
"""Who writes what. Weak, so that a run nobody ended cannot keep its targets for ever."""

_claims_lock = threading.Lock()


def _claim(file: TargetFile, paths: set[Path]) -> None:
    with _claims_lock:
        if any(path in _claims for path in paths):
            raise FormatError(f"{file.path} is being written already, by another writer of this process")
        _claims.update(dict.fromkeys(paths, file))


def _release(file: TargetFile) -> None:
    with _claims_lock:
        for path in [path for path, owner in _claims.items() if owner is file]:
            del _claims[path]


def _last_bytes(file: Any, count: int, *, seekable: bool) -> bytes:
    """The last ``count`` bytes of a file that has so many."""
    if seekable:
        file.seek(-count, io.SEEK_END)
        end: bytes = file.read()
        return end
    file.seek(0)
    end = b""
    while piece := file.read(_PIECE):
        end = (end + piece)[-count:]
    return end


def _sync_folder(folder: Path) -> None:
    """Put on disk that a file has a new name, where the system knows such a thing."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Writer(ABC):
    """The items of one node on their way into a file; a format adds what they look like there."""

    def __init__(self, path: str, encoding: str = "utf-8", *, append: bool = False) -> None:
        self.file = TargetFile(path, encoding, append=append)
        self._thread = FileThread()
        self._turn = asyncio.Lock()
        self._buffer: list[bytes] = []
        self._size = 0
        self._begun = False
        self._queue = 0  # calls that wait for room
        self._written = monotonic()  # when writing was begun last
        self._writing: Future[None] | None = None
        self._failed = False  # whether writing has failed, as far as is known

    @abstractmethod
    def encode(self, items: Sequence[object]) -> bytes:
        """The items as they will stand in the file; raises `FormatError` if that is impossible."""

    def preface(self) -> bytes:
        """What stands before the first item; asked for after that was encoded, or at the end."""
        return self.file.encoding.mark if self.file.fresh else b""

    def prepare(self) -> None:
        """Open the file, and look at what is in it already; in the file's thread."""
        self.file.open()

    async def open(self) -> None:
        """Open the file; when that fails or is cancelled, nothing of it is left."""
        try:
            await self._thread.run(self.prepare)
        except BaseException:
            await self._thread.close(self.file.close)
            raise

    async def add(self, items: Sequence[object]) -> None:
        """Take all of ``items`` for good, or raise and take none."""
        data = self.encode(items)
        if self._queue or self._is_due():
            await self._make_room()
        self._begin()
        self._gather(data)

    async def _make_room(self) -> None:
        """Have written what was gathered; in the background as long as that goes well and is quick enough."""
        # Calls come here in the order in which they start, and nobody overtakes those who wait.
        self._queue += 1
        try:
            async with self._turn:
                if not self._is_due():
                    return
                if self._writing is not None:
                    await self._end_writing()
                self._written = monotonic()
                self._writing = self._thread.start(self.file.write, self._gathered())
                if self._failed:
                    await self._end_writing()
        finally:
            self._queue -= 1

    def _is_due(self) -> bool:
        return self._size >= BUFFER or self._failed or monotonic() - self._written >= PATIENCE

    async def _end_writing(self) -> None:
        assert self._writing is not None
        self._failed = True
        try:
            await self._thread.end(self._writing)
            self._failed = False
        finally:
            self._writing = None

    def _begin(self) -> None:
        if not self._begun:
            self._gather(self.preface())
            self._begun = True

    def _gather(self, data: bytes) -> None:
        self._buffer.append(data)
        self._size += len(data)

    def _gathered(self) -> bytes:
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._size = 0
        return data

    async def finish(self, outcome: str | None) -> None:
        """Write what is left, and put the file in place if the run was ``completed``."""
        path, complete = self.file.path, outcome == "completed"
        self._begin()
        try:
            await self._thread.close(partial(self.file.finish, self._gathered(), complete=complete))
        except OSError as error:
            _log.warning("%s could not be finished: %s; what was written is in %s", path, error, self.file.partial)
            if complete:
                raise
        else:
            if not complete and not self.file.append:
                _log.warning("%s is not complete, the run %s; see %s", path, outcome, self.file.partial)


_WRITER = "_pipelines_writer"
"""The attribute of a node in which its writer lies between calls."""


async def setup_writer(node: Any, make: Callable[..., Writer]) -> None:
    """Make the writer of a node from its arguments and open its file, before there is any item."""
    writer = make(**node.args)
    await writer.open()
    setattr(node, _WRITER, writer)


def writer_of(node: Any) -> Writer:
    """The writer of a node.

    Raises:
        StateError: The node's setup has not run, so nothing would put the file in place.
    """
    # Not getattr, which would ask the environment variables.
    writer: Writer | None = vars(node).get(_WRITER)
    if writer is None:
        raise StateError(
            f"node {node.name!r} has no open file: a writer needs the setup and cleanup that are registered with it,"
            " so give its name in the graph, not the function, and no other setup"
        )
    return writer


async def cleanup_writer(node: Any) -> None:
    """Finish the file of a node, as its outcome says."""
    writer: Writer | None = vars(node).pop(_WRITER, None)
    if writer is not None:
        await writer.finish(node.outcome)


def items_of(node: Any, q_elt: tuple[Any, ...]) -> Sequence[object]:
    """The items of one call: one, or a list of them if the node collects batches.

    Raises:
        TypeError: They are several upstreams' items, paired.
    """
    if len(q_elt) != 1:
        raise TypeError(
            f"node {node.name!r} writes one item at a time, and gets {len(q_elt)}, one of each upstream;"
            " set its property 'aggregate_inputs' to False, or join the items first"
        )
    # Only the node knows: a list may also be one item, such as a JSON array.
    items: Sequence[object] = q_elt if node.properties.batch is None else q_elt[0]
    return items

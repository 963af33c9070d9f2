"""What all file formats share: their errors, text encodings, and the thread that does a file's blocking work.

A file is only ever touched in its own thread, one operation at a time, in the order in which they
were asked for; an operation that has begun is waited for even by a task that is cancelled. So when
a coro of this package has returned or raised, its thread has ended and nothing reads or writes on.

On this stand `reading` (lines out of files) and `writing` (files that appear only when complete);
a format adds what a record is.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import stat
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from ..errors import PipelinesError

__all__ = ["Encoding", "FileThread", "FormatError", "Output", "RecordError", "check_regular", "is_gzip"]

P = ParamSpec("P")
T = TypeVar("T")


class FormatError(PipelinesError, ValueError):
    """A file, or what should be written to it, does not fit its format; the message names the file."""


class RecordError(FormatError):
    """One record of a file cannot be read.

    Attributes:
        path: The file, as it was named.
        line: Number of the line where the record begins; the first line of a file is 1.
        reason: What is wrong with the record.
    """

    def __init__(self, path: str, line: int, reason: str) -> None:
        self.path = path
        self.line = line
        self.reason = reason
        super().__init__(path, line, reason)

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.reason}"


class Output(Protocol):
    """What a source puts its items into."""

    async def put(self, item: Any) -> None:
        """Deliver one item; waits while the graph is full."""

    async def fail(self, item: Any, error: BaseException) -> None:
        """Report an item that could not be read; raises when the node's policy is to fail."""

    def progress(self, done: float, total: float | None) -> None:
        """Tell how much of the whole is done, in any unit."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """A text encoding, as one file uses it: the byte order is decided, a byte order mark is no text.

    Attributes:
        name: As it was asked for.
        codec: The codec for any part of the text; it neither expects nor writes a mark.
        mark: The byte order mark that the file begins with, or should; often empty.
        newline: The bytes of a line end. They stand at multiples of their length only.
    """

    name: str
    codec: str
    mark: bytes
    newline: bytes

    @classmethod
    def of(cls, name: str, head: bytes | None = None) -> Encoding:
        """The encoding ``name`` in a file that begins with ``head``, or in a new one (None).

        Raises:
            FormatError: There is no such encoding, or it is none of text.
        """
        try:
            known = codecs.lookup(name).name
            mark = "".encode(name) if head is None else _mark(known, head)
            codec = _MARKED.get(mark, {}).get(known) or _UNMARKED.get(known, known)
            newline = "\n".encode(codec)
        except (LookupError, UnicodeError) as error:
            raise FormatError(f"encoding {name!r} is not known: {error}") from error
        if len(newline) > 1 and newline.strip(b"\0") != b"\n":
            raise FormatError(f"encoding {name!r} is none of files: its lines have no end to be found by")
        return cls(name, codec, mark, newline)


def _mark(known: str, head: bytes) -> bytes:
    # The longest first: the mark of utf-32-le begins with that of utf-16-le.
    marks = sorted(_MARKED, key=len, reverse=True)
    return next((mark for mark in marks if known in _MARKED[mark] and head.startswith(mark)), b"")


_MARKED: dict[bytes, dict[str, str]] = {
    codecs.BOM_UTF8: {"utf-8": "utf-8", "utf-8-sig": "utf-8"},
    codecs.BOM_UTF16_LE: {"utf-16": "utf-16-le", "utf-16-le": "utf-16-le"},
    codecs.BOM_UTF16_BE: {"utf-16": "utf-16-be", "utf-16-be": "utf-16-be"},
    codecs.BOM_UTF32_LE: {"utf-32": "utf-32-le", "utf-32-le": "utf-32-le"},
    codecs.BOM_UTF32_BE: {"utf-32": "utf-32-be", "utf-32-be": "utf-32-be"},
}
"""Byte order mark -> encoding asked for -> codec of the text behind the mark."""

_ORDER = "le" if sys.byteorder == "little" else "be"
_UNMARKED = {"utf-8-sig": "utf-8", "utf-16": f"utf-16-{_ORDER}", "utf-32": f"utf-32-{_ORDER}"}
"""Codec of a text without a mark, where it is not the one asked for; the byte order is Python's choice."""


def is_gzip(path: str | os.PathLike[str]) -> bool:
    """Whether the file is compressed: its name says so."""
    return os.fspath(path).lower().endswith(".gz")


def check_regular(path: Path) -> None:
    """Refuse pipes and devices: waiting for one could not be cancelled, and replacing one would destroy it.

    Raises:
        OSError: There is nothing, or it may not be looked at, or it is a directory.
        FormatError: It is something else than a file.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "Is a directory", str(path))
    if not stat.S_ISREG(mode):
        raise FormatError(f"{path} is not a regular file")


class FileThread:
    """The thread of one file. It starts with the first operation and ends with `close`."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="pipelines-file")

    def start(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Ask for an operation; it begins when those before it have ended."""
        return self._executor.submit(function, *args, **kwargs)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do an operation and wait for its end."""
        return await self.end(self.start(function, *args, **kwargs))

    async def end(self, operation: Future[T]) -> T:
        """Wait for the end of an operation, then give its result or the cancellation that came meanwhile."""
        if operation.done():
            return operation.result()
        waiter = asyncio.wrap_future(operation)
        cancelled: asyncio.CancelledError | None = None
        while not waiter.done():
            try:
                await asyncio.wait((waiter,))
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            waiter.exception()  # asked for, so that nobody is told it was never looked at
            raise cancelled
        return waiter.result()

    async def close(self, last: Callable[[], object]) -> None:
        """Do one ``last`` operation and end the thread, whatever becomes of the operation."""
        try:
            await self.run(last)
        finally:
            self._executor.shutdown()  # the thread is idle: this is no wait worth speaking of

"""Lines out of files, in blocks, with bounded memory: what the readers of all line-based formats stand on.

Every line of the file is handed on exactly once, in order, with its number and position; the last
one may lack its line end. A line that is not valid in the file's encoding, or longer than the
longest record allowed, is marked as bad and costs only itself. Memory is bounded by a few blocks and
the longest record, whatever the size of the file and however long its lines.
"""

from __future__ import annotations

import gzip
import io
import time
import zlib
from asyncio import sleep
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from .base import Encoding, FileThread, Output, RecordError, check_regular, is_gzip

__all__ = ["BLANK", "BLOCK", "MAX_RECORD", "BadLine", "Block", "Failure", "LineFile", "Parse", "deliver"]

BLOCK: Final = 1 << 17
"""Bytes read at once: as many as a thread cuts into lines in less than half a millisecond, because
the event loop may have to wait for that."""

MAX_RECORD: Final = 1 << 20
"""Bytes of the longest record, its line end included, unless a reader is told otherwise."""

_PATIENCE: Final = 64
"""Records without an item, one after the other, until the event loop gets its turn."""

_BREATH: Final = 256
"""Lines of a block with bad ones that are decoded until other threads get their turn."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be read: why, and its text as far as it can be shown."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    r"""Some consecutive lines of a file.

    Attributes:
        line: Number of the first of them.
        start: Position of the first of them in the uncompressed file, in bytes.
        lines: Their text with the line ends, split at ``\n`` only. In a bad line, bytes that are not
            valid are escaped; one that is too long is empty.
        bad: The bad ones among them, by index.
        done: Bytes of the file, as it lies there, that have been read.
        last: Nothing comes after this block.
    """

    line: int
    start: int
    lines: list[str]
    bad: dict[int, BadLine] = field(default_factory=dict)
    done: int = 0
    last: bool = False


class LineFile:
    """A file as a sequence of blocks. All its methods wait for the disk: they belong into the file's thread."""

    def __init__(self, path: str, encoding: str = "utf-8", max_record: int = MAX_RECORD, block: int = 0) -> None:
        if max_record < 1:
            raise ValueError(f"max_record must be at least 1 byte, not {max_record}")
        self.path = path
        self.max_record = max_record
        self.encoding = Encoding.of(encoding, b"")
        self.size = 0
        self._block = block or BLOCK
        self._raw: IO[bytes] | None = None
        self._stream: IO[bytes] | gzip.GzipFile | None = None
        self._head = b""
        self._rest: list[bytes] = []  # the beginning of the line that is not complete yet
        self._rest_size = 0
        self._seen = 0
        self._line = 1
        self._start = 0

    def open(self) -> None:
        """Open the file and look at its beginning.

        Raises:
            OSError: As the system says it.
            FormatError: It is no regular file, or compressed in name only.
        """
        path = Path(self.path)
        check_regular(path)
        self._raw = path.open("rb")
        try:
            self.size = path.stat().st_size
            self._stream = gzip.GzipFile(fileobj=self._raw) if is_gzip(path) else self._raw
            head = self._read(4)
            self.encoding = Encoding.of(self.encoding.name, head)
        except BaseException:
            self.close()
            raise
        self._head = head[len(self.encoding.mark) :]
        self._start = self._seen = len(self.encoding.mark)
        # A line end of several bytes must not lie across two blocks.
        self._block += -self._block % len(self.encoding.newline)

    def close(self) -> None:
        """Close the file; harmless if it is not open."""
        if self._raw is not None:
            self._raw.close()

    def read(self) -> Block:
        """The lines that end within the next so many bytes: some hundred as a rule, perhaps none."""
        piece = self._head + self._read(self._block)
        self._head = b""
        self._seen += len(piece)
        end = _behind_last(self.encoding.newline, piece)
        if not piece:
            data = self._complete(b"")
        else:
            data = self._complete(piece[:end]) if end else b""
            self._keep(piece[end:])
        block = self._cut(data, last=not piece)
        self._line += len(block.lines)
        if end:
            self._start = self._seen - (len(piece) - end)
        return block

    def _read(self, size: int) -> bytes:
        assert self._stream is not None, "the file is not open"
        try:
            return self._stream.read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise RecordError(self.path, self._line, f"the compressed file is broken here: {error}") from error
        except OSError as error:
            error.filename = self.path
            raise

    def _complete(self, piece: bytes) -> bytes:
        data = b"".join((*self._rest, piece))
        self._rest.clear()
        self._rest_size = 0
        return data

    def _keep(self, piece: bytes) -> None:
        """Keep the beginning of a line: enough to see that it is too long, if it is, and no more."""
        width = len(self.encoding.newline)
        piece = piece[: (self.max_record // width + 1) * width - self._rest_size]
        if piece:
            self._rest.append(piece)
            self._rest_size += len(piece)

    def _cut(self, data: bytes, *, last: bool) -> Block:
        assert self._raw is not None, "the file is not open"
        done = self._raw.tell()
        if len(data) <= self.max_record:
            try:
                text = data.decode(self.encoding.codec)
                # str.splitlines knows many more line ends than a file has.
                lines = io.StringIO(text, newline="\n").readlines()
                return Block(self._line, self._start, lines, {}, done, last)
            except UnicodeDecodeError:
                pass
        lines, bad = self._cut_one_by_one(data)
        return Block(self._line, self._start, lines, bad, done, last)

    def _cut_one_by_one(self, data: bytes) -> tuple[list[str], dict[int, BadLine]]:
        lines: list[str] = []
        bad: dict[int, BadLine] = {}
        for index, line in enumerate(_split(self.encoding.newline, data)):
            if index % _BREATH == _BREATH - 1:
                time.sleep(0.0001)  # Python code would keep the event loop's thread waiting for milliseconds
            text = self._decode(line)
            if isinstance(text, BadLine):
                bad[index] = text
                text = "\n" if len(line) > self.max_record else text.text
            lines.append(text)
        return lines, bad

    def _decode(self, line: bytes) -> str | BadLine:
        if len(line) > self.max_record:
            shown = line[: self.max_record].decode(self.encoding.codec, "backslashreplace")
            return BadLine(f"the line is longer than {self.max_record:,} bytes", shown)
        try:
            return line.decode(self.encoding.codec)
        except UnicodeDecodeError as error:
            shown = line.decode(self.encoding.codec, "backslashreplace")
            where = f"byte {error.start + 1} of the line (0x{line[error.start]:02x})"
            return BadLine(f"not valid {self.encoding.name}: {where}: {error.reason}", shown)


def _behind_last(newline: bytes, data: bytes) -> int:
    """Where the last line end in ``data`` ends; 0 without any."""
    width = len(newline)
    at = data.rfind(newline)
    while at > 0 and at % width:
        at = data.rfind(newline, 0, at + width - 1)
    return at + width if at >= 0 else 0


def _split(newline: bytes, data: bytes) -> Iterator[bytes]:
    width = len(newline)
    begin = 0
    while begin < len(data):
        at = data.find(newline, begin)
        while at > 0 and at % width:
            at = data.find(newline, at + 1)
        end = at + width if at >= 0 else len(data)
        yield data[begin:end]
        begin = end


class Failure:
    """What a format makes of a record that cannot be read: its text, and the error."""

    __slots__ = ("error", "text")

    def __init__(self, text: str, error: RecordError) -> None:
        self.text = text
        self.error = error


BLANK: Final = object()
"""What a format makes of lines that hold no record."""

Parse = Callable[[Block], Iterator[object]]
"""A format's part in reading: the items, `Failure`s and `BLANK`s that a block brings to an end."""


async def deliver(output_q: Output, file: LineFile, parse: Parse, limit: int | None = None) -> None:
    """Put what ``parse`` makes of a file into ``output_q``, at most ``limit`` items.

    Reading is one block ahead, in a thread; parsing happens here, item by item: it needs the
    interpreter anyway, and so costs the event loop no more than one item at a time. However this
    ends, the file is closed and its thread has ended.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit must not be negative, but is {limit}")
    thread = FileThread()
    try:
        await thread.run(file.open)
        if limit != 0:
            await _deliver(output_q, file, parse, thread, limit or -1)
    finally:
        await thread.close(file.close)


async def _deliver(output_q: Output, file: LineFile, parse: Parse, thread: FileThread, left: int) -> None:
    reading = thread.start(file.read)
    passed = 0
    last = False
    while not last:
        block = await thread.end(reading)
        last = block.last
        if not last:
            reading = thread.start(file.read)
        for record in parse(block):
            if record is not BLANK and type(record) is not Failure:
                await output_q.put(record)
                left -= 1
                if not left:
                    return
                continue
            if type(record) is Failure:
                await output_q.fail(record.text, record.error)
            passed += 1
            if passed % _PATIENCE == 0:
                await sleep(0)
        output_q.progress(min(block.done, file.size), file.size)

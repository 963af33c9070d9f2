"""Rows out of the lines of a CSV file: the rules of the format, without any reading of files."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from .base import FormatError, RecordError
from .lines import without_end
from .reading import BLANK, BadLine, Block, Failure, LineFile

__all__ = ["CsvParser", "check_columns", "check_delimiter", "listed"]


class CsvParser:
    """Makes rows of the lines of a file, block by block; the same rows wherever the blocks end.

    A record is parsed when all its lines are there. One that begins in a block and ends in a later
    one is parsed anew from its beginning, but not before twice as much of it has come, so that
    parsing takes linear time.

    Attributes:
        names: The columns of the file; None until its header was read, or if nothing names them.
    """

    def __init__(
        self,
        file: LineFile,
        *,
        header: bool = True,
        columns: Sequence[str] | None = None,
        delimiter: str = ",",
    ) -> None:
        self._file = file
        self._delimiter = check_delimiter(delimiter)
        self._wanted = None if columns is None else check_columns(columns, "columns")
        self._awaits_header = header
        self.names = None if header else self._wanted
        self._item: Callable[[list[str]], object] = list if self.names is None else _named(self.names)
        self._lines: list[str] = []  # those without a record yet; while a block is parsed, all of it
        self._bad: dict[int, BadLine] = {}  # the bad ones among them, by line number
        self._first = 1  # the line number of the first of them
        self._at = 0  # the index among them where the next record begins
        self._alone = 0  # lines before this number are read one by one
        self._last = False
        self._waiting = self._come = 0  # characters of an incomplete record; those that came since
        # This limit is one for all the process, so it is only ever raised.
        csv.field_size_limit(max(csv.field_size_limit(), min(file.max_record, 2**31 - 1)))

    def __call__(self, block: Block) -> Iterator[object]:
        """The rows, failures and blanks that end in this block."""
        self._lines += block.lines
        self._last = block.last
        for index, bad in block.bad.items():
            self._bad[block.line + index] = bad
        if self._waiting:
            self._come += sum(map(len, block.lines))
        if self._last or self._come >= self._waiting:
            self._waiting = self._come = 0
            while self._at < len(self._lines) and not self._waiting:
                if self._first + self._at < self._alone:
                    yield self._parse_alone()
                else:
                    yield from self._parse_on()
            self._forget()

    def _reader(self, lines: Iterable[str]) -> Any:
        return csv.reader(lines, delimiter=self._delimiter, strict=True)

    def _parse_on(self) -> Iterator[object]:
        """Parse from here on, until the lines end or a quote turns out to be never closed."""
        begun = at = self._at
        width = -1 if self.names is None else len(self.names)
        edge = _Edge()
        reader = self._reader(chain(islice(self._lines, begun, None), edge))
        while not edge.reached:
            try:
                for row in reader:
                    end = begun + reader.line_num
                    if len(row) == width and end - at == 1 and not self._bad:
                        yield self._item(row)
                    elif cut := self._too_long(at, end):
                        yield self._unclosed(at, cut)
                        return
                    else:
                        yield self._judge(row, at, end)
                        width = -1 if self.names is None else len(self.names)
                    at = self._at = end
            except csv.Error as error:
                end = begun + reader.line_num
                failure = self._broken(at, end, error, ran_out=edge.reached)
                if failure is not None:
                    yield failure
                if self._at != end:
                    return
                at = end  # the parser is at the line behind the broken record now

    def _broken(self, at: int, end: int, error: csv.Error, *, ran_out: bool) -> Failure | None:
        """A record does not end, or not well; None if it may be complete with the next block."""
        if cut := self._too_long(at, end):
            return self._unclosed(at, cut)
        if not ran_out:
            self._at = end
            return self._failure(at, end, _reason(error))
        if self._last:
            return self._unclosed(at, end)
        self._waiting = sum(map(len, islice(self._lines, at, None)))
        return None

    def _parse_alone(self) -> object:
        at = self._at
        self._at += 1
        try:
            return self._judge(next(self._reader((self._lines[at],))), at, at + 1)
        except csv.Error as error:
            return self._failure(at, at + 1, _reason(error))

    def _too_long(self, at: int, end: int) -> int:
        """Where the lines from ``at`` to ``end`` exceed the longest record; 0 if they do not."""
        size = 0
        if end - at > 1:  # single lines were measured when they were read
            for index in range(at, end):
                size += len(self._lines[index].encode(self._file.encoding.codec, "backslashreplace"))
                if size > self._file.max_record:
                    return index + 1
        return 0

    def _unclosed(self, at: int, end: int) -> Failure:
        """The quote opened in line ``at`` is not closed before ``end``: those lines are no part of its cell."""
        self._at = at + 1
        self._alone = self._first + end
        limit = f"{self._file.max_record:,} bytes"
        return self._failure(at, at + 1, f"a quote is opened and not closed, within {limit} or to the end of the file")

    def _judge(self, row: list[str], at: int, end: int) -> object:
        if self._bad and not self._bad.keys().isdisjoint(range(self._first + at, self._first + end)):
            return self._failure(at, end, "")
        if not row:
            return BLANK
        if self._awaits_header:
            self._begin(row)
            return BLANK
        if self.names is not None and len(row) != len(self.names):
            return self._failure(at, end, f"{len(row)} cells, but there are {len(self.names)} columns")
        return self._item(row)

    def _failure(self, at: int, end: int, reason: str) -> Failure:
        line = self._first + at
        lines = self._lines[at:end]
        for number in range(line, self._first + end):
            if number in self._bad:
                reason = self._bad[number].reason + (f" (in line {number})" if number > line else "")
                lines[number - line] = self._bad[number].text
        error = RecordError(self._file.path, line, reason)
        if self._awaits_header:
            raise error  # without its header the file tells nothing
        return Failure(without_end("".join(lines)), error)

    def _begin(self, header: list[str]) -> None:
        names = check_columns(header, self._file.path)
        if self._wanted is None:
            self._item = _named(names)
        else:
            unknown = [name for name in self._wanted if name not in names]
            if unknown:
                raise FormatError(f"{self._file.path} has no column {listed(unknown)}; its columns are {listed(names)}")
            self._item = _picked(self._wanted, [names.index(name) for name in self._wanted])
        self.names = names
        self._awaits_header = False

    def _forget(self) -> None:
        """Drop the lines that are parsed."""
        del self._lines[: self._at]
        self._first += self._at
        self._at = 0
        if self._bad:
            self._bad = {number: bad for number, bad in self._bad.items() if number >= self._first}


class _Edge(Iterator[str]):
    """The end of the lines there are; notes that more were asked for."""

    reached = False

    def __next__(self) -> str:
        self.reached = True
        raise StopIteration


def _named(names: Sequence[str]) -> Callable[[list[str]], object]:
    return lambda row: dict(zip(names, row))  # noqa: B905 - rows of another length do not come here


def _picked(names: Sequence[str], places: Sequence[int]) -> Callable[[list[str]], object]:
    return lambda row: {name: row[place] for name, place in zip(names, places)}  # noqa: B905 - of one length


def _reason(error: csv.Error) -> str:
    """What the csv module says, in the words of somebody who looks at the file."""
    text = str(error)
    if text.startswith("unexpected end of data"):
        return "a quote is opened and not closed"
    if text.startswith("new-line character"):
        return "a carriage return stands in a cell without quotes"
    return "text stands behind a closing quote" if "expected after" in text else text


def check_delimiter(delimiter: str) -> str:
    """The delimiter, if it can be one."""
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"delimiter must be one character, and no quote or line end; not {delimiter!r}")
    return delimiter


def check_columns(columns: Iterable[Any], where: str) -> list[str]:
    """The names of columns, if they are some and can be told apart."""
    names = list(columns)
    if not names:
        raise FormatError(f"{where}: there are no columns")
    if isinstance(columns, str) or not all(isinstance(name, str) for name in names):
        raise FormatError(f"{where}: the names of columns must be a list of text, not {columns!r}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise FormatError(f"{where}: more than one column is named {listed(twice)}; the columns are {listed(names)}")
    return names


def listed(names: Iterable[object]) -> str:
    """Names for an error message."""
    return ", ".join(map(repr, names))

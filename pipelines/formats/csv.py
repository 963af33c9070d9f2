"""CSV files: rows of text cells."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ..registry import default_registry
from .base import FormatError, Output
from .reading import MAX_RECORD, LineFile, deliver
from .rows import CsvParser, check_columns, check_delimiter, listed
from .writing import TargetFile, Writer, cleanup_writer, items_of, setup_writer, writer_of

__all__ = ["CsvWriter", "read_csv", "write_csv"]


@default_registry.coro("read_csv")
async def read_csv(
    self: Any,
    output_q: Output,
    path: str,
    *,
    encoding: str = "utf-8",
    delimiter: str = ",",
    header: bool = True,
    columns: list[str] | None = None,
    limit: int | None = None,
    max_record: int = MAX_RECORD,
) -> None:
    """Read a CSV file row by row.

    Every row is one item, in the order of the file: a dict of column names and cells. Cells are
    text, exactly as they stand there: ``007`` stays ``007``, an empty cell is an empty string, and
    quoted cells may hold delimiters, quotes and line ends. Memory stays flat whatever the size of
    the file.

    A row with too few or too many cells, with text that is not valid in the encoding, or with
    quotes at odd places is reported as a failed item with the number of the line where it begins. A
    quote that is never closed costs the line it stands on; the lines behind it are read one by one
    until the longest row allowed would have ended. Blank lines are passed over.

    Args:
        path: The file; uncompressed on the way if its name ends in ``.gz``.
        encoding: Its text encoding. A byte order mark at the beginning is no text.
        delimiter: The one character between cells.
        header: Whether the first row names the columns.
        columns: With a header, the columns to deliver, all others are left out. Without a header,
            the names of all columns; if there are none either, items are lists of cells of any length.
        limit: Deliver so many rows only.
        max_record: Bytes of the longest row allowed.
    """
    file = LineFile(path, encoding, max_record)
    await deliver(output_q, file, CsvParser(file, header=header, columns=columns, delimiter=delimiter), limit)


async def _setup(self: Any) -> None:
    await setup_writer(self, CsvWriter)


async def _cleanup(self: Any) -> None:
    await cleanup_writer(self)


@default_registry.coro("write_csv", setup=_setup, cleanup=_cleanup)
async def write_csv(
    self: Any,
    q_elt: tuple[Any, ...],
    path: str,
    *,
    columns: list[str] | None = None,
    append: bool = False,
    encoding: str = "utf-8",
    delimiter: str = ",",
    restval: str | None = None,
) -> Any:
    """Write a CSV file with a header, one row per item.

    The file appears when the run ends well, whole or not at all; until then it is written under its
    name with ``.partial`` behind it, and that stays if the run ends otherwise. Every item is written
    exactly once, in the order in which items arrive, and is passed on unchanged.

    Items are dicts of column names and cells. Text is written as it is, with quotes where it needs
    them, so that `read_csv` reads the same text again. Integers, floats and decimals are written as
    Python writes them, booleans as ``true`` and ``false``, None as an empty cell. Anything else, and
    a column too many or too few, raises an error that names the column.

    Args:
        path: The file; compressed on the way if its name ends in ``.gz``.
        columns: The columns, in this order; else those of the first row. Only if they are given does
            a run without any row still write the header.
        append: Add to the file directly, whatever becomes of the run. The header is written only
            if the file is new or empty; columns other than those of the file are refused, and so is
            a file whose last line has no end.
        encoding: The text encoding.
        delimiter: The one character between cells.
        restval: What to write for columns that a row does not have; else that is an error.
    """
    items = items_of(self, q_elt)
    # A row is never a list: here that is a batch, whoever made it.
    await writer_of(self).add(items[0] if isinstance(items[0], list) else items)
    return q_elt[0]


_WRITTEN_WELL = frozenset((str, int, float, type(None)))
"""Types of cells that the csv module writes as they should be."""

_TEXTS: dict[type, Callable[[Any], str]] = {
    str: str.__str__,
    int: int.__repr__,
    float: float.__repr__,
    Decimal: str,
}
"""Other cells: types, and their texts as the plain type writes them, whatever an enumeration prints."""


class _Echo:
    """A file that gives back what is written to it."""

    write = staticmethod(str)


class CsvWriter(Writer):
    """Writes dicts as rows."""

    def __init__(
        self,
        path: str,
        *,
        columns: Sequence[str] | None = None,
        append: bool = False,
        encoding: str = "utf-8",
        delimiter: str = ",",
        restval: str | None = None,
    ) -> None:
        super().__init__(path, encoding, append=append)
        self._delimiter = check_delimiter(delimiter)
        self._columns = None if columns is None else check_columns(columns, "columns")
        self._header = b""
        self._restval = restval
        self._line = csv.writer(_Echo(), delimiter=delimiter, lineterminator="\n").writerow
        self._quoted = csv.writer(_Echo(), delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow

    def prepare(self) -> None:
        """Open the file; one that is appended to has the columns that it has."""
        super().prepare()
        found = None if self.file.fresh else _header_of(self.file, self._delimiter)
        if found is None:
            self._header = b"" if self._columns is None else self._bytes(self._columns, self._columns)
        elif self._columns is None or self._columns == found:
            self._columns = found
        else:
            raise FormatError(f"{self.file.path} has the columns {listed(found)}; not {listed(self._columns)}")

    def preface(self) -> bytes:
        """What stands before the first row: the header, unless it is there or nobody knows the columns."""
        return super().preface() + self._header

    def encode(self, items: Sequence[object]) -> bytes:
        """One line per row."""
        if not items:
            return b""
        if self._columns is not None:
            return self._encode(self._columns, items)
        # The columns are kept only if all can be written: a row that cannot decides nothing.
        columns = check_columns(self._row(items[0]), self.file.path)
        header, data = self._bytes(columns, columns), self._encode(columns, items)
        self._columns, self._header = columns, header
        return data

    def _encode(self, columns: Sequence[str], items: Sequence[object]) -> bytes:
        return b"".join([self._bytes(columns, self._cells(columns, item)) for item in items])

    def _row(self, item: object) -> Mapping[str, object]:
        if isinstance(item, Mapping):
            return item
        raise FormatError(f"{self.file.path}: a row must be a dict of columns and cells, not {type(item).__name__}")

    def _cells(self, columns: Sequence[str], item: object) -> Sequence[object]:
        row = item if type(item) is dict else self._row(item)
        try:
            cells = [row[column] for column in columns]
        except KeyError:
            cells = []
        if len(row) != len(cells):
            cells = self._completed(columns, row)
        if _WRITTEN_WELL.issuperset(map(type, cells)):
            return cells
        return [self._text(column, cell) for column, cell in zip(columns, cells, strict=True)]

    def _completed(self, columns: Sequence[str], row: Mapping[str, object]) -> list[object]:
        known = set(columns)
        extra = [column for column in row if column not in known]
        if extra:
            raise FormatError(f"{self.file.path} has no column {listed(extra)}; its columns are {listed(columns)}")
        missing = [column for column in columns if column not in row]
        if missing and self._restval is None:
            raise FormatError(f"{self.file.path}: the row lacks column {listed(missing)}; it has {listed(row)}")
        return [row.get(column, self._restval) for column in columns]

    def _text(self, column: str, cell: object) -> str:
        if cell is None:
            return ""
        if isinstance(cell, bool):
            return "true" if cell else "false"
        for kind, text in _TEXTS.items():
            if isinstance(cell, kind):
                return text(cell)
        kinds = "text, numbers, booleans or None"
        raise FormatError(f"{self.file.path}, column {column!r}: a cell must be {kinds}, not {type(cell).__name__}")

    def _bytes(self, columns: Sequence[str], cells: Sequence[object]) -> bytes:
        codec = self.file.encoding.codec
        try:
            line: str = self._line(cells)
            # The csv module leaves these as they are, but a reader takes one for a line end and the
            # other, at the beginning of a file, for a byte order mark.
            if "\r" in line or line.startswith("\ufeff"):
                line = self._quoted(cells)
            return line.encode(codec)
        except ValueError as error:
            column = next((name for name, cell in zip(columns, cells, strict=True) if not _fits(cell, codec)), "")
            raise FormatError(f"{self.file.path}, column {column!r}: {error}") from error


def _fits(cell: object, codec: str) -> bool:
    try:
        str(cell).encode(codec)
    except ValueError:
        return False
    return True


def _header_of(target: TargetFile, delimiter: str) -> list[str] | None:
    """The columns that an existing file names; None if there is nothing but blank lines in it."""
    file = LineFile(target.path, target.encoding.name)
    parser = CsvParser(file, delimiter=delimiter)
    try:
        file.open()
        while True:
            block = file.read()
            if any(parser.names is not None for _ in parser(block)) or block.last:
                return parser.names
    finally:
        file.close()

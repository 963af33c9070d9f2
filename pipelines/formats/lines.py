"""Text files, one item per line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..registry import default_registry
from .base import Output, RecordError
from .reading import MAX_RECORD, Block, Failure, LineFile, deliver

__all__ = ["read_lines"]


@default_registry.coro("read_lines")
async def read_lines(
    self: Any,
    output_q: Output,
    path: str,
    *,
    encoding: str = "utf-8",
    keep_ends: bool = False,
    limit: int | None = None,
    max_record: int = MAX_RECORD,
) -> None:
    r"""Read a text file line by line.

    Every line is one item, in the order of the file, empty lines included. Memory stays flat
    whatever the size of the file. A line that is not valid text, or too long, is reported as a
    failed item with its line number and costs nothing else.

    Only a newline ends a line, with or without a carriage return before it. A byte order mark at
    the beginning is no text.

    Args:
        path: The file; uncompressed on the way if its name ends in ``.gz``.
        encoding: Its text encoding.
        keep_ends: Whether items keep their line ends; else neither ``\n`` nor ``\r\n`` is part of them.
        limit: Read so many lines only.
        max_record: Bytes of the longest line allowed.
    """

    def parse(block: Block) -> Iterator[object]:
        for index, line in enumerate(block.lines):
            if index in block.bad:
                bad = block.bad[index]
                yield Failure(without_end(bad.text), RecordError(path, block.line + index, bad.reason))
            else:
                yield line if keep_ends else without_end(line)

    await deliver(output_q, LineFile(path, encoding, max_record), parse, limit)


def without_end(line: str) -> str:
    r"""The line without its ``\n`` or ``\r\n``."""
    if line.endswith("\r\n"):
        return line[:-2]
    return line[:-1] if line.endswith("\n") else line

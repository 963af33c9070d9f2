"""JSON Lines: one JSON document per line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

from ..registry import default_registry
from ..types import FailedItem
from .base import FormatError, Output, RecordError
from .lines import without_end
from .reading import BLANK, MAX_RECORD, Block, Failure, LineFile, deliver
from .writing import Writer, cleanup_writer, items_of, setup_writer, writer_of

__all__ = ["JsonlWriter", "read_jsonl", "write_jsonl"]


@default_registry.coro("read_jsonl")
async def read_jsonl(
    self: Any,
    output_q: Output,
    path: str,
    *,
    encoding: str = "utf-8",
    limit: int | None = None,
    max_record: int = MAX_RECORD,
) -> None:
    """Read a JSON Lines file value by value.

    Every line is one item, in the order of the file: the value of the JSON document on it. Memory
    stays flat whatever the size of the file. A line that is no valid JSON, no valid text, or too
    long is reported as a failed item with its line number and costs nothing else. Blank lines are
    passed over.

    Integers are exact. ``NaN`` and ``Infinity`` are no JSON and refused. Of a key that an object has
    twice the last one counts.

    Args:
        path: The file; uncompressed on the way if its name ends in ``.gz``.
        encoding: Its text encoding. A byte order mark at the beginning is no text.
        limit: Deliver so many values only.
        max_record: Bytes of the longest line allowed.
    """
    decode = json.JSONDecoder(parse_constant=_refuse_constant).decode

    def parse(block: Block) -> Iterator[object]:
        for index, line in enumerate(block.lines):
            if index in block.bad:
                bad = block.bad[index]
                yield Failure(without_end(bad.text), RecordError(path, block.line + index, bad.reason))
            elif not line.strip(" \t\r\n"):
                yield BLANK
            else:
                try:
                    item = decode(line)
                except (ValueError, RecursionError) as error:
                    item = Failure(without_end(line), RecordError(path, block.line + index, _reason(error, line)))
                yield item

    await deliver(output_q, LineFile(path, encoding, max_record), parse, limit)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _reason(error: Exception, line: str) -> str:
    if isinstance(error, json.JSONDecodeError):
        column = min(error.pos, len(line.rstrip())) + 1
        return f"no valid JSON: {error.msg} at column {column}"
    if isinstance(error, RecursionError):
        return "the value is nested too deeply"
    return str(error)


async def _setup(self: Any) -> None:
    await setup_writer(self, JsonlWriter)


async def _cleanup(self: Any) -> None:
    await cleanup_writer(self)


@default_registry.coro("write_jsonl", setup=_setup, cleanup=_cleanup)
async def write_jsonl(self: Any, q_elt: tuple[Any, ...], path: str, *, append: bool = False) -> Any:
    """Write a JSON Lines file, one line per item.

    The file appears when the run ends well, whole or not at all; until then it is written under its
    name with ``.partial`` behind it, and that stays if the run ends otherwise. Every item is written
    exactly once, in the order in which items arrive, and is passed on unchanged.

    Lines are compact UTF-8. Strings, finite numbers, booleans, None, lists, tuples and dicts can be
    written; keys that are no strings become strings, as ``json`` makes them. A `FailedItem`, as a
    dead-letter node receives it, becomes an object with ``item``, ``node``, ``error`` and
    ``attempts``. Anything else raises an error that says where in the item it is.

    Args:
        path: The file; compressed on the way if its name ends in ``.gz``.
        append: Add to the file directly, whatever becomes of the run. A file whose last line has no
            end is refused.
    """
    await writer_of(self).add(items_of(self, q_elt))
    return q_elt[0]


class JsonlWriter(Writer):
    """Writes items as JSON documents."""

    def __init__(self, path: str, *, append: bool = False) -> None:
        super().__init__(path, append=append)
        self._encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

    def encode(self, items: Sequence[object]) -> bytes:
        """One line per item."""
        values = [_plain(item) if type(item) is FailedItem else item for item in items]
        try:
            text = "".join([self._encode(value) + "\n" for value in values])
        except (TypeError, ValueError, RecursionError) as error:
            wrong = next(value for value in values if not self._can(value))
            raise FormatError(f"{self.file.path}: {self._place(wrong)}: {error}") from error
        # Lone surrogates have no UTF-8; what stands for them here is an escape that JSON knows.
        return text.encode("utf-8", "backslashreplace")

    def _can(self, value: object) -> bool:
        try:
            return bool(self._encode(value))
        except (TypeError, ValueError, RecursionError):
            return False

    def _place(self, value: object) -> str:
        """Where in ``value`` the first thing is that cannot be written: ``item['when'][3]``."""
        place = "item"
        for _ in range(_DEEPEST):
            wrong = next(((key, part) for key, part in _parts(value) if not self._can(part)), None)
            if wrong is None:
                break
            place += f"[{wrong[0]!r}]"
            value = wrong[1]
        return place


def _parts(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list | tuple) else ()


_DEEPEST = 50
"""How deep an item is searched for what is wrong with it; it may contain itself."""


def _plain(failed: FailedItem) -> dict[str, object]:
    error = f"{type(failed.error).__name__}: {failed.error}"
    return {"item": failed.item, "node": failed.node, "error": error, "attempts": failed.attempts}

"""What msgpack does not know: how each further type becomes bytes, or plainer values, and is made of them again.

A type is one entry in `ENCODERS` and one in `DECODERS`, under one code. Codes are part of what travels between
hosts: they are never used again for something else. Decoders meet bytes from anybody; they may raise any exception,
and do nothing but make a value.
"""

from __future__ import annotations

import builtins
import math
import re
import struct
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pipelines.errors import MissingExtraError, RemoteError, shortened
from pipelines.types import FailedItem

__all__ = ["DECODERS", "ENCODERS", "LISTS", "encode_foreign"]

TUPLE, SET, FROZENSET, INT, COMPLEX, DECIMAL, UUID_, DATETIME, DATE, TIME, TIMEDELTA = range(1, 12)
ARRAY, SCALAR, TABLE, RECORD_BATCH, FAILED_ITEM = range(12, 17)

Inner = Callable[[bytes], Any]

LISTS: dict[type, int] = {tuple: TUPLE, set: SET, frozenset: FROZENSET}


def _encode_int(value: int) -> tuple[int, bytes]:
    return INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _moment(value: datetime | time) -> list[Any]:
    """The clock fields, and the time zone: nothing, a name, or microseconds east of Greenwich."""
    zone: Any = None
    if value.tzinfo is not None:
        zone = getattr(value.tzinfo, "key", None) if isinstance(value.tzinfo, ZoneInfo) else None
        offset = value.utcoffset()
        if zone is None and offset is None:
            raise ValueError("its time zone has no offset without a date")
        if zone is None and offset is not None:
            zone = offset // timedelta(microseconds=1)
    return [value.hour, value.minute, value.second, value.microsecond, value.fold, zone]


def _clock(hour: int, minute: int, second: int, microsecond: int, fold: int, zone: Any) -> dict[str, Any]:
    fields = {"hour": hour, "minute": minute, "second": second, "microsecond": microsecond, "fold": fold}
    if isinstance(zone, str):
        return {**fields, "tzinfo": ZoneInfo(zone)}
    return {**fields, "tzinfo": None if zone is None else timezone(timedelta(microseconds=zone))}


def _encode_datetime(value: datetime) -> tuple[int, list[Any]]:
    return DATETIME, [value.year, value.month, value.day, *_moment(value)]


def _decode_datetime(content: bytes, inner: Inner) -> datetime:
    year, month, day, *moment = inner(content)
    return datetime(year, month, day, **_clock(*moment))


def _encode_failed(value: FailedItem) -> tuple[int, list[Any]]:
    error = value.error
    if isinstance(error, RemoteError):
        kind, args, text = error.kind, None, error.message
    else:
        cls = type(error)
        built_in = cls.__module__ == "builtins" and isinstance(error, Exception)
        plain = built_in and all(type(arg) in (str, int, float, bool, bytes, type(None)) for arg in error.args)
        kind = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
        args, text = list(error.args) if plain else None, shortened(error, str, 10_000)
    return FAILED_ITEM, [value.item, value.node, value.attempts, kind, args, text]


def _decode_failed(content: bytes, inner: Inner) -> FailedItem:
    item, node, attempts, kind, args, text = inner(content)
    if type(node) is not str or type(attempts) is not int or type(kind) is not str or type(text) is not str:
        raise ValueError("a failed item needs a node, a number of attempts, and an error")
    return FailedItem(item, node, _error(kind, args, text), attempts)


def _error(kind: str, args: Any, text: str) -> Exception:
    """A built-in exception of plain arguments, or what stands for another one."""
    cls = getattr(builtins, kind, None)
    if isinstance(args, list) and isinstance(cls, type) and issubclass(cls, Exception):
        try:
            made: Exception = cls(*args)
        except Exception:
            return RemoteError(kind, text)
        return made
    return RemoteError(kind, text)


ENCODERS: dict[type, Callable[[Any], tuple[int, Any]]] = {
    int: _encode_int,
    complex: lambda value: (COMPLEX, struct.pack("<dd", value.real, value.imag)),
    Decimal: lambda value: (DECIMAL, str(value).encode()),
    UUID: lambda value: (UUID_, value.bytes),
    datetime: _encode_datetime,
    date: lambda value: (DATE, struct.pack("<I", value.toordinal())),
    time: lambda value: (TIME, _moment(value)),
    timedelta: lambda value: (TIMEDELTA, struct.pack("<iii", value.days, value.seconds, value.microseconds)),
    FailedItem: _encode_failed,
}


def encode_foreign(value: Any) -> tuple[int, Any]:
    """The code and content of a numpy or Arrow value.

    Raises:
        TypeError: It is none; without a message, for the caller knows better where it stands.
    """
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if type(value) is numpy.ndarray:
            return ARRAY, [_dtype_name(value.dtype), list(value.shape), value.tobytes()]
        if isinstance(value, numpy.generic):
            return SCALAR, [_dtype_name(value.dtype), value.tobytes()[: value.dtype.itemsize]]
    arrow = sys.modules.get("pyarrow")
    if arrow is not None and isinstance(value, arrow.Table | arrow.RecordBatch):
        sink = arrow.BufferOutputStream()
        with arrow.ipc.new_stream(sink, value.schema) as writer:
            writer.write(value)
        return TABLE if isinstance(value, arrow.Table) else RECORD_BATCH, sink.getvalue().to_pybytes()
    raise TypeError


def _dtype_name(dtype: Any) -> Any:
    if dtype.hasobject:
        raise TypeError("its dtype holds Python objects; give it a dtype of numbers, text or bytes")
    name = dtype.descr if dtype.names is not None else dtype.str
    try:
        same = _dtype(_listed(name)) == dtype
    except (ValueError, TypeError):
        same = False
    if not same:
        raise TypeError(f"its dtype {shortened(dtype)} cannot be told by name")
    return _listed(name)


def _listed(name: Any) -> Any:
    return [_listed(part) for part in name] if isinstance(name, list | tuple) else name


_PLAIN_DTYPE = re.compile(r"[<>|=]?[biufcSUVmM?]\d{0,9}(\[\d{0,9}[A-Za-z]{1,8}\])?")


def _dtype(name: Any, depth: int = 0) -> Any:
    """The numpy dtype of that name, or of that list of fields; nothing else that numpy would understand."""
    numpy = _needed("numpy", "frames")
    if isinstance(name, str) and _PLAIN_DTYPE.fullmatch(name):
        return numpy.dtype(name)
    if not isinstance(name, list) or not name or depth > 8:
        raise ValueError(f"{shortened(name)} is no dtype")
    fields = []
    for field in name:
        title, kind, *shape = field
        title = tuple(title) if isinstance(title, list) else title
        fields.append((title, _dtype(kind, depth + 1), *[_sizes(size) for size in shape]))
    return numpy.dtype(fields)


def _sizes(sizes: Any) -> tuple[int, ...]:
    if not isinstance(sizes, list) or len(sizes) > 64 or any(type(size) is not int or size < 0 for size in sizes):
        raise ValueError(f"{shortened(sizes)} is no shape")
    return tuple(sizes)


def _decode_array(content: bytes, inner: Inner) -> Any:
    name, sizes, raw = inner(content)
    numpy, dtype, shape = _needed("numpy", "frames"), _dtype(name), _sizes(sizes)
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"an array of {len(raw)} bytes cannot have the shape {shape} and the dtype {dtype}")
    if not raw:
        if math.prod(size for size in shape if size) > 1 << 40:
            raise ValueError(f"{shape} is no shape")
        # Nothing is inside, or strings of no length: numpy makes neither from a buffer.
        return numpy.ndarray(shape, dtype) if dtype.itemsize or not math.prod(shape) else _of_nothing(shape, dtype)
    return numpy.frombuffer(bytearray(raw), dtype).reshape(shape)


def _of_nothing(shape: tuple[int, ...], dtype: Any) -> Any:
    if math.prod(shape) > 1 << 16:
        raise ValueError("an array of that many empty strings")
    return _needed("numpy", "frames").ndarray(shape, dtype)


def _decode_scalar(content: bytes, inner: Inner) -> Any:
    name, raw = inner(content)
    dtype = _dtype(name)
    if dtype.itemsize != len(raw):
        raise ValueError("a scalar of another size than its dtype")
    return _needed("numpy", "frames").frombuffer(raw, dtype)[0] if raw else dtype.type()


def _read_arrow(content: bytes) -> Any:
    arrow = _needed("pyarrow", "files")
    for message in arrow.ipc.MessageReader.open_stream(content):
        _refuse_compressed(message)
    with arrow.ipc.open_stream(content) as reader:
        table = reader.read_all()
    # Offsets that point outside would be followed by whoever uses the table.
    table.validate(full=True)
    return table


def _refuse_compressed(message: Any) -> None:
    """Compressed buffers claim their size themselves; `encode` makes none.

    A message is a flatbuffer table, whose third field is a table again: of a record batch, the fourth field of which
    tells the compression (https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc).
    """
    if message.type not in ("record batch", "dictionary"):
        return
    data = memoryview(message.metadata)
    header = _field(data, struct.unpack_from("<I", data)[0], 2)
    if message.type == "dictionary":
        header = _field(data, header, 1)
    if header and _field(data, header, 3):
        raise ValueError("compressed Arrow data")


def _field(data: memoryview, table: int, number: int) -> int:
    """Where the table stands that is this field of the table at ``table``; 0 when there is none."""
    directory = table - struct.unpack_from("<i", data, table)[0]
    if struct.unpack_from("<H", data, directory)[0] < 6 + 2 * number:
        return 0
    offset = struct.unpack_from("<H", data, directory + 4 + 2 * number)[0]
    place: int = table + offset
    return place + int(struct.unpack_from("<I", data, place)[0]) if offset else 0


def _decode_table(content: bytes, inner: Inner) -> Any:
    return _read_arrow(content)


def _decode_record_batch(content: bytes, inner: Inner) -> Any:
    arrow, table = _needed("pyarrow", "files"), _read_arrow(content)
    batches = table.to_batches()
    if len(batches) > 1:
        raise ValueError("several record batches in place of one")
    return batches[0] if batches else arrow.RecordBatch.from_pylist([], schema=table.schema)


def _needed(module: str, extra: str) -> Any:
    try:
        return __import__(module if module != "pyarrow" else "pyarrow.ipc")
    except ImportError:
        raise MissingExtraError(f"a value from another host is of {module}, which", extra) from None


DECODERS: dict[int, Callable[[bytes, Inner], Any]] = {
    TUPLE: lambda content, inner: tuple(inner(content)),
    SET: lambda content, inner: set(inner(content)),
    FROZENSET: lambda content, inner: frozenset(inner(content)),
    INT: lambda content, inner: int.from_bytes(content, "big", signed=True),
    COMPLEX: lambda content, inner: complex(*struct.unpack("<dd", content)),
    DECIMAL: lambda content, inner: Decimal(content.decode()),
    UUID_: lambda content, inner: UUID(bytes=content),
    DATETIME: _decode_datetime,
    DATE: lambda content, inner: date.fromordinal(*struct.unpack("<I", content)),
    TIME: lambda content, inner: time(**_clock(*inner(content))),
    TIMEDELTA: lambda content, inner: timedelta(*struct.unpack("<iii", content)),
    ARRAY: _decode_array,
    SCALAR: _decode_scalar,
    TABLE: _decode_table,
    RECORD_BATCH: _decode_record_batch,
    FAILED_ITEM: _decode_failed,
}

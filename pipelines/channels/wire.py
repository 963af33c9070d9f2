"""Values as bytes, for the way to another host, and back.

`encode` gives bytes from which `decode` makes an equal value of the same type: None, bool, int of any size, float,
complex, str, bytes, list, tuple, dict, set, frozenset, date, time, datetime, timedelta, Decimal, UUID, `FailedItem`,
numpy arrays and scalars, Arrow tables and record batches. Anything else is refused with a `WireError` that says where
in the value it stands; a subclass is refused too, for it would come back as something else.

Decoding promises to be safe with bytes from anybody: they make values of these types, or a `WireError`; nothing is
imported by a name that came along, nothing is called, and memory stays in proportion to the number of bytes.

The exceptions to "equal and of the same type": bytearray and memoryview come back as bytes; a datetime of a foreign
tzinfo class has a fixed offset then; the error of a `FailedItem` is itself again when it is a built-in exception
with plain arguments, else a `RemoteError` that shows what it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.errors import MissingExtraError, PipelinesError, shortened
from pipelines.types import FailedItem

try:
    import msgpack
except ImportError:
    raise MissingExtraError("sending items to other hosts", "redis") from None

from .wire_types import DECODERS, ENCODERS, LISTS, encode_foreign

__all__ = ["WireError", "decode", "encode", "pack", "unpack"]

DEEPEST = 32
"""How deep values that are encoded in values may stand in each other, tuples in tuples for example."""

SUSPICIOUS = 4
"""How deep they may stand before it is looked how deep they go: a thousand lists in each would overflow the stack."""

UNCHECKED_SIZE = 4096
"""Bytes whose claims of lengths cannot do harm, even if every one of them is a lie."""


class WireError(PipelinesError, TypeError):
    """A value cannot travel to another host, or bytes from another host are no value."""


def pack(plain: Any) -> bytes:
    """Plain lists, strings, bytes and numbers as bytes: the words that parts and Redis exchange."""
    # Redis's Lua knows the older msgpack, in which text and bytes are the same.
    packed: bytes = msgpack.packb(plain, use_bin_type=False)
    return packed


def unpack(data: bytes) -> Any:
    """What `pack` packed, every string as bytes."""
    return msgpack.unpackb(data, raw=True, strict_map_key=False)


def encode(value: Any) -> bytes:
    """The value as bytes.

    Raises:
        WireError: Something in the value cannot travel; the message names its place, its type, and what to do.
    """
    try:
        return _encoded(value, 0)
    except (WireError, ValueError, TypeError, OverflowError, RecursionError, BufferError) as error:
        raise _refusal(value, error) from None


def _encoded(value: Any, depth: int) -> bytes:
    # A packer in use cannot be used by the hook that it calls; idle ones are kept, as making one is dear.
    encoder = _idle.pop() if _idle else _Encoder()
    data = encoder.encode(value, depth)
    _idle.append(encoder)
    return data


class _Encoder:
    """A packer, together with the depth at which it works."""

    __slots__ = ("_depth", "_packer")

    def __init__(self) -> None:
        self._packer = msgpack.Packer(default=self._foreign, strict_types=True, unicode_errors="surrogatepass")
        self._depth = 0

    def encode(self, value: Any, depth: int) -> bytes:
        self._depth = depth
        data: bytes = self._packer.pack(value)
        return data

    def _foreign(self, value: Any) -> Any:
        """What msgpack packs in place of a value that it does not know."""
        kind = type(value)
        listed = LISTS.get(kind)
        if listed is not None:
            return msgpack.ExtType(listed, self._inner(list(value)))
        if kind in ENCODERS:
            code, content = ENCODERS[kind](value)
        else:
            code, content = encode_foreign(value)
        return msgpack.ExtType(code, content if type(content) is bytes else self._inner(content))

    def _inner(self, content: Any) -> bytes:
        if self._depth >= DEEPEST or (self._depth == SUSPICIOUS and _depth_of(content) > 1000):
            raise WireError("the value is nested too deeply, or contains itself")
        return _encoded(content, self._depth + 1)


_idle: list[_Encoder] = []


def _depth_of(value: Any) -> int:
    """How deep a value is nested; no deeper than a little over a thousand, should it contain itself."""
    deepest, todo = 0, [(value, 0)]
    while todo and deepest <= 1000:
        value, depth = todo.pop()
        deepest = max(deepest, depth)
        todo.extend([(child, depth + 1) for _, child in _children(value)])
    return deepest


def _refusal(value: Any, error: Exception) -> WireError:
    """The error that says where in ``value`` the trouble is."""
    path, culprit = "", value
    for _ in range(DEEPEST):
        for step, child in _children(culprit):
            reason = _trouble(child)
            if reason is not None:
                path, culprit, error = path + step, child, reason
                break
        else:
            break
    else:
        return WireError(f"{path[:200]}…: the value is nested too deeply, or contains itself")
    where = f"{path}: " if path else ""
    return WireError(f"{where}a {type(culprit).__qualname__} cannot travel to another host; {_why(culprit, error)}")


def _why(culprit: Any, error: Exception) -> str:
    if isinstance(error, RecursionError) or (type(error) is ValueError and "recursion" in str(error)):
        return "it is nested too deeply, or contains itself"
    for plain in (dict, list, tuple, str, int, float, set, frozenset):
        if isinstance(culprit, plain) and type(culprit) is not plain and type(culprit).__module__ != "numpy":
            return f"send a plain {plain.__name__} instead"
    if type(error) is TypeError and str(error) == "":
        return "send plain data (numbers, text, bytes, lists, dicts, numpy arrays, Arrow tables) instead"
    return shortened(error, str)


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if type(value) is dict:
        for key, child in value.items():
            yield f"[key {shortened(key, limit=60)}]", key
            yield f"[{shortened(key, limit=60)}]", child
    elif type(value) in (list, tuple):
        for index, child in enumerate(value):
            yield f"[{index}]", child
    elif type(value) in (set, frozenset):
        for child in value:
            yield f"[{shortened(child, limit=60)}]", child
    elif type(value) is FailedItem:
        yield ".item", value.item
        yield ".node", value.node


def _trouble(value: Any) -> Exception | None:
    try:
        _encoded(value, 0)
    except Exception as error:
        return error
    return None


def decode(data: bytes) -> Any:
    """The value that `encode` made these bytes of.

    Raises:
        WireError: The bytes are nothing that `encode` gives, or something is not installed that their value needs.
    """
    try:
        return _decoded(data, 0)
    except WireError:
        raise
    except (Exception, RecursionError) as error:
        raise WireError(f"the bytes from another host are no value: {shortened(error, str)}") from error


def _decoded(data: bytes, depth: int) -> Any:
    if depth > DEEPEST:
        raise WireError("the bytes from another host are no value: nested too deeply")
    if len(data) > UNCHECKED_SIZE:
        _check(data)

    def foreign(code: int, content: bytes) -> Any:
        decoder = DECODERS.get(code)
        if decoder is None:
            raise WireError(f"the bytes from another host are of an unknown kind, {code}")
        return decoder(content, lambda inner: _decoded(inner, depth + 1))

    return msgpack.unpackb(data, ext_hook=foreign, strict_map_key=False, unicode_errors="surrogatepass")


def _check(data: bytes) -> None:
    """Go through the bytes without making anything of them: a list of a billion needs a billion bytes to follow."""
    walker = msgpack.Unpacker(max_buffer_size=len(data), strict_map_key=False)
    walker.feed(data)
    walker.skip()
    if walker.tell() != len(data):
        raise WireError("the bytes from another host are no value: something follows it")

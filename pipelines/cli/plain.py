"""Any value as JSON: what JSON has no form for stands in it as its ``repr``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ..statistics import Report
from .output import told

__all__ = ["json_line", "json_report"]

_DEEPEST = 100
"""How deep lists and objects are written out; what is deeper is written as its ``repr``."""

_HUGE = 4096
"""Bits of an integer that is still written in digits: Python refuses to print really long ones."""


def json_line(value: Any, *, ascii_only: bool = False) -> str:
    """One value as one line of JSON, in printable characters."""
    text = _dumped(value, ascii_only)
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def json_report(report: Report) -> str:
    """``report.to_dict()`` as one line of JSON."""
    return _dumped(report.to_dict(), True)


def _dumped(value: Any, ascii_only: bool) -> str:
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=ascii_only)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(_plain(value, ()), allow_nan=False, ensure_ascii=ascii_only)


def _plain(value: Any, around: tuple[int, ...]) -> Any:
    """``value`` with everything replaced that JSON has no form for; ``around`` are the containers it is in."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _HUGE else hex(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else told(value)
    if not isinstance(value, (list, tuple, Mapping)) or id(value) in around or len(around) >= _DEEPEST:
        return told(value)
    inside = (*around, id(value))
    if isinstance(value, Mapping):
        return {_key(key): _plain(each, inside) for key, each in value.items()}
    return [_plain(each, inside) for each in value]


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    return json.dumps(key) if key is None or isinstance(key, bool) else told(key)

"""Coros for graphs that are split over hosts."""

from __future__ import annotations

import asyncio
from typing import Any

from pipelines import SKIP, To


def numbers(self: Any, count: int) -> Any:
    yield from range(count)


async def double(self: Any, q_elt: tuple[int]) -> int:
    return 2 * q_elt[0]


async def same(self: Any, q_elt: tuple[Any, ...]) -> Any:
    return q_elt[0] if len(q_elt) == 1 else q_elt


async def drop_odd(self: Any, q_elt: tuple[int]) -> Any:
    return SKIP if q_elt[0] % 2 else q_elt[0]


async def twice(self: Any, q_elt: tuple[int]) -> Any:
    yield q_elt[0]
    yield -q_elt[0]


async def fail_at_three(self: Any, q_elt: tuple[int]) -> int:
    if q_elt[0] == 3:
        raise ValueError("three")
    return q_elt[0]


async def hang(self: Any, q_elt: tuple[Any]) -> Any:
    await asyncio.sleep(3600)


async def both_ways(self: Any, q_elt: tuple[int]) -> Any:
    yield To("x", q_elt[0])
    yield To("y", q_elt[0])

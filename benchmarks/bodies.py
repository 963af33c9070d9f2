"""What the nodes of all works do, each body in the spellings that contenders call it by.

The spellings of one body stand side by side, so that it is easy to see that they do the same. Every
contender calls the spelling that its own users would write; none pays for an adapter around it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

__all__ = ["ADD_ONE", "SAME", "SKIPPED", "Body", "burning", "jittering", "pairing", "recording", "sleeping", "summing"]

Function = Callable[..., Any]

SKIPPED: Final = object()
"""What a node gives for an item that it drops, where a contender has no way of its own to drop one before a zip."""


class Body(NamedTuple):
    """One body in four spellings.

    Attributes:
        call: A coroutine function of the item; of the items, where several meet.
        plain: The same as a plain function.
        coro: The same for `pipelines`: of the processor and the tuple of items.
        plain_coro: The same as a plain function. None where the body has to wait.
    """

    call: Function
    plain: Function | None
    coro: Function
    plain_coro: Function | None


def _same() -> Body:
    async def call(x: Any) -> Any:
        return x

    def plain(x: Any) -> Any:
        return x

    async def coro(self: Any, q_elt: tuple[Any, ...]) -> Any:
        return q_elt[0]

    def plain_coro(self: Any, q_elt: tuple[Any, ...]) -> Any:
        return q_elt[0]

    return Body(call, plain, coro, plain_coro)


def _add_one() -> Body:
    async def call(x: int) -> int:
        return x + 1

    def plain(x: int) -> int:
        return x + 1

    async def coro(self: Any, q_elt: tuple[int, ...]) -> int:
        return q_elt[0] + 1

    def plain_coro(self: Any, q_elt: tuple[int, ...]) -> int:
        return q_elt[0] + 1

    return Body(call, plain, coro, plain_coro)


SAME: Final = _same()
"""Hands its item on: what is left is the cost of getting it there."""

ADD_ONE: Final = _add_one()
"""Leaves a trace in the item, so that a node which was left out shows in the result."""


def recording(record: Callable[[Any], object]) -> Body:
    """The end of a chain: records what arrives, and makes nothing of it."""

    async def call(x: Any) -> None:
        record(x)

    def plain(x: Any) -> None:
        record(x)

    async def coro(self: Any, q_elt: tuple[Any, ...]) -> None:
        record(q_elt[0])

    def plain_coro(self: Any, q_elt: tuple[Any, ...]) -> None:
        record(q_elt[0])

    return Body(call, plain, coro, plain_coro)


def pairing(record: Callable[[tuple[Any, Any]], object]) -> Body:
    """Where two branches meet: records the pair."""

    async def call(left: Any, right: Any) -> None:
        record((left, right))

    def plain(left: Any, right: Any) -> None:
        record((left, right))

    async def coro(self: Any, q_elt: tuple[Any, Any]) -> None:
        record(q_elt)

    def plain_coro(self: Any, q_elt: tuple[Any, Any]) -> None:
        record(q_elt)

    return Body(call, plain, coro, plain_coro)


MODULUS: Final = 1_000_003


def summing(record: Callable[[int], object] | None = None) -> Body:
    """A node of the large graph: sums what its upstreams gave, and adds one; a sink records the sum.

    Unlike the other bodies it takes its items as one sequence, whatever the spelling.
    """

    async def call(xs: Sequence[int]) -> int:
        return plain(xs)

    def plain(xs: Sequence[int]) -> int:
        total = (sum(xs) + 1) % MODULUS
        if record is not None:
            record(total)
        return total

    async def coro(self: Any, q_elt: tuple[int, ...]) -> int:
        return plain(q_elt)

    def plain_coro(self: Any, q_elt: tuple[int, ...]) -> int:
        return plain(q_elt)

    return Body(call, plain, coro, plain_coro)


class InFlight:
    """How many calls of one body run at once, now and at the most."""

    __slots__ = ("most", "now")

    def __init__(self) -> None:
        self.now = self.most = 0

    def enter(self) -> None:
        """A call begins."""
        self.now += 1
        if self.now > self.most:
            self.most = self.now

    def leave(self) -> None:
        """A call ends."""
        self.now -= 1


def sleeping(delays: Sequence[float], in_flight: InFlight) -> Body:
    """Item ``x`` sleeps ``delays[x]`` seconds, and is handed on."""

    async def call(x: int) -> int:
        in_flight.enter()
        await asyncio.sleep(delays[x])
        in_flight.leave()
        return x

    async def coro(self: Any, q_elt: tuple[int, ...]) -> int:
        in_flight.enter()
        await asyncio.sleep(delays[q_elt[0]])
        in_flight.leave()
        return q_elt[0]

    return Body(call, None, coro, None)


def jittering(delays: Sequence[float], dropped: frozenset[int], drop: object) -> Body:
    """Item ``x`` sleeps ``delays[x]`` seconds; those in ``dropped`` give ``drop`` then, the others themselves."""

    async def call(x: int) -> Any:
        await asyncio.sleep(delays[x])
        return drop if x in dropped else x

    async def coro(self: Any, q_elt: tuple[int, ...]) -> Any:
        await asyncio.sleep(delays[q_elt[0]])
        return drop if q_elt[0] in dropped else q_elt[0]

    return Body(call, None, coro, None)


def burning(seconds: float) -> Body:
    """Keeps the CPU busy for about ``seconds``, always with the same amount of work, and hands the item on."""
    turns = range(max(1, round(seconds / _seconds_per_turn())))

    async def call(x: Any) -> Any:
        for _ in turns:
            pass
        return x

    def plain(x: Any) -> Any:
        for _ in turns:
            pass
        return x

    async def coro(self: Any, q_elt: tuple[Any, ...]) -> Any:
        for _ in turns:
            pass
        return q_elt[0]

    def plain_coro(self: Any, q_elt: tuple[Any, ...]) -> Any:
        for _ in turns:
            pass
        return q_elt[0]

    return Body(call, plain, coro, plain_coro)


@cache
def _seconds_per_turn() -> float:
    """How long one turn of an empty loop takes here: the least of several tries, as others may want the CPU too."""
    turns = range(20_000)
    tries = []
    for _ in range(20):
        begin = time.perf_counter()
        for _ in turns:
            pass
        tries.append(time.perf_counter() - begin)
    return min(tries) / len(turns)

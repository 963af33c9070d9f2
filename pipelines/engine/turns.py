"""Sending what a generator node yields, item by item, in the order of its calls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from ..channels.entries import Ticket
from ..graph.model import Node
from ..processor import Processor
from ..types import To
from .attempts import Attempts
from .outbox import Outbox
from .outcomes import NOTHING, Outcome, check_target
from .scheduler import Scheduler

__all__ = ["Turns"]


class Turns:
    """Runs the generators of one node side by side and lets them send one after the other.

    A generator whose turn has not come, or that finds no room, is suspended with the one item that
    it has yielded, so a node never holds more than one item per call in flight.
    """

    __slots__ = ("_attempts", "_call", "_node", "_outbox", "_processor", "_scheduler", "_waiting")

    def __init__(
        self,
        node: Node,
        attempts: Attempts,
        outbox: Outbox,
        scheduler: Scheduler,
        call: Callable[..., Any],
        processor: Processor,
    ) -> None:
        self._node = node
        self._attempts = attempts
        self._outbox = outbox
        self._scheduler = scheduler
        self._call = call
        self._processor = processor
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def exhaust(self, q_elt: tuple[Any, ...], tickets: tuple[Ticket, ...], place: int) -> Outcome:
        """Run one generator to its end; it is retried only if it failed before its first item."""
        sent = 0

        async def once(q_elt: tuple[Any, ...]) -> Outcome:
            nonlocal sent
            async with aclosing(self._values(q_elt)) as values:
                async for value in values:
                    await self._send(value, tickets, place)
                    sent += 1
            if not sent:
                self._tell_nothing_came(tickets)
            return NOTHING

        try:
            return await once(q_elt)
        except BaseException as error:
            return await self._attempts.recover(q_elt, error, once, lambda: not sent)

    def _tell_nothing_came(self, tickets: tuple[Ticket, ...]) -> None:
        for ticket in tickets:
            ticket.branch(1)
            ticket.drop(self._outbox.name)

    async def _values(self, q_elt: tuple[Any, ...]) -> AsyncGenerator[Any, None]:
        produced = self._call(self._processor, q_elt)
        step = _stepper(produced)
        try:
            while (value := await self._watched(step)) is not _END:
                yield value
        finally:
            if hasattr(produced, "aclose"):
                await produced.aclose()
            else:
                produced.close()

    async def _watched(self, step: Callable[[], Awaitable[Any]]) -> Any:
        # A timeout is about the generator's own work, not about the wait for turn and room.
        watchdog = self._attempts.watchdog
        if watchdog is None:
            return await step()
        task: Any = asyncio.current_task()
        watchdog.start(task)
        value = await step()
        watchdog.stop(task)
        return value

    async def _send(self, value: Any, tickets: tuple[Ticket, ...], place: int) -> None:
        if type(value) is To:
            check_target(value, self._node)
        while not self._outbox.is_turn(place):
            future = self._scheduler.loop.create_future()
            self._waiting.append(future)
            await future
        for ticket in tickets:
            ticket.branch(1)
        self._outbox.dispatch(value, tickets)
        self._outbox.announce()
        if (now := self._scheduler.clock()) >= self._scheduler.deadline:
            await self._scheduler.breathe(now)

    @property
    def waiting(self) -> bool:
        """Whether a generator waits for its turn or for room."""
        return bool(self._waiting)

    def call_next(self) -> None:
        """It may be another generator's turn, or there may be room again."""
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if not future.done():
                future.set_result(None)


_END = object()


def _stepper(produced: Any) -> Callable[[], Awaitable[Any]]:
    """A function that gives the next value of any kind of generator, or ``_END``."""
    if hasattr(produced, "__aiter__"):
        values = aiter(produced)

        async def step() -> Any:
            return await anext(values, _END)
    else:
        iterator = iter(produced)

        async def step() -> Any:
            return next(iterator, _END)

    return step

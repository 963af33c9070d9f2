"""Coros for nodes on executors: workers in other processes import them from here."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

from pipelines import SKIP, To, lift

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")
logger = logging.getLogger("tests.workers")


def double(self: Any, q_elt: tuple[int]) -> int:
    return 2 * q_elt[0]


async def double_later(self: Any, q_elt: tuple[int]) -> int:
    await asyncio.sleep(0)
    return 2 * q_elt[0]


def same(self: Any, q_elt: tuple[Any, ...]) -> Any:
    return q_elt[0] if len(q_elt) == 1 else q_elt


async def nap(self: Any, q_elt: tuple[float]) -> float:
    """Sleep for so many seconds."""
    await asyncio.sleep(q_elt[0])
    return q_elt[0]


def nap_blocking(self: Any, q_elt: tuple[float]) -> float:
    time.sleep(q_elt[0])
    return q_elt[0]


async def span(self: Any, q_elt: tuple[Any]) -> tuple[float, float]:
    """When the call began and ended."""
    begin = time.monotonic()
    await asyncio.sleep(0.02)
    return begin, time.monotonic()


async def meet(self: Any, q_elt: tuple[int], place: str, number: int) -> int:
    """Return when so many calls have come to ``place``."""
    Path(place, str(q_elt[0])).touch()
    while len(list(Path(place).iterdir())) < number:
        await asyncio.sleep(0.001)
    return q_elt[0]


def meet_blocking(self: Any, q_elt: tuple[int], place: str, number: int) -> int:
    Path(place, str(q_elt[0])).touch()
    while len(list(Path(place).iterdir())) < number:
        time.sleep(0.001)
    return q_elt[0]


def inner(value: int) -> int:
    if value == 3:
        raise ValueError("three")
    return value


def fail_at_three(self: Any, q_elt: tuple[int]) -> int:
    return inner(q_elt[0])


async def fail_at_three_later(self: Any, q_elt: tuple[int]) -> int:
    await asyncio.sleep(0)
    return inner(q_elt[0])


def fail_once(self: Any, q_elt: tuple[int], place: str) -> int:
    """Fail for each item at its first attempt."""
    first = Path(place, str(q_elt[0]))
    if not first.exists():
        first.touch()
        raise ValueError("not yet")
    return q_elt[0]


class TalkativeError(Exception):
    """Cannot be unpickled, and so cannot travel as it is."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


def fail_strangely(self: Any, q_elt: tuple[Any]) -> Any:
    raise TalkativeError(7, "seven")


def leave(self: Any, q_elt: tuple[Any]) -> Any:
    raise SystemExit(3)


def stop_iteration(self: Any, q_elt: tuple[Any]) -> Any:
    raise StopIteration("over")


async def hang_at_zero(self: Any, q_elt: tuple[int]) -> int:
    if q_elt[0] == 0:
        await asyncio.sleep(3600)
    return q_elt[0]


def hang_at_zero_blocking(self: Any, q_elt: tuple[int]) -> int:
    deadline = time.monotonic() + 3600
    while q_elt[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    return q_elt[0]


def hang_for_good(self: Any, q_elt: tuple[int]) -> int:
    """Not even an exception ends this."""
    while q_elt[0] == 0:
        try:
            time.sleep(3600)
        except BaseException:
            logger.debug("not yet")
    return q_elt[0]


def note(self: Any, q_elt: tuple[Any], place: str) -> int:
    """Leave a mark that the call has begun, and hang."""
    Path(place, "begun").touch()
    time.sleep(3600)
    return 0


async def note_later(self: Any, q_elt: tuple[Any], place: str) -> int:
    Path(place, "begun").touch()
    await asyncio.sleep(3600)
    return 0


def route(self: Any, q_elt: tuple[int]) -> Any:
    if q_elt[0] == 0:
        return SKIP
    return To("a", q_elt[0]) if q_elt[0] > 2 else q_elt[0]


def wrong_route(self: Any, q_elt: tuple[int]) -> Any:
    return To("nowhere", q_elt[0])


def plus(first: int, second: int) -> int:
    return first + second


lifted_plus = lift(plus)


def total(self: Any, q_elt: tuple[list[int]]) -> int:
    return sum(q_elt[0])


def environment(self: Any, q_elt: tuple[Any]) -> Any:
    return self.name, self.colour, self.env_vars["colour"], len(self.uuid)


def see_variable(self: Any, q_elt: tuple[Any]) -> str:
    return variable.get()


async def see_variable_later(self: Any, q_elt: tuple[Any]) -> str:
    return variable.get()


def log(self: Any, q_elt: tuple[Any]) -> Any:
    logger.info("item %s", q_elt[0])
    try:
        inner(3)
    except ValueError:
        logger.exception("failed")
    return q_elt[0]


def refuse(self: Any, q_elt: tuple[Any]) -> Any:
    """Give something that cannot be pickled for one item."""
    return threading.Lock() if q_elt[0] == 1 else q_elt[0]


class Unreadable:
    """Can be pickled, not unpickled."""

    def __reduce__(self) -> Any:
        return inner, (3,)


def unreadable(self: Any, q_elt: tuple[Any]) -> Any:
    return Unreadable() if q_elt[0] == 1 else q_elt[0]


def shape_or_same(self: Any, q_elt: tuple[Any]) -> Any:
    return type(q_elt[0]).__name__ if isinstance(q_elt[0], Unreadable) else q_elt[0]


def die_at_two(self: Any, q_elt: tuple[int]) -> int:
    if q_elt[0] == 2:
        os.kill(os.getpid(), 9)
    return q_elt[0]


def die_once(self: Any, q_elt: tuple[int], place: str) -> int:
    first = Path(place, str(q_elt[0]))
    if q_elt[0] % 5 == 2 and not first.exists():
        first.touch()
        os._exit(7)
    return q_elt[0]


async def die_once_later(self: Any, q_elt: tuple[int], place: str) -> int:
    return die_once(self, q_elt, place)


class Model:
    """Counts what happens to it in a file for each object."""

    def __init__(self, place: str, factor: int, context: Any) -> None:
        self.file = Path(place, f"{context.name}-{id(self)}-{os.getpid()}")
        self.file.write_text("made")
        self.factor = factor

    def __call__(self, q_elt: tuple[int]) -> int:
        return self.factor * q_elt[0]

    def close(self) -> None:
        self.file.write_text(self.file.read_text() + " closed")


class AsyncModel(Model):
    async def __call__(self, q_elt: tuple[int]) -> int:  # type: ignore[override]
        await asyncio.sleep(0)
        return self.factor * q_elt[0]

    async def close(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().close()


class BrokenModel:
    def __init__(self) -> None:
        raise ValueError("no model")

    def __call__(self, q_elt: tuple[Any]) -> Any:
        return q_elt[0]


async def set_up(self: Any) -> None:
    self.here = (os.getpid(), threading.get_ident())
    Path(self.place, f"up-{self.here[0]}-{self.here[1]}").touch()


async def clean_up(self: Any) -> None:
    Path(self.place, f"down-{self.here[0]}-{self.here[1]}-{self.outcome}").touch()


def where(self: Any, q_elt: tuple[Any]) -> Any:
    time.sleep(0.002)
    return self.here == (os.getpid(), threading.get_ident())


async def where_later(self: Any, q_elt: tuple[Any]) -> Any:
    return self.here == (os.getpid(), threading.get_ident())


def fail_to_set_up(self: Any) -> None:
    raise ValueError("not set up")


def fail_to_clean_up(self: Any) -> None:
    raise ValueError("not cleaned up")


def spin(self: Any, q_elt: tuple[Any], seconds: float) -> Any:
    """Be busy for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return q_elt[0]


def pid(self: Any, q_elt: tuple[Any]) -> int:
    time.sleep(0.005)
    return os.getpid()


def leave_at_once(self: Any) -> None:
    os._exit(5)


async def hang_in_setup(self: Any) -> None:
    Path(self.place, "begun").touch()
    await asyncio.sleep(3600)


async def ignore_cancellation(self: Any, q_elt: tuple[Any]) -> Any:
    """Takes its time to end."""
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(1.5)


async def unreadable_later(self: Any, q_elt: tuple[Any]) -> Any:
    return Unreadable() if q_elt[0] == 1 else q_elt[0]

"""The worker's side of a cluster: what a task or an actor does with a portion of items."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from time import perf_counter
from typing import Any

from ..errors import TravelError
from ..types import To
from .base import Failure
from .post import Post, await_steps, run_steps
from .ray_alarm import Alarm, Interrupted, alarm_for
from .ray_values import LARGE, InSlot, Packed, Packer, around, fill, inside, unpack, view, weigh
from .surroundings import LogSender, Surroundings
from .travel import portable

__all__ = ["Bench", "Order", "Tools", "bench_of"]

MOST_BENCHES = 32
"""Nodes that a worker for tasks remembers."""

SPECIAL = frozenset({To, Failure})

PLAIN = frozenset({bool, float, int, type(None)})
"""Types of values that are never large."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a worker needs of Ray.

    Attributes:
        packer: For results.
        tell: Notes something under a key for the program, which looks there when the worker is dead.
        attempt: How many times Ray itself has begun this portion before; None if it does not say.
    """

    packer: Packer
    tell: Callable[[str, bytes], None]
    attempt: int | None = 0


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done with a portion.

    Attributes:
        key: Its name, in the whole cluster.
        budget: Seconds after which no further call is begun.
        slots: How many results may be return values of their own; None if all go into the one.
    """

    key: str
    budget: float
    slots: int | None


class Bench:
    """One node at one worker.

    Args:
        blob: The node's job and its surroundings, pickled; what unpickling raises is kept.
    """

    def __init__(self, blob: bytes, packer: Packer) -> None:
        self.records: list[bytes] = []
        self._packer = packer
        self._broken: BaseException | None = None
        self._post: Post | None = None
        try:
            job, surroundings = pickle.loads(blob)
            self._post = Post(job)
            self._surroundings = _usable(surroundings)
        except Exception as error:
            self._broken = portable(error, "the node cannot be loaded in a worker process", packer.dumps)

    def _complete(self, awaitable: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await awaitable

        return self._runner.run(wait())

    def open(self) -> Failure | None:
        """Set up, once."""
        post = self._post
        if post is None:
            assert self._broken is not None
            return Failure(self._broken, fatal=True)
        if post.call is None and post.broken is None:
            self._runner = asyncio.Runner()
            self._surroundings.run(run_steps, post.opening(), self._complete)
        return self._opened(post)

    def _opened(self, post: Post) -> Failure | None:
        return None if post.broken is None else Failure(portable(post.broken, "", self._packer.dumps), fatal=True)

    def work(self, tools: Tools, order: Order, message: list[Any], values: Sequence[Any]) -> list[Any]:
        """Call for one item after the other; gives what is to be returned, see `_told`."""
        with Records(self.records):
            begin = perf_counter()
            outcomes: list[Any]
            if (failure := self.open()) is not None:
                return self._told(order, Outcomes(self._packer, order, [failure]), begin, tools.attempt)
            try:
                items = unpack(message)
            except Exception as error:
                outcomes = [Failure(self._unread(error), unread=True)]
                return self._told(order, Outcomes(self._packer, order, outcomes), begin, tools.attempt)
            results = Outcomes(self._packer, order, [])
            self._surroundings.run(self._call_each, tools, order, items, values, results)
            return self._told(order, results, begin, tools.attempt)

    def _unread(self, error: Exception) -> BaseException:
        return portable(error, "the item cannot be read in a worker process", self._packer.dumps)

    def _call_each(
        self, tools: Tools, order: Order, items: Sequence[Any], values: Sequence[Any], results: Outcomes
    ) -> None:
        post = self._post
        assert post is not None
        # What Ray repeats because a value was lost must come as far as it did the first time.
        hurried = tools.attempt == 0 or (tools.attempt is None and order.slots is None)
        deadline = perf_counter() + order.budget if hurried else float("inf")
        longest = order.budget if hurried else len(items) * (post.job.timeout or 0.0)
        alarm = alarm_for(post.job.timeout, longest, lambda index: tools.tell(order.key, index))
        try:
            for index, item in enumerate(items):
                results.add(self._call(post, item, values, alarm, index))
                if results.full or perf_counter() >= deadline:
                    break
        finally:
            alarm.close()

    def _call(self, post: Post, item: Any, values: Sequence[Any], alarm: Alarm, index: int) -> Any:
        try:
            item = _filled(item, values)
        except Exception as error:
            return Failure(self._unread(error))
        try:
            alarm.begin(index)
            try:
                return post.make(item, self._complete)
            finally:
                alarm.end()
        except Interrupted:
            return Failure(TimeoutError(f"no result within {post.job.timeout} seconds"))
        except BaseException as error:
            return Failure(portable(error, "", self._packer.dumps))

    def close(self, outcome: str | None) -> list[Any]:
        """Clean up; gives what that raised, packed."""
        errors: list[BaseException] = []
        if self._post is not None:
            errors = self._surroundings.run(run_steps, self._post.closing(outcome), self._complete)
            self._runner.close()
        return self._packer.pack([portable(error, "", self._packer.dumps) for error in errors])

    # The same in an event loop.

    async def open_async(self) -> Failure | None:
        """Set up, once."""
        post = self._post
        if post is None:
            assert self._broken is not None
            return Failure(self._broken, fatal=True)
        context = self._surroundings.context
        logging.getLogger().addHandler(LogSender(self.records.append))
        await asyncio.get_running_loop().create_task(await_steps(post.opening()), context=context)
        return self._opened(post)

    async def work_async(self, tools: Tools, order: Order, message: list[Any], values: Sequence[Any]) -> list[Any]:
        """Call for all items side by side."""
        begin = perf_counter()
        try:
            items = unpack(message)
        except Exception as error:
            outcomes: list[Any] = [Failure(self._unread(error), unread=True)]
            return self._told(order, Outcomes(self._packer, order, outcomes), begin, tools.attempt)
        context = self._surroundings.context
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._make(item, values), context=context.copy()) for item in items]
        try:
            made = await asyncio.gather(*tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise
        results = Outcomes(self._packer, order, [])
        for outcome, _ in made:
            results.add(outcome)
        return self._told(order, results, begin, tools.attempt, sum([seconds for _, seconds in made]))

    async def _make(self, item: Any, values: Sequence[Any]) -> tuple[Any, float]:
        post = self._post
        assert post is not None
        begin = perf_counter()
        try:
            item = _filled(item, values)
        except Exception as error:
            return Failure(self._unread(error)), 0.0
        limit = asyncio.timeout(post.job.timeout)
        try:
            async with limit:
                outcome = await post.make_async(item)
        except BaseException as error:
            late = TimeoutError(f"no result within {post.job.timeout} seconds") if limit.expired() else None
            outcome = Failure(portable(late or error, "", self._packer.dumps))
        return outcome, perf_counter() - begin

    async def close_async(self, outcome: str | None) -> list[Any]:
        """Clean up; gives what that raised, packed."""
        errors: list[BaseException] = []
        if self._post is not None:
            steps = await_steps(self._post.closing(outcome))
            context = self._surroundings.context
            errors = await asyncio.get_running_loop().create_task(steps, context=context)
        return self._packer.pack([portable(error, "", self._packer.dumps) for error in errors])

    def _told(
        self, order: Order, results: Outcomes, begin: float, attempt: int | None, seconds: float | None = None
    ) -> list[Any]:
        """The return values: one with nearly everything, and the results that go by themselves."""
        seconds = perf_counter() - begin if seconds is None else seconds
        records, self.records[:] = list(self.records), []
        message = results.message()
        summary = [seconds, results.plain, attempt, results.weight, records, *message]
        if order.slots is None:
            return summary
        return [summary, *results.slots, *[None] * (order.slots - len(results.slots))]


class Outcomes:
    """The outcomes of a portion, as they are returned.

    Attributes:
        plain: None of them is a `Failure` or a `To`.
        weight: Their bytes, where these are known without packing them.
        slots: Those that are return values of their own.
    """

    def __init__(self, packer: Packer, order: Order, outcomes: list[Any]) -> None:
        self.plain = not outcomes
        self.weight = 0
        self.slots: list[Any] = []
        self._packer = packer
        self._most = order.slots
        self._outcomes = outcomes

    @property
    def full(self) -> bool:
        """No more than one result could be too large."""
        return self._most is not None and len(self.slots) >= self._most

    def add(self, outcome: Any) -> None:
        """One more outcome."""
        self.plain = self.plain and type(outcome) not in SPECIAL
        if self._most is not None and type(value := inside(outcome)) not in PLAIN and type(outcome) is not Failure:
            outcome = self._sorted(outcome, value)
        self._outcomes.append(outcome)

    def _sorted(self, outcome: Any, value: Any) -> Any:
        try:
            message = self._packer.pack(value)
        except Exception:
            return outcome
        size = weigh(message)
        self.weight += size
        if size < LARGE or self.full:
            return around(outcome, Packed(message))
        self.slots.append(message)
        return around(outcome, InSlot(len(self.slots) - 1, size))

    def message(self) -> list[Any]:
        """All of them, packed; what cannot be is a failure then."""
        try:
            return self._packer.pack(self._outcomes)
        except Exception:
            self.plain = False
            return self._packer.pack([self._sendable(outcome) for outcome in self._outcomes])

    def _sendable(self, outcome: Any) -> Any:
        why = self._packer.why_not(outcome)
        if not why:
            return outcome
        return Failure(TravelError(f"the result, a {type(outcome).__name__}, cannot leave its worker process: {why}"))


class Records:
    """Catches what is logged while a portion is worked on.

    Args:
        records: Gets each record, pickled.
    """

    def __init__(self, records: list[bytes]) -> None:
        self._sender = LogSender(records.append)

    def __enter__(self) -> None:
        logging.getLogger().addHandler(self._sender)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._sender)


def _filled(item: Any, values: Sequence[Any]) -> Any:
    return fill(item, lambda index: view(values[index])) if values else item


def _usable(surroundings: Surroundings) -> Surroundings:
    """Without what stands in modules that are not there, and without Ray's own loggers."""
    variables = {place: value for place, value in surroundings.variables.items() if _is_there(*place)}
    levels = {name: level for name, level in surroundings.levels.items() if name.partition(".")[0] != "ray"}
    usable = Surroundings(variables, levels)
    usable.adopt_levels()
    return usable


def _is_there(module: str, name: str) -> bool:
    try:
        return hasattr(import_module(module), name)
    except Exception:
        return False


_benches: OrderedDict[str, Bench] = OrderedDict()


def bench_of(key: str, load: Callable[[], bytes], packer: Packer) -> Bench:
    """The bench of a node whose calls may be made by any worker."""
    bench = _benches.get(key)
    if bench is None:
        bench = _benches[key] = Bench(load(), packer)
        if len(_benches) > MOST_BENCHES:
            _benches.popitem(last=False)
    else:
        _benches.move_to_end(key)
    return bench

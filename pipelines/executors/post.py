"""The worker's side of a node: what one worker keeps for it, from the first item to the last.

A worker is a thread, a process or an actor. Each has a post of its own for every node that it works
for: a context that stands for ``self``, one object if the node's coro is a class, and ``setup`` before
the first item and ``cleanup`` after the last. Two workers share nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from ..context import Context
from ..signature import call_shape
from ..types import AWAITABLE
from .base import Job

__all__ = ["Post", "await_steps", "build", "run_steps"]

Complete = Callable[[Awaitable[Any]], Any]
"""Runs something awaitable to its end and gives its result."""


class Post:
    """One node on one worker.

    Attributes:
        call: Called with ``q_elt``; None before `opening`.
        broken: What setup raised; no call can be made then.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.context = Context(job.name, MappingProxyType(dict(job.args)), job.env_vars, job.uuid)
        self.call: Callable[[Any], Any] | None = None
        self.broken: BaseException | None = None
        self._built: Any = None

    # Steps that may have to await something yield it: so they serve workers with and without an event loop.

    def opening(self) -> Generator[Awaitable[Any], None, None]:
        """Set up; call it once. What it raises is kept in ``broken``."""
        job, context = self.job, self.context
        try:
            if job.setup is not None:
                result = job.setup(context)
                if inspect.isawaitable(result):
                    yield result
            if inspect.isclass(job.function):
                self._built = build(job.function, context)
                self.call = self._built
            else:
                self.call = partial(partial(job.function, **job.args) if job.args else job.function, context)
        except Exception as error:
            self.broken = error

    def closing(self, outcome: str | None) -> Generator[Awaitable[Any], None, list[BaseException]]:
        """Clean up, whatever happened before; gives what that raised."""
        self.context.outcome = outcome
        errors: list[BaseException] = []
        for end in (getattr(self._built, "close", None), self.job.cleanup and partial(self.job.cleanup, self.context)):
            if end is None:
                continue
            try:
                result = end()
                if inspect.isawaitable(result):
                    yield result
            except Exception as error:
                errors.append(error)
        return errors

    def make(self, item: Any, complete: Complete) -> Any:
        """One call from a worker without a running event loop."""
        assert self.call is not None
        result = self.call((item,) if self.job.bare else item)
        return complete(result) if type(result) in AWAITABLE else result

    async def make_async(self, item: Any) -> Any:
        """One call inside the worker's event loop."""
        assert self.call is not None
        result = self.call((item,) if self.job.bare else item)
        return await result if type(result) in AWAITABLE else result


def build(model: type, context: Context) -> Any:
    """The object that a node's class is made into: by the node's args, and ``context`` if it asks for it."""
    args: Mapping[str, Any] = context.args
    wants_context = "context" in call_shape(model).names
    return model(context=context, **args) if wants_context else model(**args)


def run_steps(steps: Generator[Awaitable[Any], None, Any], complete: Complete) -> Any:
    """Take the steps of a post one after the other, without a running event loop."""
    try:
        awaitable = next(steps)
        while True:
            try:
                complete(awaitable)
            except Exception as error:
                awaitable = steps.throw(error)
            else:
                awaitable = next(steps)
    except StopIteration as end:
        return end.value


async def await_steps(steps: Generator[Awaitable[Any], None, Any]) -> Any:
    """The same inside an event loop."""
    try:
        awaitable = next(steps)
        while True:
            try:
                await awaitable
            except Exception as error:
                awaitable = steps.throw(error)
            else:
                awaitable = next(steps)
    except StopIteration as end:
        return end.value

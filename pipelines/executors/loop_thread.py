"""Coroutine functions on a thread with an event loop of its own, where they run side by side."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..types import To
from .base import Failure
from .post import Post, await_steps

if TYPE_CHECKING:
    from .thread import ThreadStage

__all__ = ["LoopThread", "join_threads"]

INSIST_SECONDS = 1.0
"""Calls that ignore their cancellation are cancelled again after so long."""


class LoopThread:
    """The thread, seen from the event loop of those who use it; started when it is needed.

    Args:
        loop: That event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._stages: list[ThreadStage] = []
        self._inside: _Inside | None = None
        self._thread: threading.Thread | None = None

    def add(self, stage: ThreadStage) -> None:
        """There is work for one more node."""
        if self._inside is None:
            self._inside = _Inside(self)
            self._thread = threading.Thread(target=self._inside.run, name="pipelines_loop", daemon=True)
            self._thread.start()
        self._stages.append(stage)

    def remove(self, stage: ThreadStage) -> None:
        """A node is over."""
        if stage in self._stages:
            self._stages.remove(stage)

    def dispatch(self) -> None:
        """Hand out everything: the node's concurrency is the limit."""
        for stage in self._stages:
            while stage.backlog.count:
                place, items = stage.backlog.take(stage.backlog.count)
                stage.at_workers += len(items)
                assert self._inside is not None
                self._inside.call(self._inside.work, stage, place, items)

    def on_end(self, stage: ThreadStage, place: int, item: Any, outcome: Any, seconds: float) -> None:
        """A call has ended."""
        stage.returned(1)
        plain = type(outcome) is not Failure and type(outcome) is not To
        stage.deliver(place, [item], [outcome], seconds, plain=plain)

    def cancel(self, stage: ThreadStage) -> None:
        """Cancel the calls of a node."""
        if self._inside is not None:
            self._inside.call(self._inside.cancel, stage.number)

    async def close_job(self, stage: ThreadStage, outcome: str | None) -> list[BaseException]:
        """Clean up after a node."""
        if self._inside is None or stage not in self._stages:
            return []
        answer: asyncio.Future[list[BaseException]] = self.loop.create_future()
        self._inside.call(self._inside.close, stage, outcome, answer)
        return await answer

    async def close(self) -> None:
        """End the thread; when this returns it has ended."""
        if self._inside is not None and self._thread is not None:
            self._inside.call(self._inside.end)
            await join_threads([self._thread])


class _Inside:
    """What lives in the thread. All but `run` and `call` is called in its event loop."""

    def __init__(self, thread: LoopThread) -> None:
        self._thread = thread
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._posts: dict[int, Post] = {}
        self._openings: dict[int, asyncio.Task[Any]] = {}
        self._tasks: dict[int, set[asyncio.Task[Any]]] = {}

    def run(self) -> None:
        """The thread's function."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        await self._over.wait()

    def call(self, function: Callable[..., Any], *args: Any) -> None:
        """Have ``function`` called here, from outside."""
        self._loop.call_soon_threadsafe(function, *args)

    def _tell(self, function: Callable[..., Any], *args: Any) -> None:
        self._thread.loop.call_soon_threadsafe(function, *args)

    def end(self) -> None:
        """Nobody wants anything any more."""
        self._over.set()

    def work(self, stage: ThreadStage, place: int, items: Iterable[Any]) -> None:
        """Start a call for each item."""
        tasks = self._tasks.setdefault(stage.number, set())
        if stage.number not in self._posts:
            post = self._posts[stage.number] = Post(stage.job)
            opening = self._loop.create_task(await_steps(post.opening()), context=stage.context.copy())
            self._openings[stage.number] = opening
        for index, item in enumerate(items):
            task = self._loop.create_task(self._make(stage, item), context=stage.context.copy())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            task.add_done_callback(partial(self._made, stage, place + index, item))

    async def _make(self, stage: ThreadStage, item: Any) -> tuple[Any, float]:
        post = self._posts[stage.number]
        await asyncio.shield(self._openings[stage.number])
        begin = perf_counter()
        return await self._outcome(post, item), perf_counter() - begin

    def _made(self, stage: ThreadStage, place: int, item: Any, task: asyncio.Task[tuple[Any, float]]) -> None:
        # Told here and not by the task itself: one that is cancelled before its first step never runs.
        outcome, seconds = (None, 0.0) if task.cancelled() else task.result()
        self._tell(self._thread.on_end, stage, place, item, outcome, seconds)

    async def _outcome(self, post: Post, item: Any) -> Any:
        if post.broken is not None:
            return Failure(post.broken, fatal=True)
        limit = asyncio.timeout(post.job.timeout)
        try:
            async with limit:
                return await post.make_async(item)
        except BaseException as error:
            late = TimeoutError(f"no result within {post.job.timeout} seconds") if limit.expired() else None
            return Failure(late or error)

    def cancel(self, number: int) -> None:
        """Cancel the calls of a node, and its setup, until they have ended."""
        opening = self._openings.get(number)
        tasks = {*self._tasks.get(number, ()), *([opening] if opening is not None and not opening.done() else [])}
        if tasks:
            for task in tasks:
                task.cancel()
            self._loop.call_later(INSIST_SECONDS, self.cancel, number)

    def close(self, stage: ThreadStage, outcome: str | None, answer: asyncio.Future[list[BaseException]]) -> None:
        """Clean up after a node."""
        post = self._posts.pop(stage.number)
        self._tasks.pop(stage.number)
        closing = self._close(post, self._openings[stage.number], outcome)
        task = self._loop.create_task(closing, context=stage.context.copy())
        self._tasks[-stage.number] = {task}
        task.add_done_callback(lambda task: self._closed(stage.number, task.result(), answer))

    async def _close(self, post: Post, opening: asyncio.Task[Any], outcome: str | None) -> list[BaseException]:
        await asyncio.wait([opening])
        errors: list[BaseException] = await await_steps(post.closing(outcome))
        return errors

    def _closed(self, number: int, errors: list[BaseException], answer: asyncio.Future[list[BaseException]]) -> None:
        del self._tasks[-number], self._openings[number]
        self._tell(_settle, answer, errors)


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


async def join_threads(threads: Iterable[threading.Thread]) -> None:
    """Wait until threads that are about to end have ended; also when cancelled meanwhile."""
    loop = asyncio.get_running_loop()
    threads = list(threads)
    if not threads:
        return
    future: asyncio.Future[Any] = loop.create_future()

    def join() -> None:
        for thread in threads:
            thread.join()
        loop.call_soon_threadsafe(_settle, future, None)

    joining = threading.Thread(target=join, name="pipelines_join")
    joining.start()
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:  # threads cannot be hurried
            continue
    joining.join()

"""Functions on threads, for work that blocks.

For files, databases without an asyncio driver, libraries that release the interpreter's lock. Every
call is handed to a thread by itself, and sees the context variables of whoever started the run. A
thread cannot be stopped from outside: a call that runs out of time gives its place free for another
thread, while its own ends with the function. Coroutine functions run side by side in an event loop on
one thread of their own.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from queue import SimpleQueue
from time import perf_counter
from typing import Any, Self

from ..types import To
from .base import Failure, Job, Listener
from .loop_thread import LoopThread, join_threads
from .post import Post, run_steps
from .shares import Shares
from .stage import Pool, PoolStage

__all__ = ["ThreadExecutor"]

MOST_THREADS = 64
"""Threads of an executor that nobody has told how many."""

_numbers = count()


class ThreadExecutor:
    """At most ``workers`` threads for plain functions, started as they are needed, and one for coroutines.

    Give it to a plumber as ``executors={"name": ThreadExecutor(4)}``; the name ``thread`` is there
    without that. Graphs in one event loop share it. Its threads live as long as any graph uses it; inside
    ``async with`` they live until the end of that.
    """

    def __init__(self, workers: int = MOST_THREADS) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        self.workers = workers
        self._users = 0
        self._crew: _Threads
        self._loop_thread: LoopThread

    @property
    def capacity(self) -> int:
        """How many plain calls can run at once."""
        return self.workers

    @property
    def measures(self) -> bool:
        """Every call goes to a thread by itself."""
        return False

    @property
    def keeps(self) -> str:
        """Every result comes back to the event loop."""
        return ""

    def check(self, job: Job) -> list[tuple[str, str]]:
        """Nothing is wrong with any job here."""
        return []

    def acquire(self) -> None:
        """Come to life in the running event loop, or count one more user."""
        loop = asyncio.get_running_loop()
        if not self._users:
            self._loop = loop
            self._crew = _Threads(self.workers, loop)
            self._loop_thread = LoopThread(loop)
        elif loop is not self._loop:
            raise RuntimeError("a ThreadExecutor is used by one event loop at a time")
        self._users += 1

    async def release(self) -> None:
        """One user less; the last waits until all threads have ended."""
        self._users -= 1
        if not self._users:
            loop_thread, crew = self._loop_thread, self._crew
            # An executor that is not in use holds no event loop.
            del self._loop, self._loop_thread, self._crew
            await loop_thread.close()
            await crew.close()

    async def __aenter__(self) -> Self:
        self.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.release()

    def open(self, job: Job, listener: Listener) -> ThreadStage:
        """A place for one node; threads are started when there are items."""
        return ThreadStage(self._loop_thread if job.coroutine else self._crew, job, listener, self.workers)


class ThreadStage(PoolStage):
    """One node's place on the threads.

    Attributes:
        context: The context variables that every call begins with.
    """

    def __init__(self, pool: Pool, job: Job, listener: Listener, limit: int) -> None:
        super().__init__(pool, job, listener)
        self.context = contextvars.copy_context()
        self._limit = MOST_THREADS if job.coroutine else limit

    def wanted(self) -> int:
        """A call for every thread."""
        return self._limit


@dataclass(slots=True, eq=False)
class _Call:
    """One item on a thread; ``expired`` if nobody waits for it any more."""

    stage: ThreadStage
    place: int
    item: Any
    timer: asyncio.TimerHandle | None = None
    expired: bool = False


class _Thread:
    """One thread, with its posts; ``known`` and ``call`` belong to the event loop."""

    def __init__(self, threads: _Threads) -> None:
        self.known: set[int] = set()
        self.call: _Call | None = None
        self.inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.posts: dict[int, Post] = {}
        self.runner = asyncio.Runner()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._threads = threads
        self.thread = threading.Thread(target=self._run, name=f"pipelines_{next(_numbers)}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            while (do := self.inbox.get()) is not None:
                do()
        finally:
            self.runner.close()

    def complete(self, awaitable: Awaitable[Any]) -> Any:
        """Run something awaitable to its end, in this thread."""

        async def wait() -> Any:
            return await awaitable

        self.loop = self.runner.get_loop()
        return self.runner.run(wait())

    def cancel(self) -> None:
        """Cancel whatever is awaited in this thread; from outside."""
        with suppress(RuntimeError):  # nothing was ever awaited, or the thread has ended
            loop = self.loop
            if loop is not None:
                loop.call_soon_threadsafe(_cancel_all, loop)

    def work(self, call: _Call) -> None:
        """Make one call, in this thread."""
        stage = call.stage
        post = self.posts.get(stage.number)
        if post is None:
            post = self.posts[stage.number] = Post(stage.job)
            try:
                stage.context.copy().run(run_steps, post.opening(), self.complete)
            except BaseException as error:  # cancelled, or somebody who wants to leave
                post.broken = error
        begin = perf_counter()
        if post.broken is not None:
            outcome: Any = Failure(post.broken, fatal=True)
        else:
            try:
                outcome = stage.context.copy().run(post.make, call.item, self.complete)
            except StopIteration as error:
                failure = RuntimeError("the function raised StopIteration")
                failure.__cause__ = error
                outcome = Failure(failure)
            except BaseException as error:
                outcome = Failure(error)
        self._threads.loop.call_soon_threadsafe(self._threads.on_end, self, call, outcome, perf_counter() - begin)

    def close(self, stage: ThreadStage, outcome: str | None, answer: asyncio.Future[list[BaseException]]) -> None:
        """Clean up after a node, in this thread."""
        steps = self.posts.pop(stage.number).closing(outcome)
        errors = stage.context.copy().run(run_steps, steps, self.complete)
        self._threads.loop.call_soon_threadsafe(_settle, answer, errors)


class _Threads:
    """The threads for plain functions."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._limit = limit
        self._shares: Shares[ThreadStage] = Shares()
        self._idle: list[_Thread] = []
        self._busy: set[_Thread] = set()
        self._lost: set[_Thread] = set()  # in calls that nobody waits for any more

    def add(self, stage: ThreadStage) -> None:
        """There is work for one more node."""
        self._shares.add(stage, stage.job.run, stage.job.rank)

    def remove(self, stage: ThreadStage) -> None:
        """A node is over."""
        self._shares.remove(stage)

    def dispatch(self) -> None:
        """Hand out items as long as there are threads, or may be."""
        while (stage := self._shares.pick(_waits)) is not None:
            thread = self._choose(stage)
            if thread is None:
                return
            place, items = stage.backlog.take(1)
            thread.call = call = _Call(stage, place, items[0])
            thread.known.add(stage.number)
            self._busy.add(thread)
            stage.at_workers += 1
            if stage.job.timeout is not None:
                call.timer = self.loop.call_later(stage.job.timeout, self._expire, thread, call)
            thread.inbox.put(partial(thread.work, call))

    def _choose(self, stage: ThreadStage) -> _Thread | None:
        if len(self._busy) >= self._limit:  # others may be idle that were lost before
            return None
        # One that knows the node need not set up for it.
        for thread in reversed(self._idle):
            if stage.number in thread.known:
                self._idle.remove(thread)
                return thread
        if len(self._idle) + len(self._busy) < self._limit:
            return _Thread(self)
        return self._idle.pop() if self._idle else None

    def _expire(self, thread: _Thread, call: _Call) -> None:
        """The call has had its time: another thread may start in its place."""
        call.expired = True
        self._busy.discard(thread)
        self._lost.add(thread)
        call.stage.returned(1)
        error = TimeoutError(f"no result within {call.stage.job.timeout} seconds")
        call.stage.deliver(call.place, [call.item], [Failure(error)], call.stage.job.timeout or 0.0)
        self.dispatch()

    def on_end(self, thread: _Thread, call: _Call, outcome: Any, seconds: float) -> None:
        """A call has ended."""
        thread.call = None
        self._lost.discard(thread)
        self._busy.discard(thread)
        self._idle.append(thread)
        if call.timer is not None:
            call.timer.cancel()
        self._shares.spent(call.stage, seconds)
        if call.expired:
            self.dispatch()
            return
        call.stage.returned(1)
        self.dispatch()
        plain = type(outcome) is not Failure and type(outcome) is not To
        call.stage.deliver(call.place, [call.item], [outcome], seconds, plain=plain)

    def cancel(self, stage: ThreadStage) -> None:
        """Cancel what is awaited; a function cannot be ended."""
        for thread in self._busy:
            if thread.call is not None and thread.call.stage is stage:
                thread.cancel()

    async def close_job(self, stage: ThreadStage, outcome: str | None) -> list[BaseException]:
        """Clean up in every thread that knows the node, those in lost calls when they have ended."""
        answers: list[asyncio.Future[list[BaseException]]] = []
        for thread in [*self._idle, *self._busy, *self._lost]:
            if stage.number in thread.known:
                thread.known.discard(stage.number)
                answers.append(self.loop.create_future())
                thread.inbox.put(partial(thread.close, stage, outcome, answers[-1]))
        return [error for errors in await asyncio.gather(*answers) for error in errors]

    async def close(self) -> None:
        """End all threads; when this returns they have ended, whatever happens meanwhile."""
        threads = [*self._idle, *self._busy, *self._lost]
        for thread in threads:
            thread.inbox.put(None)
        await join_threads([thread.thread for thread in threads])


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


def _waits(stage: ThreadStage) -> bool:
    return bool(stage.backlog.count)


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)

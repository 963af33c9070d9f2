"""A worker process that calls coroutine functions, from inside: side by side, in one event loop.

The worker ends when its parent says so, and at once when its parent is gone. A coroutine that holds
the loop for longer than its timeout cannot be interrupted from inside; the parent ends the process then.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from functools import partial
from time import monotonic_ns, perf_counter
from typing import Any

from .base import Failure
from .packing import pack, unpack
from .post import Post, await_steps
from .surroundings import Surroundings
from .travel import portable, sendable
from .wire import CHUNK, COUNT, JOB, OUTCOME, RESULTS_ARENA, TAKEN, Board, Kind
from .worker import Desk

__all__ = ["serve_coroutines"]

INSIST_SECONDS = 1.0
"""Calls that ignore their cancellation are cancelled again after so long."""

BEAT_SECONDS = 0.1


def serve_coroutines(sock: socket.socket) -> None:
    """What the process does from its beginning to its end."""
    asyncio.run(AsyncWorker(Desk(sock)).run())
    os._exit(0)  # the thread that reads is still waiting for a word


class AsyncWorker:
    """Works on all portions at once."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._loop: asyncio.AbstractEventLoop
        self._over: asyncio.Future[None]
        self._openings: dict[int, asyncio.Task[Any]] = {}
        self._tasks: dict[int, set[asyncio.Task[Any]]] = {}
        self._closings: set[asyncio.Task[None]] = set()
        self._results: list[tuple[int, int, Any, float]] = []
        self._sent: list[tuple[int, int, Any, float]] = []
        self._singles = 0
        self._board = desk.board.numbers

    async def run(self) -> None:
        """Do what the parent says, until it says to leave."""
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()
        threading.Thread(target=self._listen, daemon=True).start()
        self._desk.send(Kind.READY)
        self._beat()
        await self._over

    def _beat(self) -> None:
        # So the parent sees that the loop turns, and timeouts are kept here.
        self._board[Board.SINCE] = monotonic_ns()
        self._loop.call_later(BEAT_SECONDS, self._beat)

    def _listen(self) -> None:
        while True:
            self._loop.call_soon_threadsafe(self._on_word, *self._desk.receive())

    def _on_word(self, kind: int, body: memoryview) -> None:
        if kind == Kind.CHUNK:
            self._on_chunk(body)
        elif kind == Kind.JOB:
            self._desk.learn(body)
        elif kind == Kind.CANCEL:
            self._cancel(JOB.unpack(body)[0])
        elif kind == Kind.CLOSE:
            closing = self._loop.create_task(self._close(*self._desk.forget(body)))
            self._closings.add(closing)
            closing.add_done_callback(self._closings.discard)
        elif kind == Kind.READ:
            self._sent = []
            self._flush()
        elif kind == Kind.AGAIN:
            self._send_again()
        elif not self._over.done():
            self._over.set_result(None)

    # Calls.

    def _on_chunk(self, body: memoryview) -> None:
        chunk, number, slot, _ = CHUNK.unpack_from(body)
        try:
            items = unpack(body[CHUNK.size :], self._desk.arenas[slot])
        except Exception as error:
            self._tell(chunk, 0, Failure(portable(error, "the item cannot be read in a worker process"), unread=True))
            return
        finally:
            self._desk.send(Kind.TAKEN, TAKEN.pack(slot))
        post = self._desk.posts.get(number)
        if post is None:
            self._tell(chunk, 0, Failure(self._desk.broken[number], fatal=True))
            return
        surroundings = self._desk.surroundings[number]
        tasks = self._tasks.setdefault(number, set())
        for index, item in enumerate(items):
            work = self._work(number, post, item, surroundings)
            task = self._loop.create_task(work, context=surroundings.context.copy())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            task.add_done_callback(partial(self._worked, chunk, index))

    async def _work(self, number: int, post: Post, item: Any, surroundings: Surroundings) -> tuple[Any, float]:
        await asyncio.shield(self._opening(number, post, surroundings))
        if post.broken is not None:
            return Failure(portable(post.broken), fatal=True), 0.0
        begin = perf_counter()
        return await self._outcome(post, item), perf_counter() - begin

    def _worked(self, chunk: int, index: int, task: asyncio.Task[tuple[Any, float]]) -> None:
        # Told here and not by the task itself: one that is cancelled before its first step never runs.
        self._tell(chunk, index, *((None,) if task.cancelled() else task.result()))

    def _opening(self, number: int, post: Post, surroundings: Surroundings) -> asyncio.Task[Any]:
        if number not in self._openings:
            steps = await_steps(post.opening())
            self._openings[number] = self._loop.create_task(steps, context=surroundings.context)
        return self._openings[number]

    async def _outcome(self, post: Post, item: Any) -> Any:
        limit = asyncio.timeout(post.job.timeout)
        try:
            async with limit:
                return await post.make_async(item)
        except BaseException as error:
            late = TimeoutError(f"no result within {post.job.timeout} seconds") if limit.expired() else None
            return Failure(portable(late or error))

    # Results.

    def _tell(self, chunk: int, index: int, outcome: Any, seconds: float = 0.0) -> None:
        self._results.append((chunk, index, outcome, seconds))
        if len(self._results) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        # While the parent has not read what was sent, it may ask for that again.
        if not self._results or self._sent:
            return
        count = 1 if self._singles else len(self._results)
        self._singles = max(0, self._singles - 1)
        self._sent, self._results = self._results[:count], self._results[count:]
        arena = self._desk.arenas[RESULTS_ARENA]
        try:
            parts = pack([outcome for _, _, outcome, _ in self._sent], arena)
        except Exception:
            parts = pack([sendable(outcome) for _, _, outcome, _ in self._sent], arena)
        heads = [OUTCOME.pack(chunk, index, seconds) for chunk, index, _, seconds in self._sent]
        self._desk.send(Kind.RESULTS, COUNT.pack(count), *heads, *parts)
        arena.unmap_large()

    def _send_again(self) -> None:
        """The parent could not read what was sent: one of the results is to blame."""
        self._singles += len(self._sent)
        self._results[:0] = self._sent
        self._sent = []
        self._flush()

    # The end of a job.

    def _cancel(self, number: int) -> None:
        opening = self._openings.get(number)
        tasks = {*self._tasks.get(number, ()), *([opening] if opening is not None and not opening.done() else [])}
        if tasks:
            for task in tasks:
                task.cancel()
            self._loop.call_later(INSIST_SECONDS, self._cancel, number)

    async def _close(self, number: int, post: Post | None, surroundings: Surroundings, outcome: str | None) -> None:
        errors: list[BaseException] = []
        self._tasks.pop(number, None)
        opening = self._openings.pop(number, None)
        if post is not None:
            if opening is not None:
                await asyncio.wait([opening])
            errors = await self._loop.create_task(await_steps(post.closing(outcome)), context=surroundings.context)
        self._desk.closed(number, errors)

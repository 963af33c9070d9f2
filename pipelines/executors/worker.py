"""A worker process that calls plain functions, from inside.

They run in the main thread, one item after the other, as in any script; so a signal can interrupt them.
The worker ends when its parent says so, and at once when its parent is gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import select
import signal
import socket
import threading
from collections.abc import Awaitable
from time import monotonic_ns, perf_counter
from types import FrameType
from typing import Any

from ..types import To
from .base import Failure
from .packing import Arena, keep_freed_memory, pack, unpack
from .post import Post, run_steps
from .surroundings import LogSender, Surroundings
from .travel import portable, sendable
from .wire import ALL, CHUNK, FRAME, JOB, RESULT, SLOTS, Board, Kind, frame

__all__ = ["INTERRUPT", "Desk", "serve"]

INTERRUPT = signal.SIGUSR1
"""Asks the worker to look whether the call it is in is to be interrupted."""

SPECIAL = frozenset({To, Failure})


class Interrupted(BaseException):
    """Raised inside a call that has run out of time, or that nobody wants any more."""


def serve(sock: socket.socket) -> None:
    """What the process does from its beginning to its end."""
    Worker(Desk(sock)).run()


class Desk:
    """What every worker process has: the parent's end of the line, its jobs, and what it shares with the parent."""

    def __init__(self, sock: socket.socket) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # for the parent, which decides
        keep_freed_memory()
        _, descriptors, _, _ = socket.recv_fds(sock, 1, 2 + SLOTS)
        threading.Thread(target=_leave_with_parent, args=(sock.fileno(),), daemon=True).start()
        self.socket = sock
        self.board = Board(descriptors[0])
        self.arenas = [Arena(each) for each in descriptors[1:]]
        self.posts: dict[int, Post] = {}
        self.broken: dict[int, BaseException] = {}
        self.surroundings: dict[int, Surroundings] = {}
        self._lock = threading.Lock()
        logging.getLogger().addHandler(LogSender(lambda fields: self.send(Kind.LOG, fields)))

    def send(self, kind: Kind, *parts: bytes | bytearray) -> None:
        """Say something to the parent, from any thread."""
        data = frame(kind, *parts)
        with self._lock:
            try:
                self.socket.sendall(data)
            except OSError:  # the parent is gone, and with it everybody who could want anything
                os._exit(1)

    def receive(self) -> tuple[int, memoryview]:
        """Wait for the next word of the parent."""
        size, kind = FRAME.unpack(self._read(FRAME.size))
        return kind, self._read(size)

    def _read(self, size: int) -> memoryview:
        view = memoryview(bytearray(size))
        at = 0
        while at < size:
            count = self.socket.recv_into(view[at:])
            if not count:
                os._exit(1)
            at += count
        return view

    def learn(self, body: memoryview) -> None:
        """A job that there will be portions of."""
        (number,) = JOB.unpack_from(body)
        try:
            job, surroundings = pickle.loads(body[JOB.size :])
        except Exception as error:
            self.broken[number] = portable(error, "the node cannot be loaded in a worker process")
            return
        surroundings.adopt_levels()
        self.surroundings[number] = surroundings
        self.posts[number] = Post(job)

    def forget(self, body: memoryview) -> tuple[int, Post | None, Surroundings, str | None]:
        """A job of which nothing more will come."""
        (number,) = JOB.unpack_from(body)
        self.broken.pop(number, None)
        surroundings = self.surroundings.pop(number, None) or Surroundings({}, {})
        return number, self.posts.pop(number, None), surroundings, pickle.loads(body[JOB.size :])

    def closed(self, number: int, errors: list[BaseException]) -> None:
        """Say that the cleanup of a job is over, and what it raised."""
        self.send(Kind.CLOSED, JOB.pack(number), pickle.dumps([portable(error) for error in errors]))


def _leave_with_parent(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, 0)  # nothing but the end of the connection
    poll.poll()
    os._exit(1)


class Worker:
    """Works on one portion after the other."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._board = desk.board.numbers
        self._runner = asyncio.Runner()
        self._calling = False

    def run(self) -> None:
        """Do what the parent says, until it says to leave."""
        signal.signal(INTERRUPT, self._on_interrupt)
        desk = self._desk
        desk.send(Kind.READY)
        while True:
            kind, body = desk.receive()
            if kind == Kind.CHUNK:
                self._on_chunk(body)
            elif kind == Kind.JOB:
                desk.learn(body)
            elif kind == Kind.CLOSE:
                self._on_close(body)
            else:
                break
        self._runner.close()

    def _on_close(self, body: memoryview) -> None:
        number, post, surroundings, outcome = self._desk.forget(body)
        errors = []
        if post is not None:
            errors = surroundings.run(run_steps, post.closing(outcome), self._complete)
        self._desk.closed(number, errors)

    def _on_chunk(self, body: memoryview) -> None:
        chunk, number, slot, budget = CHUNK.unpack_from(body)
        try:
            items = unpack(body[CHUNK.size :], self._desk.arenas[slot])
        except Exception as error:
            failure = Failure(portable(error, "the item cannot be read in a worker process"), unread=True)
            self._tell(chunk, slot, [failure], 0.0, plain=False)
            return
        post = self._desk.posts.get(number)
        if post is None:
            self._tell(chunk, slot, [Failure(self._desk.broken[number], fatal=True)], 0.0, plain=False)
        else:
            self._desk.surroundings[number].run(self._work, chunk, slot, post, items, budget)

    def _complete(self, awaitable: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await awaitable

        return self._runner.run(wait())

    def _work(self, chunk: int, slot: int, post: Post, items: list[Any], budget: float) -> None:
        board = self._board
        board[Board.INDEX] = ALL
        board[Board.AT] = chunk
        if post.call is None and post.broken is None and board[Board.GONE + slot] != chunk:
            self._open(post)
        begin = perf_counter()
        if post.call is None and post.broken is None:
            outcomes, plain = [], False
        elif post.broken is not None:
            outcomes, plain = [Failure(portable(post.broken), fatal=True)], False
        else:
            outcomes, plain = self._call_each(chunk, slot, post, items, begin + budget)
        seconds = perf_counter() - begin
        board[Board.AT] = 0
        self._tell(chunk, slot, outcomes, seconds, plain=plain)

    def _open(self, post: Post) -> None:
        try:
            self._calling = True
            run_steps(post.opening(), self._complete)
            self._calling = False
        except BaseException as error:  # an interruption, or somebody who wants to leave
            self._calling = False
            post.broken = error

    def _call_each(
        self, chunk: int, slot: int, post: Post, items: list[Any], deadline: float
    ) -> tuple[list[Any], bool]:
        """Call for one item after the other, until the time is up; whether all outcomes are plain."""
        board, complete, timed = self._board, self._complete, post.job.timeout is not None
        outcomes: list[Any] = []
        plain = True
        for index, item in enumerate(items):
            if timed:
                board[Board.SINCE] = monotonic_ns()
            board[Board.INDEX] = index
            if index >= board[Board.END + slot] or board[Board.GONE + slot] == chunk:
                break
            try:
                self._calling = True
                outcome = post.make(item, complete)
                self._calling = False
            except BaseException as error:
                self._calling = False
                outcome = _failure(post, error)
            outcomes.append(outcome)
            plain = plain and type(outcome) not in SPECIAL
            if perf_counter() >= deadline:
                break
        return outcomes, plain

    def _on_interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """The parent has pointed at a call that is to be interrupted: raise if it is this one."""
        board = self._board
        at, index = board[Board.AT], board[Board.INDEX]
        gone = any([board[Board.GONE + slot] == at for slot in range(SLOTS)])
        if self._calling and (gone or (board[Board.TARGET] == at and board[Board.TARGET_INDEX] == index)):
            raise Interrupted

    def _tell(self, chunk: int, slot: int, outcomes: list[Any], seconds: float, *, plain: bool) -> None:
        arena = self._desk.arenas[slot]
        try:
            parts = pack(outcomes, arena)
        except Exception:
            plain = False
            parts = pack([sendable(outcome) for outcome in outcomes], arena)
        self._desk.send(Kind.RESULT, RESULT.pack(chunk, slot, plain, seconds), *parts)
        arena.unmap_large()


def _failure(post: Post, error: BaseException) -> Failure:
    if isinstance(error, Interrupted):
        return Failure(TimeoutError(f"no result within {post.job.timeout} seconds"))
    return Failure(portable(error))

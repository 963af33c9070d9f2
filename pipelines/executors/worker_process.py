"""A worker process, from outside: its beginning, its end, and what is said in between."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from .packing import Arena
from .surroundings import hand_on
from .wire import ALL, FRAME, SLOTS, Board, Kind, frame
from .worker import INTERRUPT

if TYPE_CHECKING:
    from .process import ProcessStage

__all__ = ["GRACE_SECONDS", "Chunk", "WorkerProcess"]

GRACE_SECONDS = 1.0
"""How long a call that was interrupted, and a worker that was told to leave, have before the process is killed."""


@dataclass(slots=True, eq=False)
class Chunk:
    """A portion of items at a worker.

    Attributes:
        place: Of the first item, in the order of its node.
        weight: Bytes of all items.
        missing: Indices of items that no result has come for; kept for workers with an event loop only.
        abandoned: Nobody waits for it any more, and the worker knows.
    """

    number: int
    stage: ProcessStage
    place: int
    items: list[Any]
    slot: int
    weight: int
    missing: set[int] = field(default_factory=set)
    abandoned: bool = False


class WorkerProcess(asyncio.Protocol):
    """One process; made by `start`.

    Attributes:
        ready: It has said that it is there.
        gone: It is dead, and its parts are closed.
        chunks: The portions it has, by number, oldest first.
        jobs: Numbers of the jobs that it knows.
        overdue: It is being killed because a call has run out of time.
        killed_for: The stage for whose sake it is killed, if it is for one that was cancelled.
        last: The portion and the index that it was at when it died.
        watch: The timer of the timeouts.
    """

    def __init__(
        self, on_word: Callable[[WorkerProcess, int, memoryview], None], on_end: Callable[[Any], None]
    ) -> None:
        self.ready = False
        self.gone = False
        self.chunks: dict[int, Chunk] = {}
        self.jobs: set[int] = set()
        self.overdue = False
        self.killed_for: ProcessStage | None = None
        self.last = (0, ALL)
        self.watch: asyncio.TimerHandle | None = None
        self.slots = [True] * SLOTS
        self.exitcode: int | None = None
        self.ended: asyncio.Future[None]
        self._on_word = on_word
        self._on_end = on_end
        self._process: BaseProcess
        self._transport: asyncio.Transport
        self._received = bytearray()
        self._timers: list[asyncio.TimerHandle] = []
        self._loop: asyncio.AbstractEventLoop

    async def start(self, context: BaseContext, serve: Callable[[socket.socket], None]) -> None:
        """Start the process and connect to it; it says when it is ready."""
        self._loop = loop = asyncio.get_running_loop()
        self.ended = loop.create_future()
        board_file = Arena()
        self.arenas = [Arena() for _ in range(1 + SLOTS)]
        self.board = Board(board_file.descriptor)
        ours, theirs = socket.socketpair()
        self._process = context.Process(target=serve, args=(theirs,))  # type: ignore[attr-defined]
        try:
            await _in_thread(self._process.start)
            socket.send_fds(ours, [b"."], [board_file.descriptor, *(arena.descriptor for arena in self.arenas)])
        except BaseException:
            ours.close()
            self._close_files()
            if self._process.pid is not None:
                self._process.kill()
                self._process.join()
            raise
        finally:
            theirs.close()
            board_file.close()
        self._transport, _ = await loop.create_unix_connection(lambda: self, sock=ours)
        loop.add_reader(self._process.sentinel, self._on_exit)

    # The line.

    def send(self, kind: Kind, *parts: bytes | bytearray) -> None:
        """Say something to the worker."""
        if not self.gone:
            self._transport.write(frame(kind, *parts))

    def data_received(self, data: bytes) -> None:
        """Something has come from the worker."""
        self._received += data
        received, at = memoryview(self._received), 0
        words = []
        while len(received) - at >= FRAME.size:
            size, kind = FRAME.unpack_from(received, at)
            if len(received) - at - FRAME.size < size:
                break
            at += FRAME.size + size
            words.append((kind, memoryview(bytes(received[at - size : at]))))
        received.release()
        del self._received[:at]
        for kind, body in words:
            if kind == Kind.READY:
                self.ready = True
            elif kind == Kind.LOG:
                hand_on(body)
            self._on_word(self, kind, body)

    # The end.

    def _on_exit(self) -> None:
        """The process has ended; what it had said may still be on its way."""
        self._loop.remove_reader(self._process.sentinel)
        self._process.join()
        self.exitcode = self._process.exitcode
        self._read_rest()
        numbers = self.board.numbers
        self.last = (numbers[Board.AT], numbers[Board.INDEX])
        self.gone = True
        for timer in (self.watch, *self._timers):
            if timer is not None:
                timer.cancel()
        self._transport.abort()
        self._close_files()
        self._process.close()
        try:
            self._on_end(self)
        finally:
            self.ended.set_result(None)

    def _read_rest(self) -> None:
        sock = self._transport.get_extra_info("socket")
        try:
            descriptor = os.dup(sock.fileno())
        except (OSError, AttributeError):  # the transport has met the end of the connection itself
            return
        self._transport.pause_reading() if self._transport.is_reading() else None
        os.set_blocking(descriptor, False)
        try:
            while data := os.read(descriptor, 1 << 18):
                self.data_received(data)
        except OSError:
            pass
        finally:
            os.close(descriptor)

    def _close_files(self) -> None:
        self.board.close()
        for arena in self.arenas:
            arena.close()

    def kill(self) -> None:
        """End the process now."""
        if not self.gone:
            self._process.kill()

    def hang_up(self) -> None:
        """Close the line: the process ends. For the end of the interpreter, when no loop runs any more."""
        if not self.gone:
            self._transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def leave(self) -> None:
        """Have it end soon; `ended` tells when it has."""
        self.send(Kind.LEAVE)
        self.kill_unless(lambda: self.gone)

    def kill_unless(self, condition: Callable[[], bool]) -> None:
        """End the process in a while, if ``condition`` does not hold by then."""
        self._later(lambda: None if condition() else self.kill())

    def _later(self, do: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(GRACE_SECONDS, do))
        self._timers = [timer for timer in self._timers if not timer.cancelled() and timer.when() > self._loop.time()]

    # What it is at.

    def at(self) -> tuple[Chunk | None, int]:
        """The portion that it works on, and the index of the item in it (`ALL` while it sets up)."""
        numbers = self.board.numbers
        return self.chunks.get(numbers[Board.AT]), numbers[Board.INDEX]

    def seconds_in_call(self) -> float:
        """How long ago its current call began; of one with an event loop: how long ago that has turned."""
        return float(monotonic_ns() - self.board.numbers[Board.SINCE]) / 1e9

    def unwant(self, chunk: Chunk) -> None:
        """Let the worker know that it need not begin another item of ``chunk``."""
        self.board.numbers[Board.GONE + chunk.slot] = chunk.number

    def limit(self, chunk: Chunk, count: int) -> None:
        """Let the worker do no more than the first ``count`` items of ``chunk``."""
        self.board.numbers[Board.END + chunk.slot] = count

    def interrupt(self, chunk: Chunk, index: int) -> None:
        """Interrupt its current call; kill the process if that does not help."""
        numbers = self.board.numbers
        if index != ALL:
            numbers[Board.TARGET_INDEX] = index
            numbers[Board.TARGET] = chunk.number
        if self._process.pid is not None:
            os.kill(self._process.pid, INTERRUPT)
        self._later(lambda: self._kill_if_stuck(chunk, index))

    def _kill_if_stuck(self, chunk: Chunk, index: int) -> None:
        current, now_at = self.at()
        if current is chunk and index in (ALL, now_at):
            self.overdue = True
            self.kill()

    def load(self) -> int:
        """Portions that it has, or calls that wait in its event loop."""
        return sum([len(chunk.missing) or 1 for chunk in self.chunks.values()])

    def free_slot(self) -> int | None:
        """A slot for one more portion, if there is one."""
        return self.slots.index(True) if True in self.slots else None


async def _in_thread(function: Callable[[], Any]) -> Any:
    """Call something that blocks for some milliseconds, in a thread that ends with it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def run() -> None:
        try:
            result, error = function(), None
        except BaseException as caught:
            result, error = None, caught
        loop.call_soon_threadsafe(settle, result, error)

    def settle(result: Any, error: BaseException | None) -> None:
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    thread = threading.Thread(target=run, name="pipelines-start")
    thread.start()
    cancelled = None
    while not future.done():  # a start that has begun cannot be taken back
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    thread.join()
    if cancelled is not None:
        future.exception()
        raise cancelled
    return future.result()

"""The writes of one part, numbered, done in order, each once: also when answers are lost or Redis forgets.

Every write has a number, which Redis keeps together with what the write did. So a write whose answer was lost is not
done twice; and when Redis was killed and lost its last moments (with ``appendfsync everysec`` up to two seconds of
what it had answered), it knows the number up to which it remembers, and everything after it is written once more.
For that, writes are kept for `SAFE_AFTER` seconds, or until they are `MOST_KEPT` bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from pipelines.errors import PipelinesError

from .redis_connection import Line, Script
from .redis_scripts import APPLY

__all__ = ["LeaseLostError", "Membership", "RunLostError", "Write", "WriteLog", "WriteRefusedError"]

SAFE_AFTER = 4.0
MOST_KEPT = 256_000_000
MOST_BYTES, MOST_ITEMS = 4_000_000, 4_000
"""How much one call carries; Redis does nothing else while it runs."""

APPLY_SCRIPT = Script(APPLY)


class LeaseLostError(PipelinesError):
    """Another process is this host's part now; nothing that this one does is written any more."""


class RunLostError(PipelinesError):
    """Redis has forgotten the run, or more of it than can be told again."""


class WriteRefusedError(PipelinesError):
    """Redis answered a write with an error that does not pass, such as a key of another type."""


class Membership:
    """Which process of which host speaks; the head of every call."""

    def __init__(self, run: str, host: str, token: str, lease: float, expiry: float) -> None:
        self.key = f"pipelines:{{{run}}}:meta"
        self.prefix = self.key.removesuffix("meta")
        self.host = host
        self.token = token
        self.generation = 0
        self.lease_ms = max(1, round(lease * 1000))
        self.expiry_ms = max(1, round(expiry * 1000))

    def head(self) -> list[Any]:
        """What every script wants to know first."""
        return [self.host, self.token, self.generation, self.lease_ms, self.expiry_ms]


class Write:
    """One write: what it says, how much that is, and who waits for it."""

    __slots__ = ("answer", "at", "bytes", "items", "keep", "words")

    def __init__(self, words: list[Any], answer: asyncio.Future[Any], items: int, size: int) -> None:
        self.words = words
        self.answer = answer
        self.items = items
        self.bytes = size
        self.at = 0.0
        self.keep: Callable[[Any], list[Any]] | None = None


class WriteLog:
    """Numbers the writes of one link and brings them to Redis, many with one call.

    Args:
        line: The connection on which only this log speaks.
        me: Who writes.
        rejoin: Called when Redis does not know any more that this process joined; raises when another one did.
    """

    def __init__(self, line: Line, me: Membership, rejoin: Callable[[], Any]) -> None:
        self._line = line
        self._me = me
        self._rejoin = rejoin
        self._kept: deque[Write] = deque()  # the first has the number self._first
        self._first = 1
        self._done = 0  # how many of the kept ones were answered
        self._kept_bytes = 0
        self._more = asyncio.Event()
        self._refusal: Exception | None = None
        self.lost: Exception | None = None

    def write(self, *words: Any, items: int = 1, size: int = 100) -> Write:
        """Put a write in the queue; its answer comes when it was done."""
        write = Write(list(words), asyncio.get_running_loop().create_future(), items, size)
        if (refusal := self.lost or self._refusal) is not None:
            _refuse(write, refusal)
        else:
            self._kept.append(write)
            self._kept_bytes += size
            self._more.set()
        return write

    async def do(self, *words: Any, items: int = 1, size: int = 100) -> Any:
        """Put a write in the queue and wait for its answer; cancelling the wait does not take it back."""
        return await self.write(*words, items=items, size=size).answer

    def recent(self) -> Iterator[list[Any]]:
        """What was written in the last moments, and what will be."""
        return (write.words for write in self._kept)

    async def work(self) -> None:
        """Bring writes to Redis until the link is lost; that is raised."""
        try:
            while self.lost is None:
                if self._done == len(self._kept):
                    self._more.clear()
                    await self._more.wait()
                await self._step()
        except Exception as error:
            self.stop(error)
            raise

    def refuse(self, error: Exception) -> None:
        """Do what is in the queue, and nothing else."""
        self._refusal = error

    def stop(self, error: Exception) -> None:
        """Refuse every further write, and those that nobody answered."""
        self.lost = self.lost or error
        for write in islice(self._kept, self._done, None):
            _refuse(write, error)
        self._done = len(self._kept)

    async def _step(self) -> None:
        writes = list(self._next())
        head = [*self._me.head(), self._first + self._done, [write.words for write in writes]]
        state, result = await self._line.run(APPLY_SCRIPT, self._me.key, head)
        if self.lost is not None:
            raise self.lost
        if state == b"fenced":
            raise LeaseLostError(f"another process is part {self._me.host!r} of the run now")
        if state == b"behind":
            await self._repeat_from(result, writes)
        else:
            self._answered(writes, result)

    def _next(self) -> Iterator[Write]:
        items = size = 0
        for write in islice(self._kept, self._done, None):
            items, size = items + write.items, size + write.bytes
            if items > write.items and (items > MOST_ITEMS or size > MOST_BYTES):
                return
            yield write

    def _answered(self, writes: list[Write], results: list[Any]) -> None:
        now = asyncio.get_running_loop().time()
        for write, (fine, *result) in zip(writes, results, strict=True):
            answer = result[0] if result else None
            write.at = now
            if fine and write.keep is not None:
                write.words, write.keep = write.keep(answer), None
            if write.answer.done():
                continue
            if fine:
                write.answer.set_result(answer)
            else:
                text = answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)
                _refuse(write, WriteRefusedError(f"Redis refused to {write.words[0]}: {text}"))
        self._done += len(writes)
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Let go of writes that Redis has on its disk by now."""
        kept = self._kept
        while self._done and (kept[0].at < now - SAFE_AFTER or self._kept_bytes > MOST_KEPT):
            self._kept_bytes -= kept.popleft().bytes
            self._done -= 1
            self._first += 1

    async def _repeat_from(self, last: int, tried: list[Write]) -> None:
        """Go back to the write after the last one that Redis knows of."""
        self._forget(asyncio.get_running_loop().time())
        if last < 0 and [write.words[0] for write in tried] == ["leave"]:
            # It was done, and its answer lost: all parts are done, and all keys are deleted.
            self._answered(tried, [[True, 1]] * len(tried))
            return
        known = max(last, 0)
        if known + 1 < self._first:
            raise RunLostError(
                f"Redis has lost the state of the run (write {self._first - 1:,} of part {self._me.host!r} and earlier "
                "ones are gone): was it started without its append-only file, flushed, or did the keys expire?"
            )
        if last < 0:
            await self._rejoin()
        self._done = known + 1 - self._first


def _refuse(write: Write, error: Exception) -> None:
    if not write.answer.done():
        write.answer.set_exception(error)
        write.answer.exception()  # so that asyncio does not complain should nobody wait for it

"""One process's membership in a run: joining, standing by, keeping the lease, leaving.

A `Session` has the place of its host from `join` to `leave`, or until another process got it; then `Session.lost`
says so, and nothing of it is written any more.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from pipelines.errors import PipelinesError, StateError

from .redis_connection import Line, Script, Server, missing_group
from .redis_log import LeaseLostError, Membership, WriteLog
from .redis_scripts import ASK, JOIN
from .redis_settlements import Settlements

__all__ = ["PartMismatchError", "Session", "checked_run"]

T = TypeVar("T")

ASK_SCRIPT, JOIN_SCRIPT = Script(ASK), Script(JOIN)

WEEK = 7 * 24 * 3600.0
FAILED_KEPT = 60.0
"""Seconds for which the keys of a failed run are kept when its parts have left."""

FAREWELL = 1.0
"""Seconds that a part which leaves before the end waits for Redis."""


class PartMismatchError(PipelinesError):
    """This part and those that joined before are not parts of the same graph.

    Attributes:
        differences: For each thing that differs, what it is here and what it is there.
    """

    def __init__(self, run_id: str, host: str, differences: dict[str, tuple[str, str]]) -> None:
        self.run_id = run_id
        self.host = host
        self.differences = differences
        super().__init__(run_id, host, differences)

    def __str__(self) -> str:
        pairs = self.differences.items()
        told = "; ".join(f"the {what} is {here!r} here and {there!r} there" for what, (here, there) in pairs)
        return f"part {self.host!r} does not belong to run {self.run_id!r}: {told}"


class Session:
    """One process that is, or waits to be, the part of its host; to be made in a running event loop.

    Args:
        url_or_client: Where Redis is: a URL, or a ``redis.asyncio.Redis`` whose settings are used, not its connections.
        run_id: What keeps runs apart.
        host: The name of this part.
        hosts: The names of all parts.
        digest: What the graph is known by; all parts must have the same.
        version: Of the program; all parts must have the same.
        lease: Seconds after which another process may take the place of one that is not heard of any more.
        expiry: Seconds for which keys are kept when no part is alive.
        on_lost: Told why this process is no part of the run any more.
        on_trouble: Told of the first error when Redis goes away, and None when it is back.

    Attributes:
        finished: Whether this part was done already when this process joined; there is nothing to do then.
        failed: Becomes the note of the first part that failed.
        lost: Becomes the reason why this process is no part of the run any more.
    """

    def __init__(
        self,
        url_or_client: Any,
        run_id: str,
        host: str,
        *,
        hosts: Sequence[str],
        digest: str,
        version: str,
        lease: float = 5.0,
        expiry: float = WEEK,
        on_lost: Callable[[Exception], None] | None = None,
        on_trouble: Callable[[BaseException | None], None] | None = None,
    ) -> None:
        if host not in hosts:
            raise ValueError(f"host {host!r} is none of the run's: {', '.join(sorted(hosts))}")
        loop = asyncio.get_running_loop()
        self.run_id = checked_run(run_id)
        self.host = host
        self.hosts = sorted(set(hosts))
        self.finished = False
        self.failed: asyncio.Future[bytes] = loop.create_future()
        self.lost: asyncio.Future[Exception] = loop.create_future()
        self.left = StateError(f"part {host!r} has left the run")
        self.settlements = Settlements(self)
        self._agreed = [digest, version, json.dumps(self.hosts)]
        self._born = secrets.token_hex(8)
        self._lease = lease
        self._on_lost = on_lost
        self._server = Server(url_or_client, on_trouble)
        self._me = Membership(run_id, host, secrets.token_hex(8), lease, expiry)
        self._control = self._server.line()
        self._control_lock = asyncio.Lock()
        self._lines = [self._control]
        self._line_of_log = self.new_line()
        self.log = WriteLog(self._line_of_log, self._me, self._rejoin)
        self._events: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._edges: set[str] = set()
        self._writer: asyncio.Task[None]
        self._joined = self._closed = False

    # Coming and going.

    async def join(self, on_standby: Callable[[], None] | None = None) -> None:
        """Become this host's part; waits for Redis, and while another living process is this part.

        Args:
            on_standby: Told once when another process is this part, and this one waits for its place.

        Raises:
            PartMismatchError: The parts that joined before are of another graph, version or set of hosts.
        """
        try:
            await self._wait_for_place(on_standby)
        except BaseException:
            await self._close()
            raise
        if not self.finished:
            self._joined = True
            self._writer = self.spawn(self._write())
            for work in (self._renew(), self._listen()):
                self.spawn(work)

    async def _wait_for_place(self, on_standby: Callable[[], None] | None) -> None:
        expected = b""
        while True:
            state, *rest = await self._ask_to_join(self._control, expected, again=False)
            if state != b"busy":
                break
            if not expected and on_standby is not None:
                on_standby()
            left, expected = rest
            await self._stand_by(left / 1000)
        if state == b"joined":
            self._me.generation = rest[0]
        self.finished = state in (b"finished", b"over")
        failed = rest[-1] if rest else None
        if failed:
            self.failed.set_result(failed)

    async def _ask_to_join(self, line: Line, expected: bytes, *, again: bool) -> list[Any]:
        words = [*self._me.head(), *self._agreed, self._born, expected, again]
        answer: list[Any] = await line.run(JOIN_SCRIPT, self._me.key, words)
        if answer[0] == b"mismatch":
            there = [each.decode(errors="replace") for each in answer[1:]]
            names = ("graph digest", "version", "list of hosts")
            pairs = zip(names, zip(self._agreed, there, strict=True), strict=True)
            raise PartMismatchError(self.run_id, self.host, {name: pair for name, pair in pairs if pair[0] != pair[1]})
        return answer

    async def _stand_by(self, seconds: float) -> None:
        troubles = self._server.troubles
        await self._control.command("BLPOP", f"{self._me.prefix}free:{self.host}", min(max(seconds, 0.05), 1.0))
        if troubles != self._server.troubles:
            # Leases ran out while Redis was away; whoever lives gets his back first.
            await asyncio.sleep(self._lease)

    async def _rejoin(self) -> None:
        state, *_ = await self._ask_to_join(self._line_of_log, b"", again=True)
        if state != b"joined":
            raise LeaseLostError(f"another process is part {self.host!r} of the run now")

    async def leave(self, clean: bool) -> None:
        """Give the place back, and close all connections.

        Args:
            clean: This part is done: whatever it handled is acknowledged, and its outlets are closed. The last part
                that says so deletes every key of the run. Otherwise another process may go on.

        Raises:
            LeaseLostError: It was to be a clean end, but another process is this part now.
        """
        try:
            if self._joined and not self._closed:
                if clean:
                    await self._leave_done()
                else:
                    await self._leave_undone()
        finally:
            await self._close()

    async def _leave_done(self) -> None:
        await self.settlements.settled()
        # Whoever still asked would find this part missing, and bring it back.
        await self._end_tasks({self._writer})
        await self._give_back(clean=True)
        # Nobody will write this once more, should Redis be killed before it has written it to its file.
        for _ in range(60):
            info = await self._control.command("INFO", "persistence")
            if not info.get("aof_enabled") or not info.get("aof_buffer_length"):
                return
            await asyncio.sleep(0.05)

    async def _leave_undone(self) -> None:
        try:
            async with asyncio.timeout(FAREWELL):
                await self.settlements.settled()
                if self.failed.done():
                    # Those who come soon learn of it; those who come later begin anew.
                    self._me.expiry_ms = round(1000 * FAILED_KEPT)
                    await self.log.do("renew", list(self._edges))
                await self._give_back(clean=False)
        except (TimeoutError, PipelinesError):
            return

    async def _give_back(self, *, clean: bool) -> None:
        farewell = self.log.write("leave", clean)
        # A write after it would take the place again.
        self.log.refuse(self.left)
        await farewell.answer

    async def _close(self) -> None:
        self._closed = True
        self.log.stop(self.left)
        self.settlements.stop()
        try:
            await self._end_tasks(set())
            for line in self._lines:
                await line.close()
        finally:
            await self._server.close()

    async def _end_tasks(self, spared: set[asyncio.Task[Any]]) -> None:
        while tasks := self._tasks - spared - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            # Up to Python 3.11 `asyncio.wait_for` may swallow a cancellation; then it needs another one.
            await asyncio.wait(tasks, timeout=0.1)

    async def learn_of_failure(self) -> None:
        """Read the note of the part that failed, if there is one."""
        note = await self.ask_aside("failed")
        if note and not self.failed.done():
            self.failed.set_result(note)

    # What everything else is made of.

    def event(self, name: str) -> asyncio.Event:
        """What is set when other parts wake this one for that reason."""
        return self._events.setdefault(name, asyncio.Event())

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait until the event, or so long; whoever waits looks whether there is anything in either case."""
        glance = asyncio.get_running_loop().call_later(seconds, event.set)
        try:
            await event.wait()
        finally:
            glance.cancel()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that ends when the part leaves, if not before."""
        if self._closed:
            work.close()
            raise self.left
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and isinstance(error, Exception):
            self._lose(error)

    async def ask(self, line: Line, *words: Any) -> Any:
        """Read something that only this host's part may read."""
        while True:
            if self.log.lost is not None:
                raise self.log.lost
            try:
                state, answer = await line.run(ASK_SCRIPT, self._me.key, [*self._me.head(), *words])
            except Exception as error:
                if not missing_group(error):
                    raise
                state, answer = b"behind", None
            if state == b"ok":
                return answer
            if state == b"fenced":
                raise LeaseLostError(f"another process is part {self.host!r} of the run now")
            # Redis forgot something of this part, which its log is about to write again.
            self._server.troubles += 1
            for edge in self._edges:
                await self.log.do("open", edge)

    async def ask_aside(self, *words: Any) -> Any:
        """Read something on the line that is there for what is seldom asked."""
        if self._closed:
            raise self.left
        async with self._control_lock:
            return await self.ask(self._control, *words)

    # What goes on all the time.

    async def _write(self) -> None:
        await self.log.work()

    async def _renew(self) -> None:
        while not self._closed:
            if await self.log.do("renew", list(self._edges)) and not self.failed.done():
                await self.learn_of_failure()
            await asyncio.sleep(self._lease / 3)

    async def _listen(self) -> None:
        line, troubles = self.new_line(), self._server.troubles
        while not self._closed:
            woken = await line.command("BLPOP", f"{self._me.prefix}wake:{self._me.token}", 5)
            if troubles != self._server.troubles:
                troubles = self._server.troubles
                for event in self._events.values():
                    event.set()
            if woken is not None:
                await self._wake(woken[1].decode())

    async def _wake(self, reason: str) -> None:
        if reason == "failed":
            await self.learn_of_failure()
        elif reason in self._events:
            self._events[reason].set()

    def _lose(self, error: Exception) -> None:
        """This process is no part of the run any more, for that reason."""
        if self._closed or self.lost.done():
            return
        self.log.stop(error)
        self.lost.set_result(error)
        for event in self._events.values():
            event.set()
        if self._on_lost is not None:
            self._on_lost(error)

    def new_line(self) -> Line:
        """One more connection, closed with the others."""
        line = self._server.line()
        self._lines.append(line)
        return line


def checked_run(run_id: str) -> str:
    """The run id, if it can be part of a key's name."""
    if not run_id or any(sign in "{}" or not sign.isprintable() for sign in run_id):
        raise ValueError(f"{run_id!r} is no run id: it must have characters, all printable, and no braces among them")
    return run_id

"""Connections to Redis that outlive its absence.

A `Line` is one connection on which one call is made at a time. While Redis cannot be reached, is loading, or may not
be written to, the call waits and is made again, for as long as it takes; so whatever is called must bear to happen
twice. Every other answer that is an error is raised. `Server.troubles` counts what went wrong on any line: as long
as it stays the same, no answer was lost, and Redis was not started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import logging
from collections.abc import Callable
from typing import Any

from pipelines.errors import MissingExtraError

try:
    import redis.asyncio
    import redis.exceptions
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
except ImportError:
    raise MissingExtraError("a graph that is split over hosts", "redis") from None

from .wire import pack, unpack

__all__ = ["Line", "Script", "Server", "missing_group"]

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
"""Seconds between two attempts to reach Redis."""

PATIENCE = 15.0
"""Seconds after which an answer is given up; the connection may lead nowhere any more."""

LASTING = (redis.exceptions.AuthenticationError, redis.exceptions.AuthorizationError)
PASSING = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ReadOnlyError,
    OSError,
)
PASSING_WORDS = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "UNBLOCKED")


def passes(error: BaseException) -> bool:
    """Whether it is worth trying again: Redis is away, or not ready."""
    if isinstance(error.__cause__, redis.exceptions.RedisError):
        # Whatever Redis answers while a connection is being made comes as a connection error.
        return passes(error.__cause__)
    if isinstance(error, LASTING):
        return False
    if isinstance(error, PASSING):
        return True
    if isinstance(error, redis.exceptions.ResponseError):
        # Up to Redis 6 a script's errors come wrapped: "ERR Error running script ...: -READONLY You can't write ..."
        words = str(error).replace("-", " ").split()
        return any(word in words[:12] for word in PASSING_WORDS)
    return False


class Script:
    """A Lua script, and the name under which Redis keeps it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Server:
    """One Redis, as one link sees it.

    Attributes:
        troubles: How often a call went wrong, on any line.
        on_trouble: Told of the first error of an outage, and None at its end.
    """

    def __init__(self, url_or_client: Any, on_trouble: Callable[[BaseException | None], None] | None = None) -> None:
        self._pool = _pool(url_or_client)
        self._away = False
        self.on_trouble = on_trouble
        self.troubles = 0

    def line(self) -> Line:
        """A connection of its own, made when it is first used."""
        return Line(self, redis.asyncio.Redis(connection_pool=self._pool, single_connection_client=True))

    def failed(self, error: BaseException, times: int) -> None:
        """Note that a call went wrong so many times in a row; once is no outage, the connection may have been old."""
        self.troubles += 1
        if times > 1 and not self._away:
            self._away = True
            logger.warning("Redis does not answer (%s: %s); trying again until it does", type(error).__name__, error)
            if self.on_trouble is not None:
                self.on_trouble(error)

    def answered(self) -> None:
        """Note that a call went well."""
        if self._away:
            self._away = False
            logger.info("Redis answers again")
            if self.on_trouble is not None:
                self.on_trouble(None)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.disconnect()


class Line:
    """One connection, for one call at a time."""

    def __init__(self, server: Server, client: Any) -> None:
        self.server = server
        self._client = client
        self._broken: list[Any] = []

    async def run(self, script: Script, key: str, words: Any) -> Any:
        """What the script answers; it is loaded first where Redis does not know it."""
        data = pack(words)
        if len(data) > 500_000_000:
            raise ValueError(f"{len(data):,} bytes are more than Redis takes at once")

        async def attempt() -> Any:
            try:
                return await self._client.execute_command("EVALSHA", script.sha, 1, key, data)
            except redis.exceptions.NoScriptError:
                # A server that does not know it was started anew, maybe with less than it knew before.
                self.server.troubles += 1
                return await self._client.execute_command("EVAL", script.text, 1, key, data)

        return unpack(await self._persistently(attempt))

    async def command(self, *words: Any) -> Any:
        """What Redis answers to the command."""
        return await self._persistently(lambda: self._client.execute_command(*words))

    async def _persistently(self, attempt: Callable[[], Any]) -> Any:
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        pause = FIRST_PAUSE
        for times in itertools.count(1):
            answer, fine = await self._attempted(attempt, times)
            if task and task.cancelling() > cancelled:
                # Up to Python 3.11 `asyncio.wait_for`, which the client uses, may swallow it.
                raise asyncio.CancelledError
            if fine:
                return answer
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        raise AssertionError

    async def _attempted(self, attempt: Callable[[], Any], times: int) -> tuple[Any, bool]:
        writer = getattr(self._client.connection, "_writer", None)
        try:
            answer = await attempt()
        except BaseException as error:
            if writer is not None:
                self._broken.append(writer)
            if not passes(error):
                raise
            self.server.failed(error, times)
            await self._bury()
            return None, False
        self.server.answered()
        return answer, True

    async def _bury(self) -> None:
        """Look at the error that ended a connection; the client does not, and asyncio would complain."""
        while self._broken:
            writer = self._broken.pop()
            if writer.is_closing():
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def close(self) -> None:
        """Give the connection back."""
        await self._client.aclose()
        await self._bury()


def _pool(url_or_client: Any) -> Any:
    """Connections of the link's own, which tell of every error instead of connecting anew in silence."""
    options: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "retry_on_error": []}
    if isinstance(url_or_client, str):
        if not url_or_client.startswith("unix:"):
            options["socket_keepalive"] = True
        options |= {"protocol": 2, "socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE / 3}
        return redis.asyncio.ConnectionPool.from_url(url_or_client, **options)
    pool = getattr(url_or_client, "connection_pool", None)
    if pool is None or type(pool) not in (redis.asyncio.ConnectionPool, redis.asyncio.BlockingConnectionPool):
        raise TypeError(f"a URL or a redis.asyncio.Redis is wanted, not a {type(url_or_client).__qualname__}")
    theirs = {**pool.connection_kwargs, **options, "decode_responses": False, "retry_on_timeout": False}
    if theirs.get("socket_timeout") is None:
        theirs["socket_timeout"] = PATIENCE
    return redis.asyncio.ConnectionPool(connection_class=pool.connection_class, **theirs)


def missing_group(error: BaseException) -> bool:
    """Whether Redis says that it does not have that edge, or nobody who reads it."""
    return isinstance(error, redis.exceptions.ResponseError) and "NOGROUP" in str(error)

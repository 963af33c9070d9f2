"""What the tests of links share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import redis.asyncio

from pipelines.channels.redis import Entry, Inlet, Link

AGREED: dict[str, Any] = {"hosts": ["a", "b"], "digest": "d", "version": "1"}


@asynccontextmanager
async def linked(url: Any, run_id: str, *hosts: str, **options: Any) -> AsyncIterator[list[Link]]:
    """A joined link for each host, left without a clean end unless the test did so."""
    async with AsyncExitStack() as stack:
        links = []
        for host in hosts:
            link = Link(url, run_id, host, **{**AGREED, **options})
            stack.push_async_callback(link.leave, clean=False)
            await link.join()
            links.append(link)
        yield links


def entries(numbers: Sequence[int] | range, body: bytes = b"") -> list[Entry]:
    """An entry for each number, with that number as its id."""
    return [Entry(str(number), body or str(number).encode()) for number in numbers]


async def all_of(inlet: Inlet, *, acknowledge: bool = True) -> list[str]:
    """The ids of everything up to the end."""
    ids = []
    while batch := await inlet.read():
        for token, entry in batch:
            ids.append(entry.id)
            if acknowledge:
                inlet.done(token)
    await inlet.settled()
    return ids


async def until(predicate: Callable[[], object], seconds: float = 20) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(seconds):
        while not predicate():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Any]:
    """A client of the test's own."""
    made = redis.asyncio.Redis.from_url(url)
    try:
        yield made
    finally:
        await made.aclose()


async def keys(url: str, run_id: str) -> list[str]:
    """Every key of the run, without what all have in front."""
    prefix = f"pipelines:{{{run_id}}}:"
    async with client(url) as one:
        return sorted(key.decode().removeprefix(prefix) for key in await one.keys("*") if run_id.encode() in key)


@asynccontextmanager
async def in_background(work: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """A task that is gone afterwards."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task

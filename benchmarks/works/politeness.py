"""A web server whose event loop a saturated graph shares: how long its clients wait, and what the graph loses."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ..bodies import burning
from ..jobs import Chain
from .base import FULL, QUICK, TINY, Contestant, Figure, Size, Work

__all__ = ["WORKS"]

BURN_SECONDS = 200e-6
DEPTH = 6  # five nodes that burn, and one that records
ROOT = Path(__file__).parents[2]


def _job(items: int, **_: float) -> Chain:
    return Chain(items, DEPTH, burning(BURN_SECONDS))


def _measure(contestant: Contestant, work: Work, size: Size) -> dict[str, float]:
    figures: dict[str, float] = contestant.in_loop(_serve(contestant, size))
    return figures


async def _serve(contestant: Contestant, size: Size) -> dict[str, float]:
    """The idle server, then the graph alone, then both; the graph's speeds and the clients' waits."""
    interval = size["interval"]
    async with _server() as port:
        idle, _ = await _while_pinged(port, interval, asyncio.sleep(size["idle"], 0.0))
        alone = await _seconds_per_item(contestant, size["alone"])
        served, busy = await _while_pinged(port, interval, _seconds_per_item(contestant, size["items"]))
    return {
        "p99_ms": _quantile(served, 99) * 1e3,
        "p50_ms": _quantile(served, 50) * 1e3,
        "idle_p99_ms": _quantile(idle, 99) * 1e3,
        "speed": alone / busy,
        "pings": len(served),
    }


def _quantile(seconds: list[float], hundredth: int) -> float:
    if len(seconds) == 1:
        return seconds[0]
    return statistics.quantiles(seconds, n=100, method="inclusive")[hundredth - 1]


async def _seconds_per_item(contestant: Contestant, items: int) -> float:
    """Run the graph in this loop; one that would block the loop gets a thread, as its users would do it."""
    job = _job(items)
    begin = time.perf_counter()
    if contestant.blocks:
        await asyncio.to_thread(contestant.function, job)
    else:
        await contestant.function(job)
    seconds = time.perf_counter() - begin
    job.check()
    return seconds / items


@asynccontextmanager
async def _server() -> AsyncIterator[int]:
    """An aiohttp server in this loop, on a free port."""
    from aiohttp import web

    async def ping(_: web.Request) -> web.Response:
        return web.Response(text="pong")

    app = web.Application()
    app.router.add_get("/ping", ping)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _while_pinged(port: int, interval: float, work: Coroutine[Any, Any, float]) -> tuple[list[float], float]:
    """Await ``work`` while a client in a process of its own pings; what it measured, and what ``work`` gave."""
    command = (sys.executable, "-m", "benchmarks.ping", str(port), str(interval))
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT)
    assert client.stdout is not None
    await client.stdout.readline()
    try:
        result = await work
    finally:
        measured, _ = await client.communicate(b"")  # ends its input
    seconds: list[float] = json.loads(measured)
    return seconds, result


WORKS = (
    Work(
        "polite",
        "an aiohttp server is asked `GET /ping` every 20 ms by a client process, while a saturated chain of 5 nodes "
        "of 200 us CPU each runs in the same event loop",
        "polite",
        _job,
        {
            FULL: {"items": 8_000, "alone": 3_000, "idle": 4.0, "interval": 0.02},
            QUICK: {"items": 1_500, "alone": 1_000, "idle": 1.0, "interval": 0.01},
            TINY: {"items": 60, "alone": 20, "idle": 0.05, "interval": 0.005},
        },
        (
            Figure("p99_ms", "ping p99, ms"),
            Figure("p50_ms", "ping p50, ms"),
            Figure("idle_p99_ms", "p99 without graph, ms"),
            Figure("speed", "graph's speed, of that alone", "more"),
            Figure("pings", "pings", "more", digits=0),
        ),
        measure=_measure,
    ),
)

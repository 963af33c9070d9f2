"""What a `Link` promises while processes of parts are killed, suspended and replaced, and Redis with them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from pipelines.channels.redis import Link
from tests.redis.links import keys, until
from tests.redis.part import AGREED, FENCED

ROOT = Path(__file__).parents[2]


class Parts:
    """The processes of a run, each started again whenever it is killed."""

    def __init__(self, url, run_id, items):
        self._arguments = url, run_id, str(items)
        self._processes = []

    async def start(self, role):
        url, run_id, items = self._arguments
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.redis.part", url, run_id, role, items, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        self._processes.append(process)
        return process

    async def end(self):
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


async def says(process, word):
    """Wait until the process says that."""
    async with asyncio.timeout(30):
        while (line := (await process.stdout.readline()).decode().strip()) != word:
            assert line, f"the process ended with {process.returncode} before it said {word!r}"


@asynccontextmanager
async def parts_of(url, run_id, items):
    parts = Parts(url, run_id, items)
    try:
        yield parts
    finally:
        await parts.end()


class Sink:
    """Host c: takes everything, and remembers it in order."""

    def __init__(self, url, run_id):
        self.link = Link(url, run_id, "c", **AGREED)
        self.received = []
        self.ended = False
        self.begins = asyncio.Event()
        self.begins.set()

    async def work(self):
        inlet = self.link.inlet("b-c")
        await self.begins.wait()
        while batch := await inlet.read():
            for token, entry in batch:
                self.received.append(int(entry.body.decode().removeprefix("numbers:")))
                inlet.done(token)
        await inlet.settled()
        self.ended = True

    def reached(self, count):
        return len(self.received) >= count or self.ended

    @asynccontextmanager
    async def working(self):
        await self.link.join()
        task = asyncio.ensure_future(self.work())
        try:
            yield
            await task
            await self.link.leave(clean=True)
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self.link.leave(clean=False)


async def storm(server, run_id, seed, *, items, kills, redis_too):
    """Kill at random until so many were killed; everything must arrive once, in order, and nothing be left."""
    chance, sink = random.Random(seed), Sink(server.url, run_id)
    async with parts_of(server.url, run_id, items) as parts, sink.working():
        living = {role: await parts.start(role) for role in ("source", "middle")}
        for _ in range(kills):
            at = len(sink.received) + chance.randint(0, items // kills)
            await until(partial(sink.reached, min(at, items - 1)), 60)
            await asyncio.sleep(chance.random() * 0.05)
            role = chance.choice(["source", "middle", "redis"] if redis_too else ["source", "middle"])
            if role == "redis":
                server.kill()
                await asyncio.sleep(chance.random() * 0.3)
                server.start()
                continue
            with contextlib.suppress(ProcessLookupError):
                living[role].kill()
            await living[role].wait()
            living[role] = await parts.start(role)
        await until(lambda: sink.ended, 60)
        assert [await process.wait() for process in living.values()] == [0, 0]
    assert sink.received == list(range(items))
    assert await keys(server.url, run_id) == []


@pytest.mark.parametrize("seed", range(2))
async def test_p1_p2_p10_parts_are_killed_under_load(server, run_id, seed):
    await storm(server, run_id, seed, items=4000, kills=4, redis_too=False)


async def test_p1_p2_p10_parts_and_redis_are_killed_under_load(server, run_id):
    await storm(server, run_id, 100, items=4000, kills=4, redis_too=True)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(20))
async def test_p1_p2_p10_parts_and_redis_are_killed_often(server, run_id, seed):
    await storm(server, run_id, 1000 + seed, items=20_000, kills=12, redis_too=True)


async def test_p1_a_standby_takes_over_from_a_suspended_process_which_is_fenced(shared_server, run_id):
    server, items = shared_server, 3000
    sink = Sink(server.url, run_id)
    sink.begins.clear()
    async with parts_of(server.url, run_id, items) as parts, sink.working():
        source, first = await parts.start("source"), await parts.start("middle")
        await says(first, "joined")
        second = await parts.start("middle")
        await says(second, "standby")
        sink.begins.set()
        await until(lambda: len(sink.received) > 200)
        first.send_signal(signal.SIGSTOP)
        at = len(sink.received)
        await says(second, "joined")
        await until(lambda: len(sink.received) > min(at + 300, items - 1))
        first.send_signal(signal.SIGCONT)
        async with asyncio.timeout(20):
            assert await first.wait() == FENCED
        assert await source.wait() == 0
        assert await second.wait() == 0
    assert sink.received == list(range(items))
    assert await keys(server.url, run_id) == []

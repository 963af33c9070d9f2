"""What a `Link` promises while connections break, and Redis stands still, dies, and forgets."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from pipelines.channels.redis import Link, RunLostError
from tests.redis.cutting import cutting
from tests.redis.links import AGREED, all_of, client, entries, in_background, linked, until
from tests.redis_server import running_server


async def feed(link, count, outlet=None, size=20, pause=0.0, begin=0):
    """Send numbers in lots of that size, forget them at once, close."""
    outlet = outlet or link.outlet("e", 50)
    for start in range(begin, count, size):
        ids = range(start, min(start + size, count))
        await outlet.send(entries(ids))
        link.advance("s", ids[-1] + 1, {outlet: [str(n) for n in ids]})
        await asyncio.sleep(pause)
    await outlet.close()


async def eat(inlet, into, pause=0.0):
    """Take everything, acknowledging in another order than it came."""
    while batch := await inlet.read():
        into += [int(entry.id) for _, entry in batch]
        for token, _ in random.sample(batch, len(batch)):
            inlet.done(token)
        await asyncio.sleep(pause)
    await inlet.settled()


@asynccontextmanager
async def traffic(server, run_id, count, *, forgets=True, **options):
    """A part that sends and one that receives; what was received grows while the block goes on."""
    received: list[Any] = []
    async with linked(server.url, run_id, "a", "b", **options) as (a, b):
        async with asyncio.TaskGroup() as group:
            group.create_task(feed(a, count, pause=0.002))
            group.create_task(eat(b.inlet("e"), received))
            yield received, a, b
        await b.settled()
        async with client(server.url) as one:
            assert await one.xlen(f"pipelines:{{{run_id}}}:edge:e") == 1, "the end alone is left"
            # Where Redis forgot something, ids are kept that may be sent once more; nobody can tell when they will not.
            assert await one.scard(f"pipelines:{{{run_id}}}:seen:e") == 0 or not forgets
        await a.leave(clean=True)
        await b.leave(clean=True)


@pytest.mark.parametrize("seed", range(3))
async def test_p1_p2_nothing_is_lost_doubled_or_moved_when_connections_are_cut(shared_server, run_id, seed):
    chance = random.Random(seed)
    lengths = (chance.choice([chance.randint(1, 300), *[chance.randint(1, 20_000)] * 4]) for _ in range(40))
    received: list[Any] = []
    async with cutting(shared_server.socket, lengths) as (url, cutter):
        async with linked(url, run_id, "a", "b") as (a, b):
            await asyncio.gather(feed(a, 3000), eat(b.inlet("e"), received))
            await a.leave(clean=True)
            await b.leave(clean=True)
        assert cutter.cuts > 15
    assert received == list(range(3000))


async def test_p1_an_answer_that_is_lost_at_any_byte_doubles_nothing(shared_server, run_id):
    """Each message is written once, wherever the connection of its writer broke."""
    lengths = iter(range(700, 2600, 19))
    async with cutting(shared_server.socket, lengths) as (url, cutter):
        async with linked(url, run_id, "a") as (a,):
            for number in range(150):
                await a.tell("b", str(number).encode())
        assert cutter.cuts > 10
        async with client(shared_server.url) as one:
            rows = await one.xrange(f"pipelines:{{{run_id}}}:inbox:b")
        assert [fields[b"b"] for _, fields in rows] == [str(number).encode() for number in range(150)]


@pytest.mark.parametrize("seed", range(3))
async def test_p1_p2_redis_is_killed_and_started_again(server, run_id, seed):
    chance = random.Random(seed)
    async with traffic(server, run_id, 6000, forgets=False) as (received, *_):
        for _ in range(3):
            at = len(received)
            goal = min(6000, at + chance.randint(1, 1500))
            await until(partial(reached, received, goal))
            server.kill()
            await asyncio.sleep(chance.random() * 0.2)
            server.start()
    assert received == list(range(6000))


async def test_p1_redis_stands_still_for_longer_than_the_lease(server, run_id):
    async with traffic(server, run_id, 3000, lease=0.3) as (received, *_):
        await until(lambda: len(received) > 300)
        server.suspend()
        await asyncio.sleep(1)
        server.resume()
    assert received == list(range(3000))


async def test_p1_redis_is_away_for_longer_than_the_lease(server, run_id, caplog):
    troubles: list[Any] = []
    with caplog.at_level(logging.WARNING, "pipelines"):
        async with traffic(server, run_id, 3000, lease=0.3, on_trouble=troubles.append) as (received, *_):
            await until(lambda: len(received) > 300)
            server.kill()
            await asyncio.sleep(1)
            server.start()
    assert received == list(range(3000))
    assert len(caplog.records) == 2, "each of the two parts warns once"
    assert [error is None for error in troubles].count(True) == 2


async def test_waiting_for_redis_ends_at_once_when_it_is_cancelled(server, run_id):
    server.kill()
    link = Link(server.url, run_id, "a", **AGREED)
    async with in_background(link.join()) as joining:
        await asyncio.sleep(0.1)
        joining.cancel()
        begin = asyncio.get_running_loop().time()
        await asyncio.wait([joining])
        assert asyncio.get_running_loop().time() - begin < 0.5
    server.start()
    async with linked(server.url, run_id, "a") as (a,):
        server.kill()
        begin = asyncio.get_running_loop().time()
        for wait in (a.outlet("e", 1).send(entries([1])), a.tell("b", b""), a.snapshots(), a.leave(clean=True)):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait, 0.05)
        assert asyncio.get_running_loop().time() - begin < 2


async def test_a_part_leaves_though_redis_is_away(server, run_id):
    async with linked(server.url, run_id, "a") as (a,):
        server.kill()
        async with asyncio.timeout(5):
            await a.leave(clean=False)


def reached(received, goal):
    return len(received) >= goal


class Memory:
    """What Redis had written to its file at some moment; it can be made to go back there."""

    def __init__(self, server):
        self._server = server
        self._then = server.folder / "then"

    async def keep(self):
        """Remember this moment: every write that was answered before."""
        async with client(self._server.url) as one:
            while (await one.info("persistence"))["aof_buffer_length"]:
                await asyncio.sleep(0.001)
        shutil.rmtree(self._then, ignore_errors=True)
        shutil.copytree(self._server.folder / "appendonlydir", self._then)

    def go_back(self):
        """Kill Redis, and start it as if nothing had been written since."""
        self._server.kill()
        shutil.rmtree(self._server.folder / "appendonlydir")
        shutil.copytree(self._then, self._server.folder / "appendonlydir")
        self._server.start()


class TestLastMomentsLost:
    """With ``appendfsync everysec`` a killed Redis may lose what it answered in its last moments."""

    @pytest.mark.parametrize("seed", range(4))
    async def test_p1_p2_under_load(self, server, run_id, seed):
        chance, memory = random.Random(seed), Memory(server)
        async with traffic(server, run_id, 8000, forgets=False) as (received, *_):
            for _ in range(2):
                goal = min(7000, len(received) + chance.randint(100, 1500))
                await until(partial(reached, received, goal))
                await memory.keep()
                goal = min(8000, len(received) + chance.randint(10, 1000))
                await until(partial(reached, received, goal))
                memory.go_back()
        assert received == list(range(8000))

    async def test_p1_what_was_sent_received_and_acknowledged_since(self, server, run_id):
        memory = Memory(server)
        async with linked(server.url, run_id, "a", "b") as (a, b):
            outlet, inlet, onwards = a.outlet("e", 10), b.inlet("e"), b.outlet("f", 10)
            await outlet.send(entries([1, 2]))
            batch: list[Any] = []
            while len(batch) < 2:
                batch += await inlet.read()
            await memory.keep()
            await outlet.send(entries([3, 4]))
            while len(batch) < 4:
                batch += await inlet.read()
            await onwards.send(entries([10, 30]))
            inlet.done(batch[0][0], {onwards: ["10"]})
            inlet.done(batch[2][0], {onwards: ["30"]})
            await inlet.settled()
            a.advance("s", 4)
            await a.tell("b", b"word")
            await a.settled()
            assert [message.body for message in await b.receive()] == [b"word"]
            memory.go_back()
            await outlet.send(entries([5]))
            assert [entry.id for _, entry in await inlet.read()] == ["5"]
            assert await a.progress("s") == 4
            for token, _ in batch:
                inlet.done(token)
            await inlet.settled()
            async with client(server.url) as one:
                prefix = f"pipelines:{{{run_id}}}:"
                left = await one.xrange(f"{prefix}edge:e")
                assert [fields[b"i"] for _, fields in left] == [b"5"]
                assert [fields[b"i"] for _, fields in await one.xrange(f"{prefix}edge:f")] == [b"10", b"30"]
                assert await one.smembers(f"{prefix}seen:f") == set()
                # What the sender's process would send once more, were it killed now, counts as sent.
                assert await one.smembers(f"{prefix}seen:e") >= {b"1", b"2", b"4", b"5"}
            async with in_background(b.receive()) as waiting:
                await a.tell("b", b"another")
                assert [message.body for message in await waiting] == [b"another"]

    async def test_p1_parts_that_joined_since(self, server, run_id):
        memory = Memory(server)
        await memory.keep()
        async with traffic(server, run_id, 1000, forgets=False) as (received, *_):
            await until(lambda: len(received) > 100)
            memory.go_back()
        assert received == list(range(1000))

    async def test_p1_the_sender_is_replaced_meanwhile(self, server, run_id):
        memory = Memory(server)
        received: list[Any] = []
        async with linked(server.url, run_id, "b") as (b,):
            async with linked(server.url, run_id, "a", lease=0.3) as (a,):
                outlet = a.outlet("e", 1000)
                await outlet.send(entries(range(10)))
                await memory.keep()
                await outlet.send(entries(range(10, 20)))
                inlet = b.inlet("e")
                while len(received) < 20:
                    for token, entry in await inlet.read():
                        received.append(int(entry.id))
                        if int(entry.id) % 2:
                            inlet.done(token)
                await inlet.settled()
                memory.go_back()
                # The sender's process is gone before it notices.
                a.log.stop(a.left)
            async with in_background(eat(inlet, received)) as eating:
                await until(lambda: b._server.troubles > 1)
                async with asyncio.timeout(20):
                    async with linked(server.url, run_id, "a", lease=0.3) as (later,):
                        await b.publish(b"the receiver has written once more what Redis lost")
                        await feed(later, 30)
                        await eating
        assert received == list(range(30))

    @pytest.mark.parametrize("acknowledged", ["before", "after"])
    async def test_p1_sender_and_receiver_are_replaced_meanwhile(self, server, run_id, acknowledged):
        """What was handled is not sent once more, though neither its sending nor its end is in Redis's file."""
        memory = Memory(server)
        async with linked(server.url, run_id, "a", "b", lease=0.3) as (a, b):
            outlet, inlet = a.outlet("e", 1000), b.inlet("e")
            await outlet.send(entries(range(10)))
            await memory.keep()
            await outlet.send(entries(range(10, 20)))
            held: list[Any] = []
            while len(held) < 20:
                held += await inlet.read()
            if acknowledged == "after":
                memory.go_back()
            a.log.stop(a.left)
            for token, entry in held:
                if int(entry.id) % 2:
                    inlet.done(token)
            await b.settled()
            if acknowledged == "before":
                memory.go_back()
                await b.publish(b"whatever it writes, it writes first what Redis lost")
        async with linked(server.url, run_id, "a", "b") as (a, b):
            await feed(a, 30)
            assert await all_of(b.inlet("e")) == [str(n) for n in range(30) if n >= 20 or n % 2 == 0]

    async def test_a_redis_that_lost_everything_is_an_error(self, run_id, monkeypatch):
        monkeypatch.setattr("pipelines.channels.redis_log.SAFE_AFTER", 0.2)
        lost: list[Any] = []
        with running_server(persistent=False) as server:
            async with linked(server.url, run_id, "a", lease=0.3, on_lost=lost.append) as (a,):
                await a.outlet("e", 10).send(entries([1]))
                await asyncio.sleep(0.5)
                server.kill()
                server.start()
                with pytest.raises(RunLostError, match="without its append-only file"):
                    await a.tell("b", b"x")
                await until(lambda: lost)
                assert a.lost.result() is lost[0]

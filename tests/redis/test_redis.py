"""A `Link` while all goes well: edges, sources, places, messages, and what is left in Redis."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
import redis.asyncio

from pipelines.channels.redis import Entry, LeaseLostError, Link, PartMismatchError, WriteRefusedError, purge
from pipelines.errors import StateError
from tests.redis.links import AGREED, all_of, client, entries, in_background, keys, linked, until


@pytest.fixture
def url(shared_server):
    return shared_server.url


class TestEdge:
    async def test_p2_entries_arrive_in_the_order_in_which_they_were_sent(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b):
            outlet, inlet = a.outlet("e", 2000), b.inlet("e")
            await outlet.send(entries(range(1500)))
            await outlet.close()
            assert await all_of(inlet) == [str(n) for n in range(1500)]

    async def test_any_bytes_travel(self, url, run_id):
        sent = [Entry("ä:1", bytes(range(256))), Entry("2", b""), Entry("3", b"\xff" * 5_000_000), Entry("4", b"x")]
        async with linked(url, run_id, "a", "b") as (a, b):
            outlet, inlet = a.outlet("e", 10), b.inlet("e")
            await outlet.send(sent)
            await outlet.close()
            received: list[Any] = []
            while batch := await inlet.read():
                received += [entry for _, entry in batch]
            assert received == sent

    async def test_p4_the_sender_waits_while_the_edge_is_full(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b), client(url) as one:
            outlet, inlet = a.outlet("e", 10), b.inlet("e")
            stream = f"pipelines:{{{run_id}}}:edge:e"
            most = 0
            async with in_background(outlet.send(entries(range(500)))) as sending:
                received: list[Any] = []
                while len(received) < 500:
                    for token, entry in await inlet.read():
                        most = max(most, await one.xlen(stream))
                        received.append(entry.id)
                        inlet.done(token)
                await sending
            assert received == [str(n) for n in range(500)]
            assert 5 <= most <= 10

    async def test_p4_what_is_received_and_not_acknowledged_counts(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b):
            outlet, inlet = a.outlet("e", 3), b.inlet("e")
            async with in_background(outlet.send(entries(range(4)))) as sending:
                held: list[Any] = []
                while len(held) < 3:
                    held += await inlet.read()
                async with in_background(inlet.read()) as fourth:
                    await asyncio.sleep(0.1)
                    assert not sending.done()
                    assert not fourth.done()
                    inlet.done(held[1][0])
                    assert [entry.id for _, entry in await fourth] == ["3"]
                await sending

    async def test_a_waiting_sender_is_woken_at_once(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b):
            outlet, inlet = a.outlet("e", 1), b.inlet("e")
            loop = asyncio.get_running_loop()
            begin = loop.time()

            async def take():
                for _ in range(50):
                    [(token, _)] = await inlet.read()
                    inlet.done(token)

            await asyncio.gather(outlet.send(entries(range(50))), take())
            # A second for each, if nobody woke anybody.
            assert loop.time() - begin < 10

    async def test_p1_what_was_sent_before_is_not_sent_again_until_it_is_forgotten(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b):
            outlet, inlet = a.outlet("e", 10), b.inlet("e")
            await outlet.send(entries([1, 2, 1]))
            await outlet.send(entries([2, 3]))
            a.advance("s", 1, {outlet: ["1"]})
            await a.settled()
            await outlet.send(entries([1, 2, 3]))
            await outlet.close()
            assert await all_of(inlet) == ["1", "2", "3", "1"]

    async def test_what_an_acknowledged_entry_became_is_forgotten_with_it(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b), client(url) as one:
            outlet, inlet, onwards = a.outlet("e", 10), b.inlet("e"), b.outlet("f", 10)
            await outlet.send(entries([1, 2]))
            [(first, _), (second, _)] = await inlet.read()
            await onwards.send(entries([10, 11, 20]))
            inlet.done(second, {onwards: ["20"]})
            await inlet.settled()
            assert await one.smembers(f"pipelines:{{{run_id}}}:seen:f") == {b"10", b"11"}
            inlet.done(first, {onwards: ["10", "11"]})
            inlet.done(first, {onwards: ["10", "11"]})
            await inlet.settled()
            assert await one.smembers(f"pipelines:{{{run_id}}}:seen:f") == set()
            assert await one.xlen(f"pipelines:{{{run_id}}}:edge:e") == 0

    async def test_p1_the_next_process_is_given_what_was_not_acknowledged_in_the_old_order(self, url, run_id):
        async with linked(url, run_id, "a") as (a,):
            outlet = a.outlet("e", 100)
            await outlet.send(entries(range(60)))
            async with linked(url, run_id, "b") as (b,):
                inlet = b.inlet("e")
                taken: list[Any] = []
                while len(taken) < 40:
                    taken += await inlet.read()
                for token, entry in taken:
                    if int(entry.id) % 3:
                        inlet.done(token)
                await inlet.settled()
                done = [int(entry.id) for _, entry in taken if int(entry.id) % 3]
            await outlet.close()
            async with linked(url, run_id, "b") as (b,):
                assert await all_of(b.inlet("e")) == [str(n) for n in range(60) if n not in done]

    async def test_every_process_sees_the_end(self, url, run_id):
        async with linked(url, run_id, "a") as (a,):
            outlet = a.outlet("e", 100)
            await outlet.send(entries([1]))
            await outlet.close()
            await outlet.close()
            for expected in (["1"], [], []):
                async with linked(url, run_id, "b") as (b,):
                    inlet = b.inlet("e")
                    assert await all_of(inlet) == expected
                    assert await inlet.read() == []

    async def test_an_empty_edge_has_an_end_too(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b):
            inlet = b.inlet("e")
            async with in_background(inlet.read()) as reading:
                await a.outlet("e", 1).close()
                assert await reading == []

    async def test_what_is_sent_after_the_end_puts_it_off(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b):
            outlet, inlet = a.outlet("e", 2), b.inlet("e")
            await outlet.send(entries([1]))
            await outlet.close()
            await outlet.send(entries([1, 2]))
            async with in_background(all_of(inlet)) as reading:
                await asyncio.sleep(0.05)
                assert not reading.done()
                await outlet.close()
                assert await reading == ["1", "2"]

    async def test_a_read_that_is_cancelled_loses_nothing(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b):
            outlet, inlet = a.outlet("e", 1000), b.inlet("e")
            received: list[Any] = []

            async def send():
                for start in range(0, 300, 10):
                    await outlet.send(entries(range(start, start + 10)))
                await outlet.close()

            async with in_background(send()) as sending:
                for patience in (i % 7 * 0.0005 for i in range(10_000)):
                    try:
                        async with asyncio.timeout(patience):
                            batch = await inlet.read()
                    except TimeoutError:
                        continue
                    if not batch:
                        break
                    received += [entry.id for _, entry in batch]
                await sending
            assert received == [str(n) for n in range(300)]

    async def test_waiting_ends_at_once_when_it_is_cancelled(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b):
            outlet = a.outlet("e", 1)
            await outlet.send(entries([1]))
            waiting = [outlet.send(entries([2])), b.inlet("f").read(), b.receive()]
            tasks = [asyncio.ensure_future(each) for each in waiting]
            await asyncio.sleep(0.05)
            begin = asyncio.get_running_loop().time()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert asyncio.get_running_loop().time() - begin < 0.5
            assert [task.cancelled() for task in tasks] == [True] * 3

    async def test_an_edge_has_one_end_in_a_part(self, url, run_id):
        async with linked(url, run_id, "a") as (a,):
            a.outlet("e", 1)
            with pytest.raises(StateError, match="'e'"):
                a.inlet("e")

    async def test_an_error_that_does_not_pass_is_raised(self, url, run_id):
        async with linked(url, run_id, "a") as (a,), client(url) as one:
            await one.set(f"pipelines:{{{run_id}}}:edge:e", "not a stream")
            outlet = a.outlet("e", 1)
            with pytest.raises(WriteRefusedError, match="WRONGTYPE"):
                await outlet.send(entries([1]))
            await a.outlet("f", 1).send(entries([1]))

    async def test_an_entry_that_redis_cannot_take_is_refused(self, url, run_id, monkeypatch):
        monkeypatch.setattr("pipelines.channels.redis_edges.LARGEST", 1000)
        async with linked(url, run_id, "a") as (a,):
            with pytest.raises(ValueError, match="entry '7' has 1,001 bytes"):
                await a.outlet("e", 1).send([Entry("7", b"x" * 1001)])
            await a.outlet("f", 1).send(entries([1]))


async def test_p10_a_source_goes_on_where_it_was(url, run_id):
    async with linked(url, run_id, "a") as (a,):
        assert await a.progress("s") == 0
        a.advance("s", 3)
        a.advance("s", 7)
        a.advance("t", 1)
        await a.settled()
    async with linked(url, run_id, "a", "b") as (a, b):
        assert [await a.progress("s"), await a.progress("t"), await b.progress("s")] == [7, 1, 0]


class TestPlace:
    async def test_a_part_of_another_graph_is_refused(self, url, run_id):
        async with linked(url, run_id, "a"):
            other = Link(url, run_id, "b", hosts=["a", "b", "c"], digest="x", version="2")
            with pytest.raises(PartMismatchError) as caught:
                await other.join()
        assert caught.value.differences == {
            "graph digest": ("x", "d"),
            "version": ("2", "1"),
            "list of hosts": ('["a", "b", "c"]', '["a", "b"]'),
        }
        assert f"part 'b' does not belong to run '{run_id}': the graph digest is 'x' here and 'd' there" in str(
            caught.value
        )

    async def test_a_host_that_the_graph_does_not_have_is_refused(self, url, run_id):
        with pytest.raises(ValueError, match="host 'z' is none of the run's: a, b"):
            Link(url, run_id, "z", **AGREED)

    @pytest.mark.parametrize("name", ["", "a}b", "a{b", "a\nb"])
    async def test_a_run_id_that_would_spoil_keys_is_refused(self, url, name):
        with pytest.raises(ValueError, match="is no run id"):
            Link(url, name, "a", **AGREED)

    async def test_a_second_process_waits_until_the_place_is_given_back(self, url, run_id):
        told: list[Any] = []
        async with linked(url, run_id, "a") as (first,):
            second = Link(url, run_id, "a", **AGREED)
            async with in_background(second.join(on_standby=lambda: told.append(1))) as joining:
                await until(lambda: told)
                assert not joining.done()
                begin = asyncio.get_running_loop().time()
                await first.leave(clean=False)
                await joining
                assert asyncio.get_running_loop().time() - begin < 2
            await second.outlet("e", 1).send(entries([1]))
            await second.leave(clean=False)
        assert told == [1]

    async def test_a_standby_takes_the_place_when_the_lease_runs_out(self, url, run_id):
        async with linked(url, run_id, "a", lease=0.3) as (first,):
            suspend(first)
            second = Link(url, run_id, "a", **AGREED)
            async with asyncio.timeout(10):
                await second.join()
            lost: list[Any] = []
            first.lost.add_done_callback(lambda future: lost.append(future.result()))
            with pytest.raises(LeaseLostError):
                await first.outlet("e", 1).send(entries([1]))
            with pytest.raises(LeaseLostError):
                await first.tell("b", b"x")
            await until(lambda: lost)
            assert isinstance(lost[0], LeaseLostError)
            await second.leave(clean=False)

    async def test_what_a_part_would_write_when_it_leaves_does_not_take_its_place_again(self, url, run_id):
        async with linked(url, run_id, "a") as (a,), client(url) as one:
            leaving = asyncio.ensure_future(a.leave(clean=False))
            while not leaving.done():
                a.log.write("renew", [])
                await asyncio.sleep(0)
            await leaving
            assert not await one.exists(f"pipelines:{{{run_id}}}:lease:a")

    async def test_a_process_that_was_replaced_stays_so_when_the_other_has_gone(self, url, run_id):
        async with linked(url, run_id, "a", lease=0.3) as (first,):
            suspend(first)
            async with linked(url, run_id, "a"):
                pass
            for write in (first.outlet("e", 1).send(entries([1])), first.publish(b""), first.snapshots()):
                with pytest.raises(LeaseLostError):
                    await write

    async def test_a_lease_that_ran_out_unclaimed_is_taken_again(self, url, run_id):
        async with linked(url, run_id, "a", lease=0.3) as (a,), client(url) as one:
            await one.delete(f"pipelines:{{{run_id}}}:lease:a")
            await a.outlet("e", 1).send(entries([1]))
            assert await one.exists(f"pipelines:{{{run_id}}}:lease:a")

    async def test_a_living_part_keeps_its_place_and_its_keys(self, url, run_id):
        async with linked(url, run_id, "a", lease=0.3, expiry=1.0) as (a,), client(url) as one:
            await a.outlet("e", 1).send(entries([1]))
            await asyncio.sleep(1.5)
            assert await one.exists(f"pipelines:{{{run_id}}}:lease:a", f"pipelines:{{{run_id}}}:edge:e") == 2
            assert not a.lost.done()

    async def test_the_link_takes_a_client_and_leaves_it_open(self, url, run_id):
        async with client(url) as one:
            async with linked(one, run_id, "a") as (a,):
                await a.outlet("e", 1).send(entries([1]))
            assert await one.ping()

    async def test_something_that_is_no_client_is_refused(self, run_id):
        with pytest.raises(TypeError, match="not a int"):
            Link(7, run_id, "a", **AGREED)

    async def test_a_password_that_is_wrong_is_no_outage(self, url, run_id):
        link = Link(url + "?username=x&password=y", run_id, "a", **AGREED)
        with pytest.raises(redis.asyncio.RedisError, match="username"):
            await link.join()

    async def test_p9_leaving_is_legal_at_any_time(self, url, run_id):
        link = Link(url, run_id, "a", **AGREED)
        await link.leave(clean=True)
        async with linked(url, run_id, "a") as (a,):
            outlet, inlet = a.outlet("e", 1), a.inlet("f")
            async with in_background(inlet.read()) as reading:
                await asyncio.sleep(0)
                await a.leave(clean=True)
                with pytest.raises(StateError, match="has left the run"):
                    await reading
            await a.leave(clean=True)
            with pytest.raises(StateError, match="has left the run"):
                await outlet.send(entries([1]))
            with pytest.raises(StateError, match="has left the run"):
                await inlet.read()
            with pytest.raises(StateError, match="has left the run"):
                await a.snapshots()


class TestTidiness:
    async def test_the_last_part_that_is_done_deletes_everything(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b):
            outlet, inlet = a.outlet("e", 10), b.inlet("e")
            await outlet.send(entries(range(5)))
            await outlet.close()
            a.advance("s", 5)
            await a.tell("b", b"hello")
            await a.publish(b"x")
            assert await all_of(inlet)
            await a.leave(clean=True)
            assert await keys(url, run_id)
            await b.leave(clean=True)
        assert await keys(url, run_id) == []

    async def test_a_part_that_is_done_stays_done(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, _):
            await a.leave(clean=True)
            again = Link(url, run_id, "a", **AGREED)
            await again.join()
            assert again.finished
            await again.leave(clean=True)
            assert await keys(url, run_id)

    async def test_a_standby_of_a_part_that_is_done_is_done(self, url, run_id):
        for last in (False, True):
            async with linked(url, run_id, "a") as (a,):
                second = Link(url, run_id, "a", **AGREED)
                told: list[Any] = []
                async with in_background(second.join(on_standby=partial(told.append, 1))) as joining:
                    await until(partial(len, told))
                    if last:
                        async with linked(url, run_id, "b") as (b,):
                            await b.leave(clean=True)
                    await a.leave(clean=True)
                    await joining
                assert second.finished
                await second.leave(clean=True)
            await purge(url, run_id)

    async def test_every_key_expires(self, url, run_id):
        async with linked(url, run_id, "a", "b", expiry=100) as (a, b), client(url) as one:
            outlet, inlet = a.outlet("e", 2), b.inlet("e")
            async with in_background(outlet.send(entries(range(4)))):
                [(token, _), *_] = await inlet.read()
                inlet.done(token)
                await inlet.settled()
                a.advance("s", 1)
                await a.tell("b", b"hello")
                await a.publish(b"x")
                await a.fail(b"because")
                names = await keys(url, run_id)
                lives = {name: await one.pttl(f"pipelines:{{{run_id}}}:{name}") for name in names}
        assert {"meta", "edges", "edge:e", "seen:e", "inbox:b", "snapshots", "progress:a", "lease:a"} <= set(lives)
        assert {name: left for name, left in lives.items() if not 0 < left <= 100_000} == {}

    async def test_a_run_that_failed_can_be_purged(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b):
            await a.outlet("e", 2).send(entries([1]))
            await b.fail(b"because")
        assert "edge:e" in await keys(url, run_id)
        await purge(url, run_id)
        assert await keys(url, run_id) == []

    async def test_two_runs_do_not_meet(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b), linked(url, run_id + "x", "a", "b") as (c, d):
            first, second = a.outlet("e", 10), c.outlet("e", 10)
            await first.send(entries([1, 2]))
            await second.send(entries([2, 3]))
            await first.close()
            await second.close()
            await c.fail(b"only there")
            assert await all_of(b.inlet("e")) == ["1", "2"]
            assert await all_of(d.inlet("e")) == ["2", "3"]
            assert not a.failed.done()
            await purge(url, run_id + "x")
            assert "edge:e" in await keys(url, run_id)


class TestWords:
    async def test_messages_arrive_once_in_order_and_are_deleted_when_read(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b), client(url) as one:
            for number in range(150):
                await a.tell("b", str(number).encode())
            received: list[Any] = []
            while len(received) < 150:
                received += await b.receive()
            assert [message.body for message in received] == [str(number).encode() for number in range(150)]
            assert {message.sender for message in received} == {"a"}
            assert len({message.id for message in received}) == 150
            async with in_background(b.receive()) as waiting:
                while await one.xlen(f"pipelines:{{{run_id}}}:inbox:b"):
                    await asyncio.sleep(0.01)
                await a.tell("b", b"one more")
                assert [message.body for message in await waiting] == [b"one more"]

    async def test_a_message_that_was_not_finished_with_comes_again(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b):
            await a.tell("b", b"one")
            first = await anext(aiter(b.messages()))
            await b.leave(clean=False)
            async with linked(url, run_id, "b") as (later,):
                assert await later.receive() == [first]

    async def test_a_message_to_nobody_is_refused(self, url, run_id):
        async with linked(url, run_id, "a") as (a,):
            with pytest.raises(ValueError, match="host 'z' is none of the run's: a, b"):
                await a.tell("z", b"")

    async def test_every_part_sees_what_all_show(self, url, run_id):
        async with linked(url, run_id, "a", "b") as (a, b):
            await a.publish(b"old")
            await a.publish(b"new\xff")
            await b.publish(b"")
            shown = await b.snapshots()
            assert {host: body for host, (_, body) in shown.items()} == {"a": b"new\xff", "b": b""}
            assert all(0 <= age < 10 for age, _ in shown.values())

    async def test_all_parts_learn_of_a_failure_those_that_come_later_too(self, url, run_id):
        async with linked(url, run_id, "a", "b", hosts=["a", "b", "c"]) as (a, b):
            await a.fail(b"because")
            assert await asyncio.wait_for(b.failed, 1.5) == b"because"
            await b.fail(b"for another reason")
            async with linked(url, run_id, "c", hosts=["a", "b", "c"]) as (c,):
                assert c.failed.result() == b.failed.result() == a.failed.result() == b"because"


def suspend(link):
    """What SIGSTOP does to a link's own work."""
    for task in link._tasks:
        if task.get_coro().__name__ == "_renew":
            task.cancel()

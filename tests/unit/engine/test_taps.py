"""Where results of sinks go: collected for the report, or streamed to whoever reads."""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import Any

import pytest

from pipelines import SKIP, NodeError, Plumber, UnknownNodeError
from pipelines.testing import Probe, feed
from tests.unit.graphs import FED, failing, graph, line, node, now, quiet, same

pytestmark = pytest.mark.virtual_time


class TestCollect:
    async def test_the_report_holds_what_the_named_sinks_returned(self):
        given = graph({"inp": ["a", "b"]}, inp=feed([1, 2]), a=same, b=Probe(lambda q_elt: -q_elt[0]))
        report = await Plumber(given).run(collect=["b"])
        assert report.outputs == {"b": [-1, -2]}

    async def test_nothing_is_collected_unasked(self):
        assert (await Plumber(line(inp=feed([1]), out=same)).run()).outputs == {}

    async def test_a_sink_named_twice_is_collected_once(self):
        report = await Plumber(line(inp=feed([1]), out=same)).run(collect=["out", "out"])
        assert report.outputs == {"out": [1]}

    async def test_what_is_dropped_is_not_collected(self):
        async def odd(self, q_elt):
            return q_elt[0] if q_elt[0] % 2 else SKIP

        report = await Plumber(line(inp=feed(range(4)), out=odd)).run(collect=["out"])
        assert report.outputs == {"out": [1, 3]}

    @pytest.mark.parametrize("name", ["inp", "n", "otu"])
    async def test_p7_only_a_sink_can_be_collected_and_nothing_is_started(self, name):
        out = Probe()
        plumber = Plumber(line(inp=feed([1]), n=same, out=out))
        with pytest.raises(UnknownNodeError, match=rf"^unknown sink '{name}'; there are: out$"):
            await plumber.run(collect=["out", name])
        assert plumber.statistics().state == "new"
        assert (await plumber.run(collect=["out"])).outputs == {"out": [1]}

    async def test_a_failed_run_has_collected_what_came_before(self):
        plumber = Plumber(line(inp=feed(range(5)), out=node(failing(3), concurrency=1)))
        with pytest.raises(NodeError):
            await plumber.run(collect=["out"])
        assert plumber.report is not None
        assert plumber.report.outputs == {"out": [0, 1, 2]}


async def read(stream: Any) -> list[Any]:
    return [item async for item in stream]


class TestStream:
    async def test_it_gives_what_the_sink_returns_as_it_comes(self):
        plumber = Plumber(line(inp=feed(range(4), delay=1), out=same))
        plumber.create_pipeline()
        times = [(item, now()) async for item in plumber.stream("out")]
        assert times == [(number, number + 1.0) for number in range(4)]
        await plumber.wait()

    async def test_before_the_start_it_waits_and_misses_nothing(self):
        plumber = Plumber(line(inp=feed(range(4)), out=same))
        reading = asyncio.create_task(read(plumber.stream("out")))
        await quiet()
        await plumber.run()
        assert await reading == [0, 1, 2, 3]

    async def test_made_late_it_gives_what_comes_from_then_on(self):
        plumber = Plumber(line(inp=feed(range(5), delay=1), out=same))
        plumber.create_pipeline()
        await asyncio.sleep(3.5)
        assert await read(plumber.stream("out")) == [3, 4]
        await plumber.wait()

    async def test_made_after_the_end_it_gives_nothing(self):
        plumber = Plumber(line(inp=feed(range(5)), out=same))
        await plumber.run()
        assert await read(plumber.stream("out")) == []

    async def test_every_reader_gets_everything(self):
        plumber = Plumber(line(inp=feed(range(100)), out=same))
        readers = [asyncio.create_task(read(plumber.stream("out"))) for _ in range(3)]
        await quiet()
        report = await plumber.run(collect=["out"])
        assert [await reader for reader in readers] == [report.outputs["out"]] * 3 == [list(range(100))] * 3

    async def test_tasks_that_share_a_stream_share_its_items(self):
        plumber = Plumber(line(inp=feed(range(100), delay=0.01), out=same))
        stream = plumber.stream("out")
        readers = [asyncio.create_task(read(stream)) for _ in range(3)]
        await plumber.run()
        parts = [await reader for reader in readers]
        assert sorted(chain.from_iterable(parts)) == list(range(100))

    async def test_p4_a_reader_that_does_not_keep_up_slows_the_graph_down(self):
        plumber = Plumber(line(inp=feed(range(1000)), n=node(same, queue_size=5), out=node(same, queue_size=3)))
        stream = plumber.stream("out")
        plumber.create_pipeline()
        await asyncio.sleep(1)
        stats = plumber.statistics()
        assert stats.node("out").sent == 3
        assert stats.node("inp").sent <= 3 + 3 + 5
        assert stats.waits[-1] == "'out' waits for whoever reads its results"
        assert await read(stream) == list(range(1000))
        await plumber.wait()

    async def test_p4_only_the_slow_reader_s_items_are_kept(self):
        plumber = Plumber(line(inp=feed(range(100)), out=node(same, queue_size=3)))
        slow, fast = plumber.stream("out"), plumber.stream("out")
        plumber.create_pipeline()
        assert [await anext(fast) for _ in range(3)] == [0, 1, 2]
        waiting = asyncio.create_task(anext(fast))
        await quiet()
        assert not waiting.done()
        assert await anext(slow) == 0
        assert await waiting == 3
        await asyncio.gather(read(slow), read(fast))
        await plumber.wait()

    async def test_a_reader_that_breaks_off_frees_the_graph(self):
        out = Probe()
        plumber = Plumber(line(inp=feed(range(100)), out=node(out, queue_size=3)))
        plumber.create_pipeline()

        async def first() -> int:
            async for item in plumber.stream("out"):
                if item == 5:
                    break
            return item

        assert await first() == 5
        await plumber.wait()
        assert len(out.items) == 100

    async def test_a_stream_that_nobody_ever_read_frees_the_graph(self):
        plumber = Plumber(line(inp=feed(range(100)), out=node(same, queue_size=3)))
        stream = plumber.stream("out")
        plumber.create_pipeline()
        await quiet()
        assert plumber.statistics().node("out").sent == 3
        del stream
        assert (await plumber.wait()).statistics.node("out").sent == 100

    @pytest.mark.parametrize("started", [False, True])
    async def test_a_stream_can_be_closed(self, started):
        plumber = Plumber(line(inp=feed(range(100)), out=node(same, queue_size=3)))
        stream = plumber.stream("out")
        if started:
            plumber.create_pipeline()
            assert await anext(stream) == 0
        await stream.aclose()
        await stream.aclose()
        assert await read(stream) == []
        if not started:
            plumber.create_pipeline()
        assert (await plumber.wait()).statistics.node("out").sent == 100

    async def test_it_is_closed_at_the_end_of_async_with(self):
        plumber = Plumber(line(inp=feed(range(100)), out=node(same, queue_size=3)))
        plumber.create_pipeline()
        async with plumber.stream("out") as stream:
            assert await anext(stream) == 0
        assert (await plumber.wait()).statistics.node("out").sent == 100

    async def test_closing_it_ends_a_reader_that_waits(self):
        async with Plumber(line(inp=FED, out=same)) as plumber:
            stream = plumber.stream("out")
            reading = asyncio.create_task(read(stream))
            await quiet()
            await stream.aclose()
            assert await reading == []

    async def test_p6_the_error_of_the_run_comes_behind_what_was_sent_before(self):
        plumber = Plumber(line(inp=feed(range(5), delay=1), n=failing(3), out=same))
        stream = plumber.stream("out")
        plumber.create_pipeline()
        seen = []
        with pytest.raises(NodeError) as caught:
            while True:
                seen.append(await anext(stream))
        assert seen == [0, 1, 2]
        assert plumber.report is not None
        assert caught.value is plumber.report.error
        with pytest.raises(NodeError):
            await anext(stream)
        with pytest.raises(NodeError):
            await anext(plumber.stream("out"))

    async def test_p6_a_failure_with_a_reader_is_not_logged_for_the_reader_is_told(self, caplog):
        plumber = Plumber(line(inp=feed([1]), out=failing(1)))
        stream = plumber.stream("out")
        plumber.create_pipeline()
        with pytest.raises(NodeError):
            await anext(stream)
        assert caplog.records == []

    async def test_abort_ends_it(self):
        plumber = Plumber(line(inp=feed(range(5), delay=1), out=same))
        reading = asyncio.create_task(read(plumber.stream("out")))
        plumber.create_pipeline()
        await asyncio.sleep(2.5)
        await plumber.abort()
        assert await reading == [0, 1]

    @pytest.mark.parametrize("stop_at", [0, 1, 2, 3, 4, 50])
    async def test_p9_its_reader_may_stop_the_graph(self, stop_at):
        plumber = Plumber(line(inp=feed(range(1000)), a=node(same, queue_size=3), out=node(same, queue_size=3)))
        plumber.create_pipeline()
        seen = []
        async for item in plumber.stream("out"):
            seen.append(item)
            if item == stop_at:
                await plumber.stop()
        assert seen == list(range(len(seen)))
        assert plumber.report is not None
        assert len(seen) == plumber.report.statistics.items_out == plumber.report.statistics.items_in

    async def test_a_cancelled_reader_misses_nothing(self):
        plumber = Plumber(line(inp=feed(range(5), delay=1), out=same))
        stream = plumber.stream("out")
        plumber.create_pipeline()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.25)
        assert await read(stream) == [0, 1, 2, 3, 4]
        await plumber.wait()

    @pytest.mark.parametrize("name", ["inp", "n", "otu"])
    async def test_only_a_sink_can_be_read(self, name):
        plumber = Plumber(line(inp=feed([1]), n=same, out=same))
        with pytest.raises(UnknownNodeError, match=rf"^unknown sink '{name}'; there are: out$"):
            plumber.stream(name)

    async def test_a_coro_may_open_one_in_the_middle(self):
        streams: list[Any] = []

        async def out(self, q_elt):
            if q_elt[0] == 2:
                streams.append(plumber.stream("out"))
            return q_elt[0]

        plumber = Plumber(line(inp=feed(range(6)), out=out))
        await plumber.run()
        # The result of the very call that opens it may be too early for it.
        assert await read(streams[0]) in ([2, 3, 4, 5], [3, 4, 5])

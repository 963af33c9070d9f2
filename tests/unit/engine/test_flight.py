"""Items that go right through idle nodes: what that changes, and what nobody may notice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipelines import SKIP, NodeError, Plumber, To
from pipelines.engine import flight as flights
from pipelines.engine.flight import STRETCH_SECONDS, TIMED_EVERY
from pipelines.testing import VirtualTimeLoop, run_graph
from tests.unit.graphs import graph, line, node, pair, same

PLACES = ["a", "b", "c", "d"]
MIDDLE = 3
"""The item with which something is the matter, of ten."""


def numbers(count: int = 10) -> Callable[[Any], range]:
    """A source that can be pulled."""
    return lambda processor: range(count)


def chain(place: str, coro: Any, *, source: Any = None, **properties: Any) -> dict[str, Any]:
    """A chain of four nodes that pass items on, but for one."""
    nodes = {name: node(same) for name in PLACES}
    nodes[place] = node(coro, **properties)
    return line(inp=numbers() if source is None else source, **nodes)


def strange(act: Callable[[Any], Any]) -> Any:
    """A coro that passes items on, and does something else with the one in the middle."""

    async def coro(self: Any, q_elt: tuple[Any, ...]) -> Any:
        if q_elt[0] != MIDDLE:
            return q_elt[0]
        result = act(self)
        return await result if asyncio.iscoroutine(result) else result

    return coro


def plain(act: Callable[[Any], Any]) -> Any:
    """The same as a plain function."""
    return lambda self, q_elt: act(self) if q_elt[0] == MIDDLE else q_elt[0]


def fail(processor: Any) -> Any:
    raise ValueError("no")


async def sleep(processor: Any) -> Any:
    await asyncio.sleep(1)
    return MIDDLE


async def yield_to_the_loop(processor: Any) -> Any:
    await asyncio.sleep(0)
    return MIDDLE


class CostlyLoop(VirtualTimeLoop):
    """Time that graphs see passes only when a coro says that it was busy."""

    def __init__(self) -> None:
        super().__init__()
        self.worked = 0.0

    @property
    def virtual_clock(self) -> Callable[[], float]:
        return lambda: self.worked


def costing(seconds: float | Callable[[Any], float], calls: list[tuple[str, Any]]) -> Any:
    """A coro that takes so long without suspending."""

    async def coro(self: Any, q_elt: tuple[Any, ...]) -> Any:
        calls.append((self.name, q_elt[0]))
        loop: Any = asyncio.get_running_loop()
        loop.worked += seconds(q_elt[0]) if callable(seconds) else seconds
        return q_elt[0]

    return coro


def noting(calls: list[tuple[str, Any]], coro: Any = same) -> Any:
    """A coro whose calls are noted."""

    async def note(self: Any, q_elt: tuple[Any, ...]) -> Any:
        calls.append((self.name, q_elt[0]))
        return await coro(self, q_elt)

    return note


def went_through(calls: list[tuple[str, Any]]) -> bool:
    """Whether every item went all the way before the next one started."""
    return [item for _, item in calls] == sorted(item for _, item in calls)


@pytest.mark.virtual_time
@pytest.mark.parametrize("source", ["generator", "put"])
async def test_an_item_goes_all_the_way_before_the_next_one_starts(source):
    calls: list[tuple[str, Any]] = []

    async def put(self: Any, output_q: Any) -> None:
        for number in range(10):
            await output_q.put(number)

    given = line(inp=numbers() if source == "generator" else put, **{name: noting(calls) for name in PLACES})
    report = await Plumber(given).run(collect=["d"])
    assert report.outputs["d"] == list(range(10))
    assert went_through(calls)
    for edge in report.statistics.edges:
        assert (edge.queued, edge.peak >= 1) == (0, True)
    assert [(each.received, each.sent) for each in report.statistics.nodes[1:]] == [(10, 10)] * 4


@pytest.mark.virtual_time
@pytest.mark.parametrize("kind", [strange, plain], ids=["async", "plain"])
@pytest.mark.parametrize("place", PLACES)
class TestWhateverHappensOnTheWay:
    """The item in the middle does not fly on; all others are as if nothing had been."""

    def check(self, place: str, report: Any, counts: tuple[int, int, int, int], *, lost: bool = True) -> None:
        outputs = [number for number in range(10) if number != MIDDLE or not lost]
        assert report.outputs["d"] == outputs
        for name in PLACES:
            found = report.statistics.node(name)
            before, after = (10, 10, 0, 0), (len(outputs), len(outputs), 0, 0)
            expected = before if name < place else counts if name == place else after
            assert (found.received, found.sent, found.skipped, found.failed) == expected, name
        assert all(edge.queued == 0 for edge in report.statistics.edges)

    async def test_p1_it_is_skipped(self, place, kind):
        report = await Plumber(chain(place, kind(lambda processor: SKIP))).run(collect=["d"])
        self.check(place, report, (10, 9, 1, 0))

    async def test_p1_it_is_sent_to_the_next_node_by_name(self, place, kind):
        names = [*PLACES, "e"]
        target = names[names.index(place) + 1]
        given = chain(place, kind(lambda processor: To(target, MIDDLE)))
        if place == "d":
            given["nodes"]["e"], given["graph"]["d"] = node(same), ["e"]
        report = await Plumber(given).run(collect=["e" if place == "d" else "d"])
        assert report.outputs["e" if place == "d" else "d"] == list(range(10))
        assert report.statistics.node(place).sent == 10

    async def test_p6_it_fails_and_is_given_up(self, place, kind):
        report = await Plumber(chain(place, kind(fail), on_error="skip")).run(collect=["d"])
        self.check(place, report, (10, 9, 0, 1))
        assert [(failed.node, failed.item) for failed in report.failures] == [(place, MIDDLE)]

    async def test_p6_it_fails_and_goes_to_the_dead_letter_node(self, place, kind):
        given = chain(place, kind(fail), on_error={"route": "dead"})
        given["nodes"]["dead"] = node(same)
        report = await Plumber(given).run(collect=["d", "dead"])
        self.check(place, report, (10, 9, 0, 1))
        assert [failed.item for failed in report.outputs["dead"]] == [MIDDLE]

    async def test_p6_it_fails_and_so_does_the_run(self, place, kind):
        plumber = Plumber(chain(place, kind(fail)))
        with pytest.raises(NodeError) as caught:
            await plumber.run()
        assert (caught.value.node, caught.value.item, caught.value.attempts) == (place, MIDDLE, 1)
        assert plumber.report is not None
        for name in PLACES:
            found = plumber.report.statistics.node(name)
            here = MIDDLE + (name <= place)
            assert (found.received, found.sent) == (here, here - (name == place)), name

    async def test_p2_it_is_tried_again(self, place, kind):
        tries = iter([fail, fail, lambda processor: MIDDLE])
        retry = {"attempts": 3, "backoff": 0, "jitter": False}
        report = await Plumber(chain(place, kind(lambda p: next(tries)(p)), retry=retry)).run(collect=["d"])
        self.check(place, report, (10, 10, 0, 0), lost=False)
        assert report.statistics.node(place).retried == 2

    @pytest.mark.parametrize("wait", [sleep, yield_to_the_loop])
    async def test_p2_it_waits_and_keeps_its_place(self, place, kind, wait):
        report = await Plumber(chain(place, kind(wait))).run(collect=["d"])
        self.check(place, report, (10, 10, 0, 0), lost=False)
        assert report.elapsed == (1.0 if wait is sleep else 0.0)

    async def test_p9_it_pauses_a_node_behind(self, place, kind):
        paused = PLACES[min(PLACES.index(place) + 1, 3)]
        calls: list[tuple[str, Any]] = []
        plumber: Plumber

        def pause(processor: Any) -> int:
            plumber.pause(paused)
            return MIDDLE

        given = chain(place, kind(pause))
        for name in PLACES:
            given["nodes"][name]["coro"] = noting(calls, given["nodes"][name]["coro"]) if name != place else kind(pause)
        plumber = Plumber(given)
        running = asyncio.create_task(plumber.run(collect=["d"]))
        await asyncio.sleep(1)
        started = [item for name, item in calls if name == paused]
        assert started == [] if paused == place else started == list(range(MIDDLE))
        assert plumber.statistics().node(paused).state == "paused"
        plumber.resume(paused)
        report = await running
        self.check(place, report, (10, 10, 0, 0), lost=False)

    async def test_p9_it_aborts_the_run(self, place, kind):
        calls: list[tuple[str, Any]] = []
        plumber: Plumber

        def abort(processor: Any) -> int:
            asyncio.get_running_loop().create_task(plumber.abort())
            plumber._engage().abort()
            return MIDDLE

        given = chain(place, kind(abort))
        for name in PLACES:
            if name != place:
                given["nodes"][name]["coro"] = noting(calls)
        plumber = Plumber(given)
        report = await plumber.run()
        assert report.state == "aborted"
        assert all(item < MIDDLE or (item == MIDDLE and name < place) for name, item in calls)

    async def test_p6_somebody_waits_for_it(self, place, kind):
        given = chain(place, kind(lambda processor: SKIP), source={})
        async with Plumber(given) as plumber:
            results = await asyncio.gather(*[plumber.submit(number) for number in range(10)], return_exceptions=True)
        assert [str(result) for result in results if isinstance(result, Exception)] != []
        assert [result for result in results if not isinstance(result, Exception)] == [0, 1, 2, 4, 5, 6, 7, 8, 9]

    async def test_p1_several_nodes_get_what_comes_out(self, place, kind):
        given = chain(place, kind(lambda processor: SKIP))
        given["nodes"] |= {"left": node(same), "right": node(same), "both": node(pair)}
        given["graph"] |= {"d": ["left", "right"], "left": ["both"], "right": ["both"]}
        report = await Plumber(given).run(collect=["both"])
        assert report.outputs["both"] == [(number, number) for number in range(10) if number != MIDDLE]


@pytest.mark.virtual_time
class TestSources:
    async def test_p9_a_generator_may_pause_the_node_that_its_item_would_fly_to(self):
        calls: list[tuple[str, Any]] = []
        plumber: Plumber

        def source(self: Any) -> Iterator[int]:
            yield 0
            plumber.pause("a")
            yield 1
            yield 2

        plumber = Plumber(line(inp=source, a=noting(calls), b=same))
        running = asyncio.create_task(plumber.run(collect=["b"]))
        await asyncio.sleep(1)
        assert calls == [("a", 0)]
        plumber.resume("a")
        assert (await running).outputs["b"] == [0, 1, 2]

    @pytest.mark.parametrize("count", [0, 1, 5])
    async def test_p6_what_a_generator_raises_is_its_own(self, count):
        def source(self: Any) -> Iterator[int]:
            yield from range(count)
            raise ValueError("no more")

        plumber = Plumber(line(inp=source, a=same, b=same))
        with pytest.raises(NodeError) as caught:
            await plumber.run()
        assert caught.value.node == "inp"
        assert plumber.report is not None
        assert [each.sent for each in plumber.report.statistics.nodes] == [count] * 3

    async def test_p1_it_may_skip_and_choose(self):
        def source(self: Any) -> Iterator[Any]:
            yield from [0, SKIP, 1, To("a", 2), SKIP, To("a", 3), 4]

        report = await Plumber(line(inp=source, a=same, b=same)).run(collect=["b"])
        assert report.outputs["b"] == [0, 1, 2, 3, 4]
        found = report.statistics.node("inp")
        assert (found.sent, found.skipped) == (5, 2)

    async def test_p1_nothing_is_pulled_that_cannot_fly_or_stay(self):
        pulled: list[int] = []

        def source(self: Any) -> Iterator[int]:
            for number in range(100):
                pulled.append(number)
                yield number

        gate = asyncio.Event()

        async def stop(self: Any, q_elt: tuple[Any, ...]) -> None:
            await gate.wait()

        given = line(inp=source, a=node(same, queue_size=2), b=node(stop, queue_size=3, concurrency=1))
        plumber = Plumber(given)
        running = asyncio.create_task(plumber.run())
        await asyncio.sleep(1)
        # One in the call, three before it, two before the other node; and one that the generator is asked for.
        assert 1 + 3 + 2 <= len(pulled) <= 1 + 3 + 2 + 1
        gate.set()
        assert (await running).statistics.items_in == 100


class TestTime:
    """How long calls take decides what may fly together."""

    def run(self, given: dict[str, Any]) -> Any:
        return run_graph(given, loop_factory=CostlyLoop)

    def test_p8_short_calls_fly_together(self):
        calls: list[tuple[str, Any]] = []
        self.run(line(inp=numbers(2000), **{name: costing(1e-6, calls) for name in PLACES}))
        assert went_through(calls)

    def test_p8_long_ones_do_not(self):
        calls: list[tuple[str, Any]] = []
        long = STRETCH_SECONDS * 0.6
        self.run(line(inp=numbers(50), **{name: costing(long, calls) for name in PLACES}))
        assert not went_through(calls)
        assert sorted(calls) == sorted((name, item) for name in PLACES for item in range(50))

    def test_p8_an_item_stops_at_the_end_of_the_turn_as_long_as_nodes_are_unknown(self, monkeypatch):
        lands: list[tuple[int, float]] = []
        land = flights.Flight.land

        def note(self: flights.Flight, unfinished: bool = False) -> int:
            loop: Any = asyncio.get_running_loop()
            lands.append((self.begun, loop.worked))
            return land(self, unfinished)

        monkeypatch.setattr(flights.Flight, "land", note)
        self.run(line(inp=numbers(1), **{name: costing(1.0, []) for name in PLACES}))
        assert [worked for _, worked in lands] == [1.0, 2.0, 3.0, 4.0]

    def test_p8_those_that_become_long_part(self):
        calls: list[tuple[str, Any]] = []
        cost = lambda item: 1e-6 if item < 1000 else STRETCH_SECONDS  # noqa: E731
        self.run(line(inp=numbers(1050), **{name: costing(cost, calls) for name in PLACES}))
        late = [call for call in calls if call[1] >= 1005]
        assert went_through([call for call in calls if call[1] < 1000])
        assert not went_through(late)

    def test_each_is_timed_again(self):
        calls: list[tuple[str, Any]] = []
        cost = lambda item: 1e-6 if item < 1000 else 3e-6  # noqa: E731
        count = 1000 + round(10 * TIMED_EVERY / 12e-6)
        report = self.run(line(inp=numbers(count), **{name: costing(cost, calls) for name in PLACES}))
        for name in PLACES:
            median = report.statistics.node(name).latency_p50
            assert median is not None
            assert 2e-6 < median < 4e-6

    def test_shares_of_busy_time_are_those_of_the_calls(self):
        given = line(inp=numbers(5000), a=costing(1e-6, []), b=costing(3e-6, []), c=costing(6e-6, []))
        statistics = self.run(given).statistics
        shares = [statistics.node(name).busy for name in "abc"]
        assert shares == pytest.approx([0.1, 0.3, 0.6], rel=0.1)
        for each in statistics.nodes:
            assert each.busy + each.waiting + each.blocked == pytest.approx(1.0)


@pytest.mark.virtual_time
async def test_after_a_stall_items_fly_again():
    gate = asyncio.Event()
    calls: list[tuple[str, Any]] = []

    async def stall(self: Any, q_elt: tuple[Any, ...]) -> None:
        calls.append((self.name, q_elt[0]))
        if 100 <= q_elt[0] < 200:
            await gate.wait()

    plumber = Plumber(line(inp=numbers(3000), a=noting(calls), b=noting(calls), c=stall))
    running = asyncio.create_task(plumber.run())
    await asyncio.sleep(1)
    assert plumber.statistics().node("c").in_flight == 64
    gate.set()
    await running
    assert went_through([call for call in calls if call[1] >= 1000])


@pytest.mark.virtual_time
async def test_an_ordered_node_goes_on_while_one_call_takes_long():
    started: list[int] = []

    async def n(self: Any, q_elt: tuple[Any, ...]) -> Any:
        started.append(q_elt[0])
        await asyncio.sleep(10 if q_elt[0] == 0 else 1)
        return q_elt[0]

    given = line(inp=numbers(100), n=node(n, concurrency=5), out=node(same, queue_size=3))
    plumber = Plumber(given)
    running = asyncio.create_task(plumber.run(collect=["out"]))
    await asyncio.sleep(9)
    # Ten in all and the room ahead: the one that takes long, and those that are through and wait for it.
    assert len(started) == 2 * 5 + 3
    found = plumber.statistics().node("n")
    assert (found.in_flight, found.held) == (1, 12)
    assert (await running).outputs["out"] == list(range(100))


@pytest.mark.virtual_time
async def test_p1_a_put_behind_a_spurious_visit_of_its_reader_is_seen():
    plumber = Plumber(graph({"one": ["z"], "two": ["z"]}, one={}, two={}, z=pair))
    running = asyncio.create_task(plumber.run(collect=["z"]))
    await plumber.put("one", 1)
    await asyncio.sleep(1)
    plumber.pause("z")
    plumber.resume("z")  # visited, and there is nothing to do
    await asyncio.sleep(1)
    await plumber.put("one", 2)
    await plumber.put("two", 3)
    await asyncio.sleep(1)
    assert plumber.statistics().node("z").received == 1
    await plumber.put("two", 4)
    plumber.close("one")
    plumber.close("two")
    assert (await running).outputs["z"] == [(1, 3), (2, 4)]


DIAMOND = ["l", "r", "z", "out"]


def diamond(place: str, coro: Any, *, source: Any = None, **properties: Any) -> dict[str, Any]:
    """Two branches that are zipped, and a node behind; all pass on what they get, but for one."""
    nodes = {name: node(same) for name in DIAMOND}
    nodes["z"] = node(lambda self, q_elt: q_elt[0] if q_elt[0] is q_elt[1] else q_elt)
    nodes[place] = node(coro, **properties)
    edges = {"inp": ["l", "r"], "l": ["z"], "r": ["z"], "z": ["out"]}
    return graph(edges, inp=numbers() if source is None else source, **nodes)


@pytest.mark.virtual_time
@pytest.mark.parametrize("kind", [strange, plain], ids=["async", "plain"])
@pytest.mark.parametrize("place", DIAMOND)
class TestMesh:
    """Branches and zips are passed at once, too; whatever happens in one branch, no pair is wrong."""

    async def run(self, given: dict[str, Any], *, lost: bool) -> Any:
        report = await Plumber(given).run(collect=["out"])
        assert report.outputs["out"] == [number for number in range(10) if number != MIDDLE or not lost]
        assert all(edge.queued == 0 for edge in report.statistics.edges)
        for each in report.statistics.nodes[1:]:
            assert each.received == each.sent + each.skipped + each.failed, each.name
        return report

    def counts(self, report: Any, place: str) -> list[int]:
        """How many of ten items each node has received when one of them was lost at ``place``."""
        found = [report.statistics.node(name).received for name in DIAMOND]
        last = DIAMOND.index(place)
        assert found == [10 if name in "lr" or number <= last else 9 for number, name in enumerate(DIAMOND)]
        return found

    async def test_p3_it_is_skipped(self, place, kind):
        report = await self.run(diamond(place, kind(lambda processor: SKIP)), lost=True)
        self.counts(report, place)
        assert report.statistics.node(place).skipped == 1

    async def test_p3_it_fails_and_is_given_up(self, place, kind):
        report = await self.run(diamond(place, kind(fail), on_error="skip"), lost=True)
        self.counts(report, place)
        assert [(failed.node, failed.attempts) for failed in report.failures] == [(place, 1)]

    async def test_p6_it_fails_and_so_does_the_run(self, place, kind):
        with pytest.raises(NodeError) as caught:
            await Plumber(diamond(place, kind(fail))).run()
        assert caught.value.node == place
        assert caught.value.item == (MIDDLE if place != "z" else (MIDDLE, MIDDLE))

    async def test_p3_it_is_tried_again(self, place, kind):
        tries = iter([fail, fail, lambda processor: MIDDLE])
        retry = {"attempts": 3, "backoff": 0, "jitter": False}
        report = await self.run(diamond(place, kind(lambda p: next(tries)(p)), retry=retry), lost=False)
        assert report.statistics.node(place).retried == 2

    @pytest.mark.parametrize("wait", [sleep, yield_to_the_loop])
    async def test_p3_it_waits(self, place, kind, wait):
        report = await self.run(diamond(place, kind(wait)), lost=False)
        assert report.elapsed == (1.0 if wait is sleep else 0.0)

    async def test_p9_it_pauses_another_node(self, place, kind):
        paused = DIAMOND[(DIAMOND.index(place) + 1) % 4]
        plumber: Plumber

        def pause(processor: Any) -> int:
            plumber.pause(paused)
            return MIDDLE

        plumber = Plumber(diamond(place, kind(pause)))
        running = asyncio.create_task(plumber.run(collect=["out"]))
        await asyncio.sleep(1)
        found = plumber.statistics().node(paused)
        behind = DIAMOND.index(paused) > DIAMOND.index(place)
        assert (found.state, found.received) == ("paused", MIDDLE if behind else MIDDLE + 1)
        plumber.resume(paused)
        assert (await running).outputs["out"] == list(range(10))

    async def test_p1_somebody_else_reads_a_branch(self, place, kind):
        given = diamond(place, kind(lambda processor: SKIP))
        given["nodes"]["also"] = node(same)
        given["graph"]["r"] = ["z", "also"]
        report = await Plumber(given).run(collect=["out", "also"])
        assert report.outputs["out"] == [number for number in range(10) if number != MIDDLE]
        assert report.outputs["also"] == [number for number in range(10) if number != MIDDLE or place != "r"]

    async def test_p1_it_comes_from_a_node_not_a_source(self, place, kind):
        given = diamond(place, kind(lambda processor: SKIP))
        given["nodes"]["first"], given["nodes"]["second"] = node(numbers()), node(numbers())
        given["nodes"]["inp"] = node(pair)
        given["nodes"]["l"], right = given["nodes"]["l"], given["nodes"]["r"]
        given["nodes"]["head"] = node(lambda self, q_elt: q_elt[0][1])
        given["nodes"]["r"] = right
        given["graph"] |= {"first": ["inp"], "second": ["inp"], "inp": ["head"], "head": ["l", "r"]}
        report = await Plumber(given).run(collect=["out"])
        assert report.outputs["out"] == [number for number in range(10) if number != MIDDLE]


@pytest.mark.virtual_time
async def test_a_diamond_is_passed_at_once():
    calls: list[tuple[str, Any]] = []
    given = diamond("l", noting(calls))
    given["nodes"]["r"]["coro"] = noting(calls)
    given["nodes"]["out"]["coro"] = noting(calls)
    await Plumber(given).run()
    assert went_through(calls)
    assert [name for name, _ in calls[:3]] == ["l", "r", "out"]


def odd_fails(processor: Any, q_elt: tuple[int]) -> int:
    if q_elt[0] % 2:
        raise ValueError
    return q_elt[0]


async def item_of(processor: Any, q_elt: tuple[Any]) -> Any:
    await asyncio.sleep(1)
    return q_elt[0].item


@pytest.mark.virtual_time
@pytest.mark.parametrize("between", [True, False], ids=["behind a node", "behind the source"])
async def test_p1_p6_where_failed_items_find_no_room_nothing_flies(between):
    dead = node(item_of, queue_size=1, concurrency=1)
    edges = {"inp": ["a"], "a": ["m"], "m": ["out"]} if between else {"inp": ["m"], "m": ["out"]}
    nodes = {"inp": numbers(20), "m": node(odd_fails, on_error={"route": "dead"}), "out": same, "dead": dead}
    report = await Plumber(graph(edges, **nodes, **({"a": same} if between else {}))).run(collect=["out", "dead"])
    assert report.outputs == {"out": list(range(0, 20, 2)), "dead": list(range(1, 20, 2))}


@pytest.mark.virtual_time
@pytest.mark.parametrize("behind", [1, 3])
async def test_p6_the_first_pull_fails_with_its_own_error(behind):
    def source(self: Any) -> Iterator[int]:
        raise KeyError("x")
        yield

    with pytest.raises(NodeError) as caught:
        await Plumber(line(inp=source, **dict.fromkeys(PLACES[:behind], same))).run()
    assert (caught.value.node, type(caught.value.__cause__)) == ("inp", KeyError)


@pytest.mark.virtual_time
@pytest.mark.parametrize("shape", ["line", "mesh"])
async def test_p6_what_is_sent_nowhere_is_not_counted_as_sent(shape):
    wrong = lambda self, q_elt: To("nope", 1)  # noqa: E731
    given = line(inp=numbers(1), a=same, b=wrong, c=same, d=same)
    if shape == "mesh":
        given["nodes"]["e"] = node(same)
        given["graph"]["d"] = ["e"]
        given["graph"]["a"] = ["b", "e"]
        given["nodes"]["e"]["coro"] = pair
    plumber = Plumber(given)
    with pytest.raises(NodeError, match="no such downstream node"):
        await plumber.run()
    assert plumber.report is not None
    counts = {each.name: (each.received, each.sent) for each in plumber.report.statistics.nodes[1:]}
    assert counts == {"a": (1, 1), "b": (1, 0), "c": (0, 0), "d": (0, 0)} | ({"e": (0, 0)} if shape == "mesh" else {})


@pytest.mark.virtual_time
@pytest.mark.parametrize("made_by", [list, iter])
async def test_p9_a_stop_from_inside_ends_the_pulling_at_once(made_by):
    seen: list[int] = []
    plumber: Plumber

    async def coro(self: Any, q_elt: tuple[int]) -> None:
        seen.append(q_elt[0])
        if q_elt[0] == MIDDLE:
            await plumber.stop()

    plumber = Plumber(line(inp=lambda self: made_by(range(1000)), n=coro))
    report = await plumber.run()
    assert report.state == "stopped"
    assert report.statistics.node("inp").sent == len(seen) == MIDDLE + 1


@pytest.mark.virtual_time
async def test_a_stream_attached_on_the_way_gets_nothing_that_was_made_before():
    plumber: Plumber
    late: list[Any] = []

    async def coro(self: Any, q_elt: tuple[int]) -> int:
        if q_elt[0] == MIDDLE:
            late.append(plumber.stream("n"))
        return q_elt[0]

    plumber = Plumber(line(inp=numbers(), n=coro))
    early = plumber.stream("n")
    report = await plumber.run(collect=["n"])
    assert report.outputs["n"] == [each async for each in early] == list(range(10))
    assert [each async for each in late[0]] == list(range(MIDDLE, 10))


@pytest.mark.virtual_time
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("concurrency", [1, 3])
async def test_p4_what_was_granted_long_ago_is_not_spent(concurrency, seed):
    drawn = random.Random(seed)
    rare = drawn.choice([0.01, 0.03, 0.1, 0.3])
    worst: list[int] = []
    plumber: Plumber

    async def often_straight(self: Any, q_elt: tuple[int]) -> int:
        now = plumber.statistics()
        found, edge = now.node("a"), now.edge("a", "b")
        worst.append(found.held + found.in_flight + edge.queued - edge.capacity)
        if drawn.random() < rare:
            await asyncio.sleep(0)
        return q_elt[0]

    async def slow(self: Any, q_elt: tuple[int]) -> int:
        await asyncio.sleep(1 if drawn.random() < 0.2 else 0)
        return q_elt[0]

    async def source(self: Any, output_q: Any) -> None:
        for number in range(500):
            await output_q.put(number)
            if drawn.random() < 0.02:
                await asyncio.sleep(drawn.choice([0, 1, 30]))

    queue_size = (8, 64)[seed % 2]
    a, b = node(often_straight, concurrency=concurrency), node(slow, concurrency=1, queue_size=queue_size)
    plumber = Plumber(line(inp=source, a=a, b=b))
    report = await plumber.run(collect=["b"])
    assert report.outputs["b"] == list(range(500))
    assert max(worst) <= (1 if concurrency == 1 else 2 * concurrency)

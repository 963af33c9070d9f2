"""What is inside a graph is bounded (P4), what is dropped is counted (P1), and what cannot move says so (P6)."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import SKIP, NodeError, Plumber
from pipelines.errors import AlignmentError, SkippedError, StalledError
from pipelines.testing import FuzzLoop, feed

from .reference import Case, Reference
from .running import World, is_one_to_one, run_bounded, run_world
from .small import chain, later, pass_on, run
from .strategies import Shape, cases, examples

# Objects that count themselves.


class Counted:
    """An item that knows how many like it are alive."""

    alive: ClassVar[int] = 0
    most: ClassVar[int] = 0

    def __init__(self, number: int) -> None:
        self.number = number
        Counted.alive += 1
        Counted.most = max(Counted.most, Counted.alive)

    def __del__(self) -> None:
        Counted.alive -= 1


@pytest.fixture
def counted() -> type[Counted]:
    gc.collect()
    Counted.alive = Counted.most = 0
    return Counted


async def half_later(processor: Any, q_elt: tuple[Counted]) -> Any:
    await asyncio.sleep(q_elt[0].number % 3)
    return q_elt[0]


async def fork(processor: Any, q_elt: tuple[Counted]) -> AsyncIterator[Any]:
    yield q_elt[0]
    await asyncio.sleep(0.5)
    yield q_elt[0]


def fork_at_once(processor: Any, q_elt: tuple[Counted]) -> Iterator[Any]:
    yield q_elt[0]
    yield q_elt[0]


async def skip_half(processor: Any, q_elt: tuple[Counted]) -> Any:
    await asyncio.sleep(0)
    return SKIP if q_elt[0].number % 2 else q_elt[0]


async def slow_first(processor: Any, q_elt: tuple[Counted]) -> Any:
    await asyncio.sleep(3600 if q_elt[0].number == 0 else 0)
    return q_elt[0]


@pytest.mark.parametrize("order", ["input", "completion"])
@pytest.mark.parametrize("coro", [pass_on, later, half_later, fork, fork_at_once, skip_half, slow_first])
def test_p4_items_alive_are_bounded(coro: Callable[..., Any], order: str, counted: type[Counted]) -> None:
    properties = {"queue_size": 4, "concurrency": 3, "order": order}
    graph = chain(lambda processor: map(counted, range(400)), coro, coro, later)
    for name in ("n0", "n1", "n2"):
        graph["nodes"][name]["properties"] = dict(properties)
    run_bounded(Plumber(graph).run())
    gc.collect()
    assert counted.alive == 0
    # And one in the hands of the source, and one that a node has just let go of.
    assert 10 < counted.most <= 3 * (4 + 3) + 1 + 3


def test_p4_submissions_leave_nothing_behind(counted: type[Counted]) -> None:
    async def some(processor: Any, q_elt: tuple[Counted]) -> Any:
        await asyncio.sleep(q_elt[0].number % 2)
        if q_elt[0].number % 5 == 0:
            raise ValueError
        return SKIP if q_elt[0].number % 5 == 1 else q_elt[0].number

    async def main() -> list[Any]:
        graph = chain(None, some, fork, lambda processor, q_elt: sum(q_elt[0]), on_error="skip")
        graph["nodes"]["n1"]["coro"] = pass_on
        graph["nodes"]["n2"]["properties"] = {"batch": {"size": 3}}
        async with Plumber(graph) as plumber:
            outcomes = []
            for round_ in range(40):
                submits = [plumber.submit(counted(round_ * 5 + number)) for number in range(5)]
                outcomes += await asyncio.gather(*submits, return_exceptions=True)
            await asyncio.sleep(10)
            scheduler = plumber._execution.scheduler  # type: ignore[union-attr]
            assert len(scheduler._on_park) < 10
            assert len(scheduler.tasks) < 5
            return outcomes

    outcomes = run_bounded(main())
    kinds = Counter(type(outcome) for outcome in outcomes)
    assert (kinds[NodeError], kinds[SkippedError], kinds[int]) == (40, 40, 120)
    del outcomes
    gc.collect()
    assert counted.alive == 0


@pytest.mark.virtual_time
async def test_p4_results_held_for_their_turn_are_bounded() -> None:
    async def coro(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        if q_elt[0] == 0:
            await asyncio.sleep(3600)
        return q_elt[0]

    for overflow in ("block", "drop_new"):
        graph = chain(feed(range(1000)), coro, pass_on, concurrency=3)
        graph["nodes"]["n1"]["properties"] = {"overflow": overflow, "queue_size": 4}
        for shape in (graph, chain(feed(range(1000)), coro, concurrency=3)):
            plumber = Plumber(shape)
            plumber.create_pipeline()
            await asyncio.sleep(10)
            node = plumber.statistics().node("n0")
            assert node.held + node.in_flight <= 2 * 3 + 4
            await plumber.abort()


@pytest.mark.virtual_time
async def test_p1_held_results_that_need_no_room_leave() -> None:
    async def coro(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        await asyncio.sleep(1 if q_elt[0] == 0 else 0)
        return q_elt[0] if q_elt[0] == 0 else SKIP

    graph = chain(feed(range(5)), coro, pass_on, queue_size=64)
    graph["nodes"]["n1"]["properties"] = {"queue_size": 1}
    report = await Plumber(graph).run(collect=["n1"])
    assert report.outputs["n1"] == [0]
    assert report.elapsed == 1


# Losses.


def is_part_of(found: list[Any], whole: list[Any]) -> bool:
    """Whether ``found`` is what is left of ``whole`` when some of it is taken out."""
    rest = iter(whole)
    return all(value in rest for value in found)


@examples(60)
@given(cases(Shape(overflow=True, batches=False, max_nodes=9)), st.integers(0, 1 << 30))
def test_p1_p3_whatever_is_dropped_is_counted_and_shifts_nothing(case: Case, seed: int) -> None:
    world = World(case)
    report = run_world(world, lambda: FuzzLoop(seed))
    assert world.wrong == []
    assert (report.state, report.error) == ("completed", None)
    expected = Reference(case).outputs
    for name, values in report.outputs.items():
        if case.exact[name]:
            assert is_part_of(values, expected[name]), name
        assert Counter(values) <= Counter(expected[name]), name
    statistics = report.statistics
    for node in filter(is_one_to_one, case.nodes):
        counts = statistics.node(node.name)
        assert counts.received == counts.sent + counts.skipped + counts.failed
    for edge in statistics.edges:
        upstream, downstream = case.by_name[edge.upstream], case.by_name[edge.downstream]
        assert edge.dropped == 0 or downstream.properties["overflow"] != "block"
        one_way = not edge.route and len(downstream.upstreams) == 1 and not downstream.feeders
        if one_way and all(step.action != "to" for step in upstream.steps):
            sent, received = statistics.node(edge.upstream).sent, statistics.node(edge.downstream).received
            assert sent == received + edge.dropped, edge


# Streams that do not fit.


@examples(40)
@given(
    st.lists(st.integers(0, 9), min_size=2, max_size=3),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(1, 4),
    st.sampled_from([pass_on, later]),
)
def test_p6_zipped_sources_of_unequal_length_are_told_with_their_lengths(
    lengths: list[int], delay: float, queue_size: int, coro: Callable[..., Any]
) -> None:
    names = [f"s{number}" for number in range(len(lengths))]
    nodes: dict[str, Any] = {
        name: {"coro": feed(range(length), delay=delay * number)}
        for number, (name, length) in enumerate(zip(names, lengths, strict=True))
    }
    nodes["between"] = {"coro": coro, "properties": {"queue_size": queue_size}}
    nodes["zip"] = {"coro": lambda processor, q_elt: q_elt, "properties": {"queue_size": queue_size}}
    wiring = {name: ["zip"] for name in names} | {names[0]: ["between"], "between": ["zip"]}
    plumber, outcome = run({"nodes": nodes, "graph": wiring})
    report = plumber.report
    assert report is not None
    assert report.outputs["zip"] == [(number,) * len(lengths) for number in range(min(lengths))]
    if len(set(lengths)) == 1:
        assert outcome is report
        return
    assert isinstance(outcome, AlignmentError)
    assert outcome.node == "zip"
    upstreams = [*names[1:], "between"]
    assert outcome.counts == dict(zip(upstreams, [*lengths[1:], lengths[0]], strict=True))
    for upstream, count in outcome.counts.items():
        assert f"{upstream!r} had {count}" in str(outcome)


# Graphs that cannot move.


def crossed(source: Callable[..., Any]) -> dict[str, Any]:
    """Two zips of which each starves the other: one pairs b with almost nothing of a, one a with a lot of b."""

    async def nothing(processor: Any, q_elt: tuple[Any, ...]) -> AsyncIterator[Any]:
        if q_elt[0] > 1000:
            yield q_elt[0]

    async def thrice(processor: Any, q_elt: tuple[Any, ...]) -> AsyncIterator[Any]:
        for _ in range(3):
            yield q_elt[0]

    small = {"queue_size": 2}
    return {
        "nodes": {
            "a": {"coro": source},
            "b": {"coro": source},
            "few": {"coro": nothing, "properties": small},
            "lots": {"coro": thrice, "properties": small},
            "left": {"coro": pass_on, "properties": small},
            "right": {"coro": pass_on, "properties": small},
        },
        "graph": {"a": ["few", "right"], "b": ["lots", "left"], "few": ["left"], "lots": ["right"]},
    }


def putting(count: int) -> Callable[..., Any]:
    async def source(processor: Any, output_q: Any) -> None:
        for item in range(count):
            await output_q.put(item)

    return source


@pytest.mark.parametrize(
    "source", [feed(range(100)), putting(100), lambda processor: range(100)], ids=["async generator", "put", "list"]
)
def test_p6_a_graph_that_cannot_move_says_who_waits_for_whom(source: Callable[..., Any]) -> None:
    plumber, outcome = run(crossed(source))
    assert isinstance(outcome, StalledError)
    text = str(outcome)
    for part in (
        "'a' waits for room in 'right'",
        "'right' waits for items of 'lots'",
        "'left' waits for items of 'few'",
    ):
        assert part in text
    assert plumber.report is not None
    assert plumber.report.elapsed <= 60


def test_p6_what_only_waits_for_the_program_is_no_stall() -> None:
    async def main() -> None:
        async with Plumber(chain(None, later)) as plumber:
            await asyncio.sleep(1000)
            assert await plumber.submit(1) == 1
            plumber.pause()
            waiting = asyncio.create_task(plumber.submit(2))
            await asyncio.sleep(1000)
            assert "paused" in plumber.statistics().waits[0]
            plumber.resume()
            assert await waiting == 2

    run_bounded(main())


# Soak.


@pytest.mark.slow
@pytest.mark.timeout(140)
def test_p1_p4_a_long_run_through_everything(counted: type[Counted]) -> None:
    async def some(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        number = q_elt[0].number
        if number % 97 == 0:
            await asyncio.sleep(number % 3)
        if number % 101 == 0:
            raise ValueError
        return SKIP if number % 103 == 0 else q_elt[0]

    seen: Counter[str] = Counter()

    def note(processor: Any, q_elt: tuple[Any, ...]) -> None:
        seen[processor.name] += 1
        if processor.name == "zip":
            assert q_elt[0] is q_elt[1]

    count = 200_000
    nodes = {
        "in": {"coro": lambda processor: map(counted, range(count))},
        "a": {"coro": some, "properties": {"on_error": {"route": "dead"}}},
        "b": {"coro": some, "properties": {"on_error": "skip", "concurrency": 5, "queue_size": 7}},
        "c": {"coro": fork_at_once},
        "zip": {"coro": note},
        "merge": {"coro": note, "properties": {"aggregate_inputs": False}},
        "dead": {"coro": note},
    }
    graph = {"in": ["a", "b", "c"], "a": ["zip", "merge"], "b": ["zip"], "c": ["merge"]}
    report = run_bounded(Plumber({"nodes": nodes, "graph": graph}).run())
    failed = len(range(0, count, 101))
    skipped = len(range(0, count, 103)) - len(range(0, count, 101 * 103))
    passed = count - failed - skipped
    assert seen == {"dead": failed, "zip": passed, "merge": passed + 2 * count}
    assert report.statistics.node("a").failed == failed
    assert counted.most < 1500 + 100


# Rates.


@examples(40)
@given(
    st.sampled_from([0.5, 3, 20, 500]),
    st.lists(st.sampled_from([0.0, 0.01, 0.4, 5.0]), min_size=2, max_size=30),
    st.sampled_from([pass_on, later]),
    st.sampled_from(["in", "n0"]),
)
def test_p4_calls_start_no_faster_than_the_rate(rate: float, delays: list[float], coro: Any, where: str) -> None:
    starts: list[float] = []

    async def source(processor: Any, output_q: Any) -> None:
        for delay in delays:
            await asyncio.sleep(delay)
            await output_q.put(1)

    async def noting(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        starts.append(asyncio.get_running_loop().time())
        return await coro(processor, q_elt)

    graph = chain(source, noting, queue_size=64)
    graph["nodes"][where]["properties"] = {"rate": rate}
    run(graph)
    assert len(starts) == len(delays)
    for first, begin in enumerate(starts):
        for count, end in enumerate(starts[first:], 1):
            # Starts that were missed in the last ten milliseconds are made up for.
            assert count <= 1 + rate * (end - begin + 0.01) + 1e-6
    # It is no slower either: as if every item had waited for its own time and for the one before.
    due, ready = -1.0 / rate, 0.0
    for delay, start in zip(delays, starts, strict=True):
        ready += delay
        due = max(due + 1 / rate, ready)
        assert start <= due + 1e-6
        ready = start if where == "in" else ready  # a source sleeps when its item is through

"""Runs the random graphs of the property tests, watches them from inside, and compares with the reference."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from itertools import chain, count
from typing import Any, TypeVar

from pipelines import SKIP, Plumber, Report, To
from pipelines.errors import ClosedError
from pipelines.events import Event, RunStarted
from pipelines.testing import VirtualTimeLoop, no_leaks

from .reference import YIELDING, Case, Item, NodeSpec, Reference, Step, digest, first_of, is_consistent, key_of, made_by

T = TypeVar("T")
LoopFactory = Callable[[], asyncio.AbstractEventLoop]

LONGEST = 1e6
"""Virtual seconds after which a run counts as hanging."""

MOST_TURNS = 100_000
"""Turns of the event loop after which a run counts as spinning."""


class Deliberate(Exception):  # noqa: N818 - told apart from real errors by its name
    """What failing coros raise."""


class World:
    """The coros of one run of a case, and what they have seen.

    Attributes:
        wrong: What must never be: zips of strangers, more calls than allowed, more items inside than there are places.
        events: What the hooks were told.
        begun: How often each node's setup was begun, in all its workers.
        cleaned: How often each node's cleanup was run.
    """

    def __init__(
        self, case: Case, extra: Mapping[str, Mapping[str, Any]] | None = None, *, real_time: bool = False
    ) -> None:
        self.case = case
        self.wrong: list[str] = []
        self.begun: Counter[str] = Counter()
        self.cleaned: Counter[str] = Counter()
        self.events: list[Event] = []
        self.plumber = Plumber(self._graph(extra or {}), name="case", hooks=[self.events.append])
        self._attempts: Counter[tuple[str, int]] = Counter()
        self._running: Counter[str] = Counter()
        self._looks = 0
        self._unit = 0.001 if real_time else 1.0
        capacity = sum(edge.capacity for edge in self.plumber.statistics().edges)
        self._bound = capacity + sum(map(self._most_inside, case.nodes))

    # The graph.

    def _graph(self, extra: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        nodes = {}
        for name in self.case.order:
            node = self.case.by_name[name]
            properties = {**node.properties, **extra.get(name, {})}
            properties |= {"setup": self._setup(name), "cleanup": self._cleanup(name)} if digest(name) % 3 == 0 else {}
            nodes[name] = {"properties": properties} | ({} if node.kind == "fed" else {"coro": self._coro(node)})
        return {"nodes": nodes, "graph": {name: list(self.case.downstreams[name]) for name in sorted(self.case.order)}}

    def _setup(self, name: str) -> Callable[..., Any]:
        async def setup(processor: Any) -> None:
            self.begun[name] += 1
            await asyncio.sleep(digest(name) % 4 * self._unit)

        return setup

    def _cleanup(self, name: str) -> Callable[..., Any]:
        async def cleanup(processor: Any) -> None:
            self.cleaned[name] += 1
            await asyncio.sleep(0)

        return cleanup

    def _coro(self, node: NodeSpec) -> Callable[..., Any]:
        makers = {
            "put": self._putting,
            "generator source": self._generator_source,
            "async generator source": self._async_generator_source,
            "list source": self._list_source,
            "async": self._async,
            "function": self._function,
            "thread": self._function,
            "generator": self._generator,
            "async generator": self._async_generator,
        }
        return makers[node.kind](node)

    @property
    def open(self) -> dict[str, int]:
        """Calls and sources that were begun and have not come to their ``finally``, by node."""
        return dict(+self._running)

    @property
    def began(self) -> bool:
        return any(isinstance(event, RunStarted) for event in self.events)

    # Sources.

    def positions(self, node: NodeSpec) -> Iterator[tuple[Step, Any]]:
        """What a source does, position by position: the step, and the value to put."""
        self._running[node.name] += 1
        try:
            for position in range(self.case.lengths[node.name]):
                step, item = node.step_for(position), first_of(node, position)
                yield step, self._meant(node, step, item)
        finally:
            self._running[node.name] -= 1

    def _meant(self, node: NodeSpec, step: Step, item: Item) -> Any:
        if step.action == "skip":
            return SKIP
        return To(self.case.target(node, step), item) if step.action == "to" else item

    def _putting(self, node: NodeSpec) -> Callable[..., Any]:
        async def source(processor: Any, output_q: Any) -> None:
            for step, value in self.positions(node):
                await _pause(step)
                if step.action == "fail":
                    await output_q.fail(value, Deliberate())
                else:
                    await output_q.put(value)

        return source

    def _generator_source(self, node: NodeSpec) -> Callable[..., Any]:
        def source(processor: Any) -> Iterator[Any]:
            for _, value in self.positions(node):
                yield value

        return source

    def _async_generator_source(self, node: NodeSpec) -> Callable[..., Any]:
        async def source(processor: Any) -> AsyncIterator[Any]:
            for step, value in self.positions(node):
                await _pause(step)
                yield value

        return source

    def _list_source(self, node: NodeSpec) -> Callable[..., Any]:
        def source(processor: Any) -> list[Any]:
            return [value for _, value in self.positions(node)]

        return source

    def start_feeding(self) -> list[asyncio.Task[None]]:
        """A task for every source without coro, which puts everything and closes it."""
        return [asyncio.create_task(self.feed(node)) for node in self.case.sources if node.kind == "fed"]

    async def feed(self, node: NodeSpec) -> None:
        """Put everything of a source without coro, from outside."""
        nowhere = not self.case.downstreams[node.name]
        while nowhere and not self.began and self.plumber.report is None:  # nothing keeps its items before the start
            await asyncio.sleep(0)
        try:
            for step, value in self.positions(node):
                await _pause(step)
                await self.plumber.put(node.name, value)
        except ClosedError:  # a run that is stopped or aborted takes no more
            return
        self.plumber.close(node.name)

    # Coros.

    def _async(self, node: NodeSpec) -> Callable[..., Any]:
        async def coro(processor: Any, q_elt: tuple[Any, ...]) -> Any:
            step = self._enter(node, q_elt)
            try:
                await _pause(step)
                return self._result(node, q_elt, step)
            finally:
                self._leave(node)

        return coro

    def _function(self, node: NodeSpec) -> Callable[..., Any]:
        def coro(processor: Any, q_elt: tuple[Any, ...]) -> Any:
            step = self._enter(node, q_elt)
            try:
                return self._result(node, q_elt, step)
            finally:
                self._leave(node)

        return coro

    def _generator(self, node: NodeSpec) -> Callable[..., Any]:
        def coro(processor: Any, q_elt: tuple[Any, ...]) -> Iterator[Any]:
            step = self._enter(node, q_elt)
            try:
                yield from self._results(node, q_elt, step)
            finally:
                self._leave(node)

        return coro

    def _async_generator(self, node: NodeSpec) -> Callable[..., Any]:
        async def coro(processor: Any, q_elt: tuple[Any, ...]) -> AsyncIterator[Any]:
            step = self._enter(node, q_elt)
            try:
                await _pause(step)
                for value in self._results(node, q_elt, step):
                    yield value
                    await _pause(step)
            finally:
                self._leave(node)

        return coro

    def _result(self, node: NodeSpec, q_elt: tuple[Any, ...], step: Step) -> Any:
        if step.action == "fail":
            raise Deliberate
        if step.action == "flaky":
            self._fail_at_first(node, q_elt, step.count)
        if step.action == "skip":
            return SKIP
        if node.flat:
            return [key_of(value) for value in q_elt[0]]
        item = made_by(node, q_elt)
        return To(self.case.target(node, step), item) if step.action == "to" else item

    def _results(self, node: NodeSpec, q_elt: tuple[Any, ...], step: Step) -> Iterator[Any]:
        if step.action == "flaky":
            self._fail_at_first(node, q_elt, step.count)
        if step.action in ("many", "fail"):
            yield from (made_by(node, q_elt, number) for number in range(step.count))
        else:
            yield self._result(node, q_elt, step)
        if step.action == "fail":
            raise Deliberate

    def _fail_at_first(self, node: NodeSpec, q_elt: tuple[Any, ...], count: int) -> None:
        call = node.name, digest(*map(key_of, q_elt))
        self._attempts[call] += 1
        if self._attempts[call] <= count:
            raise Deliberate

    # What is seen from inside.

    def _enter(self, node: NodeSpec, q_elt: tuple[Any, ...]) -> Step:
        if len(q_elt) != (len(node.upstreams) if node.zips else 1):
            self.wrong.append(f"P3: {node.name} was called with {len(q_elt)} items")
        rows = zip(*q_elt, strict=True) if node.batch else [q_elt]
        if node.zips and not all(map(is_consistent, rows)):
            self.wrong.append(f"P3: {node.name} was given strangers: {q_elt}")
        if node.kind != "thread":
            self._running[node.name] += 1
            if self._running[node.name] > node.properties["concurrency"]:
                self.wrong.append(f"P4: {node.name} runs {self._running[node.name]} calls at once")
            self._look()
        return node.step_for(digest(*map(key_of, q_elt)))

    def _leave(self, node: NodeSpec) -> None:
        if node.kind != "thread":
            self._running[node.name] -= 1

    def _look(self) -> None:
        self._looks += 1
        if self._looks % 5:
            return
        statistics = self.plumber.statistics()
        for edge in statistics.edges:
            if edge.queued > edge.capacity:
                self.wrong.append(f"P4: {edge.queued} in the channel {edge.upstream} -> {edge.downstream}")
        inside = sum(edge.queued for edge in statistics.edges)
        for each in statistics.nodes:
            inside += each.held + each.in_flight * (self.case.by_name[each.name].batch or 1) * (each.state != "ended")
        if inside > self._bound:
            self.wrong.append(f"P4: {inside} items inside, where {self._bound} may be")

    @staticmethod
    def _most_inside(node: NodeSpec) -> int:
        if node.is_source:
            return 1
        calls = int(node.properties["concurrency"])
        if node.properties.get("order") != "completion" and calls > 1:
            calls *= 2  # as many results may wait for one in flight
        return calls * len(node.upstreams or "1") * (node.batch or 1) + node.batch


async def _pause(step: Step) -> None:
    if step.delay is not None:
        await asyncio.sleep(step.delay)
    if step.action == "hang":
        await asyncio.sleep(LONGEST)


def run_world(world: World, loop_factory: LoopFactory = VirtualTimeLoop) -> Report:
    """Run a case to its end, feeding the sources that want to be fed; nothing may be left (P5)."""

    async def main() -> Report:
        with no_leaks():
            async with asyncio.timeout(LONGEST / 2):
                feeders = world.start_feeding()
                report = await world.plumber.run(collect=world.case.sinks)
                await asyncio.gather(*feeders)
        return report

    return run_bounded(main(), loop_factory)


def run_bounded(
    main: Coroutine[Any, Any, T],
    loop_factory: LoopFactory = VirtualTimeLoop,
    on_turn: Callable[[int], None] = lambda number: None,
) -> T:
    """Run ``main`` in a loop of its own that fails when it hangs or spins, instead of doing so for ever.

    ``on_turn`` is called at the beginning of every turn of the loop with the number of the turn.
    """
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        loop: Any = runner.get_loop()
        turn, turns = loop._run_once, count(1)
        if isinstance(loop, VirtualTimeLoop):
            _refuse_to_wait_for_ever(loop)

        def counted() -> None:
            number = next(turns)
            on_turn(number)
            if number % MOST_TURNS == 0:
                raise AssertionError(f"the loop spins: {[task.get_coro() for task in asyncio.all_tasks(loop)]}")
            turn()

        loop._run_once = counted
        return runner.run(main)


def _refuse_to_wait_for_ever(loop: Any) -> None:
    select = loop._selector.select

    def refusing(timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError(f"nothing will ever wake: {[task.get_coro() for task in asyncio.all_tasks(loop)]}")
        return select(timeout)

    loop._selector.select = refusing


def check(world: World, report: Report, reference: Reference | None = None) -> None:
    """Compare a finished run with the reference: outputs, counters, bounds."""
    case = world.case
    reference = reference or Reference(case)
    assert world.wrong == []
    assert world.open == {}
    assert report.error is None
    assert report.state == ("stopped" if reference.cut else "completed")
    assert world.cleaned == world.begun
    away = {spec.name for spec in case.nodes if spec.properties.get("executor", "loop") != "loop"}
    assert {times for name, times in world.begun.items() if name not in away} <= {1}  # there: once for each worker
    if reference.cut and not world.began:
        return
    for edge in report.statistics.edges:
        assert (edge.queued, edge.dropped) == (0, 0)
        assert edge.peak <= edge.capacity
    for node in report.statistics.nodes:
        if case.by_name[node.name].timed:
            assert node.received == node.sent == len(report.outputs[node.name])
            continue
        counts = reference.counts[node.name]
        found = (node.received, node.sent, node.skipped, node.failed, node.retried)
        assert found == (counts.received, counts.sent, counts.skipped, counts.failed, counts.retried), node.name
        assert (node.state, node.in_flight, node.held) == ("ended", 0, 0)
    check_outputs(case, report.outputs, reference.outputs)


def check_outputs(case: Case, found: Mapping[str, list[Any]], expected: Mapping[str, list[Any]]) -> None:
    """The same sequence where the graph keeps order, else the same items."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        node = case.by_name[name]
        if node.flat:
            assert set(_sizes(found[name])) <= set(range(1, node.batch + 1)), name
            assert node.timed or _sizes(found[name]) == _sizes(values), name
            assert Counter(chain(*found[name])) == Counter(chain(*values)), name
        elif case.exact[name]:
            assert found[name] == values, name
        else:
            assert Counter(found[name]) == Counter(values), name


def _sizes(lists: list[list[Any]]) -> list[int]:
    return sorted(map(len, lists))


def is_one_to_one(node: NodeSpec) -> bool:
    """Whether every call of it comes to one outcome."""
    return not node.is_source and node.kind not in YIELDING

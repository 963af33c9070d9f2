"""Failures of every kind at every place: each is told, as what it is, and nothing is left behind (P6)."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from pipelines import NodeError, Plumber, Report, To
from pipelines.errors import AbortedError, ClosedError
from pipelines.events import ItemFailed, RunEnded
from pipelines.testing import feed

from .small import chain, pass_on, run

ITEMS = 7


class Broken(Exception):  # noqa: N818
    """What is raised on purpose."""


def failing(kind: str, fails: Callable[[Any], BaseException | None]) -> Callable[..., Any]:
    """A coro of one kind that raises what ``fails`` gives for its item."""

    def judge(item: Any) -> Any:
        if (error := fails(item)) is not None:
            raise error
        return item

    async def quick(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        return judge(q_elt[0])

    async def suspending(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        await asyncio.sleep(1)
        return judge(q_elt[0])

    def function(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        return judge(q_elt[0])

    def generator(processor: Any, q_elt: tuple[Any, ...]) -> Iterator[Any]:
        yield judge(q_elt[0])

    async def async_generator(processor: Any, q_elt: tuple[Any, ...]) -> AsyncIterator[Any]:
        yield judge(q_elt[0])

    async def late(processor: Any, q_elt: tuple[Any, ...]) -> AsyncIterator[Any]:
        yield q_elt[0]
        await asyncio.sleep(1)
        judge(q_elt[0])

    return {each.__name__: each for each in (quick, suspending, function, generator, async_generator, late)}[kind]


KINDS = ["quick", "suspending", "function", "generator", "async_generator", "late"]


@pytest.mark.parametrize("retry", [1, 3])
@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_p6_a_failure_at_any_call_is_told_with_node_item_attempts_and_cause(
    kind: str, concurrency: int, retry: int
) -> None:
    for index in range(ITEMS):
        cause = Broken(index)
        outcomes: list[str] = []
        events: list[Any] = []
        coro = failing(kind, {index: cause}.get)
        policy = {"attempts": retry, "backoff": 0.1, "jitter": False}
        graph = chain(feed(range(ITEMS)), coro, pass_on, concurrency=concurrency, retry=policy)
        graph["nodes"]["n1"]["properties"] = {"cleanup": teller(outcomes)}
        plumber, error = run(graph, hooks=[events.append])
        attempts = 1 if kind == "late" else retry
        assert isinstance(error, NodeError)
        assert (error.node, error.item, error.attempts, error.__cause__) == ("n0", index, attempts, cause)
        report = plumber.report
        assert report is not None
        assert (report.state, report.error, report.ok) == ("failed", error, False)
        assert outcomes == ["failed"]
        assert [event.item for event in events if isinstance(event, ItemFailed)] == [index]
        assert events[-1] == RunEnded(plumber.name, "failed", report.elapsed, error)
        assert report.outputs["n1"] == list(range(ITEMS))[: len(report.outputs["n1"])]
        check_counters(report, kind, concurrency)


def teller(outcomes: list[str]) -> Callable[[Any], None]:
    """A cleanup that remembers how the run ended."""
    return lambda processor: outcomes.append(processor.outcome)


def check_counters(report: Report, kind: str, concurrency: int) -> None:
    """Every call is accounted for, also in a run that failed."""
    node = report.statistics.node("n0")
    assert (node.failed, node.in_flight, node.state) == (1, 0, "ended")
    finished = node.sent + node.skipped + node.failed if kind != "late" else node.sent
    assert finished <= node.received <= finished + concurrency - 1 + node.held
    sent, queued = report.statistics.node("in").sent, report.statistics.edge("in", "n0").queued
    assert sent == node.received + queued


def translated(error: type[BaseException], kind: str) -> type[BaseException]:
    """Python itself lets no StopIteration out of a coroutine, and no generator raises one."""
    stops = issubclass(error, StopIteration) and kind != "function"
    ends = issubclass(error, StopAsyncIteration) and kind in ("async_generator", "late")
    return RuntimeError if stops or ends else error


class OwnBase(BaseException):
    """No Exception."""


STRANGE = [StopIteration, StopAsyncIteration, asyncio.CancelledError, TimeoutError, ClosedError, NodeError, OwnBase]


@pytest.mark.parametrize("policy", ["fail", "skip"])
@pytest.mark.parametrize("error", STRANGE)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "generator"])
def test_p6_strange_exceptions_are_failures_like_others(kind: str, error: type[BaseException], policy: str) -> None:
    coro = failing(kind, lambda item: error("strange") if item == 3 else None)
    _, outcome = run(chain(feed(range(ITEMS)), coro, on_error=policy))
    if policy == "fail" or error is OwnBase:
        assert isinstance(outcome, NodeError)
        assert outcome.node == "n0"
        assert isinstance(outcome.__cause__, translated(error, kind))
    else:
        assert isinstance(outcome, Report)
        assert outcome.outputs["n0"] == [item for item in range(ITEMS) if item != 3 or kind == "late"]
        [failed] = outcome.failures
        assert (failed.item, failed.node, type(failed.error)) == (3, "n0", translated(error, kind))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", ["quick", "suspending", "async_generator"])
def test_p6_an_interrupt_is_nobodys_failure(kind: str, error: type[BaseException]) -> None:
    cleaned: list[str] = []
    graph = chain(feed(range(ITEMS)), failing(kind, lambda item: error() if item == 2 else None), on_error="skip")
    graph["nodes"]["in"]["properties"] = {"cleanup": lambda processor: cleaned.append(processor.name)}
    with pytest.raises(error):
        run(graph)
    assert cleaned == ["in"]


# Sources.


def failing_source(kind: str, count: int, error: BaseException) -> Callable[..., Any]:
    async def putting(processor: Any, output_q: Any) -> None:
        for item in range(count):
            await output_q.put(item)
        raise error

    def generator(processor: Any) -> Iterator[int]:
        yield from range(count)
        raise error

    async def async_generator(processor: Any) -> AsyncIterator[int]:
        for item in range(count):
            yield item
        raise error

    def iterator(processor: Any) -> Any:
        return itertools.chain(range(count), map(throw, [error]))

    return {each.__name__: each for each in (putting, generator, async_generator, iterator)}[kind]


def throw(error: BaseException) -> Any:
    raise error


SOURCES = ["putting", "generator", "async_generator", "iterator"]
SOURCE_ERRORS = [Broken, StopAsyncIteration, asyncio.CancelledError, ClosedError, StopIteration]


# Without the last: StopIteration is how an iterator ends.
@pytest.mark.parametrize(("kind", "error"), list(itertools.product(SOURCES, SOURCE_ERRORS))[:-1])
def test_p6_a_source_that_fails_after_some_items(kind: str, error: type[BaseException]) -> None:
    for count in (0, 1, 2, 5):
        plumber, outcome = run(chain(failing_source(kind, count, error("source")), pass_on))
        assert isinstance(outcome, NodeError)
        assert (outcome.node, outcome.item) == ("in", None)
        assert isinstance(outcome.__cause__, (error, RuntimeError))
        report = plumber.report
        assert report is not None
        assert report.statistics.node("in").sent == count
        assert report.outputs["n0"] == list(range(len(report.outputs["n0"])))


# Setup, cleanup, hooks.


@pytest.mark.parametrize("error", [Broken, asyncio.CancelledError, StopIteration])
@pytest.mark.parametrize("suspends", [False, True])
@pytest.mark.parametrize("node", ["in", "n0"])
@pytest.mark.parametrize("which", ["setup", "cleanup"])
def test_p6_a_failing_setup_or_cleanup(which: str, node: str, suspends: bool, error: type[BaseException]) -> None:
    cleaned: list[str] = []

    async def suspended(processor: Any) -> None:
        await asyncio.sleep(2)
        raise error("life")

    def at_once(processor: Any) -> None:
        raise error("life")

    graph = chain(feed(range(ITEMS)), pass_on, pass_on)
    graph["nodes"]["n1"]["properties"] = {"cleanup": teller(cleaned)}
    graph["nodes"][node]["properties"] = {which: suspended if suspends else at_once}
    plumber, outcome = run(graph)
    assert isinstance(outcome, NodeError)
    assert (outcome.node, outcome.item) == (node, None)
    assert isinstance(outcome.__cause__, (error, RuntimeError))
    assert plumber.report is not None
    assert plumber.report.elapsed <= 3
    assert len(cleaned) == 1
    if which == "cleanup":
        assert plumber.report.outputs["n1"] == list(range(ITEMS))


def test_p6_a_failing_hook_is_logged_and_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def hook(event: Any) -> None:
        raise Broken("hook")

    with caplog.at_level(logging.ERROR, logger="pipelines"):
        _, outcome = run(chain(feed(range(ITEMS)), pass_on), hooks=[hook])
    assert isinstance(outcome, Report)
    assert outcome.outputs["n0"] == list(range(ITEMS))
    assert any("hook" in record.getMessage() for record in caplog.records)


def test_p6_the_first_of_many_failures_is_the_reason() -> None:
    coro = failing("suspending", lambda item: Broken(item))
    _, outcome = run(chain(feed(range(ITEMS)), coro, concurrency=ITEMS, queue_size=ITEMS))
    assert isinstance(outcome, NodeError)
    assert outcome.item == 0


def test_p6_a_wrong_target_fails_the_run_whatever_the_policy() -> None:
    targets: list[Any] = ["nowhere", "", None, [], "n0", "in", 3]
    for target in targets:
        for kind in ("quick", "suspending", "function"):
            sends = {"quick": _sends, "suspending": _sends_later, "function": _returns}[kind](target)
            _, outcome = run(chain(feed([1]), sends, pass_on, on_error="skip"))
            assert isinstance(outcome, NodeError), (target, kind)
            assert outcome.node == "n0"
            assert "downstream" in str(outcome)


def _sends(target: Any) -> Callable[..., Any]:
    async def coro(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        return To(target, 1)

    return coro


def _sends_later(target: Any) -> Callable[..., Any]:
    async def coro(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        await asyncio.sleep(1)
        return To(target, 1)

    return coro


def _returns(target: Any) -> Callable[..., Any]:
    return lambda processor, q_elt: To(target, 1)


# Everybody who waits is told.


@pytest.mark.virtual_time
async def test_p6_everybody_who_waits_learns_of_a_failure() -> None:
    async def coro(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        await asyncio.sleep(5)
        if q_elt[0] == "bad":
            raise Broken
        await asyncio.sleep(1000)

    plumber = Plumber(chain(None, coro, concurrency=2, queue_size=1))
    stream = plumber.stream("n0")
    plumber.create_pipeline()
    submitted = asyncio.create_task(plumber.submit("good"))
    await asyncio.sleep(0)
    culprit = asyncio.create_task(plumber.submit("bad"))
    await asyncio.sleep(0)
    inside = asyncio.create_task(plumber.submit("third"))
    putting = asyncio.create_task(plumber.put("in", "fourth"))
    reading = asyncio.create_task(anext(stream))
    waiting = (submitted, inside, putting, culprit, reading, plumber.wait())
    results: list[Any] = await asyncio.gather(*waiting, return_exceptions=True)
    told = [AbortedError, AbortedError, ClosedError, NodeError, NodeError, NodeError]
    assert [type(result) for result in results] == told
    assert plumber.report is not None
    error = plumber.report.error
    assert [result.__cause__ for result in results[:3]] == [error, error, error]
    assert isinstance(results[3].__cause__, Broken)
    assert results[4] is results[5] is error


@pytest.mark.parametrize("policy", ["fail", "skip"])
@pytest.mark.parametrize("kind", ["generator", "async_generator"])
def test_p5_generators_are_finished_before_the_run_is(kind: str, policy: str) -> None:
    begun: list[int] = []
    finished: list[int] = []

    def generator(processor: Any, q_elt: tuple[Any, ...]) -> Iterator[Any]:
        begun.append(q_elt[0])
        try:
            yield from range(5)
            if q_elt[0] == 3:
                raise Broken
        finally:
            finished.append(q_elt[0])

    async def async_generator(processor: Any, q_elt: tuple[Any, ...]) -> AsyncIterator[Any]:
        begun.append(q_elt[0])
        try:
            for number in range(5):
                await asyncio.sleep(1)
                yield number
            if q_elt[0] == 3:
                raise Broken
        finally:
            await asyncio.sleep(0)
            finished.append(q_elt[0])

    coro = generator if kind == "generator" else async_generator
    run(chain(feed(range(ITEMS)), coro, pass_on, on_error=policy, concurrency=3))
    assert sorted(begun) == sorted(finished)
    assert len(begun) >= 4

"""Items that misbehave, and values that look like something of the library's own: the engine touches none of them."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from collections.abc import AsyncIterator, Iterator
from typing import Any, NoReturn

import pytest

from pipelines import SKIP, NodeError, Plumber, Report, To
from pipelines.testing import feed, run_graph
from pipelines.types import FailedItem

from .small import chain, later, pass_on, run


class Untouchable:
    """Breaks whatever asks it anything: comparison, truth, length, hash, text."""

    def _refuse(self, *_: object) -> NoReturn:
        raise RuntimeError("touched")

    __eq__ = __ne__ = __bool__ = __len__ = __iter__ = __hash__ = __repr__ = __str__ = __contains__ = _refuse


class ArrayLike:
    """Compares like an array: to another array."""

    def __eq__(self, other: object) -> Any:
        return Untouchable()

    __hash__ = None  # type: ignore[assignment]


class Unspeakable(Exception):  # noqa: N818
    """An exception that cannot be put into words, is false, and has no equal."""

    def _refuse(self, *_: object) -> NoReturn:
        raise RuntimeError("touched")

    __str__ = __repr__ = __bool__ = __eq__ = _refuse
    __hash__ = Exception.__hash__


def hostile_items() -> list[Any]:
    return [
        Untouchable(),
        ArrayLike(),
        None,
        (),
        [],
        (1, 2),
        NotImplemented,
        ...,
        ValueError("a value"),
        StopIteration("a value"),
        asyncio.CancelledError("a value"),
        Unspeakable(),
        FailedItem(1, "elsewhere", ValueError()),
        NodeError("elsewhere", 1),
        To,
        Exception,
        float("nan"),
        "SKIP",
    ]


def at_once(processor: Any, q_elt: tuple[Any, ...]) -> Any:
    return q_elt[0]


def generated(processor: Any, q_elt: tuple[Any, ...]) -> Iterator[Any]:
    yield q_elt[0]


async def generated_later(processor: Any, q_elt: tuple[Any, ...]) -> AsyncIterator[Any]:
    await asyncio.sleep(0)
    yield q_elt[0]


def unpack(processor: Any, q_elt: tuple[list[Any]]) -> Iterator[Any]:
    yield from q_elt[0]


def whole(processor: Any, q_elt: tuple[Any, ...]) -> tuple[Any, ...]:
    return q_elt


PASSING = [pass_on, later, at_once, generated, generated_later]


def same(found: list[Any], wanted: list[Any]) -> bool:
    return len(found) == len(wanted) and all(one is other for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("coro", PASSING)
def test_p1_any_value_passes_any_kind_of_node(coro: Any) -> None:
    items = hostile_items()
    report = run_graph(chain(feed(items), coro, pass_on))
    assert same(report.outputs["n1"], items)


def test_p1_any_value_passes_batches_zips_merges_and_routes() -> None:
    items = hostile_items()

    def refuse(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        raise Unspeakable

    def failed(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        return q_elt[0].item

    report = run_graph(
        {
            "nodes": {
                "in": {"coro": feed(items)},
                "late": {"coro": later},
                "zip": {"coro": whole},
                "batch": {"coro": lambda processor, q_elt: q_elt[0], "properties": {"batch": {"size": 4}}},
                "unpack": {"coro": unpack},
                "bad": {"coro": refuse, "properties": {"on_error": {"route": "dead"}}},
                "dead": {"coro": failed},
                "merge": {"coro": pass_on, "properties": {"aggregate_inputs": False}},
            },
            "graph": {"in": ["late", "zip", "batch", "bad", "merge"], "late": ["zip", "merge"], "batch": ["unpack"]},
        }
    )
    assert same([left for left, _ in report.outputs["zip"]], items)
    assert same([right for _, right in report.outputs["zip"]], items)
    assert same(report.outputs["unpack"], items)
    assert same(report.outputs["dead"], items)
    assert sorted(map(id, report.outputs["merge"])) == sorted(map(id, items + items))
    assert not report.ok


@pytest.mark.virtual_time
async def test_p1_any_value_can_be_put_submitted_and_streamed() -> None:
    items = hostile_items()
    async with Plumber(chain(None, later, queue_size=64)) as plumber:
        stream = plumber.stream("n0")
        for item in items:
            assert await plumber.submit(item) is item
        assert same([await anext(stream) for _ in items], items)
        await plumber.put("in", items[0])
        assert await anext(stream) is items[0]


@pytest.mark.parametrize("coro", ["quick", "suspending"])
def test_p6_a_broken_item_with_a_broken_error_is_still_told(coro: str) -> None:
    async def fail(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        if coro == "suspending":
            await asyncio.sleep(1)
        raise Unspeakable

    item = Untouchable()
    _, error = run(chain(feed([item]), fail))
    assert isinstance(error, NodeError)
    assert error.item is item
    for text in (str(error), repr(error)):
        assert "n0" in text
    _, report = run(chain(feed([item]), fail, on_error="skip"))
    assert isinstance(report, Report)
    assert "Untouchable" in json.dumps(report.to_dict())


def test_p6_a_report_of_a_failed_run_can_always_be_told() -> None:
    def fail(processor: Any, q_elt: tuple[Any, ...]) -> Any:
        raise Unspeakable

    plumber, _ = run(chain(feed([Untouchable()]), fail))
    assert plumber.report is not None
    assert "n0" in json.dumps(plumber.report.to_dict())


def test_p1_copies_of_skip_are_skip() -> None:
    for skip in (copy.copy(SKIP), copy.deepcopy(SKIP), pickle.loads(pickle.dumps(SKIP))):
        report = run_graph(chain(feed([1, 2]), lambda processor, q_elt, skip=skip: skip, pass_on))
        assert report.outputs["n1"] == []
        assert report.statistics.node("n0").skipped == 2


def test_p1_a_value_inside_to_may_be_anything() -> None:
    items = hostile_items()
    report = run_graph(chain(feed(items), lambda processor, q_elt: To("n1", q_elt[0]), pass_on))
    assert same(report.outputs["n1"], items)


def test_p1_a_to_inside_a_to_is_a_value() -> None:
    inner = To("n1", 1)
    report = run_graph(chain(feed([1]), lambda processor, q_elt: To("n1", inner), whole))
    assert report.outputs["n1"] == [(inner,)]

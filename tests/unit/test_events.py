"""Events are frozen records; hooks are told of them and can disturb nobody."""

from __future__ import annotations

import logging
from dataclasses import FrozenInstanceError

import pytest

from pipelines import NodeError, Plumber, events
from pipelines.events import Event, ItemFailed, NodeEnded, RunEnded, RunStarted, tell
from pipelines.testing import feed
from tests.unit.graphs import Listener, failing, line, node, same, sleeper

pytestmark = pytest.mark.virtual_time


async def test_the_story_of_a_run():
    told = Listener()
    await Plumber(line(inp=feed([1, 2]), n=same, out=same), name="demo", hooks=[told]).run()
    assert told.story[0] == "RunStarted"
    assert told.story[-1] == "RunEnded"
    assert sorted(told.story[1:4]) == ["NodeStarted inp", "NodeStarted n", "NodeStarted out"]
    assert told.story[4:-1] == ["NodeEnded inp", "NodeEnded n", "NodeEnded out"]
    assert {event.run for event in told.events} == {"demo"}
    assert told.of(NodeEnded) == [
        NodeEnded("demo", "inp", 0, 2),
        NodeEnded("demo", "n", 2, 2),
        NodeEnded("demo", "out", 2, 2),
    ]


async def test_the_end_is_told_with_state_time_and_error():
    told = Listener()
    await Plumber(line(inp=feed([1]), out=sleeper(2)), hooks=[told], name="demo").run()
    assert told.of(RunEnded) == [RunEnded("demo", "completed", 2.0)]

    told = Listener()
    with pytest.raises(NodeError) as caught:
        await Plumber(line(inp=feed([1]), out=failing(1)), hooks=[told], name="demo").run()
    assert told.of(RunEnded) == [RunEnded("demo", "failed", 0.0, caught.value)]


@pytest.mark.parametrize(("on_error", "action"), [("skip", "skip"), ({"route": "dead"}, "route"), ("fail", "fail")])
async def test_a_given_up_item_is_told_with_what_becomes_of_it(on_error, action):
    told = Listener()
    given = line(inp=feed([7]), n=node(failing(7), on_error=on_error, retry={"attempts": 2, "backoff": 0}), out=same)
    if action == "route":
        given["nodes"]["dead"] = {"coro": same}
    try:
        await Plumber(given, hooks=[told]).run()
    except NodeError:
        assert action == "fail"
    (event,) = told.of(ItemFailed)
    assert (event.node, event.item, str(event.error), event.attempts, event.action) == ("n", 7, "no 7", 2, action)


async def test_nothing_is_told_for_items_that_go_well():
    counts = []
    for items in (1, 1000):
        told = Listener()
        await Plumber(line(inp=feed(range(items)), out=same), hooks=[told]).run()
        counts.append(len(told.events))
    assert counts[0] == counts[1]


async def test_p6_a_hook_that_raises_is_logged_and_disturbs_nobody(caplog):
    told = Listener()

    def broken(event: Event) -> None:
        raise ValueError("hook")

    with caplog.at_level(logging.ERROR, "pipelines"):
        report = await Plumber(line(inp=feed([1]), out=same), hooks=[broken, told]).run(collect=["out"])
    assert (report.state, report.outputs["out"]) == ("completed", [1])
    assert told.story[-1] == "RunEnded"
    assert len(caplog.records) == len(told.events)
    assert "failed on 'RunStarted'" in caplog.records[0].getMessage()


async def test_a_hook_that_raises_no_exception_proper_is_not_held_back():
    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tell([interrupt], RunStarted("demo"))


async def test_several_hooks_are_told_in_their_order():
    order: list[str] = []
    tell([lambda _: order.append("a"), lambda _: order.append("b")], RunStarted("demo"))
    assert order == ["a", "b"]


async def test_a_source_closed_before_the_start_is_told_after_the_start():
    told = Listener()
    plumber = Plumber(line(inp={}, out=same), hooks=[told])
    plumber.close("inp")
    await plumber.run()
    assert told.story[0] == "RunStarted"
    assert told.story.index("NodeStarted inp") < told.story.index("NodeEnded inp")


@pytest.mark.parametrize("kind", [name for name in events.__all__ if name not in ("Event", "Hook", "tell")])
async def test_events_are_frozen_records_of_one_family(kind):
    record = getattr(events, kind)
    assert issubclass(record, Event)
    fields = [1] * (len(record.__dataclass_fields__) - 1)
    with pytest.raises(FrozenInstanceError):
        record("demo", *fields).run = "other"

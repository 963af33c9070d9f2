"""When an entry that came into a part counts as done: alone, or together with what it met."""

from __future__ import annotations

from typing import Any

from pipelines.channels.entries import unite
from pipelines.channels.memory import MemoryChannel
from pipelines.engine.origins import Origin, SourceTrack
from pipelines.engine.outbox import Outbox
from pipelines.statistics import Meter


class LinkLog:
    def __init__(self) -> None:
        self.told: list[tuple[str, int, Any]] = []

    def advance(self, source: str, count: int, forget: Any = None) -> None:
        self.told.append((source, count, forget))


def test_an_entry_is_done_when_nothing_of_it_is_left():
    done: list[str] = []
    origin = Origin("a", lambda each: done.append(each.id))
    origin.branch(1)
    origin.drop("node")
    assert done == []
    origin.result("sink", 1)
    assert done == ["a"]


def test_children_have_ids_that_come_again():
    origin = Origin("inp:3", lambda each: None)
    x: Any = "x"
    y: Any = "y"
    assert [origin.child(x), origin.child(x), origin.child(y)] == ["inp:3", "inp:3.1", "inp:3"]


def test_p1_branches_have_ids_of_their_own_whichever_comes_first():
    outlet: Any = "x"
    for order in ((0, 1), (1, 0)):
        origin = Origin("inp:3", lambda each: None)
        branches = [origin.fork(number) for number in range(2)]
        ids = {number: branches[number].child(outlet) for number in order}  # type: ignore[attr-defined]
        assert ids == {0: "inp:3~0", 1: "inp:3~1"}
        assert sorted(origin.sent[outlet]) == ["inp:3~0", "inp:3~1"]


def test_branches_that_meet_are_one_again():
    done: list[str] = []
    origin = Origin("a", lambda each: done.append(each.id))
    origin.branch(1)
    branches = [origin.fork(number) for number in range(2)]
    (one,) = unite(branches)
    assert done == []
    one.drop("")
    assert done == ["a"]


def test_p3_what_came_together_is_done_together():
    done: list[str] = []
    origins = [Origin(name, lambda each: done.append(each.id)) for name in "abcd"]
    unite(origins[:2])
    unite(origins[2:])
    unite([origins[1], origins[2]])
    for origin in origins[:3]:
        origin.drop("")
    assert done == []
    origins[3].drop("")
    assert sorted(done) == ["a", "b", "c", "d"]


def test_p1_items_of_a_source_are_done_in_order():
    link = LinkLog()
    track = SourceTrack("inp", link, 0)  # type: ignore[arg-type]
    first, second, third = (track() for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    second.drop("")
    assert link.told == []
    first.drop("")
    assert [(source, count) for source, count, _ in link.told] == [("inp", 1), ("inp", 2)]
    third.drop("")
    assert link.told[-1][:2] == ("inp", 3)


def test_p3_a_source_waits_for_what_its_items_met():
    link = LinkLog()
    track = SourceTrack("inp", link, 0)  # type: ignore[arg-type]
    done: list[str] = []
    mine = [track() for _ in range(3)]
    theirs = [Origin(f"other:{number}", lambda each: done.append(each.id)) for number in range(3)]
    for own, other in zip(mine, theirs, strict=True):
        assert own is not None
        unite([own, other])
    for own in mine:
        assert own is not None
        own.drop("")
    theirs[1].drop("")
    assert (done, link.told) == ([], [])
    theirs[0].drop("")
    assert sorted(done) == ["other:0", "other:1"]
    assert link.told[-1][:2] == ("inp", 2)


def test_items_that_were_done_in_an_earlier_life_are_left_out():
    track = SourceTrack("inp", LinkLog(), 2)  # type: ignore[arg-type]
    third = [track() for _ in range(3)]
    assert third[:2] == [None, None]
    assert third[2] is not None
    assert third[2].id == "inp:3"


def test_thousands_may_wait_for_the_first():
    link = LinkLog()
    track = SourceTrack("inp", link, 0)  # type: ignore[arg-type]
    origins = [track() for _ in range(5000)]
    for origin in reversed(origins):
        assert origin is not None
        origin.drop("")
    assert link.told[-1][:2] == ("inp", 5000)


def test_items_of_one_source_may_come_together():
    link = LinkLog()
    track = SourceTrack("inp", link, 0)  # type: ignore[arg-type]
    origins = [track() for _ in range(6)]
    assert None not in origins
    unite(origins[:3])  # type: ignore[arg-type]
    unite(origins[3:])  # type: ignore[arg-type]
    for origin in reversed(origins):
        assert origin is not None
        origin.drop("")
    assert link.told[-1][:2] == ("inp", 6)
    assert track._living == {}


def test_groups_that_wait_for_each_others_items_are_done():
    link = LinkLog()
    track = SourceTrack("inp", link, 0)  # type: ignore[arg-type]
    origins = [track() for _ in range(4)]
    assert None not in origins
    unite([origins[0], origins[2]])  # type: ignore[list-item]
    unite([origins[1], origins[3]])  # type: ignore[list-item]
    for origin in origins:
        assert origin is not None
        assert link.told == []
        origin.drop("")
    assert link.told[-1][:2] == ("inp", 4)


def test_p1_an_item_that_goes_on_in_several_channels_is_on_several_branches():
    channels = [MemoryChannel("n", name, 5) for name in "ab"]
    outbox = Outbox("n", channels, None, Meter(0.0), ordered=True)
    outbox.dispatch(7, (Origin("inp:1", lambda each: None),))
    outlet: Any = "x"
    tickets = [channel.take()[1][0] for channel in channels]
    assert [ticket.child(outlet) for ticket in tickets] == ["inp:1~0", "inp:1~1"]  # type: ignore[attr-defined]

"""The three ways in which incoming channels become one stream; what is common to them is in the contract."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.channels.join import MergeInbox, SingleInbox, ZipInbox, join
from pipelines.channels.memory import MemoryChannel
from tests.unit.channels.tickets import TicketLog


def channels(*contents: Any) -> list[MemoryChannel]:
    """A channel for each of the contents; None inside means a tombstone."""
    made = []
    for name, items in zip("abcdef", contents, strict=False):
        channel = MemoryChannel(name, "z", 10, aligned=True)
        for item in items:
            channel.push_tomb(1) if item is None else channel.push(item)
        made.append(channel)
    return made


def all_of(inbox: Any) -> list[Any]:
    found = []
    while inbox.available():
        q_elt, _, tombs = inbox.take()
        found.append(q_elt if q_elt is not None else tombs)
    return found


@pytest.mark.parametrize(
    ("count", "zips", "kind"),
    [(1, True, SingleInbox), (1, False, SingleInbox), (2, True, ZipInbox), (2, False, MergeInbox)],
)
def test_join_chooses_by_number_and_wish(count, zips, kind):
    assert type(join(channels(*[""] * count), "z", zips=zips)) is kind


class TestZip:
    def test_p3_pairs_by_position(self):
        assert all_of(join(channels("abc", "ABC"), "z", zips=True)) == [("a", "A"), ("b", "B"), ("c", "C")]

    def test_takes_only_what_has_a_partner(self):
        inbox = join(channels("abc", "A"), "z", zips=True)
        assert inbox.available() == 1

    @pytest.mark.parametrize(
        ("left", "right", "expected"),
        [
            (["a", None, "c"], "ABC", [("a", "A"), 1, ("c", "C")]),
            ([None, None, "c"], ["A", "B", "C"], [1, 1, ("c", "C")]),
            ([None, "b", None], [None, None, "C"], [1, 1, 1]),
            (["a", "b"], [None, "B"], [1, ("b", "B")]),
        ],
    )
    def test_p3_a_tombstone_cancels_its_position_alone(self, left, right, expected):
        assert all_of(join(channels(left, right), "z", zips=True)) == expected

    def test_the_tickets_of_a_cancelled_position_are_told(self):
        inbox = join(channels([], [None]), "z", zips=True)
        ticket = TicketLog()
        inbox.channels[0].push_tracked("x", (ticket,))
        assert inbox.take() == (None, (), 1)
        assert ticket.told == [("drop", "z")]

    def test_tickets_of_different_items_stay_apart(self):
        inbox = join(channels([], []), "z", zips=True)
        tickets = TicketLog(), TicketLog()
        for channel, ticket in zip(inbox.channels, tickets, strict=True):
            channel.push_tracked("x", (ticket,))
        assert inbox.take()[1] == tickets
        assert [ticket.places for ticket in tickets] == [1, 1]

    def test_p1_what_cannot_be_paired_any_more_is_dropped_and_counted(self):
        told = []
        inbox = join(channels("ab", "ABCD"), "z", zips=True)
        inbox.channels[1].on_room = lambda: told.append(1)
        inbox.channels[0].close()
        all_of(inbox)
        assert inbox.surplus("z") is None, "the longer one may still be going on"
        assert (inbox.channels[1].qsize(), told) == (0, [1])
        inbox.channels[1].push("E")
        inbox.channels[1].close()
        assert inbox.surplus("z") == {"a": 2, "b": 5}

    def test_no_surplus_before_any_has_ended(self):
        inbox = join(channels("", "ABCD"), "z", zips=True)
        assert inbox.surplus("z") is None
        assert inbox.channels[1].qsize() == 4


class TestMerge:
    def test_takes_from_all_channels_in_turn(self):
        assert all_of(join(channels("abc", "ABC"), "z", zips=False)) == [(item,) for item in "aAbBcC"]

    def test_takes_what_there_is(self):
        assert all_of(join(channels("ab", "", "ABC"), "z", zips=False)) == [(item,) for item in "aAbBC"]

    def test_a_tombstone_is_an_entry_of_no_item(self):
        assert all_of(join(channels(["a", None], "A"), "z", zips=False)) == [("a",), ("A",), 1]

    def test_lends_equal_numbers_of_each(self):
        inbox = join(channels("abc", "A", "123"), "z", zips=False)
        assert list(inbox.lend(9)) == ["a", "A", "1"]

    def test_lends_fewer_than_there_are_channels(self):
        inbox = join(channels("ab", "AB", "12"), "z", zips=False)
        items = list(inbox.lend(2))
        assert len(items) == 2
        inbox.repay(1, [items[1]])
        assert sum(channel.qsize() for channel in inbox.channels) == 5

    def test_nobody_starves(self):
        inbox = join(channels("aaaaaaaaa", "A"), "z", zips=False)
        first = []
        for _ in range(2):
            first += list(inbox.lend(1))
            inbox.repay(1, [])
        assert "A" in first

    def test_has_no_surplus(self):
        inbox = join(channels("", "A"), "z", zips=False)
        inbox.channels[0].close()
        assert inbox.surplus("z") is None

"""`MemoryChannel`: the bounded conduit of an edge, and what it does when it is full."""

from __future__ import annotations

from typing import Any

from pipelines.channels.base import UNBOUNDED
from pipelines.channels.memory import MemoryChannel
from tests.unit.channels.tickets import TicketLog


def channel(*items: Any, capacity: int = 3, **options: Any) -> MemoryChannel:
    made = MemoryChannel("a", "b", capacity, **options)
    for item in items:
        made.push(item)
    return made


def drained(one: MemoryChannel) -> list[Any]:
    """Everything inside: items as they are, tombstones as their number in brackets."""
    found: list[Any] = []
    while one.items:
        item, _, tombs = one.take()
        found.append([tombs] if tombs else item)
    return found


def test_it_shows_what_it_is():
    one = channel("x")
    assert repr(one) == "<MemoryChannel a->b 1/3>"
    one.close()
    assert repr(one) == "<MemoryChannel a->b 1/3 closed>"


def test_it_speaks_the_words_of_an_asyncio_queue():
    one = channel(1, 2)
    assert (one.maxsize, one.qsize(), one.empty(), one.full()) == (3, 2, False, False)
    one.push(3)
    assert one.full()
    drained(one)
    assert one.empty()


def test_an_empty_channel_is_no_absent_one():
    assert bool(channel()), "`if channel:` asks whether there is one, as with asyncio.Queue"


def test_p4_room_is_what_is_left_of_the_capacity():
    one = channel(1)
    assert one.room() == 2
    one.take()
    assert one.room() == 3


def test_it_counts_what_was_taken_and_the_most_there_ever_was():
    one = channel(1, 2)
    one.see_peak()
    drained(one)
    one.push(3)
    one.see_peak()
    assert (one.taken, one.peak, one.dropped) == (2, 2, 0)


def test_closing_tells_the_reader_once_and_keeps_what_is_inside():
    told = []
    one = channel(1)
    one.on_items = lambda: told.append(1)
    one.close()
    one.close()
    assert (told, one.closed, drained(one)) == ([1], True, [1])


def test_tombstones_are_kept_only_where_positions_are_counted():
    one = channel(1)
    one.push_tomb(2)
    assert (drained(one), one.taken) == ([1], 1)
    one = channel(1, aligned=True)
    one.push_tomb(2)
    assert (drained(one), one.taken) == ([1, [2]], 3)


def test_neighbouring_tombstones_become_one_entry():
    one = channel(aligned=True)
    for count in (1, 2, 3):
        one.push_tomb(count)
    assert (len(one.items), one.noted, drained(one), one.noted) == (1, 1, [[6]], 0)


def test_p4_tombstones_never_make_a_writer_wait():
    one = channel(1, 2, capacity=3, aligned=True)
    one.push_tomb(1)
    assert one.room() == 1


def test_a_position_at_a_time_can_be_taken_of_a_run_of_tombstones():
    one = channel(aligned=True)
    one.push_tomb(2)
    one.push("x")
    assert [one.take_position() for _ in range(3)] == [(None, (), 1), (None, (), 1), ("x", (), 0)]
    assert (one.taken, one.noted) == (3, 0)


def test_a_tracked_item_comes_out_with_its_tickets():
    ticket = TicketLog()
    one = channel()
    one.push_tracked("x", (ticket,))
    assert one.noted == 1
    assert one.take() == ("x", (ticket,), 0)
    assert (one.noted, one.taken) == (0, 1)


def test_discarding_drops_everything_and_tells_the_tickets():
    ticket = TicketLog()
    one = channel(1, aligned=True)
    one.push_tomb(4)
    one.push_tracked("x", (ticket,))
    assert one.discard("z") == 6
    assert (ticket.told, one.noted, one.qsize()) == ([("drop", "z")], 0, 0)


def test_a_part_that_is_lent_comes_back_in_place():
    told = []
    one = channel(1, 2, 3)
    one.on_room = lambda: told.append(one.qsize())
    lent = one.lend(2)
    assert (lent, one.qsize(), one.room(), one.full(), one.empty()) == ([1, 2], 3, 0, True, False)
    one.repay(1, lent[1:])
    assert (told, one.taken, drained(one)) == ([2], 1, [2, 3])


class TestDropNew:
    def test_a_full_channel_drops_what_comes(self):
        one = channel(1, 2, 3, 4, 5, overflow="drop_new")
        assert (one.dropped, drained(one)) == (2, [1, 2, 3])

    def test_its_writer_never_waits(self):
        assert channel(1, 2, 3, overflow="drop_new").room() == UNBOUNDED

    def test_p3_losses_leave_tombstones_where_positions_are_counted(self):
        one = channel(1, 2, 3, 4, 5, overflow="drop_new", aligned=True)
        assert (one.dropped, drained(one), one.taken) == (2, [1, 2, 3, [2]], 5)

    def test_a_tracked_item_that_is_dropped_tells_its_tickets(self):
        ticket = TicketLog()
        one = channel(1, 2, 3, overflow="drop_new")
        one.push_tracked("x", (ticket,))
        assert (ticket.told, one.noted, one.dropped) == ([("drop", "b")], 0, 1)

    def test_what_is_lent_counts_as_inside(self):
        one = channel(1, 2, 3, overflow="drop_new")
        lent = one.lend(3)
        one.push(4)
        one.repay(0, lent)
        assert (one.dropped, drained(one)) == (1, [1, 2, 3])

    def test_p4_a_tombstone_takes_no_items_place(self):
        one = channel(1, 2, 3, 4, overflow="drop_new", aligned=True)
        one.take()
        one.push(5)
        assert (one.dropped, drained(one)) == (1, [2, 3, [1], 5])


class TestDropOld:
    def test_a_full_channel_drops_its_oldest(self):
        one = channel(1, 2, 3, 4, 5, overflow="drop_old")
        assert (one.dropped, drained(one)) == (2, [3, 4, 5])

    def test_its_writer_never_waits(self):
        assert channel(1, 2, 3, overflow="drop_old").room() == UNBOUNDED

    def test_p3_losses_leave_tombstones_where_positions_are_counted(self):
        one = channel(1, 2, 3, 4, 5, overflow="drop_old", aligned=True)
        assert (one.dropped, drained(one), one.taken) == (2, [[2], 3, 4, 5], 5)

    def test_p3_a_tombstone_between_items_keeps_its_place(self):
        one = channel(1, overflow="drop_old", aligned=True)
        one.push_tomb(1)
        for item in (3, 4, 5, 6):
            one.push(item)
        assert drained(one) == [[3], 4, 5, 6]
        assert (one.dropped, one.noted, one.taken) == (2, 0, 6)

    def test_tracked_items_that_are_dropped_tell_their_tickets(self):
        ticket = TicketLog()
        one = channel(overflow="drop_old", aligned=True)
        one.push_tracked("x", (ticket,))
        for item in (1, 2, 3):
            one.push(item)
        assert (ticket.told, one.noted, drained(one)) == ([("drop", "b")], 1, [[1], 1, 2, 3])

    def test_when_all_items_are_lent_the_new_one_is_lost_or_takes_the_place_of_none(self):
        one = channel(1, 2, 3, overflow="drop_old")
        lent = one.lend(3)
        one.push(4)
        one.repay(1, lent[1:])
        assert one.dropped + one.taken + one.qsize() == 4
        assert one.qsize() <= 3

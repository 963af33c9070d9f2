"""What every inbox promises to the loop that takes from it, however it joins its channels."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.channels.base import Inbox
from pipelines.channels.join import join
from pipelines.channels.memory import MemoryChannel
from pipelines.engine.batching import BatchInbox
from pipelines.graph import Batch
from tests.unit.channels.tickets import TicketLog


def boxed(inbox: Any, lent: Any) -> Any:
    """What a node is called with for what was lent."""
    return lent if inbox.tuples else (lent,)


class InboxSuite:
    """The contract; a subclass says how its inbox is made and what it makes of one item per channel."""

    width = 1

    @pytest.fixture
    def channels(self) -> list[MemoryChannel]:
        return [MemoryChannel(f"up{number}", "node", 8, aligned=True) for number in range(self.width)]

    @pytest.fixture
    def inbox(self, channels: list[MemoryChannel]) -> Iterator[Inbox]:
        raise NotImplementedError

    def made_of(self, item: Any) -> tuple[Any, ...]:
        """The ``q_elt`` that comes out when ``item`` is put into every channel that has to have one."""
        raise NotImplementedError

    def put(self, channels: list[MemoryChannel], *items: Any) -> None:
        """Put each item into as many channels as one ``q_elt`` is made of."""
        for item in items:
            for channel in channels:
                channel.push(item)

    def taken(self, inbox: Inbox) -> list[tuple[Any, ...]]:
        found = []
        while inbox.available():
            q_elt, _, _ = inbox.take()
            if q_elt is not None:
                found.append(q_elt)
        return found

    def test_an_empty_one_has_nothing_available(self, inbox):
        assert inbox.available() == 0
        assert not inbox.ended

    def test_available_says_how_often_take_succeeds(self, inbox, channels):
        self.put(channels, 1, 2, 3)
        assert inbox.available() == 3
        assert inbox.take() == (self.made_of(1), (), 0)
        assert inbox.available() == 2

    def test_it_says_its_size_as_a_queue_does(self, inbox, channels):
        assert inbox.qsize() == 0
        self.put(channels, 1, 2)
        inbox.available()
        assert inbox.qsize() in (1, 2)  # a batch counts what it has collected for the next list

    def test_p2_items_come_out_in_order(self, inbox, channels):
        self.put(channels, *range(5))
        assert self.taken(inbox) == [self.made_of(item) for item in range(5)]

    def test_it_knows_its_channels(self, inbox, channels):
        assert inbox.channels == tuple(channels)

    def test_it_has_ended_when_all_channels_are_closed_and_empty(self, inbox, channels):
        self.put(channels, 1)
        for channel in channels:
            assert not inbox.ended
            channel.close()
        assert not inbox.ended
        self.taken(inbox)
        assert inbox.ended

    def test_release_tells_every_writer(self, inbox, channels):
        told = []
        for channel in channels:
            channel.on_room = lambda channel=channel: told.append(channel.upstream)
        inbox.release()
        assert told == [channel.upstream for channel in channels]

    def test_take_hands_over_the_tickets(self, inbox, channels):
        ticket = TicketLog()
        ticket.branch(len(channels) - 1)
        for channel in channels:
            channel.push_tracked("x", (ticket,))
        assert inbox.noted
        q_elt, tickets, _ = inbox.take()
        assert (q_elt, tickets) == (self.made_of("x"), (ticket,))
        assert ticket.places == 1

    def test_p1_a_tombstone_is_no_item(self, inbox, channels):
        self.put(channels, 1)
        for channel in channels:
            channel.push_tomb(2)
        self.put(channels, 2)
        assert inbox.noted
        assert self.taken(inbox) == [self.made_of(1), self.made_of(2)]

    def test_channels_of_equal_length_have_no_surplus(self, inbox, channels):
        self.put(channels, 1, 2)
        for channel in channels:
            channel.close()
        assert inbox.surplus("node") is None
        self.taken(inbox)
        assert inbox.surplus("node") is None

    def test_channels_remember_how_many_entries_there_were(self, inbox, channels):
        self.put(channels, 1, 2, 3)
        self.taken(inbox)
        assert max(channel.peak for channel in channels) == 3


class LendingSuite(InboxSuite):
    """The contract of those that lend many items at once."""

    @pytest.mark.parametrize("done", range(4))
    def test_what_is_not_done_comes_back_to_its_place(self, inbox, channels, done):
        self.put(channels, *range(6))
        lent = inbox.lend(3)
        first = [boxed(inbox, next(lent)) for _ in range(done)]
        rest = list(lent)
        inbox.repay(done, rest)
        assert done + len(rest) == 3
        assert [*first, *self.taken(inbox)] == [self.made_of(item) for item in range(6)]

    def test_p4_what_is_lent_counts_as_inside(self, inbox, channels):
        self.put(channels, *range(6))
        before = [channel.qsize() for channel in channels]
        lent = inbox.lend(3)
        assert [channel.qsize() for channel in channels] == before
        inbox.repay(2, list(lent)[2:])
        assert sum(before) - sum(channel.qsize() for channel in channels) == 2 * (sum(before) // 6)

    def test_it_takes_only_what_was_put_before(self, inbox, channels):
        self.put(channels, 1, 2)
        lent = inbox.lend(2)
        self.put(channels, 3)
        assert [boxed(inbox, each) for each in lent] == [self.made_of(1), self.made_of(2)]
        inbox.repay(2, [])
        assert self.taken(inbox) == [self.made_of(3)]

    def test_what_comes_back_stands_before_what_was_put_meanwhile(self, inbox, channels):
        self.put(channels, 1, 2)
        lent = inbox.lend(2)
        self.put(channels, 3)
        inbox.repay(0, list(lent))
        assert self.taken(inbox) == [self.made_of(item) for item in (1, 2, 3)]

    def test_repaying_tells_the_writers(self, inbox, channels):
        told = []
        self.put(channels, 1)
        for channel in channels:
            channel.on_room = lambda channel=channel: told.append(channel.upstream)
        lent = inbox.lend(1)
        inbox.repay(1, list(lent)[1:])
        assert told

    def test_plain_items_are_not_noted(self, inbox, channels):
        self.put(channels, 1)
        assert not inbox.noted


class TestSingleInbox(LendingSuite):
    @pytest.fixture
    def inbox(self, channels):
        return join(channels, "node", zips=False)

    def made_of(self, item):
        return (item,)


class TestZipInbox(LendingSuite):
    width = 3

    @pytest.fixture
    def inbox(self, channels):
        return join(channels, "node", zips=True)

    def made_of(self, item):
        return (item, item, item)


class TestMergeInbox(LendingSuite):
    """One item is put into the channels in turn; a merge takes from them in turn."""

    width = 2

    @pytest.fixture
    def inbox(self, channels):
        self.turn = 0
        return join(channels, "node", zips=False)

    def made_of(self, item):
        return (item,)

    def put(self, channels, *items):
        for item in items:
            channels[self.turn % 2].push(item)
            self.turn += 1

    def test_take_hands_over_the_tickets(self, inbox, channels):
        ticket = TicketLog()
        channels[1].push_tracked("x", (ticket,))
        assert inbox.noted
        assert inbox.take() == (("x",), (ticket,), 0)

    def test_channels_remember_how_many_entries_there_were(self, inbox, channels):
        self.put(channels, 1, 2, 3)
        self.taken(inbox)
        assert [channel.peak for channel in channels] == [2, 1]

    @pytest.mark.parametrize("done", range(3))
    def test_what_is_not_done_comes_back_to_its_place(self, inbox, channels, done):
        self.put(channels, *range(6))
        lent = inbox.lend(2)
        first = [next(lent) for _ in range(done)]
        rest = list(lent)
        inbox.repay(done, rest)
        assert [channel.taken for channel in channels] == [min(done, 1), max(done - 1, 0)]
        items = [*first, *[item for (item,) in self.taken(inbox)]]
        assert done + len(rest) == 2
        assert sorted(items) == list(range(6))
        assert [item for item in items if item % 2] == [1, 3, 5]
        assert [item for item in items if not item % 2] == [0, 2, 4]

    def test_p4_what_is_lent_counts_as_inside(self, inbox, channels):
        self.put(channels, *range(6))
        lent = list(inbox.lend(4))
        assert (len(lent), [channel.qsize() for channel in channels]) == (4, [3, 3])
        inbox.repay(3, lent[3:])
        assert sum(channel.qsize() for channel in channels) == 3

    def test_what_comes_back_stands_before_what_was_put_meanwhile(self, inbox, channels):
        channels[0].push(1)
        lent = inbox.lend(1)
        channels[0].push(2)
        inbox.repay(0, list(lent))
        assert self.taken(inbox) == [(1,), (2,)]

    def test_it_takes_only_what_was_put_before(self, inbox, channels):
        self.put(channels, 1, 2)
        lent = inbox.lend(5)
        self.put(channels, 3)
        assert list(lent) == [1, 2]
        inbox.repay(2, [])
        assert self.taken(inbox) == [(3,)]


class TestBatchInbox(InboxSuite):
    """With batches of one, a batch inbox is an inbox whose items are lists."""

    @pytest.fixture
    def inbox(self, channels):
        loop = asyncio.new_event_loop()
        yield BatchInbox(join(channels, "node", zips=False), Batch(size=1), loop, lambda: None)
        loop.close()

    def made_of(self, item):
        return ([item],)

    def test_it_does_not_lend(self, inbox):
        assert inbox.noted
        with pytest.raises(NotImplementedError):
            inbox.lend(1)
        with pytest.raises(NotImplementedError):
            inbox.repay(0, [])


class TestZippedBatchInbox(TestBatchInbox):
    width = 2

    @pytest.fixture
    def inbox(self, channels):
        loop = asyncio.new_event_loop()
        yield BatchInbox(join(channels, "node", zips=True), Batch(size=1), loop, lambda: None)
        loop.close()

    def made_of(self, item):
        return ([item], [item])

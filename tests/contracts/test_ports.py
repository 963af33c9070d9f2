"""What every port promises to the outbox that pushes into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipelines.channels.base import Port
from pipelines.channels.memory import MemoryChannel
from pipelines.engine.taps import Collected, StreamPort
from tests.unit.channels.tickets import TicketLog


class PortSuite:
    """The contract; a subclass makes a port that has room for at least three."""

    bounded = True

    @pytest.fixture
    def port(self) -> Port:
        raise NotImplementedError

    def inside(self, port: Any) -> list[Any]:
        """What has been pushed and not taken."""
        return list(port.items)

    def test_items_stand_in_the_order_of_the_pushes(self, port):
        for item in "abc":
            port.push(item)
        assert self.inside(port) == ["a", "b", "c"]

    def test_p4_every_push_uses_up_room(self, port):
        before = port.room()
        assert before >= 3
        port.push("a")
        port.push_tracked("b", (TicketLog(),))
        assert before - port.room() == (2 if self.bounded else 0)

    def test_a_push_never_fails_while_there_is_room(self, port):
        pushed = min(port.room(), 100)
        for item in range(pushed):
            port.push(item)
        assert len(self.inside(port)) == pushed

    def test_a_tombstone_takes_no_room_where_nobody_counts_positions(self, port):
        before = port.room()
        port.push_tomb(3)
        assert port.room() == before
        assert self.inside(port) == []

    def test_pushing_a_tracked_item_does_not_settle_its_ticket(self, port):
        ticket = TicketLog()
        port.push_tracked("a", (ticket,))
        assert ticket.told == []

    def test_closing_twice_is_legal(self, port):
        port.close()
        port.close()

    def test_somebody_can_be_told(self, port):
        called: Callable[[], None] = port.on_items
        called()


class TestMemoryChannel(PortSuite):
    @pytest.fixture
    def port(self):
        return MemoryChannel("up", "down", 3)


@pytest.mark.parametrize("overflow", ["drop_new", "drop_old"])
class TestLossyChannel(PortSuite):
    bounded = False

    @pytest.fixture
    def port(self, overflow):
        return MemoryChannel("up", "down", 100, overflow=overflow)


class TestCollected(PortSuite):
    bounded = False

    @pytest.fixture
    def port(self):
        return Collected()


class TestStreamPort(PortSuite):
    @pytest.fixture
    def port(self):
        return StreamPort(3)

"""The sending end of a node: order, room, and where each kind of outcome goes."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines import SKIP, FailedItem, NodeError, To
from pipelines.channels.base import UNBOUNDED
from pipelines.channels.entries import Tomb
from pipelines.channels.memory import MemoryChannel
from pipelines.engine.outbox import Outbox
from pipelines.engine.outcomes import NOTHING, GivenUp
from pipelines.engine.taps import Collected, StreamPort
from pipelines.statistics import Meter
from tests.unit.channels.tickets import TicketLog


def outbox(capacities: dict[str, int] | None = None, *, ordered: bool = True, route: int = 0) -> Outbox:
    """An outbox with a channel of some capacity to each of its downstream nodes."""
    names = {"a": 3} if capacities is None else capacities
    channels = [MemoryChannel("n", name, capacity, aligned=True) for name, capacity in names.items()]
    dead = MemoryChannel("n", "dead", route) if route else None
    return Outbox("n", channels, dead, Meter(0.0), ordered=ordered)


def port(box: Outbox, name: str) -> MemoryChannel:
    """The channel to one downstream node."""
    return next(channel for channel in box.channels if channel.downstream == name)


def inside(port: Any) -> list[Any]:
    """What stands in a port: items as they are, tombstones as their number in brackets."""
    found: list[Any] = []
    for entry in port.items:
        value = getattr(entry, "value", entry)
        found.append([entry.count] if type(entry) is Tomb else value)
    return found


def given_up(item: Any = "x") -> GivenUp:
    return GivenUp(FailedItem(item, "n", ValueError("no"), 2))


class TestOrder:
    def test_p2_results_leave_in_the_order_in_which_their_calls_started(self):
        box = outbox()
        places = [box.open() for _ in range(3)]
        box.close(places[2], "c", ())
        box.close(places[1], "b", ())
        assert (inside(port(box, "a")), box.held) == ([], 2)
        box.close(places[0], "a", ())
        assert (inside(port(box, "a")), box.held) == (["a", "b", "c"], 0)

    def test_p6_room_for_failed_items_is_not_used_up_by_others(self):
        box = outbox({}, route=1)
        places = [box.open() for _ in range(5)]
        for place in reversed(places):
            box.close(place, place, ())
        assert box.held == 0

    def test_unordered_they_leave_as_they_come(self):
        box = outbox(ordered=False)
        places = [box.open() for _ in range(3)]
        for place in reversed(places):
            box.close(place, place, ())
        assert inside(port(box, "a")) == [2, 1, 0]

    def test_p4_what_finds_no_room_is_held(self):
        box = outbox({"a": 2})
        for value in "abcd":
            box.close(box.open(), value, ())
        assert (inside(port(box, "a")), box.held) == (["a", "b"], 2)
        port(box, "a").items.popleft()
        box.flush()
        assert (inside(port(box, "a")), box.held) == (["b", "c"], 1)

    def test_p6_what_takes_no_room_leaves_without_any(self):
        box = outbox({"a": 1})
        places = [box.open() for _ in range(6)]
        for place, outcome in zip(places[1:], [SKIP, Tomb(1), given_up(), NOTHING, SKIP], strict=True):
            box.close(place, outcome, ())
        box.close(places[0], "a", ())
        assert (inside(port(box, "a"))[0], box.held) == ("a", 0)

    def test_a_generator_sends_when_it_is_its_turn_and_there_is_room(self):
        box = outbox({"a": 1})
        first, second = box.open(), box.open()
        assert (box.is_turn(first), box.is_turn(second)) == (True, False)
        box.dispatch("a")
        assert not box.is_turn(first)
        port(box, "a").items.clear()
        box.close(first, NOTHING, ())
        assert box.is_turn(second)

    def test_unordered_it_is_everybodys_turn(self):
        box = outbox(ordered=False)
        assert box.is_turn(box.open())
        assert box.is_turn(box.open())


class TestRoom:
    def test_it_is_that_of_the_fullest_port(self):
        assert outbox({"a": 3, "b": 2}).room() == 2
        assert outbox({"a": 3, "b": 2}, route=1).room() == 1
        assert outbox({}).room() == UNBOUNDED

    def test_taps_count_too(self):
        box = outbox({})
        port = StreamPort(5)
        box.tap(port)
        box.tap(Collected())
        assert box.room() == 5
        box.untap(port)
        assert box.room() == UNBOUNDED
        box.untap(port)


class TestDispatch:
    def test_a_plain_item_goes_everywhere(self):
        box = outbox({"a": 3, "b": 3})
        tap = Collected()
        box.tap(tap)
        box.dispatch("x")
        assert [inside(port) for port in (*box.channels, tap)] == [["x"]] * 3
        assert box.meter.sent == 1

    def test_p3_a_skipped_one_leaves_tombstones(self):
        box = outbox({"a": 3, "b": 3})
        box.dispatch(SKIP)
        box.dispatch(SKIP)
        assert [inside(port) for port in box.channels] == [[[2]], [[2]]]
        assert (box.meter.skipped, box.meter.sent) == (2, 0)

    def test_p3_one_for_a_single_node_leaves_tombstones_for_the_others(self):
        box = outbox({"a": 3, "b": 3})
        box.dispatch(To("b", "x"))
        assert [inside(port) for port in box.channels] == [[[1]], ["x"]]
        assert (box.meter.skipped, box.meter.sent) == (0, 1)

    def test_a_given_up_one_goes_to_the_route_alone(self):
        box = outbox({"a": 3}, route=3)
        failure = given_up()
        box.dispatch(failure)
        assert box.route is not None
        assert (inside(box.route), inside(port(box, "a"))) == ([failure.failed], [[1]])

    def test_tombstones_are_handed_on(self):
        box = outbox()
        box.dispatch(Tomb(4))
        assert inside(port(box, "a")) == [[4]]

    @pytest.mark.parametrize("count", [1, 3])
    def test_everybody_is_told_once(self, count):
        told: list[str] = []
        box = outbox({"a": 3}, route=3)
        for each in (port(box, "a"), box.route):
            assert each is not None
            each.on_items = lambda each=each: told.append(each.downstream)  # type: ignore[misc]
        for _ in range(count):
            box.dispatch("x")
        box.announce()
        assert told == ["a", "dead"]

    def test_the_end_closes_every_port(self):
        box = outbox({"a": 3}, route=3)
        tap = StreamPort(3)
        box.tap(tap)
        box.end()
        assert box.route is not None
        assert (port(box, "a").closed, box.route.closed, tap.closed) == (True, True, True)


class TestTickets:
    def test_an_item_lives_on_in_as_many_places_as_there_are_ports(self):
        ticket = TicketLog()
        outbox({"a": 3, "b": 3}).dispatch("x", (ticket,))
        assert (ticket.places, ticket.told) == (2, [])

    def test_in_a_sink_it_has_its_result_and_is_tapped(self):
        ticket, box, tap = TicketLog(), outbox({}), Collected()
        box.tap(tap)
        box.dispatch("x", (ticket,))
        assert (ticket.places, ticket.told, inside(tap)) == (0, [("result", "n", "x")], ["x"])

    def test_skipped_it_ends_here(self):
        ticket = TicketLog()
        outbox().dispatch(SKIP, (ticket,))
        assert (ticket.places, ticket.told) == (0, [("drop", "n")])

    def test_sent_to_one_node_it_lives_on_there(self):
        ticket, box = TicketLog(), outbox({"a": 3, "b": 3})
        box.dispatch(To("b", "x"), (ticket,))
        assert ticket.places == 1
        assert port(box, "b").items[0].tickets == (ticket,)

    def test_given_up_it_is_told_the_node_error(self):
        ticket = TicketLog()
        outbox().dispatch(given_up(), (ticket,))
        ((what, error),) = ticket.told
        assert what == "fail"
        assert isinstance(error, NodeError)
        assert (error.node, error.item, error.attempts, str(error.__cause__)) == ("n", "x", 2, "no")

    def test_a_generator_that_has_yielded_its_last_ends_its_own_place(self):
        ticket, box = TicketLog(), outbox()
        box.dispatch(NOTHING, (ticket,))
        assert (ticket.places, ticket.told, inside(port(box, "a"))) == (0, [], [])

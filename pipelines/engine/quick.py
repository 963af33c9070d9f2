"""The quick loops: what runs for every item of nodes whose calls do not suspend.

A graph moves millions of items a second through these lines, so they do nothing that can be done once
per flight. The tricks, and what each saves of a hop (CPython 3.11, nanoseconds):

- the coro is awaited in the driver's own task: a task for each call would cost 1,300;
- an item goes from call to call without a stay in the channel between: append, take and 1-tuple, 60;
- one look at the clock for each item, not for each call: 45 by itself, more among other code. It is
  not left out for several items: it is what keeps a graph polite whatever its items do;
- whether the flight was cut short or taken over is asked once for each item, 5: whoever does that
  empties ``rest``, which ends the inner loop behind the current call;
- whose call it is, is stored by the ``for`` itself, 6, for those who find the driver suspended.

What is left of a hop is the call (45), the await (50), the 1-tuple for it (12), the question whether
the result is a plain item (12) and the loop (15).

The loops are alike, and stand side by side to be compared. One for all would ask for every call what
only some need to know: coroutines in the loop for plain functions take 40 more a hop, in that with a
look at the clock behind every call 170.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..types import AWAITABLE, To
from .outcomes import Outcome

if TYPE_CHECKING:
    from .flight import Flight
    from .runner import Runner

__all__ = ["QuickLoop", "find_quick_loop"]

QuickLoop = Callable[["Flight", Iterator[Any]], Awaitable[Outcome]]
"""Takes the flight and what to call the first node with: items, or tuples of them.

Gives the result of the call in which the driver was suspended, if it was; the flight has been `taken` then.
"""

NOT_PLAIN = AWAITABLE | {To}


def find_quick_loop(members: list[Runner], *, timed: bool, mesh: bool) -> QuickLoop:
    """The loop that fits a stretch of nodes; ``timed`` if it is to find out how long their calls take."""
    if timed:
        return _call_mesh if mesh else _time_each
    for runner in members:
        if not runner.awaits:
            return _call_mesh if mesh else _call_each
    if mesh:
        return _await_mesh
    return _await_each if len(members) > 1 else _await_one


async def _await_one(flight: Flight, feed: Iterator[Any]) -> Outcome:
    """Await one node's coro for one item after the other until the budget of the turn is used up."""
    flight.runner = head = flight.members[0]
    call, processor, append = head.call, head.processor, flight.append
    scheduler, clock = head.scheduler, head.scheduler.clock
    pulls, tuples = flight.pulls, flight.tuples
    for flight.begun, item in enumerate(feed, 1):
        if pulls and (type(item) is To or not flight.whole):
            flight.hold_back(item)
            break
        try:
            value = await call(processor, item if tuples else (item,))
        except BaseException as error:
            value = await flight.rescue(item, error)
        else:
            if type(value) is not To and flight.whole:
                if append is not None:
                    append(value)
                if clock() < scheduler.deadline:
                    continue
                break
        if flight.taken:  # suspended, and by now others are at work on this node: the order is theirs
            return value
        if flight.divert(value) or clock() >= scheduler.deadline:
            break
    return None


async def _await_each(flight: Flight, feed: Iterator[Any]) -> Outcome:
    """The same through several nodes: each item goes all the way before the next one starts."""
    head, rest = flight.members[0], flight.rest
    call, processor, append = head.call, head.processor, flight.append
    scheduler, clock = head.scheduler, head.scheduler.clock
    pulls, tuples = flight.pulls, flight.tuples
    for flight.begun, item in enumerate(feed, 1):
        if pulls and (type(item) is To or not flight.whole):
            flight.hold_back(item)
            break
        flight.runner = head
        try:
            value = await call(processor, item if tuples else (item,))
            if type(value) is not To:
                for flight.runner, next_call, next_processor in rest:
                    value = await next_call(next_processor, (value,))
                    if type(value) is To:
                        break
        except BaseException as error:
            value = await flight.rescue(value if flight.runner is not head else item, error)
        else:
            if type(value) is not To and flight.whole:
                if append is not None:
                    append(value)
                if clock() < scheduler.deadline:
                    continue
                break
        if flight.taken:
            return value
        if flight.divert(value) or clock() >= scheduler.deadline:
            break
    return None


async def _call_each(flight: Flight, feed: Iterator[Any]) -> Outcome:
    """The same through nodes of which some are plain functions, which may hand on something to be awaited."""
    head, rest = flight.members[0], flight.rest
    call, processor, append = head.call, head.processor, flight.append
    scheduler, clock = head.scheduler, head.scheduler.clock
    pulls, tuples = flight.pulls, flight.tuples
    for flight.begun, item in enumerate(feed, 1):
        if pulls and (type(item) is To or not flight.whole):
            flight.hold_back(item)
            break
        flight.runner = head
        try:
            value = call(processor, item if tuples else (item,))
            if type(value) in NOT_PLAIN and type(value) is not To:
                value = await value
            if type(value) is not To:
                for flight.runner, next_call, next_processor in rest:
                    result = next_call(next_processor, (value,))
                    if type(result) in NOT_PLAIN:
                        if type(result) is not To:
                            result = await result
                        if type(result) is To:
                            value = result
                            break
                    value = result
        except BaseException as error:
            value = await flight.rescue(value if flight.runner is not head else item, error)
        else:
            if type(value) is not To and flight.whole:
                if append is not None:
                    append(value)
                if clock() < scheduler.deadline:
                    continue
                break
        if flight.taken:
            return value
        if flight.divert(value) or clock() >= scheduler.deadline:
            break
    return None


async def _time_each(flight: Flight, feed: Iterator[Any]) -> Outcome:
    """The same with a look at the clock behind every call: each node is timed, and an item may stop anywhere."""
    steps = [(runner, runner.call, runner.processor) for runner in flight.members]
    last, append, seconds = flight.members[-1], flight.append, flight.seconds
    scheduler, clock = last.scheduler, last.scheduler.clock
    now = clock()
    for flight.begun, value in enumerate(feed, 1):
        if flight.pulls:
            if type(value) is To or not flight.whole:
                flight.hold_back(value)
                break
            now = clock()
        boxed = not flight.tuples
        try:
            for place, (flight.runner, call, processor) in enumerate(steps):
                result = call(processor, (value,) if boxed else value)
                if type(result) in NOT_PLAIN and type(result) is not To:
                    result = await result
                before, now = now, clock()
                seconds[place] += now - before
                value, boxed = result, True
                if type(value) is To or not flight.whole or (now >= scheduler.deadline and flight.runner is not last):
                    break
            else:
                if append is not None:
                    append(value)
                if now < scheduler.deadline:
                    continue
                break
        except BaseException as error:
            value = await flight.rescue(value, error)
        if flight.taken:
            return value
        if flight.divert(value) or (now := clock()) >= scheduler.deadline:
            break
    return None


async def _await_mesh(flight: Flight, feed: Iterator[Any]) -> Outcome:
    """The same where nodes have several readers or inputs: the results of one item stand in slots."""
    assert flight.mesh is not None
    steps, leaves = flight.rest, [(slot, port.push) for slot, port in flight.mesh.leaves]
    scheduler, clock, slots = flight.members[0].scheduler, flight.members[0].scheduler.clock, flight.slots
    for flight.begun, item in enumerate(feed, 1):
        if flight.pulls and (type(item) is To or not flight.whole):
            flight.hold_back(item)
            break
        slots[0] = result = item
        try:
            for flight.runner, call, processor, slot, pick, own in steps:
                result = await call(processor, (slots[slot],) if pick is None else pick(slots))
                if type(result) is To:
                    break
                slots[own] = result
            else:
                if flight.whole:
                    for slot, push in leaves:
                        push(slots[slot])
                    if clock() < scheduler.deadline:
                        continue
                    break
        except BaseException as error:
            result = await flight.rescue(item, error)
        if flight.taken:
            return result
        flight.divert(result)
        break
    return None


async def _call_mesh(flight: Flight, feed: Iterator[Any]) -> Outcome:
    """The same through nodes of which some are plain functions, or are to be timed."""
    assert flight.mesh is not None
    steps, leaves = flight.rest, [(slot, port.push) for slot, port in flight.mesh.leaves]
    scheduler, clock, slots = flight.members[0].scheduler, flight.members[0].scheduler.clock, flight.slots
    timed, seconds, last = flight.timed, flight.seconds, flight.members[-1]
    for flight.begun, item in enumerate(feed, 1):
        if flight.pulls and (type(item) is To or not flight.whole):
            flight.hold_back(item)
            break
        slots[0] = result = item
        now = clock() if timed else 0.0
        try:
            for flight.runner, call, processor, slot, pick, own in steps:
                result = call(processor, (slots[slot],) if pick is None else pick(slots))
                if type(result) in NOT_PLAIN and type(result) is not To:
                    result = await result
                if timed:
                    before, now = now, clock()
                    seconds[own - 1] += now - before
                    if now >= scheduler.deadline and flight.runner is not last:
                        flight.cut()
                if type(result) is To:
                    break
                slots[own] = result
            else:
                if flight.whole:
                    for slot, push in leaves:
                        push(slots[slot])
                    if clock() < scheduler.deadline:
                        continue
                    break
        except BaseException as error:
            result = await flight.rescue(item, error)
        if flight.taken:
            return result
        flight.divert(result)
        break
    return None

"""The quick loops: what runs for every item of a node whose calls do not suspend.

A chain of nodes moves a few million items a second through these lines, so they do nothing that can
be done once per visit. What one item costs (CPython 3.11, in nanoseconds): the tuple from the lent
batch 25, the call 45 and the await of it 50 more, the questions to the result 30, the append into the
next channel 22, the look at the clock 45: it is what keeps a graph polite whatever its items do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..graph import CallKind, Node
from ..types import To
from .attempts import AWAITABLE
from .outbox import GivenUp, Outcome
from .scheduler import Flight

if TYPE_CHECKING:
    from .runner import Runner

__all__ = ["QuickLoop", "find_quick_loop"]

QuickLoop = Callable[["Runner", Iterator[tuple[Any, ...]], Flight], Awaitable[Outcome]]


def find_quick_loop(node: Node) -> QuickLoop | None:
    """The quick loop that fits ``node``; None if only the general loop will do."""
    if node.properties.rate is not None or node.properties.batch is not None:
        return None
    if node.kind is CallKind.COROUTINE or node.properties.executor != "loop":
        return _await_each
    return _call_each if node.kind is CallKind.FUNCTION else None


async def _await_each(runner: Runner, lent: Iterator[tuple[Any, ...]], flight: Flight) -> Outcome:
    """Await the coro for one item after the other until the budget of the turn is used up.

    Gives the result of the item at which the driver was suspended, if it was.
    """
    call, processor, append = runner.call, runner.processor, runner.outbox.append
    scheduler, clock = runner.run.scheduler, runner.run.scheduler.clock
    for q_elt in lent:
        try:
            result = await call(processor, q_elt)
        except BaseException as error:
            result = await runner.attempts.recover(q_elt, error)
        if flight.taken:  # suspended, and by now others are at work on this node: the order is theirs
            return result
        if type(result) is To or type(result) is GivenUp:
            runner.divert(flight, result)
        else:
            append(result)
        if clock() >= scheduler.deadline:
            break
    return None


async def _call_each(runner: Runner, lent: Iterator[tuple[Any, ...]], flight: Flight) -> Outcome:
    """The same for plain functions, which may hand on something to be awaited."""
    call, processor, append = runner.call, runner.processor, runner.outbox.append
    scheduler, clock = runner.run.scheduler, runner.run.scheduler.clock
    for q_elt in lent:
        try:
            result = call(processor, q_elt)
            if type(result) in AWAITABLE:
                result = await result
        except BaseException as error:
            result = await runner.attempts.recover(q_elt, error)
        if flight.taken:
            return result
        if type(result) is To or type(result) is GivenUp:
            runner.divert(flight, result)
        else:
            append(result)
        if clock() >= scheduler.deadline:
            break
    return None

"""What becomes of a portion: results, failures, and items that are sent again because a worker died."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import TravelError
from .base import Failure
from .ray_alarm import GRACE_SECONDS, WATCHDOG_SECONDS
from .ray_crew import died
from .ray_gate import TASK_REPEATS
from .ray_stage import Portion, RayStage
from .ray_values import InSlot, KeptValue, Packed, around, inside, unpack, weigh
from .surroundings import hand_on

if TYPE_CHECKING:
    from .ray_cluster import Cluster

__all__ = ["Results"]

MOST_REPEATS = 3
"""How many times an item is sent again because its worker died."""

REST_SECONDS = (0.0, 0.2, 1.0)
"""How long an item rests before each of these times: Ray needs a while to see that a machine is gone."""

LARGE_MESSAGE = 1 << 20
"""Bytes from which on results are unpacked in a thread."""


class Results:
    """Sees to what comes back; called in the event loop, but for what says otherwise."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def on_end(self, portion: Portion, future: Future[Any]) -> None:
        """A portion has come back, or something has come in between."""
        error = future.exception()
        if portion.dropped:
            self._return(portion)
        elif error is not None:
            self._on_error(portion, error)
        else:
            self._on_summary(portion, future.result())

    def _return(self, portion: Portion) -> None:
        portion.stage.returned(len(portion.items))
        self._cluster.dispatch()

    def on_unsent(self, portion: Portion) -> None:
        """Nobody wanted it any more before it was sent."""
        self._cluster.free(portion)
        self._return(portion)

    # Results.

    def _on_summary(self, portion: Portion, summary: list[Any]) -> None:
        seconds, plain, attempt, weight, records, *message = summary
        for record in records:
            hand_on(record)
        if attempt:
            portion.stage.listener.on_repeated(attempt * len(portion.items))
        size = weigh(message)
        weight += size + portion.weight
        if size < LARGE_MESSAGE:
            self._on_outcomes(portion, plain, seconds, weight, _outcomes(portion, message))
            return
        self._cluster.dispatch()  # the worker is free

        def read() -> None:
            self._cluster.tell(self._on_outcomes, portion, plain, seconds, weight, _outcomes(portion, message))

        self._cluster.read(read)

    def _on_outcomes(self, portion: Portion, plain: bool, seconds: float, weight: int, outcomes: list[Any]) -> None:
        stage, place, items = portion.stage, portion.place, portion.items
        if portion.dropped:
            self._return(portion)
            return
        self._cluster.spent(stage, seconds)
        if type(outcomes[0]) is Failure and outcomes[0].unread and len(items) > 1:
            stage.sizer.size = 1
            stage.again.extend((place + index, item) for index, item in enumerate(items))  # alone it will be found
            outcomes = []
        else:
            stage.sizer.learn(len(outcomes), seconds, weight)
            stage.give_back(place + len(outcomes), items[len(outcomes) :])
        if stage.deaths:
            for index in range(len(outcomes)):
                stage.deaths.pop(place + index, None)
        stage.returned(len(items))
        self._cluster.dispatch()  # before anybody looks at the results: the worker is free
        if outcomes:
            plain = plain and not any([type(outcome) is Failure for outcome in outcomes])
            stage.tell(place, items[: len(outcomes)], outcomes, seconds, plain=plain)
        stage.listener.on_appetite()

    # Failures.

    def on_refusal(self, portion: Portion, error: BaseException) -> None:
        """The node cannot be sent at all."""
        self._cluster.free(portion)
        portion.stage.returned(len(portion.items))
        portion.stage.fail(error)

    def on_stuck(self, portion: Portion, whys: Sequence[str], error: BaseException) -> None:
        """Some of the items cannot be sent, for these reasons; the others can wait for another portion."""
        stage, place, items = portion.stage, portion.place, portion.items
        self._cluster.free(portion)
        stage.returned(len(items))
        if not any(whys):
            stage.fail(error)
            return
        stuck = [index for index, why in enumerate(whys) if why]
        end = len(items)
        for index in reversed([-1, *stuck]):
            stage.give_back(place + index + 1, items[index + 1 : end])
            end = index
        for index in stuck:
            what = f"the item, a {type(items[index]).__name__}, cannot travel to a worker process: {whys[index]}"
            stage.tell(place + index, [items[index]], [Failure(TravelError(what))], 0.0, plain=False)
        self._cluster.dispatch()

    def _on_error(self, portion: Portion, error: BaseException) -> None:
        stage, gate = portion.stage, self._cluster.gate
        if gate.is_death(error):
            if stage.job.timeout is not None and not stage.job.coroutine:
                self._cluster.read(partial(self._look_for_mark, portion, error))
            else:
                self._on_death(portion, error, None)
            return
        stage.returned(len(portion.items))
        if not gate.is_of_task(error):
            stage.fail(error)
        elif len(portion.items) > 1:
            self._send_alone(portion)
        else:
            stage.tell(portion.place, portion.items, [Failure(error)], 0.0, plain=False)
        self._cluster.dispatch()

    def _send_alone(self, portion: Portion) -> None:
        portion.stage.again.extend((portion.place + index, item) for index, item in enumerate(portion.items))

    def _look_for_mark(self, portion: Portion, error: BaseException) -> None:
        """In a thread: see whether the worker has ended itself because a call would not end."""
        try:
            mark = self._cluster.gate.mark(portion.key)
        except Exception:
            mark = None
        self._cluster.tell(self._on_death, portion, error, None if mark is None else int(mark))

    def _on_death(self, portion: Portion, error: BaseException, late: int | None) -> None:
        """A worker is dead; ``late`` is the index of the call that would not end in time."""
        stage, items, member = portion.stage, portion.items, portion.member
        stage.returned(len(items))
        if portion.dropped:
            pass
        elif late is not None or portion.expired:
            self._on_late(portion, range(late, late + 1) if late is not None else range(len(items)))
        elif member is not None and not stage.job.coroutine and member.at is not portion:
            stage.give_back(portion.place, items)  # the worker had not got there
        else:
            self._repeat(portion, error)
        self._cluster.dispatch()

    def _on_late(self, portion: Portion, late: range) -> None:
        stage, place, items = portion.stage, portion.place, portion.items
        stage.give_back(place + late.stop, items[late.stop :])
        stage.give_back(place, items[: late.start])
        if late.start:
            stage.listener.on_repeated(late.start)
        error = TimeoutError(f"no result within {stage.job.timeout} seconds; its worker was ended")
        outcomes: list[Any] = [Failure(error) for _ in late]
        stage.tell(place + late.start, items[late.start : late.stop], outcomes, 0.0, plain=False)

    def _repeat(self, portion: Portion, error: BaseException) -> None:
        """Send the items again, each alone; give up one that was alone with too many workers that died."""
        stage = portion.stage
        tries = 1 + (TASK_REPEATS if portion.alone and portion.slots is not None and portion.member is None else 0)
        count = stage.deaths.get(portion.place, 0) + tries
        if portion.alone and (count > MOST_REPEATS or (count > 1 and self._was_late(portion))):
            stage.deaths.pop(portion.place, None)
            stage.tell(portion.place, portion.items, [Failure(self._why(portion, error))], 0.0, plain=False)
            return
        for index, item in enumerate(portion.items):
            place = portion.place + index
            stage.deaths[place] = count = stage.deaths.get(place, 0) + tries
            stage.rest(place, item, REST_SECONDS[min(count, len(REST_SECONDS)) - 1])
        stage.listener.on_repeated(len(portion.items))

    def _was_late(self, portion: Portion) -> bool:
        """Whether it may have been the watchdog who ended the worker."""
        timeout = portion.stage.job.timeout
        return timeout is not None and self._cluster.now() - portion.sent_at >= timeout + WATCHDOG_SECONDS

    def _why(self, portion: Portion, error: BaseException) -> BaseException:
        if self._was_late(portion):
            return TimeoutError(f"no result within {portion.stage.job.timeout} seconds; its worker was ended")
        return died(error)

    def insist(self, stage: RayStage) -> None:
        """End what nobody wants any more, and actors whose event loops keep no timeouts; now and then."""
        now, timeout = self._cluster.now(), stage.job.timeout
        for portion in list(stage.portions):
            if portion.dropped:
                self._cluster.ask(partial(self._cluster.gate.cancel, portion))
            elif timeout is not None and stage.job.coroutine and now - portion.sent_at > timeout + GRACE_SECONDS:
                portion.expired = True
                self._cluster.lose(portion)


def _outcomes(portion: Portion, message: list[Any]) -> list[Any]:
    """The outcomes in a message; those that stay in the object store as references."""
    try:
        outcomes: list[Any] = unpack(message)
    except Exception as error:
        return [Failure(TravelError(f"a result cannot be read: {type(error).__name__}: {error}"), unread=True)]
    return outcomes if portion.slots is None else [_opened(portion, outcome) for outcome in outcomes]


def _opened(portion: Portion, outcome: Any) -> Any:
    value = inside(outcome)
    if type(value) is InSlot:
        return around(outcome, KeptValue(portion.refs[1 + value.index], value.size, portion.roots))
    if type(value) is Packed:
        try:
            return around(outcome, unpack(value.message))
        except Exception as error:
            return Failure(TravelError(f"a result cannot be read: {type(error).__name__}: {error}"), unread=True)
    return outcome

"""The processes of a pool that are of one kind, and how work is shared among them."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from ..errors import TravelError, WorkerDiedError
from .base import Failure
from .overtime import watch
from .packing import pack, unpack, weight
from .portions import PORTION_SECONDS
from .shares import Shares
from .travel import why_not
from .wire import ALL, CHUNK, COUNT, JOB, OUTCOME, RESULT, RESULTS_ARENA, SLOTS, TAKEN, Kind
from .worker_process import Chunk, WorkerProcess

if TYPE_CHECKING:
    from .process import ProcessStage

__all__ = ["MOST_COROUTINES", "Team"]

MOST_COROUTINES = 64
"""Coroutine calls that go to one worker at once."""

RECALL_SECONDS = 0.05
"""A portion that takes longer is taken back, but for the item that its worker is at."""

STARTS_TRIED = 3
"""So many workers in a row may die before they are ready, or in the setup of a node."""


class Team:
    """The processes of one kind, and the stages that they work for."""

    def __init__(self, context: Any, limit: int, target: Callable[..., None], *, asynchronous: bool) -> None:
        self.limit = limit
        self.workers: list[WorkerProcess] = []
        self._context = context
        self._target = target
        self._asynchronous = asynchronous
        self._shares: Shares[ProcessStage] = Shares()
        self._hiring: set[asyncio.Task[None]] = set()
        self._numbers = count(1)
        self._failed_starts = 0.0
        self._closed: dict[tuple[WorkerProcess, int], asyncio.Future[list[BaseException]]] = {}
        self._closing = False

    # Stages.

    def add(self, stage: ProcessStage) -> None:
        """There is work for one more node."""
        self._shares.add(stage, stage.job.run, stage.job.rank)

    def remove(self, stage: ProcessStage) -> None:
        """A node is over."""
        self._shares.remove(stage)

    def cancel(self, stage: ProcessStage) -> None:
        """Interrupt whatever runs for ``stage``."""
        for worker in self.workers:
            chunks = [chunk for chunk in worker.chunks.values() if chunk.stage is stage]
            if chunks and self._asynchronous:
                worker.send(Kind.CANCEL, JOB.pack(stage.number))
                worker.kill_unless(partial(_are_over, worker, stage, chunks))
            elif chunks:
                self._cancel_plain(worker, chunks)

    def _cancel_plain(self, worker: WorkerProcess, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            worker.unwant(chunk)
        current, _ = worker.at()
        for chunk in chunks:
            if chunk is current:
                worker.interrupt(chunk, ALL)
            else:  # the worker will see that nobody wants it, whenever it gets there
                chunk.abandoned = True
                chunk.stage.returned(len(chunk.items))

    async def close_job(self, stage: ProcessStage, outcome: str | None) -> list[BaseException]:
        """Have every worker that knows the node clean up; gives what that raised."""
        answers = []
        for worker in self.workers:
            if stage.number in worker.jobs and not worker.gone:
                worker.jobs.discard(stage.number)
                answer = asyncio.get_running_loop().create_future()
                self._closed[worker, stage.number] = answer
                worker.send(Kind.CLOSE, JOB.pack(stage.number), pickle.dumps(outcome))
                answers.append(answer)
        try:
            return [error for errors in await asyncio.gather(*answers) for error in errors]
        except asyncio.CancelledError:
            for worker, number in list(self._closed):
                if number == stage.number:
                    worker.kill()  # its cleanup hangs
            raise

    # Work.

    def dispatch(self) -> None:
        """Hand out portions as long as there are free slots and items."""
        while (stage := self._shares.pick(lambda stage: bool(stage.backlog.count))) is not None:
            worker = self._choose(stage)
            if worker is None:
                self._hire_if_needed()
                return
            self._send(worker, stage)

    def _choose(self, stage: ProcessStage) -> WorkerProcess | None:
        depth = SLOTS if self._asynchronous or stage.prefetches else 1
        able = [w for w in self.workers if w.ready and not w.gone and w.free_slot() is not None]
        if not self._asynchronous:
            able = [worker for worker in able if worker.load() < depth]
        best = min(able, key=WorkerProcess.load, default=None)
        if best is not None and best.load() and len(self.workers) + len(self._hiring) < self.limit:
            self._hire_if_needed()
        return best

    def _portion(self, stage: ProcessStage) -> int:
        """How many items to send now: all that there are, fairly divided, or as many as fit the time."""
        slots = sum([worker.slots.count(True) for worker in self.workers if worker.ready and not worker.gone])
        if stage.alone:
            return 1
        most = MOST_COROUTINES if self._asynchronous else stage.sizer.size
        return min(most, -(-stage.backlog.count // max(1, slots)))

    def _send(self, worker: WorkerProcess, stage: ProcessStage) -> None:
        slot = worker.free_slot()
        assert slot is not None
        place, items = stage.backlog.take(self._portion(stage))
        stage.alone = max(0, stage.alone - 1)
        try:
            parts = pack(items, worker.arenas[slot])
        except Exception as error:
            self._sort_out(stage, place, items, error)
            return
        if stage.number not in worker.jobs:
            worker.jobs.add(stage.number)
            worker.send(Kind.JOB, JOB.pack(stage.number), stage.pickled)
        missing = set(range(len(items))) if self._asynchronous else set()
        chunk = Chunk(next(self._numbers), stage, place, items, slot, weight(parts[0]), missing)
        worker.limit(chunk, len(items))
        worker.slots[slot] = False
        worker.chunks[chunk.number] = chunk
        stage.at_workers += len(items)
        worker.send(Kind.CHUNK, CHUNK.pack(chunk.number, stage.number, slot, 2 * PORTION_SECONDS), *parts)
        if stage.job.timeout is not None:
            watch(worker, stage.job.timeout, asynchronous=self._asynchronous)
        if len(items) > 1 and not self._asynchronous:
            asyncio.get_running_loop().call_later(RECALL_SECONDS, self._recall, worker, chunk)

    def _recall(self, worker: WorkerProcess, chunk: Chunk) -> None:
        """A portion takes long: what the worker has not begun goes to another."""
        if worker.gone or chunk.number not in worker.chunks or chunk.stage.cancelled:
            return
        current, index = worker.at()
        begun = max(0, index + 1) if current is chunk else 0
        worker.limit(chunk, begun)
        rest = chunk.items[begun:]
        del chunk.items[begun:]
        chunk.stage.backlog.give_back(chunk.place + begun, rest)
        chunk.stage.returned(len(rest))
        self.dispatch()

    def _sort_out(self, stage: ProcessStage, place: int, items: list[Any], error: Exception) -> None:
        """Some of the items cannot be pickled: fail those, and give back the others."""
        stuck = [(index, why) for index, item in enumerate(items) if (why := why_not(item))]
        if not stuck and len(items) == 1:
            stuck = [(0, f"{type(error).__name__}: {error}")]
        if not stuck:  # each alone can be, but not all together
            stage.sizer.size = 1
            stage.backlog.give_back(place, items)
            return
        end = len(items)
        for index, _ in reversed(stuck):
            stage.backlog.give_back(place + index + 1, items[index + 1 : end])
            end = index
        stage.backlog.give_back(place, items[:end])
        for index, why in stuck:
            failure = TravelError(
                f"the item, a {type(items[index]).__name__}, cannot travel to a worker process: {why}"
            )
            failed = partial(stage.deliver, place + index, [items[index]], [Failure(failure)], 0.0)
            asyncio.get_running_loop().call_soon(failed)  # whoever feeds does not expect results yet

    # What workers say.

    def _on_word(self, worker: WorkerProcess, kind: int, body: memoryview) -> None:
        if kind == Kind.RESULT:
            self._on_result(worker, body)
        elif kind == Kind.RESULTS:
            self._on_results(worker, body)
        elif kind == Kind.TAKEN:
            worker.slots[TAKEN.unpack(body)[0]] = True
            self.dispatch()
        elif kind == Kind.CLOSED:
            answer = self._closed.pop((worker, JOB.unpack_from(body)[0]), None)
            if answer is not None and not answer.done():
                answer.set_result(pickle.loads(body[JOB.size :]))
        elif kind == Kind.READY:
            self._failed_starts = 0.0
            self.dispatch()

    def _on_result(self, worker: WorkerProcess, body: memoryview) -> None:
        """What became of a portion: of all its items, or of those that there was time for."""
        number, slot, plain, seconds = RESULT.unpack_from(body)
        message = body[RESULT.size :]
        chunk = worker.chunks.pop(number)
        stage, place, items = chunk.stage, chunk.place, chunk.items
        if chunk.abandoned:
            worker.slots[slot] = True
            self.dispatch()
            return
        try:
            outcomes = unpack(message, worker.arenas[slot])
        except Exception as error:
            outcomes = [Failure(TravelError(f"a result cannot be read: {type(error).__name__}: {error}"), unread=True)]
            plain = False
        del outcomes[len(items) :]  # of what was recalled at that very moment
        worker.arenas[slot].shrink()
        worker.slots[slot] = True
        self._shares.spent(stage, seconds)
        if not plain and len(items) > 1 and outcomes and type(outcomes[0]) is Failure and outcomes[0].unread:
            stage.sizer.size = 1  # one of them is to blame; alone it will be found
            outcomes = []
        elif outcomes:
            stage.deaths = 0.0
            share = len(outcomes) / len(items)
            stage.sizer.learn(len(outcomes), seconds, weight(message) + round(share * chunk.weight))
        if not stage.cancelled:
            stage.backlog.give_back(place + len(outcomes), items[len(outcomes) :])
        stage.returned(len(items))
        self.dispatch()  # before anybody looks at the results: the worker is free
        stage.deliver(place, items[: len(outcomes)], outcomes, seconds, plain=bool(plain))
        if not outcomes:
            stage.listener.on_appetite()

    def _on_results(self, worker: WorkerProcess, body: memoryview) -> None:
        """What became of some items of workers with an event loop."""
        arena = worker.arenas[RESULTS_ARENA]
        (count,) = COUNT.unpack_from(body)
        message = COUNT.size + count * OUTCOME.size
        try:
            outcomes = unpack(body[message:], arena)
        except Exception as error:
            if count > 1:
                worker.send(Kind.AGAIN)
                return
            outcomes = [Failure(TravelError(f"the result cannot be read: {type(error).__name__}: {error}"))]
        arena.shrink()
        worker.send(Kind.READ)
        for place, outcome in enumerate(outcomes):
            number, index, seconds = OUTCOME.unpack_from(body, COUNT.size + place * OUTCOME.size)
            chunk = worker.chunks.get(number)
            if chunk is not None and index in chunk.missing:
                self._on_outcome(worker, chunk, index, outcome, seconds)
        self.dispatch()

    def _on_outcome(self, worker: WorkerProcess, chunk: Chunk, index: int, outcome: Any, seconds: float) -> None:
        stage = chunk.stage
        self._shares.spent(stage, seconds)
        if type(outcome) is Failure and outcome.unread and len(chunk.items) > 1:
            self._separate(worker, chunk)
            return
        chunk.missing.discard(index)
        if not chunk.missing or (type(outcome) is Failure and (outcome.unread or outcome.fatal)):
            worker.chunks.pop(chunk.number, None)
            stage.returned(len(chunk.missing))
        stage.returned(1)
        stage.deliver(chunk.place + index, [chunk.items[index]], [outcome], seconds)

    def _separate(self, worker: WorkerProcess, chunk: Chunk) -> None:
        """Send the items of a portion again, each alone."""
        del worker.chunks[chunk.number]
        stage = chunk.stage
        if not stage.cancelled:
            stage.alone += len(chunk.missing)
            for index in sorted(chunk.missing, reverse=True):
                stage.backlog.give_back(chunk.place + index, [chunk.items[index]])
        stage.returned(len(chunk.missing))

    # Beginning and end of workers.

    def _hire_if_needed(self) -> None:
        if self._closing or self._hiring or len(self.workers) >= self.limit:
            return
        hiring = asyncio.get_running_loop().create_task(self._hire())
        self._hiring.add(hiring)
        hiring.add_done_callback(self._hiring.discard)

    async def _hire(self) -> None:
        worker = WorkerProcess(self._on_word, self._on_end)
        try:
            await worker.start(self._context, self._target)
        except Exception as error:
            for stage in list(self._shares):
                stage.fail(error)
            return
        self.workers.append(worker)
        self._hiring.clear()
        if len(self.workers) < self.limit and any(stage.backlog.count for stage in self._shares):
            self._hire_if_needed()

    def _on_end(self, worker: WorkerProcess) -> None:
        """A worker is dead: see what becomes of what it had."""
        if worker in self.workers:
            self.workers.remove(worker)
        for (each, number), answer in list(self._closed.items()):
            if each is worker:
                del self._closed[each, number]
                if not answer.done():
                    answer.set_result([WorkerDiedError(worker.exitcode)])
        if not worker.ready and not self._closing:
            self._note_failed_start(worker)
        at, index = worker.last
        for chunk in reversed(list(worker.chunks.values())):
            self._inherit(worker, chunk, index if chunk.number == at else None)
        worker.chunks.clear()
        self.dispatch()

    def _note_failed_start(self, worker: WorkerProcess) -> None:
        # Somebody may kill a process before it is ready, as it may be killed at any time.
        self._failed_starts += 1 if worker.exitcode is None or worker.exitcode >= 0 else 0.1
        if self._failed_starts >= STARTS_TRIED:
            error = WorkerDiedError(worker.exitcode)
            error.add_note(
                "It died before it was ready. A script that starts processes must do so under"
                " `if __name__ == '__main__':`, because every worker imports it."
            )
            for stage in list(self._shares):
                stage.fail(error)

    def _inherit(self, worker: WorkerProcess, chunk: Chunk, index: int | None) -> None:
        """Give back what a dead worker held, but for the item that it was at."""
        stage, place, items = chunk.stage, chunk.place, chunk.items
        if chunk.abandoned:
            return
        stage.returned(len(chunk.missing) if self._asynchronous else len(items))
        if stage.cancelled:
            return
        error: Exception = WorkerDiedError(worker.exitcode)
        if worker.overdue:
            error = TimeoutError(f"no result within {stage.job.timeout} seconds; its process was killed")
        if self._asynchronous:
            # Calls that had no part in why it was killed begin anew.
            begins_anew = worker.killed_for is not None or (worker.overdue and stage.job.timeout is None)
            for missing in sorted(chunk.missing, reverse=True):
                if begins_anew:
                    stage.backlog.give_back(place + missing, [items[missing]])
                else:
                    stage.deliver(place + missing, [items[missing]], [Failure(error)], 0.0)
            if begins_anew:
                stage.listener.on_repeated(len(chunk.missing))
        elif index is None or index >= len(items):
            stage.backlog.give_back(place, items)
        elif index == ALL:
            stage.deaths += 1 if worker.exitcode is None or worker.exitcode >= 0 else 0.1
            stage.backlog.give_back(place, items)
            if stage.deaths >= STARTS_TRIED:
                stage.fail(error)
        else:
            stage.backlog.give_back(place + index + 1, items[index + 1 :])
            stage.backlog.give_back(place, items[:index])
            if index:
                stage.listener.on_repeated(index)
            stage.deliver(place + index, [items[index]], [Failure(error)], 0.0)

    async def close(self) -> None:
        """End all processes; when this returns they have ended."""
        self._closing = True
        while self._hiring:
            try:
                await asyncio.wait(list(self._hiring))
            except asyncio.CancelledError:  # what has begun to start must have started to be ended
                continue
        workers = list(self.workers)
        for worker in workers:
            worker.leave()
        while any(not worker.gone for worker in workers):
            try:
                await asyncio.wait([worker.ended for worker in workers])
            except asyncio.CancelledError:  # somebody is in a hurry
                for worker in workers:
                    worker.kill()


def _are_over(worker: WorkerProcess, stage: ProcessStage, chunks: list[Chunk]) -> bool:
    """Whether nothing of ``chunks`` is left; if not, the worker is about to be killed for the sake of ``stage``."""
    if not any([chunk.missing for chunk in chunks]):
        return True
    worker.killed_for = stage
    return False

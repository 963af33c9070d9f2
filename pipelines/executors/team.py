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
from .packing import pack, unpack, weight
from .portions import PORTION_SECONDS
from .shares import Shares
from .travel import why_not
from .wire import ALL, CHUNK, JOB, RESULT, RESULTS_ARENA, SLOTS, TAKEN, Kind
from .worker_process import GRACE_SECONDS, Chunk, WorkerProcess

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
                worker.kill_unless(partial(_are_over, chunks))
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
        most = MOST_COROUTINES if self._asynchronous else stage.sizer.size
        return min(most, -(-stage.backlog.count // max(1, slots)))

    def _send(self, worker: WorkerProcess, stage: ProcessStage) -> None:
        slot = worker.free_slot()
        assert slot is not None
        place, items = stage.backlog.take(self._portion(stage))
        try:
            parts = pack(items, worker.arenas[slot])
        except Exception:
            self._sort_out(stage, place, items)
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
            self._watch(worker, stage.job.timeout)
        if len(items) > 1 and not self._asynchronous:
            asyncio.get_running_loop().call_later(RECALL_SECONDS, self._recall, worker, chunk)

    def _recall(self, worker: WorkerProcess, chunk: Chunk) -> None:
        """A portion takes long: what the worker has not begun goes to another."""
        if worker.gone or chunk.number not in worker.chunks or chunk.abandoned:
            return
        current, index = worker.at()
        begun = max(0, index + 1) if current is chunk else 0
        worker.limit(chunk, begun)
        rest = chunk.items[begun:]
        del chunk.items[begun:]
        chunk.stage.backlog.give_back(chunk.place + begun, rest)
        chunk.stage.returned(len(rest))
        self.dispatch()

    def _sort_out(self, stage: ProcessStage, place: int, items: list[Any]) -> None:
        """Some of the items cannot be pickled: fail those, and give back the others."""
        stuck = [(index, why) for index, item in enumerate(items) if (why := why_not(item))]
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
            error = TravelError(f"the item, a {type(items[index]).__name__}, cannot travel to a worker process: {why}")
            failed = partial(stage.deliver, place + index, [items[index]], [Failure(error)], 0.0)
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
        results = unpack(body, arena)
        arena.shrink()
        worker.send(Kind.READ)
        for number, index, outcome, seconds in results:
            chunk = worker.chunks.get(number)
            if chunk is None or index not in chunk.missing:
                continue
            stage = chunk.stage
            self._shares.spent(stage, seconds)
            if type(outcome) is Failure and outcome.unread and len(chunk.items) > 1:
                self._separate(worker, chunk)
                continue
            chunk.missing.discard(index)
            if not chunk.missing or (type(outcome) is Failure and (outcome.unread or outcome.fatal)):
                worker.chunks.pop(number, None)
                stage.returned(len(chunk.missing))
            stage.returned(1)
            stage.deliver(chunk.place + index, [chunk.items[index]], [outcome], seconds)
        self.dispatch()

    def _separate(self, worker: WorkerProcess, chunk: Chunk) -> None:
        """Send the items of a portion again, each alone."""
        del worker.chunks[chunk.number]
        for index in sorted(chunk.missing, reverse=True):
            chunk.stage.backlog.give_back(chunk.place + index, [chunk.items[index]])
        chunk.stage.returned(len(chunk.missing))

    # Time.

    def _watch(self, worker: WorkerProcess, seconds: float) -> None:
        if worker.watch is None:
            worker.watch = asyncio.get_running_loop().call_later(seconds, self._look, worker)

    def _look(self, worker: WorkerProcess) -> None:
        """Interrupt the call that ``worker`` is in if it has had its time."""
        worker.watch = None
        if worker.gone:
            return
        if self._asynchronous:
            self._look_at_loop(worker)
            return
        chunk, index = worker.at()
        left = [c.stage.job.timeout for c in worker.chunks.values() if c.stage.job.timeout is not None]
        if chunk is not None and chunk.stage.job.timeout is not None and index != ALL:
            rest = chunk.stage.job.timeout - worker.seconds_in_call()
            if rest <= 0:
                worker.interrupt(chunk, index)
                rest = GRACE_SECONDS
            left.append(rest)
        if left:
            self._watch(worker, max(0.001, min(left)))

    def _look_at_loop(self, worker: WorkerProcess) -> None:
        """Kill ``worker`` if its event loop has stood still for so long that it keeps no timeout any more."""
        limits = [c.stage.job.timeout for c in worker.chunks.values() if c.stage.job.timeout is not None]
        if not limits:
            return
        if worker.seconds_in_call() > max(limits) + GRACE_SECONDS:
            worker.overdue = True
            worker.kill()
        self._watch(worker, max(0.1, min(limits)))

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
            for missing in sorted(chunk.missing, reverse=True):
                stage.deliver(place + missing, [items[missing]], [Failure(error)], 0.0)
        elif index is None:
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
            await asyncio.wait(list(self._hiring))
        workers = list(self.workers)
        for worker in workers:
            worker.leave()
        while any(not worker.gone for worker in workers):
            try:
                await asyncio.wait([worker.ended for worker in workers])
            except asyncio.CancelledError:  # somebody is in a hurry
                for worker in workers:
                    worker.kill()


def _are_over(chunks: list[Chunk]) -> bool:
    return not any([chunk.missing for chunk in chunks])

"""Who of all nodes on a cluster is served next, and with what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from .base import Job, Listener
from .loop_thread import join_threads
from .ray_alarm import GRACE_SECONDS
from .ray_connection import Connections, Hand
from .ray_crew import Crew
from .ray_gate import Gate, UnreadyError
from .ray_resources import Resources
from .ray_results import Results
from .ray_stage import Portion, RayStage
from .shares import Shares

__all__ = ["Cluster"]

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often it is looked how large the cluster is."""

FETCH_SECONDS = 10.0
"""How long it is waited for the value of an item that failed."""


class Cluster:
    """All nodes of one event loop that run on Ray; what blocks is done by two threads.

    Args:
        connections: Makes and unties the connection.
        gate: The way to the workers.
        options: Of ``ray.init``, if Ray must be started.

    Attributes:
        users: How many executors' users there are.
    """

    def __init__(self, connections: Connections, gate: Gate, options: Mapping[str, Any]) -> None:
        self.loop = asyncio.get_running_loop()
        self.gate = gate
        self.users = 0
        self.resources = Resources()
        self._crew = Crew(self)
        self._results = Results(self)
        self._shares: Shares[RayStage] = Shares()
        self._error: BaseException | None = None
        self._begun = False
        self._known = False
        self._timer: asyncio.TimerHandle | None = None
        self._sender = Hand("pipelines_ray_send")
        self._reader = Hand("pipelines_ray_read")
        self._connections = connections
        self._session = connections.enter(options, lambda error: self.tell(self._on_session, error))

    # Threads.

    def now(self) -> float:
        """The time of the event loop."""
        return self.loop.time()

    def ask(self, do: Callable[[], None]) -> None:
        """Have something done where it may block; one thing after the other."""
        self._sender.do(do)

    def read(self, do: Callable[[], None]) -> None:
        """Have something done where it may block that is no request to Ray."""
        self._reader.do(do)

    def tell(self, function: Callable[..., None], *args: Any) -> None:
        """Have something called in the event loop, from a thread."""
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed: nobody is there who could want to know
            pass

    # The connection.

    def _on_session(self, error: BaseException | None) -> None:
        if error is None:
            self._begun = True
            self._look()
            return
        self._error = error
        for stage in list(self._shares):
            stage.fail(error)

    def _look(self) -> None:
        """See how large the cluster is, again and again while there is work."""
        self._timer = None
        self.read(self._read_machines)

    def _read_machines(self) -> None:
        try:
            machines = self.gate.machines()
        except Exception as error:
            logger.warning("Ray does not say which machines it has: %s", error)
        else:
            self.tell(self._on_machines, machines)
        self.tell(self._look_later)

    def _look_later(self) -> None:
        if self._timer is None and self.users and any(True for _ in self._shares):
            self._timer = self.loop.call_later(LOOK_SECONDS, self._look)

    def _on_machines(self, machines: list[dict[str, float]]) -> None:
        self._known = True
        news = self.resources.update(machines)
        for stage in list(self._shares):
            self._results.insist(stage)
        self._crew.look()
        self.dispatch()
        if news:
            for stage in list(self._shares):
                stage.listener.on_appetite()

    # Stages.

    def open(self, job: Job, listener: Listener, needs: Mapping[str, float]) -> RayStage:
        """A place for one node."""
        return RayStage(self, job, listener, needs)

    def stages(self) -> Iterable[RayStage]:
        """All that have begun and are not over."""
        return self._shares

    def active(self) -> int:
        """How many nodes have something to do, or hold something."""
        return sum([bool(stage.waiting or stage.portions or stage.members) for stage in self._shares])

    def width(self, stage: RayStage) -> int:
        """How many calls, or actors, of a node fit into the cluster."""
        return self.resources.width(stage.needs)

    def add(self, stage: RayStage) -> None:
        """There is work for one more node."""
        self._shares.add(stage, stage.job.run, stage.job.rank)
        if self._error is not None:
            self.loop.call_soon(stage.fail, self._error)
        elif self._begun:
            self._look_later()

    def remove(self, stage: RayStage) -> None:
        """A node is over."""
        self._shares.remove(stage)

    def cancel(self, stage: RayStage) -> None:
        """Have everything end that runs for a node."""
        for portion in stage.portions:
            portion.dropped = True
        self._results.insist(stage)
        if stage.members:
            self.loop.call_later(GRACE_SECONDS, self._crew.kill_stuck, stage)

    async def close_job(self, stage: RayStage, outcome: str | None) -> list[BaseException]:
        """End all actors of a node; gives what that raised."""
        return await self._crew.close(stage, outcome)

    # Work.

    def dispatch(self) -> None:
        """Hand out portions as long as there are places and items."""
        if not self._known:
            return
        barred: set[str] = set()
        passed: set[RayStage] = set()
        while (stage := self._shares.pick(lambda each: each not in passed and each.waiting > 0)) is not None:
            served = self._crew.serve(stage, barred) if stage.stateful else self._serve(stage, barred)
            if not served:
                passed.add(stage)

    def _serve(self, stage: RayStage, barred: set[str]) -> bool:
        """Send a portion as a task, if there is room; else bar others from what it waits for."""
        needs, lacking = stage.needs, self.is_lacking(stage)
        if lacking:
            if stage.portions:  # a cluster that grows by itself must see what is needed, but not all of it
                return False
        elif not needs and len(stage.portions) >= self.width(stage):
            return False
        elif not barred.isdisjoint(needs) or not self.resources.fits(needs, stage.depth):
            barred.update(needs)
            if self.resources.is_held(needs) or not stage.portions:
                self._crew.reclaim(stage)
            return False
        most = min(stage.portion_size(), -(-stage.waiting // max(1, self.width(stage))))
        portion = stage.portion(most, None, self.now())
        portion.counted = not lacking
        if portion.counted:
            self.resources.take(needs)
        self.send(portion)
        return True

    def is_lacking(self, stage: RayStage) -> bool:
        """Whether no machine can serve a node; says so once."""
        lacking = self.resources.lacking(stage.needs)
        if lacking and not stage.warned:
            stage.warned = True
            asked = ", ".join(f"{stage.needs[name]:g} {name}" for name in lacking)
            logger.warning(
                "node %r waits: a call needs %s, and no machine of the cluster has that", stage.job.name, asked
            )
        return bool(lacking)

    def send(self, portion: Portion) -> None:
        """Send a portion to a worker."""
        self.ask(partial(self._send, portion))

    def _send(self, portion: Portion) -> None:
        """In a thread."""
        if portion.dropped:
            self.tell(self._results.on_unsent, portion)
            return
        try:
            self.gate.send(portion, lambda future: self.tell(self._on_end, portion, future))
        except UnreadyError as error:
            self.tell(self._results.on_refusal, portion, error.__cause__)
        except Exception as error:
            self.tell(self._results.on_stuck, portion, self.gate.why_not(portion), error)

    def _on_end(self, portion: Portion, future: Future[Any]) -> None:
        error = future.exception()
        if error is not None and portion.member is not None and self.gate.is_death(error):
            self._crew.lose(portion.member)
        self.free(portion)
        self._results.on_end(portion, future)

    def free(self, portion: Portion) -> None:
        """A portion is at no worker any more."""
        portion.stage.portions.discard(portion)
        member = portion.member
        if portion.counted:
            self.resources.give(portion.stage.needs)
        if member is not None:
            member.load.remove(portion)
            self._crew.freed(member)

    def spent(self, stage: RayStage, seconds: float) -> None:
        """A worker has worked so long for a node."""
        self._shares.spent(stage, seconds)

    def lose(self, portion: Portion) -> None:
        """End the actor that a portion is at."""
        if portion.member is not None:
            self._crew.lose(portion.member)

    def refusal(self, error: BaseException) -> BaseException:
        """Why a node cannot be sent to workers."""
        return error.__cause__ or error if isinstance(error, UnreadyError) else error

    def fetch(self, item: Any, then: Callable[[Any], None]) -> None:
        """Get the values of an item that are kept elsewhere, if that is still possible, and tell."""

        def get() -> None:
            try:
                whole = self.gate.fetch(item, FETCH_SECONDS)
            except Exception as error:
                logger.warning("the value of an item that failed is lost: %s", error)
                whole = item
            self.tell(then, whole)

        self.read(get)

    # The end.

    async def close(self) -> None:
        """End everything; when this returns nothing of ours is alive, whatever happens meanwhile."""
        if self._timer is not None:
            self._timer.cancel()
        self._sender.close()
        self._reader.close()
        await join_threads([self._sender.thread, self._reader.thread])
        await join_threads(self._connections.leave(self._session))

"""What this program asks of Ray. All of it may block, and so is called in threads, unless it says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .ray_stage import BUDGET_SECONDS, Member, Portion, RayStage
from .ray_values import LARGE, Packer, fill, take_out, unpack, weigh
from .ray_worker import Order

__all__ = ["TASK_REPEATS", "Gate", "UnreadyError"]

LARGE_BLOB = 1 << 14
"""Bytes of a job from which on workers fetch it once, instead of getting it with every portion."""

TASK_REPEATS = 3
"""How many times Ray itself repeats a portion whose values stay there, when a machine is lost."""

Told = Callable[[Any], None]


class UnreadyError(Exception):
    """The job of a node cannot be pickled; the reason is its cause."""


class Gate:
    """The way to the workers.

    Args:
        ray: The module.
        work: The function of tasks.
        actors: The classes of actors, for plain functions and for coroutines.
        packer: For items.
        marks: Where workers note things; reads and forgets one.
    """

    def __init__(
        self, ray: Any, work: Any, actors: tuple[Any, Any], packer: Packer, marks: Callable[[str], bytes | None]
    ) -> None:
        self.packer = packer
        self.mark = marks
        self._ray = ray
        self._work = ray.remote(work)
        self._actors = tuple(ray.remote(actor) for actor in actors)
        errors = ray.exceptions
        self._deaths = (
            errors.WorkerCrashedError,
            errors.RayActorError,
            errors.NodeDiedError,
            errors.ObjectLostError,
            errors.LocalRayletDiedError,
            errors.OutOfMemoryError,
        )
        self._task_error = errors.RayTaskError

    # Called anywhere.

    def is_death(self, error: BaseException) -> bool:
        """Whether a worker, its machine, or what it had to read is gone."""
        return isinstance(error, self._deaths)

    def is_of_task(self, error: BaseException) -> bool:
        """Whether something was raised in a worker, outside of the node's function."""
        return isinstance(error, self._task_error)

    # Called in threads.

    def machines(self) -> list[dict[str, float]]:
        """What each machine of the cluster has."""
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def send(self, portion: Portion, told: Told) -> None:
        """Send a portion; ``told`` is called in a thread, with a finished future of what comes back.

        Raises:
            UnreadyError: The node cannot be pickled.
            Exception: The items cannot be, or Ray refuses.
        """
        stage, slots, member = portion.stage, portion.slots, portion.member
        blob = self._blob(stage)
        items, kept = take_out(portion.items)
        message: Any = self.packer.pack(items)
        size = weigh(message)
        portion.weight = size + sum([each.size for each in kept])
        if slots is not None:
            if size >= LARGE:
                message = self._ray.put(message)
                portion.roots = (message,)
            portion.roots += stage.roots_of(portion.items)
        order = Order(portion.key, BUDGET_SECONDS, slots)
        args = (order, message, *[each.ref for each in kept])
        returns = 1 if slots is None else 1 + slots
        if member is not None:
            refs = member.handle.work.options(num_returns=returns).remote(*args)
        else:
            repeats = 0 if slots is None else TASK_REPEATS
            options = _options(stage) | {"num_returns": returns, "max_retries": repeats}
            refs = self._work.options(**options).remote(stage.key, blob, *args)
        portion.refs = [refs] if returns == 1 else list(refs)
        portion.refs[0].future().add_done_callback(told)

    def _blob(self, stage: RayStage) -> Any:
        if stage.blob is None:
            try:
                blob = self.packer.dumps((stage.job, stage.surroundings))
            except Exception as error:
                raise UnreadyError from error
            stage.blob = [self._ray.put(blob)] if len(blob) >= LARGE_BLOB else blob
        return stage.blob

    def why_not(self, portion: Portion) -> list[str]:
        """Of each item why it cannot be sent; empty for those that can."""
        return [self.packer.why_not(item) for item in take_out(portion.items)[0]]

    def cancel(self, portion: Portion) -> None:
        """Have a portion end soon; that of a task at once."""
        if portion.refs:
            try:
                self._ray.cancel(portion.refs[0], force=portion.member is None)
            except Exception:  # it is over
                pass

    def create(self, member: Member, told: Told) -> None:
        """Start an actor; ``told`` is called in a thread, with a finished future of what its setup came to."""
        stage = member.stage
        options = _options(stage) | {"max_restarts": 0, "max_task_retries": 0}
        member.handle = self._actors[stage.job.coroutine].options(**options).remote(self._blob(stage))
        member.handle.open.remote().future().add_done_callback(told)

    def close(self, member: Member, outcome: str | None, told: Told) -> None:
        """Have an actor clean up; ``told`` is called in a thread, with a finished future of what that raised."""
        member.here = member.handle.here.remote().future()
        member.handle.close.remote(outcome).future().add_done_callback(told)

    def kill(self, member: Member) -> None:
        """End an actor."""
        if member.handle is not None:
            try:
                self._ray.kill(member.handle)
            except Exception:  # it is over
                pass

    def fetch(self, item: Any, seconds: float) -> Any:
        """An item with the values that are kept elsewhere."""
        (without,), kept = take_out([item])
        values = self._ray.get([each.ref for each in kept], timeout=seconds)
        return fill(without, lambda index: unpack(values[index]))


def _options(stage: RayStage) -> dict[str, Any]:
    needs = dict(stage.needs)
    cpus, gpus = needs.pop("CPU", 0.0), needs.pop("GPU", 0.0)
    options: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus, "resources": needs or None}
    # The name of an actor would have to be the only one of its kind.
    return options if stage.stateful else options | {"name": stage.job.name}

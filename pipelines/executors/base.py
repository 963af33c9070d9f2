"""What an executor is: somewhere else where the functions of nodes run.

The engine opens a *stage* on an executor for every node that asks for it. It feeds the stage items, as
many as the stage has appetite for, and is told the results by the run of items, as they come. How many
items go to a worker at once, and which of several stages is served next, is the executor's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["NO_NEEDS", "Executor", "Failure", "Job", "Kept", "Listener", "Needs", "Stage"]


@dataclass(frozen=True, slots=True)
class Needs:
    """What one call needs, for executors that schedule by it."""

    num_cpus: float | None = None
    num_gpus: float | None = None
    resources: Mapping[str, float] | None = None


NO_NEEDS = Needs()


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker must know to run one node; executors that leave the process pickle it.

    Attributes:
        name, uuid: Of the node in this run; ``uuid`` tells apart what several runs do on one worker.
        function: The node's function, or the class that each worker makes one object of.
        args: Its arguments by name; of a class those of its constructor.
        env_vars: Looked up by attribute in the context that ``function`` gets as ``self``.
        setup, cleanup: Called by each worker before its first item, and after its last.
        coroutine: Whether a call gives something to be awaited.
        bare: Whether items are fed bare, to be called with in a tuple of one; else they are ``q_elt`` tuples.
        concurrency: How many calls may run at once; None leaves it to the executor.
        timeout: Seconds for one call.
        keeps: Results may stay with the workers, under a `Kept` reference: every downstream node runs on an
            executor of the same kind.
        needs: What one call needs.
        run: Name of the run, among which workers are shared fairly.
        rank: The node's place in the graph: of one run, nodes nearer to the sinks are served first.
    """

    name: str
    uuid: str
    function: Callable[..., Any]
    args: Mapping[str, Any] = field(default_factory=dict)
    env_vars: Mapping[str, Any] = field(default_factory=dict)
    setup: Callable[..., Any] | None = None
    cleanup: Callable[..., Any] | None = None
    coroutine: bool = False
    bare: bool = True
    concurrency: int | None = None
    timeout: float | None = None
    keeps: bool = False
    needs: Needs = NO_NEEDS
    run: str = ""
    rank: int = 0


class Failure:
    """Stands for the result of a call that raised.

    Attributes:
        fatal: It was no call for an item that failed, but the setup of the worker.
        unread: The items of the portion could not be read; one of them is to blame.
    """

    __slots__ = ("error", "fatal", "unread")

    def __init__(self, error: BaseException, fatal: bool = False, unread: bool = False) -> None:
        self.error = error
        self.fatal = fatal
        self.unread = unread

    def __reduce__(self) -> Any:
        return Failure, (self.error, self.fatal, self.unread)


class Kept:
    """Stands for a value that has stayed where it was made, on its way to the next node there."""

    __slots__ = ()


class Listener(Protocol):
    """Whoever feeds a stage. All of it is called in the event loop."""

    def on_results(self, place: int, items: Sequence[Any], outcomes: list[Any], seconds: float, *, plain: bool) -> None:
        """The ``items`` fed at ``place`` and behind it came to ``outcomes``.

        ``seconds`` is how long all the calls took together. When ``plain``, no outcome is a `Failure`,
        a `To` or ``SKIP``.
        """
        ...

    def on_appetite(self) -> None:
        """The stage can take items again."""
        ...

    def on_repeated(self, count: int) -> None:
        """So many items begin anew, because the worker that held them died."""
        ...

    def on_failure(self, error: BaseException) -> None:
        """The stage will never give the rest of the results."""
        ...


class Stage(Protocol):
    """One node's place on an executor."""

    def appetite(self) -> int:
        """How many more items may be fed now."""
        ...

    def feed(self, place: int, items: list[Any]) -> None:
        """Take items; the first is at ``place``, each other one behind the one before it."""
        ...

    def cancel(self) -> None:
        """Forget what waits, and interrupt what runs as far as that is possible; no result is told any more."""
        ...

    async def close(self, outcome: str | None) -> Sequence[BaseException]:
        """End everything of this node in all workers: cleanups run, objects are closed.

        Call it once everything fed has come to a result, or after `cancel`. ``outcome`` is how the run
        ended. Gives what cleanups raised.
        """
        ...


class Executor(Protocol):
    """Runs the functions of nodes somewhere else; the event loop goes on meanwhile.

    An executor belongs to one event loop at a time: from the first `acquire` to the last `release`
    everything it needs is alive; after that nothing is. Graphs share one by acquiring it side by side.
    Every promise about stages stands in ``tests/contracts/test_executors.py``.
    """

    @property
    def capacity(self) -> int:
        """How many calls can run at once; may change."""
        ...

    @property
    def measures(self) -> bool:
        """Whether it hands short plain calls to workers by the portion, and so wants many of them at once."""
        ...

    @property
    def keeps(self) -> str:
        """A name that executors share between which values may travel as `Kept`; empty if none may."""
        ...

    def check(self, job: Job) -> list[tuple[str, str]]:
        """Why ``job`` cannot run here: for each reason what of it is wrong (``coro``, ``args``, ...), and why."""
        ...

    def acquire(self) -> None:
        """Come to life, or count one more user."""
        ...

    async def release(self) -> None:
        """One user less; the last waits until nothing is alive any more."""
        ...

    def open(self, job: Job, listener: Listener) -> Stage:
        """A place for one node; workers are started when they are needed."""
        ...

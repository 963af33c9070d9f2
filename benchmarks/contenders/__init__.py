"""The contenders: one small adapter module each, which says what its contender can do and does it.

An adapter is a module that bears the contender's name. It imports the contender at its top, and has

- ``ABOUT``: how the contender is used here, in one or two sentences;
- ``DISTRIBUTION``: the distribution to install; None where there is nothing to install;
- a function ``shape(job)`` for every shape of work (see `SHAPES`) that it can do: a coroutine
  function if the contender runs in the caller's event loop, else a plain one that returns at the end;
- ``prepare_shape(job)`` where its users would have made something beforehand, such as a description;
- ``CANNOT``: for every other shape, or for one work, the reason in a few words; ``OTHERWISE`` is the
  reason for all that are in neither;
- ``SHARE``: for works where it is so slow that it gets only a part of the items, that part;
- ``loop_factory`` where it wants another event loop than asyncio's own.

Adapters are imported only in processes of their own: no contender can disturb another, and one that
is not installed disturbs nobody.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from ..jobs import Graphs
from ..works.base import Contestant, Work

__all__ = ["CONTENDERS", "ELSEWHERE", "OURS", "PEERS", "SHAPES", "Adapter", "CannotError", "NotInstalledError", "load"]

OURS = ("limit", "queues", "queues_uvloop", "pipelines", "pipelines_uvloop")
"""What needs no peer to be installed (and uvloop for two of them)."""

PEERS = (
    "aiostream",
    "anyio",
    "bytewax",
    "csp",
    "futures",
    "haystack",
    "joblib",
    "pipecat",
    "pyper",
    "pypeln",
    "ray",
    "reactivex",
    "spdl",
    "streamz",
)
"""The libraries of others."""

CONTENDERS = OURS + PEERS

SHAPES = {
    "chain": "nodes that are async functions, one behind the other",
    "plain": "the same with plain functions",
    "chain_put": "the same from a source that puts its items one by one",
    "diamond": "two branches from one source, zipped again",
    "diamond_skips": "the same, where one branch drops items",
    "sleep_ordered": "many calls at once, results in the order of the items",
    "sleep_unordered": "many calls at once, results as they come",
    "polite": "a chain in a loop that is somebody else's",
    "memory": "a chain whose last node stops for a while",
    "dag": "thousands of nodes, zipped where edges meet",
    "graphs": "many small chains",
    "latency_put": "single items put in and taken out",
    "latency_submit": "single items, each with a call that returns its result",
    "options": "a chain with options that are not needed",
    "cores": "calls that fill a core, on two processes",
    "hops": "large arrays to another process",
    "ray_chain": "large arrays through several functions on Ray",
    "redis_edge": "small items to another process over Redis",
}

ELSEWHERE = {
    "cores": "stays in one process, or has no simple way out",
    "hops": "stays in one process, or has no simple way out",
    "ray_chain": "knows no Ray",
    "redis_edge": "knows no Redis",
}
"""Why contenders that say nothing of it do not do what leaves the event loop."""

# A chain in a web server, with a slow sink, or many of them are still chains: an adapter needs to say nothing new.
STAND_INS = {
    "chain_put": ("chain", "plain"),
    "polite": ("chain", "plain"),
    "memory": ("chain",),
    "graphs": ("chain", "plain"),
}


class CannotError(Exception):
    """The contender cannot express the work; the message is the reason."""


class NotInstalledError(Exception):
    """The contender, or something that it needs, is not there."""


@dataclass(frozen=True)
class Adapter:
    """A contender's module, read.

    Attributes:
        version: That of the contender, or None where there is none.
        share: The part of the items that it gets, by work.
    """

    name: str
    about: str
    version: str | None
    module: ModuleType = field(repr=False)

    def contestant(self, work: Work) -> Contestant:
        """The function for ``work``.

        Raises:
            CannotError: It cannot express the work.
        """
        reason = self._cannot(work)
        if reason is not None:
            raise CannotError(reason)
        function = getattr(self.module, work.shape, None) or self._stand_in(work.shape)
        prepare = getattr(self.module, f"prepare_{work.shape}", None)
        return Contestant(function, getattr(self.module, "loop_factory", None), prepare)

    def share(self, work: Work) -> float:
        """The part of a work's items that it gets."""
        shares: dict[str, float] = getattr(self.module, "SHARE", {})
        return shares.get(work.name, 1.0)

    def _cannot(self, work: Work) -> str | None:
        """The reason why it cannot do a work; None when it can.

        Raises:
            LookupError: The adapter neither does the work nor says why not.
        """
        reasons: dict[str, str] = getattr(self.module, "CANNOT", {})
        for key in (work.name, work.shape):
            if key in reasons:
                return reasons[key]
        names = (work.shape, *STAND_INS.get(work.shape, ()))
        if any(hasattr(self.module, name) for name in names):
            return None
        known = [reasons[name] for name in names if name in reasons]
        known += [reason for reason in (getattr(self.module, "OTHERWISE", None), ELSEWHERE.get(work.shape)) if reason]
        if known:
            return known[0]
        raise LookupError(f"contender {self.name!r} has no function {work.shape!r}, and no reason in CANNOT")

    def _stand_in(self, shape: str) -> Callable[[Any], Any]:
        """The function of the simpler shape that does ``shape`` too."""
        function: Callable[[Any], Any] = next(
            getattr(self.module, name) for name in STAND_INS[shape] if hasattr(self.module, name)
        )
        if shape != "graphs":
            return function
        return _many_at_once(function) if inspect.iscoroutinefunction(function) else _many_in_turn(function)


def _many_at_once(chain: Callable[[Any], Any]) -> Callable[[Graphs], Any]:
    async def graphs(job: Graphs) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(job.count):
                group.create_task(chain(job.chain()))

    return graphs


def _many_in_turn(chain: Callable[[Any], Any]) -> Callable[[Graphs], Any]:
    def graphs(job: Graphs) -> None:
        for _ in range(job.count):
            chain(job.chain())

    return graphs


def load(name: str) -> Adapter:
    """Import a contender's adapter, and with it the contender.

    Raises:
        LookupError: There is no such contender.
        NotInstalledError: The contender, or a part of it, cannot be imported.
    """
    if name not in CONTENDERS:
        raise LookupError(f"there is no contender {name!r}; contenders are: {', '.join(CONTENDERS)}")
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except ImportError as error:
        raise NotInstalledError(str(error)) from error
    distribution = module.DISTRIBUTION
    version = importlib.metadata.version(distribution) if distribution else getattr(module, "VERSION", None)
    return Adapter(name, module.ABOUT, version, module)

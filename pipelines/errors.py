"""Every exception of the library.

The tree::

    PipelinesError
    ├── GraphError            (ValueError)    the dict is no valid graph; carries every problem
    ├── NodeError                             a coro failed; carries node, item, attempts
    ├── AlignmentError                        a zip's upstreams ended after unequal numbers of items
    ├── StalledError                          the graph cannot move; carries the wait-for path
    ├── LimitError                            a run went over one of its `Limits`
    ├── StateError            (RuntimeError)  the command makes no sense in this state
    ├── UnknownNodeError      (LookupError)   a command names a node that is not there
    ├── ClosedError                           you closed this end; nothing more can be put
    ├── EndOfChannel                          the other end is finished and everything was taken
    ├── SubmitError                           a submitted item has no result
    │   ├── SkippedError                      its coro, or a skip policy, dropped it
    │   ├── StoppedError                      the graph was stopped before the item was through
    │   └── AbortedError                      the graph was aborted while the item was inside
    ├── RemoteError                           an exception from elsewhere that could not travel as it was
    ├── TravelError           (TypeError)     a value could not travel to a worker or back
    ├── WorkerDiedError                       a worker process ended in the middle of a call
    └── MissingExtraError     (ImportError)   an optional dependency is not installed
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

__all__ = [
    "AbortedError",
    "AlignmentError",
    "ClosedError",
    "EndOfChannel",
    "GraphError",
    "LimitError",
    "MissingExtraError",
    "NodeError",
    "PipelinesError",
    "Problem",
    "RemoteError",
    "SkippedError",
    "StalledError",
    "StateError",
    "StoppedError",
    "SubmitError",
    "TravelError",
    "UnknownNodeError",
    "WorkerDiedError",
]


class PipelinesError(Exception):
    """Base of everything this library raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a graph dict.

    Attributes:
        code: Stable identifier for programs, for example ``unknown_node``.
        path: Where in the dict, for example ``graph.inp[0]`` or ``nodes.rev.properties.queue_size``.
        message: What is wrong, naming the wrong thing.
        hint: What would be right; empty when there is nothing useful to say.
    """

    code: str
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        return f"{text} ({self.hint})" if self.hint else text

    def to_dict(self) -> dict[str, str]:
        """The problem as plain JSON-able data."""
        return {"code": self.code, "path": self.path, "message": self.message, "hint": self.hint}


class GraphError(PipelinesError, ValueError):
    """The dict is no valid graph; ``problems`` lists everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        return f"{len(self.problems)} problems in the graph:\n{lines}"


class NodeError(PipelinesError):
    """A node's coro failed for good; the original exception is ``__cause__``.

    Attributes:
        node: Name of the node.
        item: What the coro was called with: the item itself, or the tuple of items of a zip;
            ``None`` for a source, a ``setup`` or a ``cleanup``.
        attempts: How many times the coro was called for this item.
    """

    def __init__(
        self, node: str, item: object = None, attempts: int = 1, *, cause: BaseException | None = None
    ) -> None:
        self.node = node
        self.item = item
        self.attempts = attempts
        super().__init__(node, item, attempts)
        self.__cause__ = cause

    def __repr__(self) -> str:
        return f"NodeError({self.node!r}, {shortened(self.item)}, {self.attempts})"

    def __str__(self) -> str:
        cause = self.__cause__
        why = f"{type(cause).__name__}: {shortened(cause, str)}" if cause is not None else "failed"
        tried = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        about = f" on item {shortened(self.item)}" if self.item is not None else ""
        return f"node {self.node!r} failed{about}{tried}: {why}"


class AlignmentError(PipelinesError):
    """A zip's upstreams ended after unequal numbers of items.

    Attributes:
        node: Name of the zip node.
        counts: How many positions each upstream had, by upstream name.
    """

    def __init__(self, node: str, counts: Mapping[str, int]) -> None:
        self.node = node
        self.counts = dict(counts)
        super().__init__(node, self.counts)

    def __str__(self) -> str:
        had = ", ".join(f"{name!r} had {count}" for name, count in self.counts.items())
        return f"node {self.node!r} zips upstreams of unequal length: {had}"


class StalledError(PipelinesError):
    """The graph cannot move any more.

    Attributes:
        path: The wait-for path: one sentence per node, from the first that waits.
    """

    def __init__(self, path: Sequence[str]) -> None:
        self.path = tuple(path)
        super().__init__(self.path)

    def __str__(self) -> str:
        return "the graph cannot move: " + "; ".join(self.path)


class LimitError(PipelinesError):
    """A run went over a limit that was set for it.

    Attributes:
        code: Stable identifier, for example ``too_many_items``.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(code, message)

    def __str__(self) -> str:
        return self.message


class StateError(PipelinesError, RuntimeError):
    """The command makes no sense in the state the graph is in."""


class UnknownNodeError(PipelinesError, LookupError):
    """A command names a node that the graph does not have, or not in that role."""

    def __init__(self, role: str, name: str, known: Iterable[str]) -> None:
        self.known = tuple(islice(known, 30))
        super().__init__(role, name, self.known)

    def __str__(self) -> str:
        role, name, known = self.args
        return f"unknown {role} {name!r}; there are: {', '.join(known) or 'none'}"


class ClosedError(PipelinesError):
    """Something was put into a source or channel that is closed."""


class EndOfChannel(PipelinesError):  # noqa: N818 - an end is no error
    """The sending end is finished and everything that was sent has been taken."""


class SubmitError(PipelinesError):
    """A submitted item has no result."""


class SkippedError(SubmitError):
    """The submitted item was skipped: a coro returned ``SKIP``, or a pair of it was cancelled.

    Attributes:
        node: Name of the node where it was dropped.
    """

    def __init__(self, node: str) -> None:
        self.node = node
        super().__init__(node)

    def __str__(self) -> str:
        return f"the item was skipped at node {self.node!r}"


class StoppedError(SubmitError):
    """The graph ended before the submitted item was through."""


class AbortedError(SubmitError):
    """The graph was aborted while the submitted item was inside."""


class RemoteError(PipelinesError):
    """An exception of a worker, or of another host, that could not travel as it was.

    Attributes:
        kind: Name of its class.
        message: What it said.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        self.message = message
        super().__init__(kind, message)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


class TravelError(PipelinesError, TypeError):
    """A value could not travel to a worker or back, because it cannot be pickled (or unpickled)."""


class WorkerDiedError(PipelinesError):
    """A worker process ended in the middle of a call.

    Attributes:
        exitcode: Its exit code; negative: the number of the signal that ended it. None if nobody knows.
    """

    def __init__(self, exitcode: int | None = None) -> None:
        self.exitcode = exitcode
        super().__init__(exitcode)

    def __str__(self) -> str:
        code = self.exitcode
        if code is not None and code < 0:
            try:
                how = f"by {signal.Signals(-code).name}"
            except ValueError:
                how = f"by signal {-code}"
        else:
            how = "for no known reason" if code is None else f"with exit code {code}"
        return f"the worker process ended {how} in the middle of the call"


class MissingExtraError(PipelinesError, ImportError):
    """An optional dependency is not installed; the message holds the command that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(what, extra)

    def __str__(self) -> str:
        what, extra = self.args
        return f"{what} needs the extra {extra!r}: pip install 'asyncio-pipelines[{extra}]'"


def shortened(value: Any, tell: Callable[[Any], str] = repr, limit: int = 200) -> str:
    """``repr`` (or ``str``) of anything: never longer than ``limit`` characters, and it never raises."""
    try:
        text = tell(value)
    except Exception:  # a broken __repr__ must not hide what is being told
        text = f"<{type(value).__name__} that cannot be shown>"
    return text if len(text) <= limit else text[: limit - 1] + "…"

"""What a call of a coro can come to."""

from __future__ import annotations

from typing import Any

from ..errors import NodeError
from ..graph.model import Node
from ..types import SKIP, FailedItem, To

__all__ = ["NOTHING", "GivenUp", "Outcome", "WrongTargetError", "check_target"]

NOTHING = To("", None)
"""Outcome of a call that has nothing to send any more: a generator that has yielded its last."""

Outcome = Any
"""What a call came to: a plain value, a `To` (`SKIP` and `NOTHING` included), a `GivenUp` or a `Tomb`."""


class GivenUp:
    """Outcome of a call whose item was given up while the run goes on."""

    __slots__ = ("failed",)

    def __init__(self, failed: FailedItem) -> None:
        self.failed = failed


class WrongTargetError(NodeError):
    """A coro sent an item to a node that is not downstream of it; no policy covers that."""


def check_target(result: To, node: Node) -> None:
    """A `To` must name a downstream node; anything else is a mistake in the program, whatever ``on_error`` says."""
    if result is SKIP or result is NOTHING or result.node in node.downstreams:
        return
    known = ", ".join(map(repr, node.downstreams)) or "none"
    cause = ValueError(f"To({result.node!r}): no such downstream node; downstream of {node.name!r} are: {known}")
    raise WrongTargetError(node.name, result.value, cause=cause) from cause

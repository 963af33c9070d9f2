"""What a coro gets as ``self``, wherever it runs."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

__all__ = ["NO_ARGS", "Context"]

NO_ARGS: MappingProxyType[str, Any] = MappingProxyType({})


class Context:
    """A node, as a coro sees it that runs in a worker.

    A coro may set attributes of its own here (an open file, a connection); it finds them again at
    its next call on the same worker. An attribute that nobody has set is looked up in ``env_vars``.

    Attributes:
        name: The node's name in the dict.
        args: The keyword arguments of the coro, read-only.
        env_vars: The mapping given to `Plumber`; in another process a copy of it.
        outcome: How the run ended, for ``cleanup``: ``completed``, ``failed``, ``stopped`` or
            ``aborted``; None while it runs.
    """

    def __init__(
        self, name: str, args: MappingProxyType[str, Any], env_vars: Mapping[str, Any], uuid: str | None = None
    ) -> None:
        self.name = name
        self.args = args
        self.env_vars = env_vars
        self.outcome: str | None = None
        if uuid is not None:
            self.uuid = uuid

    @cached_property
    def uuid(self) -> str:
        """A random identifier of this node in this run."""
        return str(uuids.uuid4())

    if TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None:
            """Coros may keep anything here."""

    def __getattr__(self, name: str) -> Any:
        # Only called for what is not set. `env_vars` itself may be missing while unpickling.
        env_vars = self.__dict__.get("env_vars") or {}
        try:
            return env_vars[name]
        except KeyError:
            known = ", ".join(sorted(map(str, env_vars))) or "none"
            raise AttributeError(
                f"{type(self).__name__} {self.__dict__.get('name')!r} has no attribute {name!r}; env_vars has: {known}"
            ) from None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

"""Names in an operator's own files: registered ones, and functions to be imported."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from ..types import Coro
from .arguments import ArgumentProblem, ArgumentSchema
from .registry import Registry, default_registry

__all__ = ["TrustedNames"]


class TrustedNames:
    """Looks up registered names first, and then imports ``module:function``.

    Only for graphs whose author may run any code anyway, such as a file of the operator's own: importing
    a module runs it. `Plumber.from_untrusted` does not accept this.

    Args:
        registry: Where names are looked up first; the default registry when left out.
    """

    def __init__(self, registry: Registry | None = None) -> None:
        self._registry = default_registry if registry is None else registry
        self._imported: dict[str, tuple[Coro, ArgumentSchema]] = {}

    def resolve(self, name: str) -> Coro:
        """The function of this name; after the colon dots lead into classes: ``module:Class.method``.

        Raises:
            KeyError: No such name is registered, and it has no colon.
            LookupError: The module cannot be imported, or has no such function.
        """
        if name in self._registry or ":" not in name:
            return self._registry.resolve(name)
        if name not in self._imported:
            function = _import(name)
            self._imported[name] = (function, ArgumentSchema(function))
        return self._imported[name][0]

    def lifecycle(self, name: str) -> tuple[Coro | None, Coro | None]:
        """As `Registry.lifecycle`; an imported function has neither."""
        return self._registry.lifecycle(name) if name in self._registry else (None, None)

    def validate_args(
        self, name: str, args: Mapping[str, Any], strict: bool = False
    ) -> tuple[dict[str, Any], list[ArgumentProblem]]:
        """As `Registry.validate_args`."""
        if name in self._registry:
            return self._registry.validate_args(name, args, strict)
        self.resolve(name)
        return self._imported[name][1].validate(args, strict=strict)

    def names(self) -> tuple[str, ...]:
        """The registered names."""
        return self._registry.names()


def _import(name: str) -> Coro:
    module_name, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise LookupError(f"module {module_name!r} cannot be imported: {type(error).__name__}: {error}") from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise LookupError(f"{module_name!r} has no {path!r}") from None
    if not callable(found):
        raise LookupError(f"{path!r} in {module_name!r} is no function but of type {type(found).__name__}")
    return found  # type: ignore[no-any-return]

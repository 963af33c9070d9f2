"""The `Registry`: a flat table of names and functions, and the decorator that fills it."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from ..signature import innermost
from ..types import Coro
from .arguments import ArgumentProblem, ArgumentSchema

__all__ = ["Registry", "coro", "default_registry"]

_F = TypeVar("_F", bound=Coro)
_C = TypeVar("_C", bound=type)

_LONGEST_NAME = 128


@dataclass(frozen=True)
class _Entry:
    name: str
    function: Coro
    setup: Coro | None = None
    cleanup: Coro | None = None
    help: str | None = None

    @functools.cached_property
    def arguments(self) -> ArgumentSchema:
        return ArgumentSchema(self.function)

    @property
    def doc(self) -> str:
        text = self.help if self.help is not None else inspect.getdoc(_documented(self.function))
        return (text or "").strip().partition("\n")[0]

    def describe(self) -> dict[str, Any]:
        schema = self.arguments
        return {"name": self.name, "doc": self.doc, "kind": schema.role, "args": schema.json_schema()}


def _documented(function: Coro) -> Any:
    # A partial has the docstring of its class, which tells nothing about this one.
    return innermost(function) if isinstance(function, functools.partial) else function


class Registry:
    """Names and the functions they stand for, each with a schema of its arguments.

    A name is looked up whole, in one flat table: nothing is imported, no attribute is followed,
    however the name may look. That makes a registry the door for graphs from strangers: they can
    name what was registered, and nothing else.

    Registering is meant for the time when the program starts; looking up is safe from any thread.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    # Filling.

    @overload
    def coro(self, name: _F, /) -> _F: ...

    @overload
    def coro(
        self,
        name: str | None = None,
        *,
        setup: Coro | None = None,
        cleanup: Coro | None = None,
        help: str | None = None,
        replace: bool = False,
    ) -> Callable[[_F], _F]: ...

    def coro(self, name: Any = None, **options: Any) -> Any:
        """Register the decorated function, under its own name or a given one.

        Args:
            name: The name in graphs; the function's own name when left out, as in ``@registry.coro``.
            **options: ``setup``, ``cleanup``, ``help`` and ``replace`` as for `add`.

        Raises:
            ValueError: The name is taken, or is no name.
        """
        if callable(name):
            return self.add(None, name)
        return lambda function: self.add(name, function, **options)

    def add(
        self,
        name: str | None,
        function: _F,
        *,
        setup: Coro | None = None,
        cleanup: Coro | None = None,
        help: str | None = None,
        replace: bool = False,
    ) -> _F:
        """Register ``function`` and return it.

        Args:
            name: The name in graphs; None takes the function's own.
            function: Any coro: function, coroutine function, generator, bound method, partial, callable object.
            setup: Runs before the first item at every node with this coro, unless the node sets its own.
            cleanup: Runs after the last item, likewise.
            help: What it does, in a line; the docstring's first line when left out.
            replace: Whether a name that is taken is given to this function; otherwise that is an error.

        Raises:
            TypeError: Something that should be a function cannot be called.
            ValueError: The name is taken, or is no name.
        """
        _require_function("coro", function)
        if setup is not None:
            _require_function("setup", setup)
        if cleanup is not None:
            _require_function("cleanup", cleanup)
        name = _own_name(function) if name is None else _checked(name)
        self._put(_Entry(name, function, setup, cleanup, help), replace=replace)
        if setup is not None or cleanup is not None:
            with contextlib.suppress(AttributeError):  # a bound method takes no attributes
                function.__pipelines_lifecycle__ = (setup, cleanup)  # type: ignore[attr-defined]
        return function

    @overload
    def group(self, cls: _C, prefix: str | None = None, *, replace: bool = False) -> _C: ...

    @overload
    def group(self, cls: None = None, prefix: str | None = None, *, replace: bool = False) -> Callable[[_C], _C]: ...

    def group(self, cls: Any = None, prefix: str | None = None, *, replace: bool = False) -> Any:
        """Register the public methods of a class, as ``'StringFuncs.reverse'``; also a class decorator.

        Class methods and static methods are registered bound, plain methods as functions whose
        ``self`` is the `Processor`. Inherited ones count; names with a leading underscore do not.

        Args:
            cls: The class; left out when it is used as a decorator with options.
            prefix: What stands before the dot; the class's name when left out, nothing when empty.
            replace: As for `add`.

        Raises:
            ValueError: The class has no public methods, or a name is taken.
        """
        if cls is None:
            return lambda decorated: self.group(decorated, prefix, replace=replace)
        if not isinstance(cls, type):
            raise TypeError(f"group takes a class, not {type(cls).__name__}")
        start = f"{cls.__name__}." if prefix is None else f"{prefix}." if prefix else ""
        methods = _public_methods(cls)
        if not methods:
            raise ValueError(f"class {cls.__name__!r} has no public methods to register")
        entries = [_Entry(_checked(start + name), method) for name, method in methods.items()]
        for entry in entries:  # all or nothing
            self._refuse_taken(entry, replace=replace)
        for entry in entries:
            self._put(entry, replace=replace)
        return cls

    def update(self, other: Registry | Mapping[str, Coro], *, replace: bool = False) -> None:
        """Take over every entry of another registry, or of a mapping of names to functions.

        Raises:
            ValueError: A name stands for something else here already, and ``replace`` is not set.
        """
        entries = list(_registry_of(other)._entries.values())
        for entry in entries:  # all or nothing
            self._refuse_taken(entry, replace=replace)
        for entry in entries:
            self._put(entry, replace=replace)

    def __or__(self, other: Registry | Mapping[str, Coro]) -> Registry:
        if not isinstance(other, (Registry, Mapping)):
            return NotImplemented
        both = Registry()
        both.update(self)
        both.update(other)
        return both

    def _put(self, entry: _Entry, *, replace: bool) -> None:
        self._refuse_taken(entry, replace=replace)
        self._entries[entry.name] = entry

    def _refuse_taken(self, entry: _Entry, *, replace: bool) -> None:
        present = self._entries.get(entry.name)
        if present is not None and present != entry and not replace:
            raise ValueError(f"the name {entry.name!r} is taken by {present.function!r}; replace=True gives it away")

    # Looking up.

    def resolve(self, name: str) -> Coro:
        """The function that is registered under exactly this name.

        Raises:
            KeyError: There is none.
        """
        return self._entries[name].function

    def lifecycle(self, name: str) -> tuple[Coro | None, Coro | None]:
        """The ``setup`` and ``cleanup`` that were registered with ``name``."""
        entry = self._entries[name]
        return entry.setup, entry.cleanup

    def validate_args(
        self, name: str, args: Mapping[str, Any], strict: bool = False
    ) -> tuple[dict[str, Any], list[ArgumentProblem]]:
        """Check arguments against the types and names of the coro's parameters.

        Args:
            name: A registered name.
            args: The arguments by name.
            strict: The rules for strangers: values as JSON has them, without conversions between
                types (``True`` is no integer, ``"3"`` neither) and without NaN and infinity.
                Otherwise values are converted where that is harmless: text to `Path`, ``"3"`` to 3.

        Returns:
            The arguments as the coro gets them, and the problems: each where it is (the argument's
            name and the way into its value) and what is wrong.

        Raises:
            KeyError: There is no such coro.
        """
        return self._entries[name].arguments.validate(args, strict=strict)

    def names(self) -> tuple[str, ...]:
        """All names, in the order in which they were registered."""
        return tuple(self._entries)

    def describe(self) -> list[dict[str, Any]]:
        """What an editor's palette needs of every coro, JSON-able.

        ``name``, ``doc`` (a line), ``kind`` (``source``, ``processor``, or ``either`` when the
        signature leaves that open) and ``args`` (the JSON Schema of its arguments).
        """
        return [entry.describe() for entry in self._entries.values()]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Registry of {len(self)} coros>"


def _registry_of(other: Registry | Mapping[str, Coro]) -> Registry:
    if isinstance(other, Registry):
        return other
    registry = Registry()
    for name, function in other.items():
        registry.add(name, function)
    return registry


def _require_function(what: str, value: object) -> None:
    if not callable(value):
        raise TypeError(f"{what} must be a function, not {type(value).__name__}")


def _checked(name: object) -> str:
    if not isinstance(name, str) or not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ValueError(f"a coro's name is printable text of 1 to {_LONGEST_NAME} characters, not {name!r}")
    return name


def _own_name(function: Coro) -> str:
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise ValueError(f"{function!r} has no name of its own; give one")
    return _checked(name)


def _public_methods(cls: type) -> dict[str, Coro]:
    members: dict[str, Any] = {}
    for base in reversed(cls.__mro__[:-1]):
        members.update(vars(base))
    public: Collection[str] = [
        name
        for name, member in members.items()
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, (classmethod, staticmethod)))
    ]
    return {name: getattr(cls, name) for name in public}


default_registry = Registry()
"""The registry in which a `Plumber` without ``coro_map`` looks names up."""

coro = default_registry.coro
"""Registers a function in the default registry: ``@coro`` or ``@coro("name")``."""

"""What a coro's signature says: what calling it gives, and which arguments it takes.

Coros come as functions, bound methods, partials, callable objects and behind decorators. Two questions
are asked of each, once, and the answers are kept as long as the function lives: what does a call give
(decided by the outermost callable, because that is what gets called), and which parameters are there
(decided by what the decorators wrap, as `inspect.signature` does).
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MethodType
from typing import Any, Literal
from weakref import WeakKeyDictionary

__all__ = [
    "LIFTED",
    "Arguments",
    "CallShape",
    "Kind",
    "call_shape",
    "innermost",
    "is_model",
    "lift",
    "plain_function",
    "signature_of",
]

Kind = Literal["coroutine", "function", "generator", "async generator"]
"""What calling a function gives; the values of `pipelines.graph.CallKind` for resolved coros."""

LIFTED = "__pipelines_lift__"
"""The attribute by which a lifted function carries the plain function it was made of."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments by name that are left when the first parameters are given by position.

    Attributes:
        accepted: Names that may be given.
        required: Names that must be given.
        reserved: Names that are taken by the positional values and cannot be given again.
        open: Whether any other name may be given too (``**kwargs``).
        fits: Whether the function can be called with so many positional values at all.
    """

    accepted: frozenset[str]
    required: frozenset[str]
    reserved: frozenset[str]
    open: bool
    fits: bool

    def match(self, names: Collection[str]) -> bool:
        """Whether a call with exactly these names works."""
        return (
            self.fits
            and self.required.issubset(names)
            and (self.accepted.issuperset(names) if not self.open else self.reserved.isdisjoint(names))
        )


@dataclass(frozen=True, slots=True)
class CallShape:
    """A function's signature, reduced to what the graph reader asks.

    Attributes:
        kind: What a call gives.
        lifted: Whether it was made by `lift`; the parameters are then those of the plain function.
        model: It is a class: an object is made of it, with the arguments, and that is called with the items.
        wraps_async: It is a plain function, but a decorator's around a coroutine function.
        positional: Names of the parameters that can be given by position, in order.
        positional_only: How many of them can only be given so.
        required: Names without a default.
        keyword_only: Names that can only be given by name.
        varargs, varkw: Whether it takes ``*args``, ``**kwargs``.
    """

    kind: Kind
    lifted: bool = False
    model: bool = False
    wraps_async: bool = False
    positional: tuple[str, ...] = ()
    positional_only: int = 0
    required: frozenset[str] = frozenset()
    keyword_only: frozenset[str] = frozenset()
    varargs: bool = False
    varkw: bool = False
    _after: dict[int, Arguments] = field(default_factory=dict, compare=False, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all parameters that can be given by name."""
        return (*self.positional[self.positional_only :], *self.keyword_only)

    @property
    def second(self) -> str | None:
        """Name of the parameter behind ``self``, which by its convention tells a source from a processor."""
        return self.positional[1] if len(self.positional) > 1 and not self.lifted else None

    def after(self, leading: int) -> Arguments:
        """The arguments by name behind ``leading`` positional values."""
        known = self._after.get(leading)
        if known is None:
            known = self._after[leading] = self._arguments(leading)
        return known

    def _arguments(self, leading: int) -> Arguments:
        by_name = frozenset(self.positional[max(leading, self.positional_only) :]) | self.keyword_only
        unreachable = self.required.intersection(self.positional[leading : self.positional_only])
        return Arguments(
            accepted=by_name,
            required=by_name & self.required,
            reserved=frozenset(self.positional[self.positional_only : leading]),
            open=self.varkw,
            fits=not unreachable and (self.varargs or len(self.positional) >= leading),
        )

    def needs(self, given: Collection[str] = ()) -> int:
        """How many positional values it needs when the arguments ``given`` come by name."""
        return sum(1 for name in self.positional if name in self.required and name not in given)


_UNKNOWN = {"varargs": True, "varkw": True}
"""The parameters of a callable that does not tell its signature: anything goes."""

_Shapes = WeakKeyDictionary[Callable[..., Any], CallShape]
_shapes: _Shapes = WeakKeyDictionary()
_bound_shapes: _Shapes = WeakKeyDictionary()


def call_shape(function: Callable[..., Any]) -> CallShape:
    """The shape of ``function``, worked out once while it lives.

    Never fails: a callable that does not tell its signature takes anything.
    """
    # A bound method is made anew by every attribute access, so its function holds the answer.
    method = type(function) is MethodType
    key = function.__func__ if isinstance(function, MethodType) else function
    return _cached(_bound_shapes if method else _shapes, key, function)


def _cached(cache: _Shapes, key: Any, function: Callable[..., Any]) -> CallShape:
    if not _compares_by_identity(key):
        return _inspected(function)
    try:
        shape = cache.get(key)
        if shape is None:
            shape = cache[key] = _inspected(function)
        return shape
    except TypeError:  # cannot be referenced weakly
        return _inspected(function)


def _compares_by_identity(function: object) -> bool:
    # Objects that are equal to each other may still be called differently.
    hashed_by: Any = type(function).__hash__
    return hashed_by is object.__hash__


def _inspected(function: Callable[..., Any]) -> CallShape:
    plain = plain_function(function)
    if plain is not function:
        return CallShape(kind=_kind(function), lifted=True, **_parameters(plain))
    if is_model(function):
        kind = _kind(inspect.getattr_static(function, "__call__"))  # of its objects
        return CallShape(kind=kind, model=True, **_parameters(function))
    kind = _kind(function)
    wraps_async = kind == "function" and _kind(innermost(function)) == "coroutine"
    return CallShape(kind=kind, wraps_async=wraps_async, **_parameters(function))


def is_model(function: Any) -> bool:
    """Whether a coro is a class whose objects can be called: each worker makes one and keeps it."""
    return inspect.isclass(function) and inspect.isroutine(inspect.getattr_static(function, "__call__", None))


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    signature = signature_of(function)
    if signature is None:
        return _UNKNOWN
    by_kind: dict[Any, list[str]] = {}
    for parameter in signature.parameters.values():
        by_kind.setdefault(parameter.kind, []).append(parameter.name)
    only = by_kind.pop(inspect.Parameter.POSITIONAL_ONLY, [])
    varargs = by_kind.pop(inspect.Parameter.VAR_POSITIONAL, [])
    varkw = by_kind.pop(inspect.Parameter.VAR_KEYWORD, [])
    undefined = {p.name for p in signature.parameters.values() if p.default is p.empty}
    return {
        "positional": (*only, *by_kind.get(inspect.Parameter.POSITIONAL_OR_KEYWORD, [])),
        "positional_only": len(only),
        "required": frozenset(undefined.difference(varargs, varkw)),
        "keyword_only": frozenset(by_kind.get(inspect.Parameter.KEYWORD_ONLY, [])),
        "varargs": bool(varargs),
        "varkw": bool(varkw),
    }


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """The signature behind all decorators, or None when the callable does not tell it."""
    try:
        return inspect.signature(function)
    except Exception:  # foreign objects raise all sorts of things here
        return None


def _kind(function: Callable[..., Any]) -> Kind:
    called = _called(function)
    if inspect.isasyncgenfunction(called):
        return "async generator"
    if inspect.isgeneratorfunction(called):
        return "generator"
    # The callable itself is asked too: newer Pythons can mark one as a coroutine function.
    if inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(function):
        return "coroutine"
    return "function"


def _called(function: Any) -> Any:
    """The function whose code runs when ``function`` is called."""
    while isinstance(function, (functools.partial, MethodType, staticmethod)):
        function = function.func if isinstance(function, functools.partial) else function.__func__
    if inspect.isfunction(function) or inspect.isclass(function):
        return function
    call = type(function).__call__ if callable(function) else None
    return call if inspect.isfunction(call) else function


def innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it was written, inside partials, methods and decorators."""
    try:
        written: Callable[..., Any] = _called(inspect.unwrap(_called(function)))
        return written
    except ValueError:  # wrapped around itself
        return function


def plain_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that was lifted, or ``function`` itself."""
    plain: Callable[..., Any] | None = getattr(function, LIFTED, None)
    return function if plain is None else plain


def lift(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a node's coro of a function that takes plain values: ``function(*q_elt, **args)``.

    The result is of the same kind as ``function`` (coroutine function, plain function, generator or
    async generator function) and bears its name and docstring. Its arguments are checked against
    the parameters behind the values: with two upstreams zipped, from the third on.

    Args:
        function: Any callable; one that is lifted already is returned as it is.

    Raises:
        TypeError: ``function`` cannot be called.
    """
    if not callable(function):
        raise TypeError(f"lift takes a function, not {type(function).__name__}")
    if plain_function(function) is not function:
        return function
    lifted: Callable[..., Any] = _LIFTERS[_kind(function)](function)
    functools.update_wrapper(lifted, function)
    del lifted.__wrapped__  # type: ignore[attr-defined]  # its signature is another one
    setattr(lifted, LIFTED, function)
    return lifted


def _lift_coroutine(function: Callable[..., Any]) -> Any:
    async def lifted(self: Any, q_elt: tuple[Any, ...], /, **args: Any) -> Any:
        return await function(*q_elt, **args)

    return lifted


def _lift_function(function: Callable[..., Any]) -> Any:
    def lifted(self: Any, q_elt: tuple[Any, ...], /, **args: Any) -> Any:
        return function(*q_elt, **args)

    return lifted


def _lift_generator(function: Callable[..., Any]) -> Any:
    def lifted(self: Any, q_elt: tuple[Any, ...], /, **args: Any) -> Any:
        yield from function(*q_elt, **args)

    return lifted


def _lift_async_generator(function: Callable[..., Any]) -> Any:
    async def lifted(self: Any, q_elt: tuple[Any, ...], /, **args: Any) -> Any:
        async with contextlib.aclosing(function(*q_elt, **args)) as values:
            async for value in values:
                yield value

    return lifted


_LIFTERS: Mapping[Kind, Callable[[Callable[..., Any]], Any]] = {
    "coroutine": _lift_coroutine,
    "function": _lift_function,
    "generator": _lift_generator,
    "async generator": _lift_async_generator,
}

"""The functions behind a graph's names, and whether they can be called where they stand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..signature import CallShape, call_shape
from .model import CallKind
from .problems import At, Problems, shown
from .shape import Draft

__all__ = ["Called", "Resolver", "call_of", "check_call", "check_lifecycle"]

_SOURCE_HINT = (
    "a node without upstream is a source: `async def f(self, output_q, **args)`, or a generator `def f(self, **args)`"
)
_PROCESSOR_HINT = "a node with upstreams is called as f(self, q_elt, **args)"


class Resolver:
    """Looks names up in whatever was given as ``coro_map``, and notes what cannot be found.

    Args:
        coro_map: None (names stay unresolved), an object with ``resolve``, a mapping, or a callable
            that is asked about everything that stands in ``coro``, functions too.

    Raises:
        TypeError: ``coro_map`` is none of these.
    """

    def __init__(self, coro_map: Any, problems: Problems, *, strict: bool) -> None:
        self._map = coro_map
        self._problems = problems
        self._strict = strict
        self._find = self._finder(coro_map)
        self._validate = getattr(coro_map, "validate_args", None)
        self._lifecycle = getattr(coro_map, "lifecycle", None)

    def _finder(self, coro_map: Any) -> Callable[[Any], Any]:
        if coro_map is None:
            return _itself
        if hasattr(coro_map, "resolve"):
            return lambda name: name if callable(name) else coro_map.resolve(name)
        if isinstance(coro_map, Mapping):
            return lambda name: name if callable(name) else coro_map[name]
        if callable(coro_map):
            return lambda name: coro_map(name)
        raise TypeError(f"coro_map is a callable, a mapping or a registry, not {shown(coro_map)}")

    def find(self, coro: Any, at: At, *, own: bool = False) -> Callable[..., Any] | None:
        """The function that ``coro`` stands for, or None after noting why there is none.

        From strangers only names are taken, unless it is the program's ``own``.
        """
        if self._strict and not own and not isinstance(coro, str):
            self._problems.add("wrong_type", at, f"{at[-1]} must be the name of a function, not {shown(coro)}")
            return None
        try:
            function = self._find(coro)
        except Exception as error:
            self._unknown(coro, at, error)
            return None
        if callable(function):
            return function  # type: ignore[no-any-return]
        if self._map is not None:
            self._problems.add("unknown_coro", at, f"{shown(coro)} stands for {shown(function)}, which is no function")
        return None

    def _unknown(self, coro: Any, at: At, error: Exception) -> None:
        known = self._known()
        why = "" if isinstance(error, KeyError) else f": {_message(error)}"
        hint = self._problems.choices(coro, known, "there are") if known is not None else ""
        self._problems.add("unknown_coro", at, f"unknown {at[-1]} {shown(coro)}{why}", hint)

    def _known(self) -> Collection[str] | None:
        names = getattr(self._map, "names", None)
        if callable(names):
            return list(names())
        return [name for name in self._map if isinstance(name, str)] if isinstance(self._map, Mapping) else None

    def lifecycle(self, coro: Any, function: Any) -> tuple[Any, Any]:
        """The ``setup`` and ``cleanup`` that were registered together with ``coro``.

        A registered function takes them along wherever it is used, under another name or none.
        """
        if self._lifecycle is None or not isinstance(coro, str):
            return getattr(function, "__pipelines_lifecycle__", (None, None))
        try:
            setup, cleanup = self._lifecycle(coro)
        except KeyError:  # an unknown coro has none; that it is unknown is noted elsewhere
            return None, None
        return setup, cleanup

    def validated(self, draft: Draft, known_bad: Collection[str]) -> dict[str, Any]:
        """The arguments as the resolver's schema reads them; those that do not fit are noted.

        Nothing is said about the arguments ``known_bad``: a problem with each is noted already.
        """
        if self._validate is None or not isinstance(draft.coro, str):
            return draft.args
        checked = {name: value for name, value in draft.args.items() if name not in known_bad}
        read, found = self._validate(draft.coro, checked, self._strict)
        for suffix, message in found:
            if not suffix or suffix[0] not in known_bad:
                self._problems.add("bad_argument", ("nodes", draft.name, "args", *suffix), message)
        return dict(read)


def _itself(coro: Any) -> Any:
    return coro


def _message(error: Exception) -> str:
    try:
        text = str(error)[:200]
    except Exception:  # a broken __str__ must not hide the problem being told
        text = "?"
    return text if type(error) is LookupError else f"{type(error).__name__}: {text}"


@dataclass(frozen=True, slots=True)
class Called:
    """How a node's function is called.

    Attributes:
        kind: What the call gives.
        leading: How many values come before the arguments; None when edges that could not be read decide that.
        source: Whether it is called as a source.
    """

    kind: CallKind
    shape: CallShape
    leading: int | None
    source: bool

    @property
    def movable(self) -> bool:
        """Whether the function may run on an executor: one call gives one result."""
        return not self.kind.yields and not self.source


CONTEXT = "context"
"""The parameter by which a class asks for what functions get as ``self``."""

_KINDS = {kind.value: kind for kind in CallKind}


def call_of(function: Callable[..., Any], draft: Draft, items: int, *, source: bool, certain: bool) -> Called:
    """How ``function`` is called at a node that gets so many ``items`` in one call.

    While it is not ``certain`` that the node has no more upstreams, nothing is said that more
    upstreams would make wrong.
    """
    shape = call_shape(function)
    kind = _KINDS[shape.kind]
    if shape.model:
        return Called(kind, shape, 0, source)
    if shape.lifted:
        return Called(kind, shape, items if certain else None, source)
    if not source or not (certain or _seems_source(shape, draft)):
        return Called(kind, shape, 2, False)
    if kind is CallKind.COROUTINE or (shape.wraps_async and shape.needs(draft.args) >= 2):
        return Called(CallKind.COROUTINE, shape, 2, True)
    # A plain function returns what is iterated, as calling a generator function does.
    return Called(CallKind.GENERATOR if kind is CallKind.FUNCTION else kind, shape, 1, True)


def _seems_source(shape: CallShape, draft: Draft) -> bool:
    if shape.second in ("q_elt", "output_q"):
        return shape.second == "output_q"
    return shape.kind == "coroutine" or shape.after(1).match(draft.args)


def check_call(called: Called, draft: Draft, problems: Problems) -> set[str]:
    """Note why the node's function cannot be called with the node's arguments.

    Returns:
        The names of the arguments that are wrong or missing.
    """
    if called.leading is None:
        return set()
    arguments = called.shape.after(called.leading)
    misfit = _misfit(called, draft)
    if misfit is None and arguments.match(draft.args) and not (called.shape.model and CONTEXT in draft.args):
        return set()
    at: At = ("nodes", draft.name)
    if misfit is not None:
        problems.add("bad_signature", (*at, "coro"), f"node {shown(draft.name)}: {misfit}", _hint(called))
        return {*draft.args, *arguments.required}
    wrong = set()
    for name in draft.args:
        if name in arguments.reserved or (called.shape.model and name == CONTEXT):
            message = f"node {shown(draft.name)}: argument {shown(name)} is a parameter that the library itself gives"
            problems.add("reserved_argument", (*at, "args", name), message)
            wrong.add(name)
        elif name not in arguments.accepted and not arguments.open:
            hint = problems.choices(name, sorted(arguments.accepted), "it takes")
            message = f"node {shown(draft.name)}: its coro takes no argument {shown(name)}"
            problems.add("unknown_argument", (*at, "args", name), message, hint or "it takes none")
            wrong.add(name)
    given = {*draft.args, CONTEXT} if called.shape.model else draft.args
    for name in sorted(arguments.required.difference(given)):
        message = f"node {shown(draft.name)}: its coro needs an argument {shown(name)}"
        problems.add("missing_argument", (*at, "args", name), message, _SOURCE_HINT if called.source else "")
        wrong.add(name)
    return wrong


def _hint(called: Called) -> str:
    return _SOURCE_HINT if called.source else _PROCESSOR_HINT


def _misfit(called: Called, draft: Draft) -> str | None:
    """Why the function fits no node of this sort, whatever the arguments; None when it does."""
    shape, leading, source = called.shape, called.leading or 0, called.source
    if shape.model and source:
        return "a class cannot be a source, as its objects are called with items"
    if source and shape.lifted:
        return "a lifted function takes the items of upstream nodes, and there is none"
    if source and shape.second == "q_elt" and shape.second not in draft.args:
        return "it has no upstream, but its coro takes items (q_elt)"
    if not source and shape.second == "output_q":
        return "it has upstreams, but its coro is a source's (it takes output_q)"
    if source and called.kind is CallKind.GENERATOR and shape.kind == "function" and shape.needs(draft.args) >= 2:
        return "a plain function as a source takes self, and args, and returns what is iterated"
    if not shape.after(leading).fits:
        values = f"{len(shape.positional)} value{'' if len(shape.positional) == 1 else 's'}"
        if shape.lifted:
            return f"its lifted function takes {values}, but is called with {leading}"
        called_as = "f(self)" if leading == 1 else "f(self, output_q)" if source else "f(self, q_elt)"
        return f"its coro takes {values} by position, but is called as {called_as}"
    return None


def check_lifecycle(function: Callable[..., Any], at: At, problems: Problems) -> None:
    """Note why a ``setup`` or ``cleanup`` cannot be called as ``f(self)``."""
    shape = call_shape(function)
    message = ""
    if shape.kind in ("generator", "async generator"):
        message = f"{at[-1]} is a generator; nobody would run it"
    elif not shape.after(1).match(()):
        message = f"{at[-1]} is called with self alone, which does not fit its parameters"
    if message:
        problems.add("bad_signature", at, message, "write `async def f(self)` or `def f(self)`")

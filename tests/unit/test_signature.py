"""What signatures tell, however the callable was made; and `lift`."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from pipelines.signature import call_shape, innermost, lift, plain_function, signature_of


async def coroutine(self: Any, q_elt: Any, size: int, *, unit: str = "m", **rest: Any) -> None: ...


def function(self: Any, q_elt: Any) -> None: ...


def generator(self: Any) -> Iterator[int]:
    yield 1


async def async_generator(self: Any) -> AsyncIterator[int]:
    yield 1


class Grouped:
    @classmethod
    async def bound(cls, self: Any, q_elt: Any) -> None: ...

    @staticmethod
    async def static(self: Any, q_elt: Any) -> None: ...

    def method(self, q_elt: Any) -> Any:
        yield q_elt


class Callable_:  # noqa: N801
    async def __call__(self, processor: Any, q_elt: Any, size: int = 1) -> None: ...


class Equal:
    """Equal to every other one, and not hashable."""

    def __eq__(self, other: object) -> bool:
        return True

    def __call__(self, processor: Any) -> None: ...


def kept(wrapped: Any) -> Any:
    @functools.wraps(wrapped)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return wrapped(*args, **kwargs)

    return wrapper


def kept_async(wrapped: Any) -> Any:
    @functools.wraps(wrapped)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await wrapped(*args, **kwargs)

    return wrapper


KINDS: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "coroutine function": (coroutine, "coroutine", ("self", "q_elt", "size")),
    "function": (function, "function", ("self", "q_elt")),
    "generator": (generator, "generator", ("self",)),
    "async generator": (async_generator, "async generator", ("self",)),
    "class method": (Grouped.bound, "coroutine", ("self", "q_elt")),
    "static method": (Grouped.static, "coroutine", ("self", "q_elt")),
    "plain method": (Grouped.method, "generator", ("self", "q_elt")),
    "bound method": (Grouped().method, "generator", ("q_elt",)),
    "callable object": (Callable_(), "coroutine", ("processor", "q_elt", "size")),
    "class": (Callable_, "coroutine", ()),
    "partial": (functools.partial(coroutine, size=3), "coroutine", ("self", "q_elt")),
    "partial of partial": (functools.partial(functools.partial(Grouped.bound), None), "coroutine", ("q_elt",)),
    "partial of object": (functools.partial(Callable_(), None), "coroutine", ("q_elt", "size")),
    "decorated": (kept(coroutine), "function", ("self", "q_elt", "size")),
    "decorated by async": (kept_async(function), "coroutine", ("self", "q_elt")),
    "staticmethod object": (staticmethod(generator), "generator", ("self",)),
    "cached": (functools.lru_cache(function), "function", ("self", "q_elt")),
    "lambda": (lambda a, /, b, *, c: None, "function", ("a", "b")),
    "async mock": (mock.AsyncMock(), "coroutine", ()),
    "mock": (mock.Mock(), "function", ()),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds_and_parameters(name: str) -> None:
    made, kind, positional = KINDS[name]
    shape = call_shape(made)
    assert (shape.kind, shape.positional) == (kind, positional)
    assert call_shape(made) == shape


def test_a_decorator_around_a_coroutine_function_is_seen_through() -> None:
    assert call_shape(kept(coroutine)).wraps_async
    assert call_shape(kept(Grouped.bound)).wraps_async
    assert call_shape(functools.partial(kept(Callable_()), None)).wraps_async
    assert not call_shape(kept(function)).wraps_async
    assert not call_shape(coroutine).wraps_async


def test_what_tells_no_signature_takes_anything() -> None:
    class Broken:
        __signature__ = 5

        def __call__(self, *args: Any) -> None: ...

    for opaque in (Broken(), functools.partial(min)):
        assert signature_of(opaque) is None
        assert call_shape(opaque).after(2).match({"anything"})


def test_callables_that_cannot_be_hashed() -> None:
    assert call_shape(Equal()).kind == "function"
    assert call_shape(Equal()).after(1).match(())


def test_wrapped_around_itself() -> None:
    def own(self: Any) -> None: ...

    own.__wrapped__ = own  # type: ignore[attr-defined]
    assert innermost(own) is own
    assert call_shape(own).varkw


def test_arguments_behind_the_positional_ones() -> None:
    arguments = call_shape(coroutine).after(2)
    assert arguments.accepted == {"size", "unit"}
    assert arguments.required == {"size"}
    assert arguments.reserved == {"self", "q_elt"}
    assert arguments.open
    assert arguments.match({"size", "anything"})
    assert not arguments.match({"unit"})
    assert not arguments.match({"size", "q_elt"})
    assert not call_shape(function).after(2).match({"size"})
    assert not call_shape(generator).after(2).fits


def test_positional_only_parameters() -> None:
    def taken(self: Any, q_elt: Any, /, **rest: Any) -> None: ...

    def more(self: Any, q_elt: Any, third: Any, /) -> None: ...

    def optional(self: Any, q_elt: Any, third: Any = 1, /, fourth: Any = 2) -> None: ...

    assert call_shape(taken).after(2).match({"self", "q_elt"})
    assert not call_shape(more).after(2).fits
    assert call_shape(optional).after(2).fits
    assert call_shape(optional).after(2).accepted == {"fourth"}


def test_needs_counts_what_is_not_given() -> None:
    assert call_shape(coroutine).needs() == 3
    assert call_shape(coroutine).needs({"size", "unit"}) == 2


def test_second_parameter() -> None:
    assert call_shape(coroutine).second == "q_elt"
    assert call_shape(generator).second is None
    assert call_shape(lift(lambda a, b: a)).second is None


def test_answers_are_kept_while_the_function_lives() -> None:
    def short_lived(self: Any) -> None: ...

    assert call_shape(short_lived) is call_shape(short_lived)
    assert call_shape(Grouped.bound) is call_shape(Grouped.bound)
    gone = weakref.ref(short_lived)
    del short_lived
    gc.collect()
    assert gone() is None


def test_a_bound_method_is_not_its_function() -> None:
    grouped = Grouped()
    assert call_shape(Grouped.method).positional == ("self", "q_elt")
    assert call_shape(grouped.method).positional == ("q_elt",)
    assert call_shape(Grouped.method).positional == ("self", "q_elt")


def test_callables_that_cannot_be_referenced_weakly() -> None:
    class Slotted:
        __slots__ = ()

        def __call__(self, processor: Any) -> None: ...

    assert call_shape(Slotted()).positional == ("processor",)


def test_lift_keeps_kind_name_and_docstring() -> None:
    async def add(a: int, b: int, scale: int = 1) -> int:
        """Adds."""
        return (a + b) * scale

    def double(a: int) -> int:
        return 2 * a

    def twice(a: int) -> Iterator[int]:
        yield a
        yield a

    async def thrice(a: int) -> AsyncIterator[int]:
        for _ in range(3):
            yield a

    lifted = lift(add)
    assert (lifted.__name__, lifted.__doc__, plain_function(lifted)) == ("add", "Adds.", add)
    assert list(inspect.signature(lifted).parameters) == ["self", "q_elt", "args"]
    kinds = [call_shape(lift(each)).kind for each in (add, double, twice, thrice)]
    assert kinds == ["coroutine", "function", "generator", "async generator"]
    assert asyncio.run(lifted(None, (1, 2), scale=10)) == 30
    assert lift(double)(None, (4,)) == 8
    assert list(lift(twice)(None, (4,))) == [4, 4]

    async def collect() -> list[int]:
        return [value async for value in lift(thrice)(None, (4,))]

    assert asyncio.run(collect()) == [4, 4, 4]


def test_lift_takes_any_callable_once() -> None:
    lifted = lift(functools.partial(int, base=2))
    assert lifted(None, ("101",)) == 5
    assert lift(lifted) is lifted
    assert lift(str.upper)(None, ("a",)) == "A"
    with pytest.raises(TypeError, match="lift takes a function, not int"):
        lift(5)  # type: ignore[arg-type]


def test_lift_takes_arguments_of_any_name() -> None:
    def named(value: int, self: int, q_elt: int) -> tuple[int, int, int]:
        return value, self, q_elt

    assert lift(named)(None, (1,), self=2, q_elt=3) == (1, 2, 3)
    assert call_shape(lift(named)).after(1).match({"self", "q_elt"})


def test_lifting_what_is_decorated() -> None:
    @kept
    def scaled(value: int, by: int = 2) -> int:
        return value * by

    lifted = lift(scaled)
    assert lifted(None, (3,), by=3) == 9
    assert call_shape(lifted).after(1).accepted == {"by"}
    assert call_shape(kept(lifted)).lifted


def test_closing_a_lifted_generator_closes_the_inner_one() -> None:
    closed: list[str] = []

    def numbers(a: int) -> Iterator[int]:
        try:
            yield a
        finally:
            closed.append("generator")

    async def async_numbers(a: int) -> AsyncIterator[int]:
        try:
            yield a
        finally:
            closed.append("async generator")

    async def first() -> None:
        values = lift(async_numbers)(None, (1,))
        await anext(values)
        await values.aclose()

    values = lift(numbers)(None, (1,))
    next(values)
    values.close()
    asyncio.run(first())
    assert closed == ["generator", "async generator"]


def test_the_shape_of_a_callable_is_never_an_error() -> None:
    hostile: list[Callable[..., Any]] = [print, dict, type, object, int.__add__, [].append, exec, functools.partial]
    assert {call_shape(each).kind for each in hostile} == {"function"}

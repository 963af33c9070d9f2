"""The registry: names in, functions out; arguments checked as their annotations say; coros described."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import jsonschema
import pytest
from pydantic import AfterValidator, BaseModel, Field

import pipelines.registry
from pipelines.errors import GraphError
from pipelines.graph import Graph
from pipelines.registry import Registry, TrustedNames, default_registry
from pipelines.signature import lift

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    size: int


@dataclasses.dataclass
class Point:
    x: int


class Connection:
    """A type that JSON has no form for."""


class Sized(Protocol):
    def size(self) -> int: ...


async def step(self: Any, q_elt: Any) -> None:
    """Does a step.

    And more.
    """


async def once(self: Any) -> None: ...


def lines(self: Any, path: Path, count: int = 3, *, loud: bool = False) -> Iterator[str]:
    """Lines of a file."""
    yield ""


@pytest.fixture
def registry() -> Registry:
    return Registry()


# Filling and looking up.


def test_registering(registry: Registry) -> None:
    assert registry.coro("text.step")(step) is step
    assert registry.coro(step) is step
    assert registry.coro()(lines) is lines
    assert registry.coro(name="again", help="Once more.")(step) is step
    assert registry.add(None, once) is once
    assert registry.names() == ("text.step", "step", "lines", "again", "once")
    assert list(registry) == list(registry.names())
    assert len(registry) == 5
    assert "lines" in registry
    assert 5 not in registry
    assert registry.resolve("text.step") is step
    assert repr(registry) == "<Registry of 5 coros>"


@pytest.mark.parametrize("name", ["text", "step", "text.step.__call__", "__class__", "os.system", ""])
def test_p11_names_are_matched_whole(registry: Registry, name: str) -> None:
    registry.add("text.step", step)
    assert name not in registry
    with pytest.raises(KeyError):
        registry.resolve(name)


def test_a_name_is_given_away_only_on_purpose(registry: Registry) -> None:
    registry.add("a", step)
    registry.add("a", step)
    with pytest.raises(ValueError, match="the name 'a' is taken by <function step"):
        registry.add("a", once)
    assert registry.resolve("a") is step
    registry.add("a", once, replace=True)
    assert registry.resolve("a") is once


@pytest.mark.parametrize("name", ["", "a\n", "x" * 129, "\ud800", 5], ids=ascii)
def test_names_are_readable_text(registry: Registry, name: Any) -> None:
    with pytest.raises(ValueError, match="a coro's name is printable text of 1 to 128 characters"):
        registry.add(name, step)


def test_what_has_no_name_needs_one(registry: Registry) -> None:
    for nameless in (lambda self, q_elt: None, functools.partial(step)):
        with pytest.raises(ValueError, match="has no name of its own; give one"):
            registry.add(None, nameless)
        assert registry.add("named", nameless, replace=True) is nameless


def test_only_functions_are_registered(registry: Registry) -> None:
    with pytest.raises(TypeError, match="coro must be a function, not int"):
        registry.add("a", 5)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="setup must be a function, not str"):
        registry.add("a", step, setup="once")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cleanup must be a function, not str"):
        registry.coro("a", cleanup="once")(step)  # type: ignore[call-overload]
    assert len(registry) == 0


def test_setup_and_cleanup_come_with_the_coro(registry: Registry) -> None:
    registry.coro("step", setup=once, cleanup=once)(step)
    registry.add("plain", step)
    assert registry.lifecycle("step") == (once, once)
    assert registry.lifecycle("plain") == (None, None)
    graph = {"nodes": {"s": {}, "a": {"coro": "step"}, "b": {"coro": "plain"}}, "graph": {"s": ["a", "b"]}}
    nodes = Graph.parse(graph, registry).nodes
    assert (nodes["a"].setup, nodes["a"].cleanup, nodes["b"].setup) == (once, once, None)


class StringFuncs:
    size = 5

    @classmethod
    async def reverse(cls, self: Any, q_elt: Any) -> Any:
        return cls

    @staticmethod
    async def upper(self: Any, q_elt: Any, loud: bool = False) -> None: ...

    async def plain(self, q_elt: Any) -> None: ...

    def _hidden(self) -> None: ...

    @property
    def shape(self) -> int:
        return 1

    class Nested:
        pass


class MoreFuncs(StringFuncs):
    upper = None  # type: ignore[assignment]

    @staticmethod
    async def lower(self: Any, q_elt: Any) -> None: ...


def test_classes_group_coros(registry: Registry) -> None:
    assert registry.group(StringFuncs) is StringFuncs
    assert registry.names() == ("StringFuncs.reverse", "StringFuncs.upper", "StringFuncs.plain")
    assert registry.resolve("StringFuncs.reverse") == StringFuncs.reverse
    graph = {"nodes": {"s": {}, "a": {"coro": "StringFuncs.reverse"}}, "graph": {"s": ["a"]}}
    assert Graph.parse(graph, registry).nodes["a"].function == StringFuncs.reverse


def test_groups_have_prefixes_and_inherit(registry: Registry) -> None:
    assert registry.group(prefix="text")(MoreFuncs) is MoreFuncs
    assert registry.names() == ("text.reverse", "text.plain", "text.lower")
    registry.group(StringFuncs, prefix="")
    assert registry.names()[3:] == ("reverse", "upper", "plain")

    @registry.group
    class Tiny:
        @staticmethod
        def only(self: Any, q_elt: Any) -> None: ...

    assert registry.resolve("Tiny.only") is Tiny.only


def test_groups_are_registered_whole_or_not_at_all(registry: Registry) -> None:
    registry.add("StringFuncs.plain", step)
    with pytest.raises(ValueError, match=r"the name 'StringFuncs\.plain' is taken"):
        registry.group(StringFuncs)
    assert registry.names() == ("StringFuncs.plain",)
    registry.group(StringFuncs, replace=True)
    assert len(registry) == 3


def test_what_is_no_group(registry: Registry) -> None:
    with pytest.raises(ValueError, match="class 'Colour' has no public methods"):
        registry.group(Colour)
    with pytest.raises(TypeError, match="group takes a class, not str"):
        registry.group("StringFuncs")  # type: ignore[call-overload]


def test_registries_are_merged() -> None:
    first, second = Registry(), Registry()
    first.coro("a", setup=once)(step)
    second.add("b", once)
    both = first | second
    assert both.names() == ("a", "b")
    assert both.lifecycle("a") == (once, None)
    assert (first.names(), second.names()) == (("a",), ("b",))
    assert (first | {"c": step}).names() == ("a", "c")
    assert (both | first).names() == ("a", "b")
    with pytest.raises(TypeError):
        first | 5  # type: ignore[operator]


def test_merging_is_all_or_nothing() -> None:
    first = Registry()
    first.add("a", step)
    with pytest.raises(ValueError, match="the name 'a' is taken"):
        first.update({"b": once, "a": once})
    assert first.names() == ("a",)
    first.update({"b": once, "a": once}, replace=True)
    assert first.resolve("a") is once


def test_the_default_registry() -> None:
    assert pipelines.registry.coro == default_registry.coro
    assert isinstance(default_registry, Registry)


# Arguments.


def checked(function: Any, args: dict[str, Any], strict: bool = False) -> tuple[dict[str, Any], list[Any]]:
    registry = Registry()
    registry.add("f", function)
    return registry.validate_args("f", args, strict)


def told(function: Any, args: dict[str, Any], strict: bool = False) -> list[tuple[Any, ...]]:
    return [place for place, _ in checked(function, args, strict)[1]]


def test_values_are_converted_where_that_is_harmless() -> None:
    assert checked(lines, {"path": "a.txt", "count": "3", "loud": "yes"}) == (
        {"path": Path("a.txt"), "count": 3, "loud": True},
        [],
    )


def test_p11_strict_values_are_those_of_json() -> None:
    assert checked(lines, {"path": "a.txt", "count": 3, "loud": True}, strict=True) == (
        {"path": Path("a.txt"), "count": 3, "loud": True},
        [],
    )
    assert told(lines, {"path": 1, "count": True, "loud": 1}, strict=True) == [("path",), ("count",), ("loud",)]
    assert told(lines, {"path": "a", "count": "3"}, strict=True) == [("count",)]
    assert told(lines, {"path": Path("a")}, strict=True) == [("path",)]
    assert told(lines, {"path": "a", "count": 3.0}, strict=True) == [("count",)]


async def typed(
    self: Any,
    q_elt: Any,
    ratio: float = 0.5,
    sizes: list[int] | None = None,
    where: tuple[int, int] = (0, 0),
    colour: Colour = Colour.RED,
    word: Literal["a", "b"] = "a",
    model: Model | None = None,
    point: Point | None = None,
    positive: Annotated[int, Field(gt=0)] = 1,
    implicit: int = None,  # type: ignore[assignment]  # noqa: RUF013
    anything=None,
) -> None: ...


def test_all_sorts_of_annotations() -> None:
    good = {
        "ratio": 1,
        "sizes": [1, 2],
        "where": [1, 2],
        "colour": "red",
        "word": "b",
        "model": {"size": 1},
        "point": {"x": 1},
        "positive": 3,
        "implicit": None,
        "anything": {"a": [1, None]},
    }
    for strict in (False, True):
        values, problems = checked(typed, good, strict)
        assert problems == []
        assert values == {
            **good,
            "where": (1, 2),
            "colour": Colour.RED,
            "model": Model(size=1),
            "point": Point(1),
        }


def test_problems_say_where_they_are() -> None:
    wrong = {
        "sizes": [1, "x", 2.5],
        "where": [1],
        "colour": "blue",
        "word": 5,
        "model": {"size": "x"},
        "positive": 0,
        "implicit": "x",
    }
    assert told(typed, wrong) == [
        ("sizes", 1),
        ("sizes", 2),
        ("where", 1),
        ("colour",),
        ("word",),
        ("model", "size"),
        ("positive",),
        ("implicit",),
    ]
    (problem,) = checked(typed, {"positive": 0})[1]
    assert problem == (("positive",), "argument 'positive': input should be greater than 0")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=repr)
def test_p11_numbers_from_strangers_are_finite(value: float) -> None:
    assert told(typed, {"ratio": value, "anything": [value]}, strict=True) == [("ratio",), ("anything",)]
    assert told(typed, {"ratio": value, "anything": [value]}) == []


def test_p11_values_from_strangers_are_json() -> None:
    assert told(typed, {"anything": {1, 2}}, strict=True) == [("anything",)]
    assert told(typed, {"anything": print}, strict=True) == [("anything",)]
    assert checked(typed, {"anything": {1: (2,)}}, strict=True)[0] == {"anything": {"1": [2]}}
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    ((place, message),) = checked(typed, {"anything": deep}, strict=True)[1]
    assert (place, message) == (("anything",), "argument 'anything' is nested too deeply")
    while deep:  # or its end would recurse
        deep = deep.pop()


def test_p11_many_problems_in_one_argument_are_counted() -> None:
    ((place, message),) = checked(typed, {"sizes": ["x"] * 1000})[1]
    assert (place, message) == (("sizes",), "argument 'sizes' is wrong in 1000 places")


def test_unknown_and_missing_arguments() -> None:
    assert checked(lines, {"pth": "a", "x" * 300: 1}) == (
        {"pth": "a", "x" * 300: 1},
        [
            (("pth",), "unknown argument 'pth'"),
            (("x" * 300,), f"unknown argument '{'x' * 199}…'"),
            (("path",), "missing argument 'path'"),
        ],
    )


def test_p11_arguments_may_bear_any_name() -> None:
    async def named(
        self: Any,
        q_elt: Any,
        name: int,
        model_config: int,
        schema: int,
        json: int,
        self_: int,
        _private: int,
        __mangled: int,
        args: int,
        validate: int,
        model_fields: int,
        queue_size: int,
        env_vars: int,
        copy: int,
        class_: int,
    ) -> None: ...

    names = list(named.__annotations__)[2:-1]
    assert len(names) == 14
    assert checked(named, dict.fromkeys(names, "1")) == (dict.fromkeys(names, 1), [])
    assert told(named, dict.fromkeys(names, "x")) == [(name,) for name in names]
    registry = Registry()
    registry.add("f", named)
    assert registry.describe()[0]["args"]["required"] == names


def test_open_signatures() -> None:
    def free(self: Any, q_elt: Any, **rest: int) -> None: ...

    def freer(self: Any, q_elt: Any, **rest: Any) -> None: ...

    assert checked(free, {"any name": "1"}) == ({"any name": 1}, [])
    assert told(free, {"any name": "x"}) == [("any name",)]
    assert checked(freer, {"any name": "x"}, strict=True) == ({"any name": "x"}, [])
    assert checked(min, {"anything": 1}) == ({"anything": 1}, [])


def test_annotations_that_cannot_be_checked_accept_anything() -> None:
    def odd(
        self: Any,
        q_elt: Any,
        unknown: Unknown,
        nested: list[Unknown],
        text: "not a type",  # type: ignore[valid-type]  # noqa: F722
        number: 5,  # type: ignore[valid-type]
    ) -> None: ...

    args = {"unknown": 1, "nested": 2, "text": 3, "number": 4}
    assert checked(odd, args) == (args, [])


def test_types_of_the_program_are_checked_by_isinstance() -> None:
    def connected(self: Any, q_elt: Any, to: Connection, size: Sized | None = None) -> None: ...

    connection = Connection()
    assert checked(connected, {"to": connection})[0]["to"] is connection
    assert told(connected, {"to": "localhost"}) == [("to",)]
    assert told(connected, {"to": "localhost"}, strict=True) == [("to",)]


def test_validators_of_annotations_may_fail_as_they_like() -> None:
    def explode(value: int) -> int:
        raise RuntimeError("boom " * 100)

    def exploding(self: Any, q_elt: Any, size: Annotated[int, AfterValidator(explode)]) -> None: ...

    # The annotation names a function of this test, which only this evaluation finds.
    exploding.__annotations__["size"] = Annotated[int, AfterValidator(explode)]
    ((place, message),) = checked(exploding, {"size": 1})[1]
    assert place == ("size",)
    assert message.startswith("argument 'size' is refused: boom boom")
    assert len(message) < 250


def test_arguments_of_lifted_functions() -> None:
    def scale(value: int, by: int, *, unit: str) -> str:
        return f"{value * by}{unit}"

    assert checked(lift(scale), {"by": "2", "unit": "m"}) == ({"by": 2, "unit": "m"}, [])
    assert told(lift(scale), {"by": "x", "value": 1}) == [("by",), ("value",), ("unit",)]


def test_arguments_of_methods_partials_and_decorated_functions() -> None:
    @functools.wraps(lines)
    def wrapped(*args: Any, **kwargs: Any) -> Any: ...

    assert told(StringFuncs.upper, {"loud": "x"}) == [("loud",)]
    assert told(StringFuncs.reverse, {"cls": 1}) == [("cls",)]
    assert told(functools.partial(lines, count=3), {"path": "a", "count": "x"}) == [("count",)]
    assert told(wrapped, {"path": "a", "count": "x"}) == [("count",)]


def test_a_graph_is_checked_by_the_registry(registry: Registry) -> None:
    registry.coro(lines)
    registry.coro(step)
    graph: dict[str, Any] = {
        "nodes": {"a": {"coro": "lines", "args": {"path": "x", "count": "7"}}, "b": {"coro": "step"}},
        "graph": {"a": ["b"]},
    }
    assert Graph.parse(graph, registry).nodes["a"].args == {"path": Path("x"), "count": 7}
    with pytest.raises(GraphError) as caught:
        Graph.parse(graph, registry, strict=True)
    assert [(problem.code, problem.path) for problem in caught.value.problems] == [
        ("bad_argument", "nodes.a.args.count")
    ]
    graph["nodes"]["a"]["args"] = {"pth": 5}
    with pytest.raises(GraphError) as caught:
        Graph.parse(graph, registry)
    assert [(problem.code, problem.path) for problem in caught.value.problems] == [
        ("unknown_argument", "nodes.a.args.pth"),
        ("missing_argument", "nodes.a.args.path"),
    ]


# Describing.


def roles() -> dict[str, tuple[Any, str]]:
    async def queue(self: Any, output_q: Any) -> None: ...

    async def items(self: Any, values: Any) -> None: ...

    async def tuples(self: Any, values: tuple[int, ...]) -> None: ...

    def generator(self: Any) -> Iterator[int]:
        yield 1

    def by_path(self: Any, path: Path) -> Iterator[int]:
        yield 1

    def by_item(self: Any, q_elt: Any) -> Iterator[int]:
        yield 1

    def by_anything(self: Any, value: Sequence[int]) -> Iterator[int]:
        yield 1

    def by_keyword(self: Any, *, path: Path) -> Iterator[int]:
        yield 1

    return {
        "queue": (queue, "source"),
        "step": (step, "processor"),
        "items": (items, "either"),
        "tuples": (tuples, "processor"),
        "generator": (generator, "source"),
        "by path": (by_path, "source"),
        "by item": (by_item, "processor"),
        "by anything": (by_anything, "either"),
        "by keyword": (by_keyword, "source"),
        "lifted": (lift(by_path), "processor"),
    }


@pytest.mark.parametrize("name", roles())
def test_roles_are_told_by_signatures(registry: Registry, name: str) -> None:
    function, role = roles()[name]
    registry.add(name, function)
    assert registry.describe()[0]["kind"] == role


def test_a_generator_of_either_role_may_be_given_its_second_parameter() -> None:
    def either(self: Any, value: Any, size: int) -> Iterator[int]:
        yield 1

    assert checked(either, {"value": 1, "size": 2}) == ({"value": 1, "size": 2}, [])
    assert told(either, {}) == [("size",)]


def test_descriptions_are_what_a_palette_needs(registry: Registry) -> None:
    registry.add("lines", lines)
    registry.add("again", functools.partial(lines, count=5), help="  Five lines.\nAnd more.")
    registry.add("partial", functools.partial(lines, count=5))
    registry.add("bare", lambda self, q_elt: None)
    described = registry.describe()
    assert described[0] == {
        "name": "lines",
        "doc": "Lines of a file.",
        "kind": "source",
        "args": {
            "type": "object",
            "properties": {
                "path": {"type": "string", "format": "path"},
                "count": {"type": "integer", "default": 3},
                "loud": {"type": "boolean", "default": False},
            },
            "required": ["path"],
            "additionalProperties": False,
        },
    }
    assert [each["doc"] for each in described] == ["Lines of a file.", "Five lines.", "Lines of a file.", ""]
    assert json.loads(json.dumps(described)) == described


def test_schemas_of_all_sorts_of_annotations(registry: Registry) -> None:
    def odd(
        self: Any,
        q_elt: Any,
        to: Connection,
        first: Model,
        second: Model,
        limit: float = math.inf,
        start: Path = Path("here"),
        connection: Any = Connection(),  # noqa: B008
        **rest: int,
    ) -> None: ...

    registry.add("typed", typed)
    registry.add("odd", odd)
    registry.add("free", lambda self, q_elt, **rest: None)
    described = {each["name"]: each["args"] for each in registry.describe()}
    for schema in described.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert described["free"]["additionalProperties"] is True
    assert described["odd"]["additionalProperties"] == {"type": "integer"}
    assert described["odd"]["required"] == ["to", "first", "second"]
    properties = described["odd"]["properties"]
    assert (properties["to"], properties["connection"]) == ({}, {})
    assert properties["limit"] == {"type": "number"}
    assert properties["start"]["default"] == "here"
    assert properties["first"] == properties["second"] == {"$ref": "#/$defs/Model"}
    assert set(described["odd"]["$defs"]) == {"Model"}
    good = {"sizes": [1], "colour": "red", "model": {"size": 1}, "point": None, "anything": "x"}
    validator = jsonschema.Draft202012Validator(described["typed"])
    assert validator.is_valid(good)
    assert not validator.is_valid({"sizes": ["x"]})
    assert not validator.is_valid({"oops": 1})


# Names in an operator's own files.


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("operators_own")
    made.__dict__.update(step=step, lines=lines, StringFuncs=StringFuncs, number=5)
    monkeypatch.setitem(sys.modules, "operators_own", made)
    return made


def test_operators_may_name_functions_of_modules(registry: Registry, module: ModuleType) -> None:
    registry.coro("step", setup=once)(step)
    registry.add("odd:name", once)
    names = TrustedNames(registry)
    assert names.resolve("step") is step
    assert names.resolve("odd:name") is once
    assert names.resolve("operators_own:lines") is lines
    assert names.resolve("operators_own:StringFuncs.reverse") == StringFuncs.reverse
    assert names.lifecycle("step") == (once, None)
    assert names.lifecycle("operators_own:lines") == (None, None)
    assert names.names() == ("step", "odd:name")
    assert names.validate_args("step", {"a": 1})[1] == [(("a",), "unknown argument 'a'")]
    assert names.validate_args("operators_own:lines", {"path": "x"}) == ({"path": Path("x")}, [])
    assert TrustedNames().names() == default_registry.names()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody", "unknown coro 'nobody'"),
        (
            "no_such_module:f",
            "unknown coro 'no_such_module:f': module 'no_such_module' cannot be imported: "
            "ModuleNotFoundError: No module named 'no_such_module'",
        ),
        (":f", "unknown coro ':f': module '' cannot be imported: ValueError: Empty module name"),
        ("operators_own:nothing", "unknown coro 'operators_own:nothing': 'operators_own' has no 'nothing'"),
        ("operators_own:", "unknown coro 'operators_own:': 'operators_own' has no ''"),
        (
            "operators_own:number",
            "unknown coro 'operators_own:number': 'number' in 'operators_own' is no function but of type int",
        ),
    ],
)
def test_what_cannot_be_imported_is_a_problem(registry: Registry, module: ModuleType, name: str, message: str) -> None:
    registry.add("step", step)
    graph = {"nodes": {"s": {}, "a": {"coro": name}}, "graph": {"s": ["a"]}}
    with pytest.raises(GraphError) as caught:
        Graph.parse(graph, TrustedNames(registry))
    assert [problem.message for problem in caught.value.problems] == [message]


def test_graphs_of_operators(registry: Registry, module: ModuleType) -> None:
    registry.add("step", step)
    graph = {
        "nodes": {"a": {"coro": "operators_own:lines", "args": {"path": "x"}}, "b": {"coro": "step"}},
        "graph": {"a": ["b"]},
    }
    nodes = Graph.parse(graph, TrustedNames(registry)).nodes
    assert (nodes["a"].function, nodes["a"].args, nodes["b"].function) == (lines, {"path": Path("x")}, step)

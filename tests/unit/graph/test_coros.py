"""Names become functions, functions must fit the place where they stand, and arguments must fit them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pipelines.errors import GraphError, Problem, UnknownNodeError
from pipelines.graph import CallKind, Graph
from pipelines.signature import lift


async def source(self: Any, output_q: Any, speed: int = 1) -> None: ...


async def step(self: Any, q_elt: Any) -> None: ...


async def sized(self: Any, q_elt: Any, size: int, unit: str = "m") -> None: ...


async def free(self: Any, q_elt: Any, **args: Any) -> None: ...


def plain(self: Any, q_elt: Any) -> None: ...


def numbers(self: Any, start: int = 0) -> Any:
    yield start


async def async_numbers(self: Any, start: int = 0) -> Any:
    yield start


def listed(self: Any, count: int = 3) -> list[int]:
    return list(range(count))


async def once(self: Any) -> None: ...


def kept(wrapped: Any) -> Any:
    @functools.wraps(wrapped)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return wrapped(*args, **kwargs)

    return wrapper


def behind(coro: Any, args: Any = None, upstreams: int = 1, **properties: Any) -> dict[str, Any]:
    """A node ``out`` with this coro behind some sources."""
    sources = {f"s{number}": {"coro": source} for number in range(upstreams)}
    out = {"coro": coro, "args": args or {}, "properties": properties}
    return {"nodes": {**sources, "out": out}, "graph": {name: ["out"] for name in sources}}


def alone(coro: Any, args: Any = None, **properties: Any) -> dict[str, Any]:
    """A source ``out`` with this coro."""
    return behind(coro, args, 0, **properties)


def found(graph: Any, coro_map: Any = None, **options: Any) -> list[Problem]:
    with pytest.raises(GraphError) as caught:
        Graph.parse(graph, coro_map, **options)
    return list(caught.value.problems)


def codes(graph: Any, coro_map: Any = None, **options: Any) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for problem in found(graph, coro_map, **options)]


def kind(graph: dict[str, Any], coro_map: Any = None) -> CallKind:
    return Graph.parse(graph, coro_map).nodes["out"].kind


# Looking names up.


def test_without_a_map_functions_are_taken_and_names_stay_unresolved() -> None:
    graph = Graph.parse(behind("anything"))
    assert graph.nodes["s0"].function is source
    assert (graph.nodes["out"].kind, graph.nodes["out"].function) == (CallKind.UNRESOLVED, None)
    assert graph.nodes["out"].coro == "anything"


def test_a_callable_map_is_asked_about_functions_too() -> None:
    asked = []

    def coro_map(coro: Any) -> Any:
        asked.append(coro)
        return step if coro == "step" else coro

    assert Graph.parse(behind("step"), coro_map).nodes["out"].function is step
    assert asked == [source, "step"]


def test_names_are_looked_up_exactly_in_a_mapping() -> None:
    assert Graph.parse(behind("a.b"), {"a.b": step}).nodes["out"].function is step
    (problem,) = found(behind("stp"), {"step": step, 5: step})
    assert (problem.code, problem.path) == ("unknown_coro", "nodes.out.coro")
    assert (problem.message, problem.hint) == ("unknown coro 'stp'", "did you mean 'step'? there are: step")


@pytest.mark.parametrize("name", ["ok.__globals__", "__class__", "os.system", "step.__call__", "builtins:eval", ""])
def test_p11_no_name_leads_anywhere_but_into_the_table(name: str) -> None:
    expected = "unknown_coro" if name else "wrong_type"
    assert codes(behind(name), {"ok": step, "step": step}) == [(expected, "nodes.out.coro")]


def test_an_object_with_resolve_is_asked_about_names() -> None:
    class Names(dict[str, Any]):
        def resolve(self, name: str) -> Any:
            return {"step": step}[name]

        def names(self) -> list[str]:
            return ["step"]

    assert Graph.parse(behind("step"), Names()).nodes["out"].function is step
    (problem,) = found(behind("stop"), Names())
    assert problem.hint == "did you mean 'step'? there are: step"


def test_what_goes_wrong_in_a_map_is_told() -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def raising(error: Exception) -> Callable[[Any], Any]:
        def coro_map(coro: Any) -> Any:
            if coro == "x":
                raise error
            return coro

        return coro_map

    def said(error: Exception) -> str:
        (problem,) = found(behind("x"), raising(error))
        assert problem.code == "unknown_coro"
        return problem.message

    assert said(ValueError("no luck")) == "unknown coro 'x': ValueError: no luck"
    assert said(LookupError("nowhere")) == "unknown coro 'x': nowhere"
    assert said(KeyError("x")) == "unknown coro 'x'"
    assert said(BrokenError()) == "unknown coro 'x': BrokenError: ?"


def test_what_a_map_gives_must_be_a_function() -> None:
    (problem,) = found(behind("x"), lambda coro: coro)
    assert (problem.code, problem.path) == ("unknown_coro", "nodes.out.coro")
    assert problem.message == "'x' stands for 'x', which is no function"
    assert codes(behind("x"), {"x": 5}) == [("unknown_coro", "nodes.out.coro")]


@pytest.mark.parametrize("coro_map", [5, "registry", [step]], ids=repr)
def test_what_cannot_be_asked_is_a_mistake_in_the_program(coro_map: Any) -> None:
    with pytest.raises(TypeError, match="coro_map is a callable, a mapping or a registry"):
        Graph.parse(behind("x"), coro_map)


# Roles.


def test_kinds_of_processors() -> None:
    assert kind(behind(step)) is CallKind.COROUTINE
    assert kind(behind(plain)) is CallKind.FUNCTION
    assert kind(behind(lambda self, q_elt: q_elt)) is CallKind.FUNCTION
    assert kind(behind(kept(step))) is CallKind.FUNCTION
    assert kind(behind(functools.partial(sized, size=3))) is CallKind.COROUTINE

    def several(self: Any, q_elt: Any) -> Any:
        yield q_elt

    async def several_async(self: Any, q_elt: Any) -> Any:
        yield q_elt

    assert kind(behind(several)) is CallKind.GENERATOR
    assert kind(behind(several_async)) is CallKind.ASYNC_GENERATOR


def test_kinds_of_sources() -> None:
    assert kind(alone(source)) is CallKind.COROUTINE
    assert kind(alone(numbers)) is CallKind.GENERATOR
    assert kind(alone(async_numbers)) is CallKind.ASYNC_GENERATOR
    assert kind(alone(listed)) is CallKind.GENERATOR
    assert kind(alone(listed, {"count": 5})) is CallKind.GENERATOR
    assert kind(alone(lambda self: [1])) is CallKind.GENERATOR
    assert kind(alone(kept(source))) is CallKind.COROUTINE
    assert kind(alone(kept(numbers))) is CallKind.GENERATOR
    assert kind(alone(lambda *args, **kwargs: [1])) is CallKind.GENERATOR
    assert kind(alone(None)) is CallKind.FED


def test_methods_of_a_class() -> None:
    class Funcs:
        @classmethod
        async def reverse(cls, self: Any, q_elt: Any) -> None: ...

        @staticmethod
        async def upper(self: Any, q_elt: Any, size: int) -> None: ...

        def method(self, processor: Any, q_elt: Any) -> None: ...

    assert kind(behind(Funcs.reverse)) is CallKind.COROUTINE
    assert kind(behind(Funcs.upper, {"size": 1})) is CallKind.COROUTINE
    assert kind(behind(Funcs().method)) is CallKind.FUNCTION
    assert [code for code, _ in codes(behind(Funcs.method))] == ["missing_argument"]


MISPLACED: Mapping[str, tuple[dict[str, Any], str]] = {
    "items in a source": (alone(step), "it has no upstream, but its coro takes items (q_elt)"),
    "generator of items": (
        alone(lambda self, q_elt: (yield)),
        "it has no upstream, but its coro takes items (q_elt)",
    ),
    "queue in a processor": (behind(source), "it has upstreams, but its coro is a source's (it takes output_q)"),
    "plain source": (
        alone(lambda self, output_q: None),
        "a plain function as a source takes self, and args, and returns what is iterated",
    ),
    "source without queue": (alone(once), "its coro takes 1 value by position, but is called as f(self, output_q)"),
    "no parameters": (behind(lambda: None), "its coro takes 0 values by position, but is called as f(self, q_elt)"),
    "no parameters in a source": (alone(lambda: None), "its coro takes 0 values by position, but is called as f(self)"),
    "three values": (
        behind(lambda a, b, c, /: None),
        "its coro takes 3 values by position, but is called as f(self, q_elt)",
    ),
    "lifted source": (
        alone(lift(lambda a: a)),
        "a lifted function takes the items of upstream nodes, and there is none",
    ),
    "lifted, too few": (
        behind(lift(lambda a: a), upstreams=2),
        "its lifted function takes 1 value, but is called with 2",
    ),
}


@pytest.mark.parametrize("name", MISPLACED)
def test_p7_functions_must_fit_their_place(name: str) -> None:
    graph, message = MISPLACED[name]
    (problem,) = found(graph)
    assert (problem.code, problem.path) == ("bad_signature", "nodes.out.coro")
    assert problem.message == f"node 'out': {message}"
    assert "f(self" in problem.hint


def test_p7_only_sources_are_without_coro() -> None:
    assert codes(behind(None)) == [("missing_coro", "nodes.out.coro")]
    assert codes(alone(None, {"speed": 1})) == [("unknown_argument", "nodes.out.args.speed")]


# Arguments.


def test_p7_arguments_must_be_those_of_the_signature() -> None:
    problems = found(behind(sized, {"szie": 1, "self": 2, "q_elt": 3}))
    assert [(problem.code, problem.path) for problem in problems] == [
        ("unknown_argument", "nodes.out.args.szie"),
        ("reserved_argument", "nodes.out.args.self"),
        ("reserved_argument", "nodes.out.args.q_elt"),
        ("missing_argument", "nodes.out.args.size"),
    ]
    assert problems[0].message == "node 'out': its coro takes no argument 'szie'"
    assert problems[0].hint == "did you mean 'size'? it takes: size, unit"
    assert [problem.hint for problem in found(behind(step, {"a": 1}))] == ["it takes none"]


def test_any_argument_fits_open_signatures() -> None:
    args = {"name": 1, "queue_size": 2, "env_vars": 3, "coro": 4, "class": 5, "not an identifier": 6}
    assert Graph.parse(behind(free, args)).nodes["out"].args == args
    assert codes(behind(free, {"q_elt": 1})) == [("reserved_argument", "nodes.out.args.q_elt")]
    assert Graph.parse(behind(lambda self, q_elt, /, **rest: None, {"self": 1})).nodes["out"].args == {"self": 1}


def test_p7_a_source_that_lacks_an_argument_is_told_what_a_source_is() -> None:
    def lines(self: Any, path: str) -> Any:
        yield path

    (problem,) = found(alone(lines))
    assert (problem.code, problem.path) == ("missing_argument", "nodes.out.args.path")
    assert "a node without upstream is a source" in problem.hint


def test_lifted_functions_take_as_many_values_as_there_are_items() -> None:
    def add(a: int, b: int = 0, scale: int = 1) -> int:
        return (a + b) * scale

    assert kind(behind(lift(add), {"b": 1, "scale": 2})) is CallKind.FUNCTION
    assert kind(behind(lift(add), {"scale": 2}, upstreams=2)) is CallKind.FUNCTION
    assert codes(behind(lift(add), {"b": 1}, upstreams=2)) == [("reserved_argument", "nodes.out.args.b")]
    assert kind(behind(lift(add), {"b": 1}, upstreams=3, aggregate_inputs=False)) is CallKind.FUNCTION
    assert kind(behind(lift(add), upstreams=3, batch={"size": 2})) is CallKind.FUNCTION
    assert [code for code, _ in codes(behind(lift(add), upstreams=4))] == ["bad_signature"]


def test_p7_nothing_is_said_about_lifted_functions_whose_upstreams_are_not_known() -> None:
    graph = behind(lift(lambda a, b, c: a))
    graph["graph"]["s0"] = ["out", "nobody"]
    assert codes(graph) == [("unknown_node", "graph.s0[1]")]


class Checking:
    """A resolver with a schema: every argument must be an integer, and is doubled."""

    def resolve(self, name: str) -> Any:
        return {"source": source, "free": free, "sized": sized}[name]

    def validate_args(self, name: str, args: dict[str, Any], strict: bool) -> tuple[dict[str, Any], list[Any]]:
        problems = [
            ((key, 0), f"{key} is no integer, {strict}") for key, value in args.items() if type(value) is not int
        ]
        missing = [((key,), "missing") for key in ("size",) if name == "sized" and key not in args]
        return {key: value * 2 for key, value in args.items()}, [*problems, *missing, ((), "too bad")][
            : 1 if missing else 9
        ]


def test_a_resolver_may_check_arguments() -> None:
    class Lenient(Checking):
        def validate_args(self, name: str, args: dict[str, Any], strict: bool) -> tuple[dict[str, Any], list[Any]]:
            return {key: value * 2 for key, value in args.items()}, []

    graph = Graph.parse(behind("free", {"a": 3}), Lenient())
    assert graph.nodes["out"].args == {"a": 6}
    assert graph.to_dict()["nodes"]["out"]["args"] == {"a": 3}
    assert Graph.parse(graph, Lenient()).nodes["out"].args == {"a": 6}
    assert Graph.parse(behind(free, {"a": 3}), Lenient()).nodes["out"].args == {"a": 3}


def test_p7_what_a_resolver_says_about_arguments_is_told_with_its_place() -> None:
    graph = behind("free", {"a": "x"})
    graph["nodes"]["s0"]["coro"] = "source"
    assert codes(graph, Checking(), strict=True) == [
        ("bad_argument", "nodes.s0.args"),
        ("bad_argument", "nodes.out.args.a[0]"),
        ("bad_argument", "nodes.out.args"),
    ]
    assert found(graph, Checking())[1].message == "a is no integer, False"


def test_p7_no_argument_is_told_twice() -> None:
    assert codes(behind("sized", {"zise": "x"}), Checking()) == [
        ("unknown_argument", "nodes.out.args.zise"),
        ("missing_argument", "nodes.out.args.size"),
    ]


# Setup and cleanup.


class Living(Checking):
    def validate_args(self, name: str, args: dict[str, Any], strict: bool) -> tuple[dict[str, Any], list[Any]]:
        return args, []

    def lifecycle(self, name: str) -> tuple[Any, Any]:
        return {"source": (None, once), "free": (once, once)}[name]


def test_setup_and_cleanup_are_resolved_like_coros() -> None:
    node = Graph.parse(behind("step", setup="once", cleanup=once), {"step": step, "once": once}).nodes["out"]
    assert (node.setup, node.cleanup) == (once, once)
    assert (node.properties.setup, node.properties.cleanup) == ("once", once)
    assert Graph.parse(behind(step, setup="once")).nodes["out"].setup is None
    assert codes(behind(step, setup="onec"), {"once": once}) == [("unknown_coro", "nodes.out.properties.setup")]


def test_a_resolver_may_know_setup_and_cleanup() -> None:
    def other(self: Any) -> None: ...

    assert Graph.parse(behind("free"), Living()).nodes["out"].setup is once
    node = Graph.parse(behind("free", setup=None, cleanup=other), Living()).nodes["out"]
    assert (node.setup, node.cleanup) == (None, other)
    assert codes(behind("nobody"), Living()) == [("unknown_coro", "nodes.out.coro")]
    assert codes(behind("free", setup=5), Living()) == [("wrong_type", "nodes.out.properties.setup")]


@pytest.mark.parametrize("function", [numbers, async_numbers, step, lambda: None])
def test_p7_setup_and_cleanup_take_self_alone(function: Any) -> None:
    assert codes(behind(step, setup=function, cleanup=function)) == [
        ("bad_signature", "nodes.out.properties.setup"),
        ("bad_signature", "nodes.out.properties.cleanup"),
    ]
    assert Graph.parse(behind(step, setup=lambda self, size=1: None)).nodes["out"].setup is not None


# Classes.


class Scale:
    def __init__(self, factor: int, context: Any) -> None:
        self.factor = factor

    async def __call__(self, q_elt: tuple[int]) -> int:
        return self.factor * q_elt[0]


def test_a_class_takes_its_arguments_when_it_is_built() -> None:
    given = behind(Scale)
    given["nodes"]["out"]["args"] = {"factor": 2}
    node = Graph.parse(given).nodes["out"]
    assert (node.is_model, node.kind) == (True, CallKind.COROUTINE)


def test_p7_arguments_of_a_class_are_checked() -> None:
    (problem,) = found(behind(Scale))
    assert (problem.code, problem.path) == ("missing_argument", "nodes.out.args.factor")
    given = behind(Scale)
    given["nodes"]["out"]["args"] = {"factor": 2, "context": 3, "other": 4}
    assert [(p.code, p.path) for p in found(given)] == [
        ("reserved_argument", "nodes.out.args.context"),
        ("unknown_argument", "nodes.out.args.other"),
    ]


def test_p7_a_class_is_no_source() -> None:
    (problem,) = found({"nodes": {"inp": {"coro": Scale, "args": {"factor": 1}}}, "graph": {}})
    assert problem.code == "bad_signature"
    assert "a class cannot be a source" in problem.message


# Where functions run.


@pytest.mark.parametrize("executor", ["thread", "process", "ray"])
def test_p7_what_yields_runs_in_the_event_loop_alone(executor: str) -> None:
    async def some(self: Any, q_elt: Any) -> Any:
        yield q_elt

    for coro in (some, lambda self, q_elt: (yield)):
        assert codes(behind(coro, executor=executor)) == [("bad_executor", "nodes.out.properties.executor")]


@pytest.mark.parametrize("executor", ["loop", "thread", "process", "ray"])
def test_coroutines_and_functions_run_on_every_executor(executor: str) -> None:
    for coro in (step, functools.partial(step), kept(step), plain):
        assert Graph.parse(behind(coro, executor=executor)).nodes["out"].properties.executor == executor


def test_executors_may_be_given_other_names() -> None:
    given = behind(plain, executor="gpu")
    assert codes(given) == [("unknown_executor", "nodes.out.properties.executor")]
    assert Graph.parse(given, executors={"gpu"}).nodes["out"].properties.executor == "gpu"


def test_plain_functions_run_on_threads() -> None:
    assert Graph.parse(behind(plain, executor="thread")).nodes["out"].properties.executor == "thread"
    assert kind(behind(lift(abs), executor="thread")) is CallKind.FUNCTION
    assert kind(behind("unresolved", executor="thread")) is CallKind.UNRESOLVED


@pytest.mark.parametrize("executor", ["proces", "moon", "Loop"])
def test_p7_other_executors_are_refused_with_those_there_are(executor: str) -> None:
    (problem,) = found(behind(plain, executor=executor))
    assert (problem.code, problem.path) == ("unknown_executor", "nodes.out.properties.executor")
    assert problem.message == f"node 'out': unknown executor {executor!r}"
    assert problem.hint.endswith("there are: loop, thread, process, ray")


def test_p7_of_a_split_graph_every_node_says_its_host() -> None:
    given = behind(plain, host="left")
    (problem,) = found(given)
    assert (problem.code, problem.path) == ("missing_host", "nodes.s0.properties.host")
    assert problem.hint == "hosts are: 'left'"
    assert Graph.parse(given, defaults={"host": "right"}).hosts == ("right", "left")


def test_a_part_has_the_edges_that_begin_or_end_there() -> None:
    graph = Graph.parse(behind(plain, host="left"), defaults={"host": "right"})
    part = graph.part("left")
    assert (list(part.nodes), part.order, part.sources, part.sinks) == (["out"], ("out",), (), ("out",))
    assert part.edges == graph.edges
    assert part.digest == graph.digest == Graph.parse(graph.to_dict()).digest
    assert graph.digest != Graph.parse(behind(plain)).digest
    with pytest.raises(UnknownNodeError, match="unknown host 'middle'; there are: right, left"):
        graph.part("middle")


def test_p7_properties_without_meaning_on_a_source() -> None:
    wrong = {"batch": {"size": 2}, "retry": {}, "timeout": 1, "order": "completion", "executor": "thread"}
    assert codes(alone(source, **wrong)) == [("source_property", f"nodes.out.properties.{key}") for key in wrong]


def test_properties_that_do_no_harm_on_a_source() -> None:
    harmless = {
        "aggregate_inputs": False,
        "queue_size": 3,
        "rate": 5,
        "on_error": "skip",
        "order": "input",
        "executor": "loop",
        "batch": None,
    }
    assert Graph.parse(alone(source, **harmless)).nodes["out"].given == tuple(harmless)


def test_defaults_spare_sources_what_has_no_meaning_there() -> None:
    shared = {"timeout": 5, "retry": {"attempts": 2}, "batch": {"size": 2}, "executor": "thread", "queue_size": 7}
    graph = Graph.parse(behind(plain, timeout=1), defaults=shared)
    assert graph.nodes["s0"].given == ("queue_size",)
    assert graph.nodes["s0"].properties.timeout is None
    assert graph.nodes["out"].given == ("timeout", "retry", "batch", "executor", "queue_size")
    assert graph.nodes["out"].properties.timeout == 1
    assert graph.nodes["out"].properties.queue_size == 7
    assert Graph.parse(graph.to_dict()) == graph

"""The door for strangers: plain JSON within limits comes in, everything else is refused with a code, and at once."""

from __future__ import annotations

import enum
import gc
import json
import math
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator

from pipelines.errors import GraphError
from pipelines.graph import CallKind, Graph
from pipelines.graph.problems import CODES
from pipelines.limits import Limits
from pipelines.registry import Registry, TrustedNames
from pipelines.untrusted import decode, read_untrusted

REGISTRY = Registry()
LIMITS = Limits()


@REGISTRY.coro("lines")
def lines(self: Any, path: Path = Path("x"), sizes: list[int] | None = None) -> Any:
    yield path


@REGISTRY.coro("step")
async def step(self: Any, q_elt: Any, by: int = 1, anything: Any = None) -> None: ...


@REGISTRY.coro("free")
def free(self: Any, q_elt: Any, **args: Any) -> None: ...


@REGISTRY.coro("many")
def many(self: Any, q_elt: Any) -> Any:
    yield q_elt


@REGISTRY.coro("once")
async def once(self: Any) -> None: ...


def two(args: Any = None, **properties: Any) -> dict[str, Any]:
    step = {"coro": "step", "args": args or {}, "properties": properties}
    return {"nodes": {"inp": {"coro": "lines"}, "out": step}, "graph": {"inp": ["out"]}}


def with_value(value: Any) -> dict[str, Any]:
    return two({"anything": value})


def refusal(data: Any, limits: Limits | None = None, **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(GraphError) as caught:
        read_untrusted(data, REGISTRY, limits, **options)
    problems = caught.value.problems
    assert {problem.code for problem in problems} <= set(CODES)
    json.dumps([problem.to_dict() for problem in problems])
    assert len(str(caught.value)) < 100_000
    return [(problem.code, problem.path) for problem in problems]


def codes(data: Any, limits: Limits | None = None, **options: Any) -> set[str]:
    return {code for code, _ in refusal(data, limits, **options)}


def accepted(data: Any, limits: Limits | None = None) -> bool:
    return len(read_untrusted(data, REGISTRY, limits).nodes) > 0


# What comes in.


FORMS: dict[str, Callable[[Any], Any]] = {
    "dict": lambda data: data,
    "text": json.dumps,
    "bytes": lambda data: json.dumps(data).encode(),
    "bytearray": lambda data: bytearray(json.dumps(data), "ascii"),
    "memoryview": lambda data: memoryview(json.dumps(data).encode()),
}


@pytest.mark.parametrize("form", FORMS)
def test_p11_graphs_come_as_dict_text_or_bytes(form: str) -> None:
    graph = read_untrusted(FORMS[form](two({"by": 3, "anything": [1.5, "é", None, {"a": True}]})), REGISTRY)
    assert graph.nodes["out"].kind is CallKind.COROUTINE
    assert graph.nodes["out"].args == {"by": 3, "anything": [1.5, "é", None, {"a": True}]}
    assert graph.nodes["inp"].function is lines


def test_p11_what_comes_in_is_plain_and_shares_nothing() -> None:
    inner = [1, (2, 3)]
    given = with_value(inner)
    plain = decode(given)
    assert plain["nodes"]["out"]["args"]["anything"] == [1, [2, 3]]
    inner.append(4)
    assert plain["nodes"]["out"]["args"]["anything"] == [1, [2, 3]]
    assert decode(json.dumps(given)) == decode(given)


def test_p11_a_mapping_is_a_registry() -> None:
    graph = read_untrusted(two({"by": 2}), {"lines": lines, "step": step})
    assert graph.nodes["out"].args == {"by": 2}
    with pytest.raises(GraphError, match="input should be a valid integer"):
        read_untrusted(two({"by": "2"}), {"lines": lines, "step": step})


@pytest.mark.parametrize(
    "opener", [TrustedNames(REGISTRY), lambda name: step, None], ids=["imports", "computes", "none"]
)
def test_p11_nothing_that_imports_or_computes_names_is_accepted(opener: Any) -> None:
    with pytest.raises(TypeError, match="graphs from strangers need a Registry or a mapping"):
        read_untrusted(two(), opener)


@pytest.mark.parametrize(
    "name", ["ok.__globals__", "step.__globals__", "__class__", "os.system", "builtins:eval", "__proto__"]
)
def test_p11_other_names_are_just_unknown(name: str) -> None:
    graph = two(setup=name, cleanup=name)
    graph["nodes"]["out"]["coro"] = name
    assert refusal(graph) == [
        ("unknown_coro", "nodes.out.coro"),
        ("unknown_coro", "nodes.out.properties.setup"),
        ("unknown_coro", "nodes.out.properties.cleanup"),
    ]


def test_p11_setup_and_cleanup_are_registered_names() -> None:
    assert read_untrusted(two(setup="once"), REGISTRY).nodes["out"].setup is once
    assert codes(two(setup="step")) == {"bad_signature"}


def test_p11_arguments_are_strict() -> None:
    assert refusal(two({"by": True})) == [("bad_argument", "nodes.out.args.by")]
    assert refusal(two({"by": "3", "oops": 1})) == [
        ("unknown_argument", "nodes.out.args.oops"),
        ("bad_argument", "nodes.out.args.by"),
    ]


def test_p11_the_programs_own_defaults_hold() -> None:
    graph = read_untrusted(two(), REGISTRY, defaults={"queue_size": 7})
    assert graph.nodes["out"].properties.queue_size == 7
    assert refusal(two(), defaults={"queue_size": 5000}) == [
        ("over_limit", "nodes.inp.properties.queue_size"),
        ("over_limit", "nodes.out.properties.queue_size"),
    ]


def test_p11_the_programs_own_defaults_may_hold_functions() -> None:
    async def opened(self: Any) -> None: ...

    graph = read_untrusted(two(setup="once"), REGISTRY, defaults={"setup": opened, "cleanup": "once"})
    assert [node.setup for node in graph.nodes.values()] == [opened, once]
    assert [node.cleanup for node in graph.nodes.values()] == [once, once]


@pytest.mark.parametrize("name", ["__proto__", "<img src=x onerror=alert(1)>", "größe", '"]; drop'], ids=ascii)
def test_p11_hostile_names_are_just_names(name: str) -> None:
    graph = read_untrusted({"nodes": {name: {"coro": "lines"}}, "graph": {name: None}}, REGISTRY)
    assert graph.order == (name,)


def test_p11_unreadable_names_are_refused() -> None:
    assert codes({"nodes": {"a\x00": {}}, "graph": {}}) == {"bad_name"}
    assert codes({"nodes": {"a" * 10: {}}, "graph": {}}, Limits(name_length=9)) == {"bad_name"}
    assert accepted({"nodes": {"a" * 500: {}}, "graph": {}}, Limits(name_length=500))


# What is no JSON.


class Text(str):
    pass


class Number(enum.IntEnum):
    ONE = 1


def own_list() -> list[Any]:
    own: list[Any] = []
    own.append(own)
    return own


NO_JSON: dict[str, tuple[Any, str]] = {
    "function": (with_value(print), "not_json"),
    "coro": ({"nodes": {"a": {"coro": lines}}, "graph": {}}, "not_json"),
    "set": (with_value({1}), "not_json"),
    "bytes": (with_value(b"x"), "not_json"),
    "subclass of str": (with_value(Text("x")), "not_json"),
    "subclass of dict": (with_value(OrderedDict()), "not_json"),
    "enum": (with_value(Number.ONE), "not_json"),
    "nan": (with_value(math.nan), "not_finite"),
    "infinity": (with_value([math.inf]), "not_finite"),
    "huge integer": (with_value(10**5000), "huge_number"),
    "integer of 65 bits": (with_value(2**64), "huge_number"),
    "negative integer": (with_value(-(2**64)), "huge_number"),
    "key": (with_value({1: 2}), "bad_key"),
    "key of nodes": ({"nodes": {None: {}}, "graph": {}}, "bad_key"),
    "half a pair": (with_value("\ud800"), "bad_text"),
    "half a pair in a key": (with_value({"a\udfff": 1}), "bad_text"),
    "half a pair in a name": ({"nodes": {"\ud800": {}}, "graph": {}}, "bad_text"),
    "own list": (with_value(own_list()), "too_deep"),
    "text nan": ('{"nodes": NaN}', "not_finite"),
    "text infinity": ('{"nodes": -Infinity}', "not_finite"),
    "text of a huge float": ('{"nodes": 1e999}', "not_finite"),
    "text of a huge integer": ('{"nodes": ' + "9" * 5000 + "}", "huge_number"),
    "text of 21 digits": ('{"nodes": ' + "9" * 21 + "}", "huge_number"),
    "text with half a pair": ('{"nodes": "\ud800"}', "bad_text"),
    "text with half an escaped pair": ('{"nodes": "\\ud800"}', "bad_text"),
    "double key": ('{"nodes": {}, "graph": {}, "nodes": {}}', "duplicate_key"),
    "escaped double key": ('{"nodes": {"a": 1, "\\u0061": 2}}', "duplicate_key"),
    "empty": ("", "invalid_json"),
    "cut": ('{"nodes": ', "invalid_json"),
    "two": ("{} {}", "invalid_json"),
    "single quotes": ("{'nodes': 1}", "invalid_json"),
    "control character": ('{"nodes": "\x00"}', "invalid_json"),
    "byte order mark": ("\ufeff{}", "invalid_json"),
    "not utf-8": (b'{"nodes": "\xff"}', "invalid_utf8"),
    "utf-16": ("{}".encode("utf-16"), "invalid_utf8"),
    "encoded half a pair": (b'{"nodes": "\xed\xa0\x80"}', "invalid_utf8"),
    "list": ("[]", "wrong_type"),
    "number": (5, "wrong_type"),
    "nothing": (None, "wrong_type"),
    "subclass of str on top": (Text("{}"), "wrong_type"),
    "ordered dict on top": (OrderedDict(), "wrong_type"),
}


@pytest.mark.parametrize("name", NO_JSON)
def test_p11_what_is_no_json_is_refused_with_its_own_code(name: str) -> None:
    data, code = NO_JSON[name]
    assert codes(data) == {code}


def test_p11_what_is_no_json_is_told_with_its_place() -> None:
    wrong = {"a": [1, {"b": print}], "c": math.nan, "d": {5: 1}, "e": "\ud800"}
    assert refusal(with_value(wrong)) == [
        ("not_finite", "nodes.out.args.anything.c"),
        ("bad_text", "nodes.out.args.anything.e"),
        ("bad_key", "nodes.out.args.anything.d"),
        ("not_json", "nodes.out.args.anything.a[1].b"),
    ]


def test_p11_large_integers_of_64_bits_are_fine() -> None:
    numbers = [2**64 - 1, -(2**64) + 1, 2**53 + 1]
    assert read_untrusted(json.dumps(with_value(numbers)), REGISTRY).nodes["out"].args["anything"] == numbers


def test_p11_only_the_first_hundred_problems_are_told() -> None:
    found = refusal(with_value([print] * 500))
    assert len(found) == 101
    assert found[-1] == ("too_many_problems", "")


# Limits.


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def test_p11_depth() -> None:
    assert accepted(with_value(nested(28)))
    assert refusal(with_value(nested(29)))[0][0] == "too_deep"
    assert codes(json.dumps(with_value(nested(29)))) == {"too_deep"}
    assert accepted(with_value(nested(29)), Limits(depth=33))


@pytest.mark.parametrize("depth", [33, 500, 5_000, 30_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_p11_deep_text(opening: str, closing: str, depth: int) -> None:
    assert codes('{"nodes":' + opening * depth + "1" + closing * depth + ',"graph":{}}') == {"too_deep"}


def test_p11_deep_text_without_end() -> None:
    assert codes("[" * 100_000) == {"too_deep"}
    assert codes('{"a":' * 50_000) == {"too_deep"}
    assert codes('{"a": "' + "[" * 100_000) == {"invalid_json"}


def test_p11_bytes() -> None:
    text = json.dumps(with_value("x" * 1000))
    exact = len(text)
    assert accepted(text, Limits(bytes=exact))
    assert accepted(text.encode(), Limits(bytes=exact))
    assert codes(text, Limits(bytes=exact - 1)) == {"too_large"}
    assert codes(text.encode(), Limits(bytes=exact - 1)) == {"too_large"}
    assert codes(with_value("x" * 1000), Limits(bytes=1000)) == {"too_large"}
    assert codes(json.dumps(with_value("é" * 500), ensure_ascii=False), Limits(bytes=1000)) == {"too_large"}


def test_p11_values() -> None:
    assert accepted(with_value([0] * 50), Limits(values=70))
    assert codes(with_value([0] * 50), Limits(values=50)) == {"too_large"}
    assert codes(json.dumps(with_value([0] * 50)), Limits(values=50)) == {"too_large"}
    assert codes(json.dumps(with_value([[]] * 40)), Limits(values=50)) == {"too_large"}
    assert accepted(json.dumps(with_value('",{[\\' * 100)), Limits(values=50))


def test_p11_nodes_and_edges() -> None:
    nodes = {f"n{number}": {"coro": "step" if number else "lines"} for number in range(5)}
    graph = {"nodes": nodes, "graph": {"n0": ["n1", "n2", "n3", "n4"]}}
    assert accepted(graph, Limits(nodes=5, edges=4, degree=4))
    assert refusal(graph, Limits(nodes=4)) == [("too_many_nodes", "nodes")]
    assert refusal(graph, Limits(edges=3)) == [("too_many_edges", "graph")]
    assert refusal(graph, Limits(degree=3)) == [("too_many_edges", "graph.n0")]
    merged = {"nodes": nodes, "graph": {f"n{number}": ["n4"] for number in range(4)}}
    assert refusal(merged, Limits(degree=3)) == [("too_many_edges", "graph.n4")]
    assert refusal({"nodes": {"a": {}}, "graph": {f"x{number}": [] for number in range(9)}}, Limits(nodes=8)) == [
        ("too_many_nodes", "graph")
    ]
    assert codes({"nodes": [{}] * 9, "graph": {"a": 5, "b": [[]] * 3}}, Limits(nodes=8, edges=4)) == {
        "wrong_type",
        "unknown_node",
    }


def test_p11_dead_letter_routes_are_edges() -> None:
    routed = {"coro": "step", "properties": {"on_error": {"route": "dead"}}}
    nodes = {"inp": {"coro": "lines"}, **{f"n{number}": routed for number in range(3)}, "dead": {"coro": "step"}}
    graph: dict[str, Any] = {"nodes": nodes, "graph": {"inp": [f"n{number}" for number in range(3)]}}
    assert accepted(graph, Limits(edges=6, degree=3))
    assert refusal(graph, Limits(edges=5)) == [("too_many_edges", "graph")]
    graph["graph"]["inp"] = ["n0"]
    assert ("too_many_edges", "graph.dead") in refusal(graph, Limits(degree=2))


BOUNDED: dict[str, tuple[dict[str, Any], Limits, str]] = {
    "queue_size": ({"queue_size": 9}, Limits(queue_size=8, concurrency=64), "queue_size"),
    "concurrency": ({"concurrency": 9, "queue_size": 1}, Limits(concurrency=8), "concurrency"),
    "batch size": ({"batch": {"size": 9}}, Limits(batch_size=8), "batch.size"),
    "batch timeout": ({"batch": {"size": 1, "timeout": 9}}, Limits(seconds=8.5), "batch.timeout"),
    "attempts": ({"retry": {"attempts": 9, "max_backoff": 1}}, Limits(attempts=8), "retry.attempts"),
    "backoff": ({"retry": {"backoff": 9, "max_backoff": 1}}, Limits(seconds=8), "retry.backoff"),
    "max_backoff": ({"retry": {"max_backoff": 9}}, Limits(seconds=8), "retry.max_backoff"),
    "default max_backoff": ({"retry": {}}, Limits(seconds=8), "retry.max_backoff"),
    "timeout": ({"timeout": 9}, Limits(seconds=8), "timeout"),
    "rate": ({"rate": 0.1}, Limits(seconds=8), "rate"),
    "slowest rate": ({"rate": 5e-324}, Limits(), "rate"),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_p11_properties_over_a_limit_are_refused_not_clamped(name: str) -> None:
    properties, limits, path = BOUNDED[name]
    assert ("over_limit", f"nodes.out.properties.{path}") in refusal(two(**properties), limits)
    loose = Limits(queue_size=64, seconds=1e308, concurrency=64)
    assert Graph.parse(two(**properties)).nodes["out"].properties is not None
    if name != "slowest rate":
        assert accepted(two(**properties), loose)


def test_p11_defaults_that_exceed_a_limit_must_be_set() -> None:
    assert refusal(two(queue_size=8, concurrency=8), Limits(queue_size=8, concurrency=8)) == [
        ("over_limit", "nodes.inp.properties.queue_size"),
        ("over_limit", "nodes.inp.properties.concurrency"),
    ]


def test_p11_arguments_have_a_size() -> None:
    limits = Limits(arg_bytes=len('{"anything":"é"}') + 1)
    assert accepted(with_value("é"), limits)
    assert refusal(with_value("éé"), limits) == [("too_large", "nodes.out.args")]


def test_p11_executors_are_those_the_limits_open() -> None:
    graph = two(executor="thread")
    graph["nodes"]["out"]["coro"] = "free"
    assert refusal(graph) == [("forbidden_executor", "nodes.out.properties.executor")]
    assert read_untrusted(graph, REGISTRY, Limits(executors={"loop", "thread"})).nodes["out"].function is free
    assert codes(two(executor="moon")) == {"forbidden_executor", "unknown_executor"}


def test_p11_limits_and_everything_else_are_told_together() -> None:
    assert codes(two({"by": "x"}, queue_size=5000, concurrency=True)) == {"bad_argument", "over_limit", "wrong_type"}


@pytest.mark.parametrize(
    "field", ["bytes", "values", "depth", "nodes", "edges", "degree", "items", "queue_size", "attempts"]
)
@pytest.mark.parametrize("value", [0, -1, True, 2.5, "3", None], ids=repr)
def test_limits_are_counts(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"limit {field} must be an integer of at least 1"):
        Limits(**{field: value})


@pytest.mark.parametrize("value", [0, -1, True, "3", None, math.inf, math.nan], ids=repr)
def test_the_limit_of_seconds_is_a_number(value: Any) -> None:
    with pytest.raises(ValueError, match="limit seconds must be a number greater than 0"):
        Limits(seconds=value)
    assert Limits(seconds=0.5).seconds == 0.5


@pytest.mark.parametrize("value", ["loop", 5, None, [1]], ids=repr)
def test_the_limit_of_executors_is_a_set_of_names(value: Any) -> None:
    with pytest.raises(ValueError, match="limit executors must be a set of names"):
        Limits(executors=value)
    assert Limits(executors=["loop"]) == Limits()
    assert hash(Limits()) == hash(Limits())


# Time.


def filled(
    unit: str, before: str = '{"nodes":{"a":{"coro":"lines","args":{"path":[', after: str = ']}}},"graph":{}}'
) -> str:
    """A text of as many bytes as are allowed."""
    count = (LIMITS.bytes - len(before) - len(after)) // (len(unit) + 1)
    return before + ",".join([unit] * count) + after


def many_own() -> list[Any]:
    own: list[Any] = []
    own.extend([own] * 1000)
    return own


def wide(value: Any) -> list[Any]:
    for _ in range(20):
        value = [value] * 100
    return [value]


def whole_graph(coro: str = "step", args: Any = None, edges: int = 4) -> dict[str, Any]:
    names = [f"n{number}" for number in range(256)]
    nodes = {
        name: {"coro": coro if number else "lines", "args": args if number and args else {}}
        for number, name in enumerate(names)
    }
    return {
        "nodes": nodes,
        "graph": {
            name: [names[number + far] for far in range(1, edges + 1) if number + far < 256]
            for number, name in enumerate(names)
        },
    }


def long_way_to_wrong_zips() -> dict[str, Any]:
    """Half of the nodes are a chain; the others zip its end with a generator behind it."""
    names = [f"{number:03}" + "é" * 125 for number in range(192)]
    chain, generator, zips = names[:128], names[128], names[129:192]
    graph = {name: [below] for name, below in zip(chain, names[1:128], strict=False)}
    graph |= {chain[-1]: [generator, *zips], generator: zips}
    coros = {chain[0]: "lines", generator: "many"}
    return {"nodes": {name: {"coro": coros.get(name, "step")} for name in names}, "graph": graph}


SLOW: dict[str, Callable[[], Any]] = {
    "deep text": lambda: "[" * 100_000,
    "deep objects": lambda: '{"a":' * 50_000,
    "many own lists": lambda: with_value(many_own()),
    "shared lists": lambda: with_value(wide([0])),
    "huge digits": lambda: '{"nodes":' + "9" * 250_000 + "}",
    "huge fraction": lambda: '{"nodes":0.' + "9" * 250_000 + "}",
    "runs of 20 digits": lambda: filled("9" * 20),
    "zeros": lambda: filled("0"),
    "floats": lambda: filled("1.5"),
    "lists": lambda: filled("[]"),
    "objects": lambda: filled("{}"),
    "texts": lambda: filled('""'),
    "keys": lambda: '{"nodes":{' + ",".join(f'"{number}":0' for number in range(24_000)) + '},"graph":{}}',
    "nodes": lambda: json.dumps({"nodes": {f"n{number}": {} for number in range(15_000)}, "graph": {}}),
    "edges": lambda: json.dumps({"nodes": {"a": {}}, "graph": {"a": ["a"] * 19_000}}),
    "wrong list": lambda: {"nodes": {"a": {"coro": "lines", "args": {"sizes": ["x"] * 15_000}}}, "graph": {}},
    "unknown arguments": lambda: two({f"x{number}": 0 for number in range(9_000)}),
    "unknown properties": lambda: two(**{f"quue_size{number}": 0 for number in range(9_000)}),
    "unknown coros": lambda: whole_graph("s" * 64),
    "unknown downstreams": lambda: {
        "nodes": {("ab" * 60) + str(number): {} for number in range(256)},
        "graph": {("ab" * 60) + str(number): ["ba" * 30 + str(number)] for number in range(256)},
    },
    "wrong arguments": lambda: whole_graph(args={"by": "x", "anything": "y" * 200}),
    "everything allowed": lambda: whole_graph(args={"by": 3}),
    "circles": lambda: {**whole_graph(), "graph": {f"n{number}": [f"n{(number + 1) % 256}"] for number in range(256)}},
    "wrong zips": long_way_to_wrong_zips,
    "large text": lambda: "x" * 10_000_000,
    "large bytes": lambda: b"x" * 10_000_000,
    "many nodes": lambda: {"nodes": {str(number): {} for number in range(200_000)}, "graph": {}},
    "large list": lambda: with_value([0] * 1_000_000),
    "large argument": lambda: with_value("x" * 10_000_000),
    "spaces": lambda: " " * LIMITS.bytes,
    "brackets in a text": lambda: '{"nodes":"' + "[" * 250_000 + '"}',
    "quotes": lambda: '"' * LIMITS.bytes,
    "escaped quotes": lambda: '{"nodes":["' + '\\"' * 120_000 + "[" * 20_000,
    "escapes": lambda: '{"nodes":"' + "\\u0041" * 40_000 + '"}',
    "not ascii": lambda: '{"nodes":"' + "é" * 120_000 + '"}',
}


@pytest.mark.parametrize("name", SLOW)
def test_p11_every_answer_comes_within_50_ms(name: str) -> None:
    data = SLOW[name]()
    read_untrusted(whole_graph(), REGISTRY)  # what is made once is made now
    gc.collect()
    seconds = []
    for _ in range(3):  # the best of several attempts, in time of this thread alone: the machine may be busy
        begin = time.thread_time()
        try:
            read_untrusted(data, REGISTRY)
        except GraphError:
            refused = True
        else:
            refused = False
        seconds.append(time.thread_time() - begin)
        assert refused is (name != "everything allowed")
    measured_by_a_tracer = sys.gettrace() is not None
    assert min(seconds) < (1.0 if measured_by_a_tracer else 0.050)


def test_p11_lists_100_000_deep() -> None:
    deep = nested(100_000)
    assert codes(with_value(deep)) == {"too_deep"}
    while deep:  # or its end would recurse
        deep = deep.pop()


# Whatever is sent.

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["lines", "step", "inp"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.sampled_from(["nodes", "graph", "coro", "args", "properties"]), st.text(max_size=3)),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)


@given(st.one_of(JSON, JSON.map(json.dumps), st.text(max_size=40), st.binary(max_size=40)))
def test_p11_nothing_but_a_graph_error_is_raised(data: Any) -> None:
    try:
        graph = read_untrusted(data, REGISTRY)
    except GraphError as error:
        told = [problem.to_dict() for problem in error.problems]
        json.dumps(told).encode()
    else:
        assert graph.nodes


def test_p11_validators_of_a_coro_may_fail_as_they_like() -> None:
    def explode(value: int) -> int:
        raise RuntimeError

    registry = Registry()

    def exploding(self: Any, size: Any = 1) -> Any:
        yield size

    exploding.__annotations__["size"] = Annotated[int, AfterValidator(explode)]
    registry.add("exploding", exploding)
    with pytest.raises(GraphError) as caught:
        read_untrusted({"nodes": {"a": {"coro": "exploding", "args": {"size": 1}}}, "graph": {}}, registry)
    assert [problem.code for problem in caught.value.problems] == ["bad_argument"]

"""The shape of a graph dict: types, keys, ranges; everything wrong is told at once, and where it is."""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import pytest

from pipelines.errors import GraphError, Problem
from pipelines.graph import Batch, Graph, Properties, Route
from pipelines.graph.problems import CODES, SHAPE_CODES, Problems, path_text, shown
from pipelines.retry import Retry


async def source(self: Any, output_q: Any) -> None: ...


async def step(self: Any, q_elt: Any) -> None: ...


def two(properties: Any = None, **entry: Any) -> dict[str, Any]:
    """A source and a node behind it that has these properties."""
    node = {"coro": step, **entry}
    if properties is not None:
        node["properties"] = properties
    return {"nodes": {"inp": {"coro": source}, "out": node}, "graph": {"inp": ["out"]}}


def problems(graph: Any, **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(GraphError) as caught:
        Graph.parse(graph, **options)
    assert {problem.code for problem in caught.value.problems} <= set(CODES)
    return [(problem.code, problem.path) for problem in caught.value.problems]


def hints(graph: Any, **options: Any) -> list[str]:
    with pytest.raises(GraphError) as caught:
        Graph.parse(graph, **options)
    return [problem.hint for problem in caught.value.problems]


def messages(graph: Any, **options: Any) -> list[str]:
    with pytest.raises(GraphError) as caught:
        Graph.parse(graph, **options)
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize("graph", [None, 1, "nodes", [], [("nodes", {})], True, {"a"}], ids=ascii)
def test_p7_a_graph_is_an_object(graph: Any) -> None:
    assert problems(graph) == [("wrong_type", "")]


def test_p7_missing_parts_are_named() -> None:
    assert problems({}) == [("missing_key", "nodes"), ("missing_key", "graph")]
    assert problems({"nodes": {"a": {}}}) == [("missing_key", "graph")]
    assert problems({"graph": {}}) == [("missing_key", "nodes")]


def test_p7_a_graph_has_nodes() -> None:
    assert problems({"nodes": {}, "graph": {}}) == [("empty_graph", "nodes")]


@pytest.mark.parametrize("part", [None, [], "a", 3], ids=ascii)
def test_p7_nodes_and_graph_are_objects(part: Any) -> None:
    assert problems({"nodes": part, "graph": {}}) == [("wrong_type", "nodes")]
    assert problems({"nodes": {"a": {}}, "graph": part}) == [("wrong_type", "graph")]


def test_p7_unknown_keys_are_named_with_the_nearest() -> None:
    graph = {"nodes": {"a": {"corro": step, "propertys": {}}}, "graph": {}, "grahp": {}, 5: 1}
    assert problems(graph) == [
        ("unknown_key", "grahp"),
        ("unknown_key", ""),
        ("unknown_key", "nodes.a.corro"),
        ("unknown_key", "nodes.a.propertys"),
    ]
    assert hints(graph) == [
        "did you mean 'graph'? there are: nodes, graph",
        "there are: nodes, graph",
        "did you mean 'coro'? there are: coro, args, properties",
        "did you mean 'properties'? there are: coro, args, properties",
    ]


def test_p7_unknown_properties_are_named_with_the_nearest() -> None:
    (hint,) = hints(two({"quue_size": 3}))
    assert hint == "did you mean 'queue_size'?"
    (hint,) = hints(two({"zzz": 3}))
    assert hint.startswith("there are: aggregate_inputs, concurrency")


@pytest.mark.parametrize("key", ["queue_size", "concurrency"])
@pytest.mark.parametrize("value", [True, False, 2.5, 0, -1, "3", None, [3], math.nan, math.inf, 2**53 + 1], ids=repr)
def test_p7_what_is_no_count(key: str, value: Any) -> None:
    assert [path for _, path in problems(two({key: value}))] == [f"nodes.out.properties.{key}"]


def test_p7_huge_numbers_are_out_of_range() -> None:
    huge = {"queue_size": 10**5000, "timeout": 10**5000}
    assert problems(two(huge)) == [
        ("out_of_range", "nodes.out.properties.queue_size"),
        ("out_of_range", "nodes.out.properties.timeout"),
    ]


@pytest.mark.parametrize("value", [1, 2.0, 2**53], ids=repr)
def test_what_is_a_count(value: Any) -> None:
    size = Graph.parse(two({"queue_size": value})).nodes["out"].properties.queue_size
    assert (size, type(size)) == (value, int)


def test_an_integer_enum_is_a_count() -> None:
    class Size(enum.IntEnum):
        SMALL = 2

    assert Graph.parse(two({"queue_size": Size.SMALL})).nodes["out"].properties.queue_size == 2


@pytest.mark.parametrize("key", ["timeout", "rate"])
@pytest.mark.parametrize("value", [True, 0, 0.0, -1, -0.5, "3", [3], math.nan, math.inf, -math.inf], ids=repr)
def test_p7_what_is_no_duration(key: str, value: Any) -> None:
    assert [path for _, path in problems(two({key: value}))] == [f"nodes.out.properties.{key}"]


@pytest.mark.parametrize("value", [1, 0.001, 2**53, None], ids=repr)
def test_what_is_a_duration(value: Any) -> None:
    assert Graph.parse(two({"timeout": value})).nodes["out"].properties.timeout == value


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, True, "1"], ids=repr)
def test_p7_amounts_are_numbers_from_zero_on(value: Any) -> None:
    wrong = {"num_cpus": value, "num_gpus": value, "resources": {"disk": value}}
    assert [path for _, path in problems(two(wrong))] == [
        "nodes.out.properties.num_cpus",
        "nodes.out.properties.num_gpus",
        "nodes.out.properties.resources.disk",
    ]


def test_amounts() -> None:
    properties = Graph.parse(two({"num_cpus": 0, "num_gpus": 0.5, "resources": {"disk": 1}})).nodes["out"].properties
    assert (properties.num_cpus, properties.num_gpus, properties.resources) == (0, 0.5, {"disk": 1})


def test_p7_names_of_resources_are_text() -> None:
    assert problems(two({"resources": {1: 1}})) == [("wrong_type", "nodes.out.properties.resources")]
    assert problems(two({"resources": [1]})) == [("wrong_type", "nodes.out.properties.resources")]


@pytest.mark.parametrize("value", [0, 1, "true", None], ids=repr)
def test_p7_aggregate_inputs_is_true_or_false(value: Any) -> None:
    assert problems(two({"aggregate_inputs": value})) == [("wrong_type", "nodes.out.properties.aggregate_inputs")]


@pytest.mark.parametrize(
    ("key", "word", "hint"),
    [
        ("order", "inptu", "did you mean 'input'? it is one of: input, completion"),
        ("overflow", "drop_now", "did you mean 'drop_new' or 'drop_old'? it is one of: block, drop_new, drop_old"),
        ("on_error", "ignore", "it is one of: fail, skip"),
    ],
)
def test_p7_words_are_told_with_the_right_ones(key: str, word: str, hint: str) -> None:
    assert problems(two({key: word})) == [("bad_choice", f"nodes.out.properties.{key}")]
    assert hints(two({key: word})) == [hint]


@pytest.mark.parametrize("key", ["order", "overflow", "on_error"])
@pytest.mark.parametrize("value", [None, 1, ["input"], True], ids=repr)
def test_p7_words_are_text(key: str, value: Any) -> None:
    assert problems(two({key: value})) == [("wrong_type", f"nodes.out.properties.{key}")]


def test_p7_records_tell_every_problem() -> None:
    wrong = {
        "retry": {"attempts": 0, "backoff": -1, "jitter": 1, "tries": 3},
        "batch": {"timeout": 0},
        "on_error": {"rout": "inp"},
    }
    assert problems(two(wrong)) == [
        ("out_of_range", "nodes.out.properties.retry.attempts"),
        ("out_of_range", "nodes.out.properties.retry.backoff"),
        ("wrong_type", "nodes.out.properties.retry.jitter"),
        ("unknown_key", "nodes.out.properties.retry.tries"),
        ("out_of_range", "nodes.out.properties.batch.timeout"),
        ("missing_key", "nodes.out.properties.batch.size"),
        ("unknown_key", "nodes.out.properties.on_error.rout"),
        ("missing_key", "nodes.out.properties.on_error.route"),
    ]


@pytest.mark.parametrize("key", ["retry", "batch"])
@pytest.mark.parametrize("value", [3, "3", [3], True], ids=repr)
def test_p7_records_are_objects(key: str, value: Any) -> None:
    assert problems(two({key: value})) == [("wrong_type", f"nodes.out.properties.{key}")]


def test_records_are_read() -> None:
    graph = two({"retry": {"attempts": 3, "backoff": 0}, "batch": {"size": 10, "timeout": None}})
    assert Graph.parse(graph).nodes["out"].properties == Properties(retry=Retry(3, 0), batch=Batch(10))


def test_null_means_the_default_where_that_is_none() -> None:
    nothing = dict.fromkeys(
        ["retry", "timeout", "rate", "batch", "num_cpus", "num_gpus", "resources", "host", "setup", "cleanup"]
    )
    assert Graph.parse(two(nothing)).nodes["out"].properties == Properties()


def test_null_stands_for_empty_args_and_properties() -> None:
    node = Graph.parse(two(args=None) | {}).nodes["out"]
    assert (dict(node.args), node.properties) == ({}, Properties())
    graph = two()
    graph["nodes"]["out"]["properties"] = None
    assert Graph.parse(graph).nodes["out"].properties == Properties()


@pytest.mark.parametrize("value", [1, "a", [1], True], ids=repr)
def test_p7_args_and_properties_are_objects(value: Any) -> None:
    assert problems(two(value, args=value)) == [
        ("wrong_type", "nodes.out.args"),
        ("wrong_type", "nodes.out.properties"),
    ]


def test_p7_names_of_arguments_are_text() -> None:
    assert problems(two(args={1: 2})) == [("wrong_type", "nodes.out.args")]


@pytest.mark.parametrize("entry", [None, 1, "coro", [], step], ids=ascii)
def test_p7_a_node_is_an_object(entry: Any) -> None:
    assert problems({"nodes": {"a": entry}, "graph": {}}) == [("wrong_type", "nodes.a")]


@pytest.mark.parametrize("coro", [1, "", [], {}, True], ids=ascii)
def test_p7_a_coro_is_a_function_or_a_name(coro: Any) -> None:
    assert problems(two(coro=coro)) == [("wrong_type", "nodes.out.coro")]


@pytest.mark.parametrize("value", [1, "", [], {}], ids=repr)
def test_p7_setup_and_cleanup_are_functions_or_names(value: Any) -> None:
    assert problems(two({"setup": value, "cleanup": value})) == [
        ("wrong_type", "nodes.out.properties.setup"),
        ("wrong_type", "nodes.out.properties.cleanup"),
    ]


@pytest.mark.parametrize("key", ["executor", "host"])
@pytest.mark.parametrize("value", [1, "", ["loop"]], ids=repr)
def test_p7_executor_and_host_are_names(key: str, value: Any) -> None:
    assert problems(two({key: value})) == [("wrong_type", f"nodes.out.properties.{key}")]


def test_p7_names_of_nodes_are_text() -> None:
    graph = {"nodes": {1: {}, "a": {}, "": {}}, "graph": {2: [], "a": [None]}}
    assert problems(graph) == [
        ("wrong_type", "nodes"),
        ("bad_name", "nodes['']"),
        ("wrong_type", "graph"),
        ("wrong_type", "graph.a[0]"),
    ]


@pytest.mark.parametrize(
    ("downstreams", "hint"),
    [("out", "write ['out']"), ({"out"}, "use [] or null for none"), (5, "use [] or null for none")],
)
def test_p7_downstreams_are_a_list(downstreams: Any, hint: str) -> None:
    graph = {**two(), "graph": {"inp": downstreams}}
    assert problems(graph) == [("wrong_type", "graph.inp")]
    assert hints(graph) == [hint]


def test_p7_an_edge_stands_once() -> None:
    assert problems({**two(), "graph": {"inp": ["out", "out"]}}) == [("duplicate_edge", "graph.inp[1]")]


def test_p7_defaults_are_checked_like_properties() -> None:
    wrong = {"queue_size": 0, "quue": 1, "batch": {}}
    assert problems(two(), defaults=wrong) == [
        ("out_of_range", "defaults.queue_size"),
        ("unknown_key", "defaults.quue"),
        ("missing_key", "defaults.batch.size"),
    ]
    assert problems(two(), defaults=[1]) == [("wrong_type", "defaults")]


def test_any_mapping_and_tuples_will_do() -> None:
    nodes = OrderedDict(inp=MappingProxyType({"coro": source}), out={"coro": step, "properties": OrderedDict(rate=1)})
    graph = Graph.parse(MappingProxyType({"nodes": nodes, "graph": MappingProxyType({"inp": ("out",)})}))
    assert graph.nodes["inp"].downstreams == ("out",)


def test_p7_all_problems_at_once() -> None:
    graph = {
        "nodes": {
            "inp": {"coro": source, "args": {"speed": 1}},
            "rev": {"coro": "missing", "properties": {"queue_size": True, "executor": "moon"}},
            "out": {"coro": step, "properties": {"on_error": {"route": "nobody"}, "host": "h1"}},
            "tap": {},
        },
        "graph": {"inp": ["rev", "rev", "otu"], "rev": ["rev", "out", "tap"], "out": "tap"},
        "extra": 1,
    }
    assert sorted(code for code, _ in problems(graph, coro_map={})) == [
        "duplicate_edge",
        "missing_coro",
        "missing_host",
        "missing_host",
        "missing_host",
        "self_loop",
        "unknown_argument",
        "unknown_coro",
        "unknown_executor",
        "unknown_key",
        "unknown_node",
        "unknown_node",
        "wrong_type",
        "wrong_type",
    ]


def test_the_problems_of_strangers_are_counted() -> None:
    graph = {"nodes": {"a": {"properties": {f"x{number}": 1 for number in range(300)}}}, "graph": {}}
    assert len(problems(graph)) == 300
    found = problems(graph, strict=True)
    assert len(found) == 101
    assert found[-1] == ("too_many_problems", "")


@pytest.mark.parametrize("name", ["a\x00", "a\n", "\u202eabc", "\ud800", "x" * 129, "\u2028"], ids=ascii)
def test_p11_unreadable_names_are_refused_from_strangers(name: str) -> None:
    graph = {"nodes": {name: {}}, "graph": {name: None}}
    assert list(Graph.parse(graph).nodes) == [name]
    assert [code for code, _ in problems(graph, strict=True)] == ["bad_name"]


@pytest.mark.parametrize(
    "name", ["__proto__", "<img onerror=alert(1)>", "a.b", "x" * 128, "größe", "\U0001f600", "a b"]
)
def test_any_readable_name_will_do(name: str) -> None:
    graph = {"nodes": {name: {}}, "graph": {name: None}}
    assert list(Graph.parse(graph, strict=True).nodes) == [name]


def test_p11_functions_from_strangers_are_names() -> None:
    graph = two({"setup": step})
    assert problems(graph, strict=True) == [
        ("wrong_type", "nodes.inp.coro"),
        ("wrong_type", "nodes.out.coro"),
        ("wrong_type", "nodes.out.properties.setup"),
    ]


def test_paths_quote_what_is_no_plain_word() -> None:
    assert path_text(("nodes", "a b", "args", "items", 3, "x-y")) == "nodes['a b'].args.items[3].x-y"
    assert path_text(("nodes", "a" * 300)) == f"nodes['{'a' * 80}…']"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a'b", '"a\'b"'),
        ("\ud800\x00", "'\\ud800\\x00'"),
        (True, "True"),
        (None, "None"),
        (1.5, "1.5"),
        (10**20, "100000000000000000000"),
        ([1], "a list"),
        (OrderedDict(), "an OrderedDict"),
    ],
)
def test_values_are_shown_shortly(value: Any, text: str) -> None:
    assert shown(value) == text


def test_huge_integers_are_not_shown() -> None:
    assert shown(10**5000) == "a huge integer"


def test_hints_cost_bounded_effort() -> None:
    bounded = Problems(limit=1000)
    words = [f"word{number}" * 8 for number in range(1000)]
    assert "did you mean" in bounded.choices("wrod1" * 8, words[:5], "words are")
    assert bounded.choices("wrod1" * 8, words, "words are") == ""
    assert bounded.choices("word", ["work"], "words are") == "words are: work"
    assert Problems().choices("x" * 65, ["x" * 64], "words are") == f"words are: {'x' * 64}"


def test_problems_from_elsewhere_are_refused_too() -> None:
    found = Problem("unknown_node", "--collect out", "unknown node 'out'")
    problems = Problems()
    problems.refuse()
    problems.extend([found])
    with pytest.raises(GraphError) as caught:
        problems.refuse()
    assert caught.value.problems == (found,)


def test_the_codes_about_shape_are_codes() -> None:
    assert set(SHAPE_CODES) < set(CODES)
    assert all(meaning for meaning in CODES.values())


def test_messages_name_what_is_wrong() -> None:
    assert messages(two({"queue_size": True})) == ["queue_size must be an integer of at least 1, not True"]
    assert messages(two({"on_error": {"route": "nobody"}})) == ["node 'out': unknown dead-letter node 'nobody'"]
    assert Route("x") != Route("y")

"""`Graph.json_schema` accepts a JSON value exactly if `Graph.parse` finds nothing wrong with its shape."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
from hypothesis import event, given
from hypothesis import strategies as st

from pipelines.errors import GraphError
from pipelines.graph import Graph
from pipelines.graph.problems import SHAPE_CODES
from pipelines.graph.rules import MAX_NUMBER, PROPERTIES

SCHEMA = Graph.json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

NAMES = st.sampled_from(["a", "b", "c", "__proto__", "a b", ""])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 2, 64, MAX_NUMBER, MAX_NUMBER + 1, 10**30, 0.0, -0.0, 0.5, 1.0, 2.5, 1e300, -1e-9]),
    st.sampled_from(["", "a", "fail", "skip", "block", "drop_old", "input", "completion", "loop", "thread", "x"]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=4,
)


def mostly(likely: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Usually something right, sometimes anything: a graph that is wrong everywhere tells little."""
    return st.integers(0, 7).flatmap(lambda dice: ANYTHING if dice == 0 else likely)


def record(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Some of these fields, sometimes with one that does not belong there."""
    stray = st.dictionaries(st.sampled_from(["size", "oops", "route"]), SCALARS, max_size=1)
    extra: st.SearchStrategy[dict[str, Any]] = st.one_of(st.just({}), st.just({}), stray)
    return st.tuples(st.fixed_dictionaries({}, optional=fields), extra).map(lambda two: {**two[1], **two[0]})


COUNT = mostly(st.integers(1, 100))
SECONDS = mostly(st.one_of(st.none(), st.floats(0.001, 1e6), st.integers(1, 100)))
AMOUNT = mostly(st.one_of(st.none(), st.floats(0, 64)))
FUNCTION = mostly(st.one_of(st.none(), st.sampled_from(["text.lines", "text.show"])))
ROUTE = record(route=mostly(st.sampled_from(["a", "b"])))
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "aggregate_inputs": mostly(st.booleans()),
    "concurrency": COUNT,
    "order": mostly(st.sampled_from(["input", "completion"])),
    "queue_size": COUNT,
    "overflow": mostly(st.sampled_from(["block", "drop_new", "drop_old"])),
    "on_error": mostly(st.one_of(st.sampled_from(["fail", "skip"]), ROUTE)),
    "retry": mostly(
        st.one_of(st.none(), record(attempts=COUNT, backoff=AMOUNT, max_backoff=AMOUNT, jitter=mostly(st.booleans())))
    ),
    "timeout": SECONDS,
    "rate": SECONDS,
    "batch": mostly(st.one_of(st.none(), record(size=COUNT, timeout=SECONDS))),
    "executor": mostly(st.sampled_from(["loop", "thread", "process"])),
    "num_cpus": AMOUNT,
    "num_gpus": AMOUNT,
    "resources": mostly(st.one_of(st.none(), st.dictionaries(NAMES, st.floats(0, 9), max_size=2))),
    "host": mostly(st.one_of(st.none(), st.just("left"))),
    "setup": FUNCTION,
    "cleanup": FUNCTION,
}
NODE = record(
    coro=FUNCTION,
    args=mostly(st.one_of(st.none(), st.dictionaries(NAMES, ANYTHING, max_size=2))),
    properties=mostly(st.one_of(st.none(), record(**LIKELY))),
)
DOWNSTREAMS = mostly(st.one_of(st.none(), st.lists(NAMES, max_size=3)))
PARTS = {
    "nodes": mostly(st.dictionaries(NAMES, mostly(NODE), max_size=3)),
    "graph": mostly(st.dictionaries(NAMES, DOWNSTREAMS, max_size=3)),
}
GRAPH = mostly(st.one_of(st.fixed_dictionaries(PARTS), record(**PARTS)))


def right_in_shape(graph: Any) -> bool:
    try:
        Graph.parse(graph)
    except GraphError as error:
        return SHAPE_CODES.keys().isdisjoint(problem.code for problem in error.problems)
    return True


def agree(graph: Any) -> None:
    assert right_in_shape(graph) == VALIDATOR.is_valid(graph)


def with_properties(properties: Any) -> dict[str, Any]:
    return {"nodes": {"a": {"coro": "x", "properties": properties}}, "graph": {}}


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert LIKELY.keys() == PROPERTIES.keys()


@given(GRAPH)
def test_p7_schema_and_parser_agree_about_graphs(graph: Any) -> None:
    agree(graph)


@given(record(**LIKELY))
def test_p7_schema_and_parser_agree_about_properties(properties: Any) -> None:
    agree(with_properties(properties))


@given(st.sampled_from(sorted(LIKELY)), ANYTHING)
def test_p7_schema_and_parser_agree_about_each_property(key: str, value: Any) -> None:
    agree(with_properties({key: value}))


@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=4), max_size=4))
def test_p7_schema_and_parser_agree_about_wirings(graph: Any) -> None:
    agree({"nodes": {"a": {}, "b": {"coro": "x"}}, "graph": graph})


def test_integers_may_be_written_with_a_fraction_of_zero() -> None:
    agree(with_properties({"queue_size": 2.0}))
    assert right_in_shape(with_properties({"queue_size": 2.0}))
    assert not right_in_shape(with_properties({"queue_size": 2.5}))


@given(GRAPH, st.booleans())
def test_p7_nothing_but_a_graph_error_is_raised_and_what_is_read_can_be_written(graph: Any, strict: bool) -> None:
    try:
        read = Graph.parse(graph, strict=strict)
    except GraphError as error:
        told = [problem.to_dict() for problem in error.problems]
        event(told[0]["code"])
        json.dumps(told)
        return
    event("read")
    assert Graph.parse(read.to_dict(), strict=strict) == read
    assert all([read.to_mermaid(), read.to_dot(), read.to_text()])

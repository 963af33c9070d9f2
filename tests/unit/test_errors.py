"""What the exceptions say, word for word, and what they carry."""

from __future__ import annotations

import pickle

import pytest

from pipelines import errors
from pipelines.errors import (
    AlignmentError,
    GraphError,
    LimitError,
    MissingExtraError,
    NodeError,
    PipelinesError,
    Problem,
    SkippedError,
    StalledError,
    UnknownNodeError,
)


class Broken:
    """Neither to be shown nor to be told."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class BrokenError(Exception):
    """An exception that cannot say what is wrong."""

    def __str__(self) -> str:
        raise RuntimeError("no str")

    __repr__ = __str__


MESSAGES = [
    (NodeError("rev"), "node 'rev' failed: failed"),
    (NodeError("rev", cause=ValueError("no")), "node 'rev' failed: ValueError: no"),
    (NodeError("rev", "x", cause=ValueError("no")), "node 'rev' failed on item 'x': ValueError: no"),
    (NodeError("z", ("x", 1), 3, cause=KeyError(2)), "node 'z' failed on item ('x', 1) after 3 attempts: KeyError: 2"),
    (AlignmentError("z", {"a": 1, "b": 20}), "node 'z' zips upstreams of unequal length: 'a' had 1, 'b' had 20"),
    (StalledError(["'a' waits for 'b'", "'b' is paused"]), "the graph cannot move: 'a' waits for 'b'; 'b' is paused"),
    (LimitError("too_long", "the run took too long"), "the run took too long"),
    (UnknownNodeError("sink", "otu", ["out", "end"]), "unknown sink 'otu'; there are: out, end"),
    (UnknownNodeError("sink", "otu", []), "unknown sink 'otu'; there are: none"),
    (SkippedError("odd"), "the item was skipped at node 'odd'"),
    (
        MissingExtraError("reading Parquet", "files"),
        "reading Parquet needs the extra 'files': pip install 'asyncio-pipelines[files]'",
    ),
    (GraphError([Problem("c", "nodes.a", "it is wrong", "do it right")]), "nodes.a: it is wrong (do it right)"),
    (GraphError([Problem("c", "", "it is wrong")]), "it is wrong"),
    (
        GraphError([Problem("c", "graph", "one"), Problem("d", "", "two", "so")]),
        "2 problems in the graph:\n  - graph: one\n  - two (so)",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("error", "message"), MESSAGES, ids=[message for _, message in MESSAGES])
def test_messages_name_what_is_wrong_and_what_is_right(error, message):
    assert str(error) == message


def test_a_node_error_carries_node_item_attempts_and_cause():
    cause = ValueError("no")
    error = NodeError("rev", "x", 2, cause=cause)
    assert (error.node, error.item, error.attempts, error.__cause__) == ("rev", "x", 2, cause)
    assert repr(error) == "NodeError('rev', 'x', 2)"


@pytest.mark.parametrize("show", [str, repr])
def test_p6_a_long_item_is_cut(show):
    text = show(NodeError("rev", "x" * 10_000, cause=ValueError("y" * 10_000)))
    assert "…" in text
    assert len(text) < 600


@pytest.mark.parametrize("show", [str, repr])
def test_p6_what_cannot_be_shown_hides_no_failure(show):
    text = show(NodeError("rev", Broken(), cause=BrokenError()))
    assert "rev" in text
    assert "<Broken that cannot be shown>" in text


def test_a_long_list_of_known_names_is_cut():
    assert len(str(UnknownNodeError("node", "x", map(str, range(10_000))))) < 200


def test_problems_and_counts_can_be_read_by_programs():
    problem = Problem("unknown_node", "graph.inp[0]", "unknown node 'otu'", "nodes are: out")
    assert GraphError([problem]).problems == (problem,)
    assert problem.to_dict() == {
        "code": "unknown_node",
        "path": "graph.inp[0]",
        "message": "unknown node 'otu'",
        "hint": "nodes are: out",
    }
    assert AlignmentError("z", {"a": 1}).counts == {"a": 1}
    assert StalledError(["a"]).path == ("a",)
    assert LimitError("too_long", "").code == "too_long"
    assert SkippedError("odd").node == "odd"


def test_every_error_is_a_pipelines_error_and_is_drawn_in_the_tree():
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert issubclass(kind, PipelinesError)
            assert name in str(errors.__doc__)


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        ("GraphError", ValueError),
        ("StateError", RuntimeError),
        ("UnknownNodeError", LookupError),
        ("MissingExtraError", ImportError),
        ("SkippedError", errors.SubmitError),
        ("StoppedError", errors.SubmitError),
        ("AbortedError", errors.SubmitError),
    ],
)
def test_errors_can_be_caught_as_what_they_are(kind, base):
    assert issubclass(getattr(errors, kind), base)


@pytest.mark.parametrize("error", [error for error, _ in MESSAGES], ids=[message for _, message in MESSAGES])
def test_errors_survive_the_way_to_another_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    # A cause does not travel with an exception: that is Python's rule, for all exceptions.
    assert error.__cause__ is not None or str(again) == str(error)

"""The values that coros return and receive."""

from __future__ import annotations

import copy
import pickle

import pytest

from pipelines import SKIP, FailedItem, To


def test_skip_and_to_show_what_they_are():
    assert repr(SKIP) == "SKIP"
    assert repr(To("out", 1)) == "To('out', 1)"


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_skip_stays_the_same_object(again):
    assert again(SKIP) is SKIP


def test_to_survives_pickling():
    again = pickle.loads(pickle.dumps(To("out", [1])))
    assert (type(again), again.node, again.value) == (To, "out", [1])


def test_a_failed_item_says_what_failed_where_why_and_how_often():
    failed = FailedItem("x", "rev", ValueError("no"), 3)
    assert repr(failed) == "FailedItem(item='x', node='rev', error=ValueError('no'), attempts=3)"
    with pytest.raises(AttributeError):
        failed.item = "y"  # type: ignore[misc]


def test_p6_a_failed_item_can_be_shown_whatever_the_item_is():
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert "rev" in repr(FailedItem(Broken(), "rev", ValueError("x" * 10_000)))
    assert len(repr(FailedItem("x" * 10_000, "rev", ValueError()))) < 500

"""The garbage collector is held while objects are made that all live on, and only then."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from pipelines.garbage import MANY, only_new_objects


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    """Whatever a test does, the collector is on afterwards."""
    gc.enable()
    yield
    gc.enable()


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """The generations that were collected."""
    found: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            found.append(info["generation"])

    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)


def test_nothing_is_collected_before_the_end(collections: list[int]) -> None:
    gc.collect()
    collections.clear()
    with only_new_objects():
        made = [[] for _ in range(3 * MANY)]  # type: list[list[int]]
        assert collections == []
        assert not gc.isenabled()
    assert gc.isenabled()
    assert collections == [0]
    assert len(made) == 3 * MANY


def test_few_objects_are_left_to_their_time(collections: list[int]) -> None:
    gc.collect()
    collections.clear()
    with only_new_objects():
        made: list[list[int]] = [[]]
    assert collections == []
    assert made


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    with only_new_objects():
        pass
    assert not gc.isenabled()


def test_it_is_on_again_after_an_error() -> None:
    with pytest.raises(ValueError, match="no"), only_new_objects():
        raise ValueError("no")
    assert gc.isenabled()

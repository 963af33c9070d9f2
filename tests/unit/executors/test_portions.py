"""How large portions are, and whose turn it is: rules that need no process to be tested."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.executors.packing import Arena, pack, unpack, weight
from pipelines.executors.portions import MOST_BYTES, MOST_ITEMS, PORTION_SECONDS, Backlog, Sizer
from pipelines.executors.shares import Shares
from pipelines.executors.table import EXECUTORS
from pipelines.graph import reader


def test_the_first_portion_is_one_item():
    assert (Sizer().size, Sizer().tempo) == (1, None)


@pytest.mark.parametrize(("tempo", "size"), [(1e-9, MOST_ITEMS), (2e-5, 500), (1e-3, 10), (0.02, 1), (5.0, 1)])
def test_portions_grow_to_ten_milliseconds(tempo, size):
    sizer = Sizer()
    for _ in range(6):
        sizer.learn(sizer.size, tempo * sizer.size)
    assert abs(sizer.size - size) <= 1


def test_no_portion_is_much_larger_than_the_one_before():
    sizer = Sizer()
    sizer.learn(1, 1e-6)
    assert sizer.size == 8


def test_calls_that_become_slow_shrink_the_portion_at_once():
    sizer = Sizer()
    for _ in range(6):
        sizer.learn(sizer.size, 1e-5 * sizer.size)
    sizer.learn(10, 10 * PORTION_SECONDS)
    assert sizer.size <= 2


def test_portions_of_large_values_are_small():
    sizer = Sizer()
    for _ in range(6):
        sizer.learn(sizer.size, 1e-5 * sizer.size, sizer.size * MOST_BYTES // 4)
    assert sizer.size == 4


@given(st.lists(st.integers(1, 20), max_size=20), st.data())
def test_p1_p2_a_backlog_gives_every_item_once_in_order(sizes, data):
    backlog, place = Backlog(), 0
    for size in sizes:
        backlog.add(place, list(range(place, place + size)))
        place += size
    taken = []
    while backlog.count:
        first, items = backlog.take(data.draw(st.integers(1, 30)))
        assert items[0] == first
        kept = data.draw(st.integers(0, len(items)))
        backlog.give_back(first + kept, items[kept:])
        taken += items[:kept]
    assert taken == list(range(place))


def test_runs_get_equal_shares_and_of_one_run_the_last_node_comes_first():
    shares: Shares[str] = Shares()
    for stage, run, rank in (("a1", "a", 1), ("a2", "a", 2), ("b1", "b", 1)):
        shares.add(stage, run, rank)
    assert shares.pick(lambda stage: True) == "a2"
    shares.spent("a2", 1.0)
    assert shares.pick(lambda stage: True) == "b1"
    assert shares.pick(lambda stage: stage.startswith("a")) == "a2"
    shares.spent("b1", 3.0)
    shares.add("c1", "c", 1)  # begins with as much as the least of the others has had
    shares.spent("c1", 0.5)
    assert shares.pick(lambda stage: True) == "a2"
    shares.remove("a1")
    shares.remove("a2")
    assert shares.pick(lambda stage: True) == "c1"
    assert shares.pick(lambda stage: False) is None


@pytest.mark.parametrize("size", [10, 5_000, 100_000, 3_000_000])
def test_values_survive_the_arena(size):
    numpy = pytest.importorskip("numpy")
    arena = Arena()
    other = Arena(arena.descriptor)
    try:
        value = {"array": numpy.arange(size, dtype="u1"), "bytes": b"x" * size, "text": "y"}
        message = b"".join(pack(value, arena))
        assert (len(message) < 100) == (size > 50_000)
        assert weight(message) >= 2 * size
        read = unpack(memoryview(message), other)
        assert (read["array"] == value["array"]).all()
        assert (read["bytes"], read["text"]) == (value["bytes"], "y")
        read["array"][0] = 7  # nothing of it lies in the arena any more
        assert unpack(memoryview(message), other)["array"][0] == 0
    finally:
        other._unmap()
        arena.close()


def test_an_arena_that_was_made_smaller_grows_again():
    arena = Arena()
    other = Arena(arena.descriptor)
    try:
        for size in (100_000_000, 1_000_000, 5_000_000):
            message = memoryview(b"".join(pack(b"z" * size, arena)))
            assert len(unpack(message, other)) == size
            other.unmap_large()
            arena.shrink()
    finally:
        other._unmap()
        arena.close()


def test_the_graph_knows_the_executors_of_the_table():
    assert ("loop", *EXECUTORS) == reader.EXECUTORS

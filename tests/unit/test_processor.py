"""`Processor`: what a coro gets as ``self``."""

from __future__ import annotations

import pytest

from pipelines import InputProcessor, Plumber, Processor
from pipelines.graph import Properties
from pipelines.testing import feed
from tests.unit.graphs import line, node, same


async def reverse(self, q_elt, **args):
    return q_elt[0][::-1]


def test_it_holds_what_belongs_to_its_node():
    processor = Processor("rev", reverse, {"n": 1}, {"sid": "s"}, ("a",), ("b", "c"), Properties(rate=5))
    assert processor.properties.rate == 5
    assert (processor.name, processor.processor_coro, dict(processor.args)) == ("rev", reverse, {"n": 1})
    assert processor.liason_queues == (("a",), ("b", "c"))
    assert (processor.input_queue, processor.output_queue, processor.outcome) == (None, None, None)
    assert repr(processor) == "<Processor 'rev', coro: reverse>"


def test_a_source_without_coro_shows_that_it_has_none():
    assert repr(InputProcessor("inp", None, {}, {})) == "<InputProcessor 'inp', coro: None>"


def test_an_unknown_attribute_is_looked_up_in_env_vars():
    processor = Processor("rev", reverse, {}, {"sid": "s", "name": "shadowed"})
    assert (processor.sid, processor.name) == ("s", "rev")


def test_what_is_nowhere_is_refused_with_what_there_is():
    processor = Processor("rev", reverse, {}, {"sid": "s", "db": 1})
    with pytest.raises(AttributeError, match=r"^Processor 'rev' has no attribute 'dv'; env_vars has: db, sid$"):
        _ = processor.dv
    with pytest.raises(AttributeError, match="env_vars has: none"):
        _ = Processor("rev", reverse, {}, {}).dv


def test_env_vars_is_the_object_that_was_given():
    env_vars: dict[str, int] = {}
    processor = Processor("rev", reverse, {}, env_vars)
    env_vars["later"] = 1
    assert processor.env_vars is env_vars
    assert processor.later == 1


def test_args_cannot_be_changed_through_it():
    given = {"n": 1}
    processor = Processor("rev", reverse, given, {})
    given["n"] = 2
    assert processor.args["n"] == 1
    with pytest.raises(TypeError):
        processor.args["n"] = 3  # type: ignore[index]


def test_a_half_made_processor_does_not_look_for_env_vars_for_ever():
    half_made = Processor.__new__(Processor)  # as copying makes it
    with pytest.raises(AttributeError, match="has no attribute 'anything'"):
        _ = half_made.anything


@pytest.mark.virtual_time
async def test_a_coro_finds_again_what_it_has_set():
    async def count(self, q_elt):
        self.calls = getattr(self, "calls", 0) + 1
        return self.calls

    report = await Plumber(line(inp=feed("abc"), out=count)).run(collect=["out"])
    assert report.outputs["out"] == [1, 2, 3]


@pytest.mark.virtual_time
async def test_cleanup_is_told_the_outcome():
    outcomes = []

    async def note(self):
        outcomes.append((self.name, self.outcome))

    await Plumber(line(inp=node(feed([1]), cleanup=note), out=node(same, cleanup=note))).run()
    assert sorted(outcomes) == [("inp", "completed"), ("out", "completed")]

"""The first graph of the library, its surface and variants of it, with assertions on every output.

What people wrote for the first version of the library works word for word.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from typing import Any

import pytest

from pipelines import InputProcessor, Plumber, Processor
from pipelines.testing import Probe, feed

pytestmark = pytest.mark.virtual_time

ITEMS = ["afcaae36", "9c56Fef7", "81456b84", "dbfb07a5"]


class StringFunc:
    """Coros grouped in a class."""

    output: list[Any]

    @classmethod
    async def input_str(cls, self, q_out, num=None):
        for item in ITEMS[:num]:
            await q_out.put(item)
            await asyncio.sleep(ITEMS.index(item) % 4)

    @classmethod
    async def output_str(cls, self, q_elt):
        self.seen.append(q_elt)
        return q_elt

    @classmethod
    async def reverse(cls, self: Processor = None, q_elt: tuple = None):  # type: ignore[assignment]  # noqa: RUF013
        return q_elt[0][::-1]

    @classmethod
    async def toupper(cls, self, q_elt):
        (q_elt,) = q_elt
        return q_elt.upper()

    @classmethod
    async def tolower(cls, self, q_elt: tuple):
        first, _ = q_elt
        await asyncio.sleep(1)
        return first.lower()


CORO_DICT = {
    "StringFunc.reverse": StringFunc.reverse,
    "StringFunc.toupper": StringFunc.toupper,
    "StringFunc.tolower": StringFunc.tolower,
    "StringFunc.input_str": StringFunc.input_str,
    "StringFunc.output_str": StringFunc.output_str,
}


def getcoro(name):
    return name if callable(name) else CORO_DICT[name]


def first_graph(*, by_name: bool = False, aggregate: bool = False) -> dict[str, Any]:
    """``inp -> n1 -> (n2, n3)``, ``n2 -> (n3, n4)``, ``n3 -> n4``."""
    nodes: dict[str, Any] = {
        "inp": {"coro": StringFunc.input_str, "args": {"num": 4}},
        "n1": {"coro": StringFunc.reverse},
        "n2": {"coro": "StringFunc.toupper"},
        "n3": {"coro": "StringFunc.tolower"},
        "n4": {"coro": "StringFunc.output_str", "properties": {"aggregate_inputs": aggregate}},
    }
    if by_name:
        nodes["inp"]["coro"], nodes["n1"]["coro"] = "StringFunc.input_str", "StringFunc.reverse"
    edges = {"inp": ("n1",), "n1": ("n2", "n3"), "n2": ("n3", "n4"), "n3": ("n4",), "n4": None}
    return {"nodes": nodes, "graph": edges}


def uppers() -> list[str]:
    return [item[::-1].upper() for item in ITEMS]


def lowers() -> list[str]:
    return [item[::-1].lower() for item in ITEMS]


async def test_p1_the_first_graph_gives_every_item_of_both_branches_once():
    seen: list[Any] = []
    plumber = Plumber(first_graph(), coro_map=getcoro, env_vars={"seen": seen})
    plumber.create_pipeline()
    report = await plumber.wait()
    assert report.state == "completed"
    assert sorted(seen) == sorted((text,) for text in [*uppers(), *lowers()])


async def test_p2_each_branch_of_the_first_graph_keeps_its_order():
    report = await Plumber(first_graph(), getcoro, {"seen": []}).run(collect=["n4"])
    results = [text for (text,) in report.outputs["n4"]]
    assert [text for text in results if text in uppers()] == uppers()
    assert [text for text in results if text not in uppers()] == lowers()


async def test_p3_the_first_graph_with_aggregated_output_pairs_the_branches():
    report = await Plumber(first_graph(aggregate=True), getcoro, {"seen": []}).run(collect=["n4"])
    assert report.outputs["n4"] == list(zip(uppers(), lowers(), strict=True))


@pytest.mark.parametrize(
    ("coro_map", "by_name"),
    [
        pytest.param(getcoro, False, id="function"),
        pytest.param(getcoro, True, id="function, names only"),
        pytest.param(CORO_DICT, True, id="dict"),
        pytest.param(CORO_DICT, False, id="dict and callables"),
        pytest.param(lambda x: CORO_DICT.get(x, x), False, id="lambda"),
    ],
)
async def test_coro_map_may_be_a_function_a_dict_or_a_lambda(coro_map, by_name):
    report = await Plumber(first_graph(by_name=by_name), coro_map, {"seen": []}).run(collect=["n4"])
    assert len(report.outputs["n4"]) == 8


async def test_the_readme_graph_with_an_identity_coro_map():
    output = []

    class StringFuncs:
        @classmethod
        async def reverse(cls, self: Processor = None, q_elt: tuple = None):  # type: ignore[assignment]  # noqa: RUF013
            return q_elt[0][::-1]

        @classmethod
        async def input_coro(cls, self: Processor = None, output_q: asyncio.Queue = None):  # type: ignore[assignment]  # noqa: RUF013
            for item in ITEMS:
                await output_q.put(item)
                await asyncio.sleep(0)

        @classmethod
        async def output_coro(cls, self, q_elt):
            output.append(q_elt)

    input_d = {
        "nodes": {
            "inp": {"coro": StringFuncs.input_coro},
            "rev": {"coro": StringFuncs.reverse},
            "out": {"coro": StringFuncs.output_coro},
        },
        "graph": {"inp": ("rev", "out"), "rev": ("out",), "out": None},
    }
    _t = Plumber(input_d, coro_map=lambda x: x)
    _t.create_pipeline()
    await _t.wait()
    assert output == [(item, item[::-1]) for item in ITEMS]


async def test_the_order_of_keys_in_graph_does_not_matter():
    given = first_graph(aggregate=True)
    given["graph"] = dict(reversed(given["graph"].items()))
    report = await Plumber(given, getcoro, {"seen": []}).run(collect=["n4"])
    assert report.outputs["n4"] == list(zip(uppers(), lowers(), strict=True))


async def test_q_elt_has_the_order_of_the_upstreams_in_nodes():
    given = first_graph(aggregate=True)
    given["nodes"] = {name: given["nodes"][name] for name in ("n4", "n3", "n1", "inp", "n2")}
    report = await Plumber(given, getcoro, {"seen": []}).run(collect=["n4"])
    assert report.outputs["n4"] == [(low, up) for up, low in zip(uppers(), lowers(), strict=True)]


@pytest.mark.parametrize("sink", [None, [], (), "absent"])
async def test_a_sink_has_none_an_empty_list_or_no_entry_in_graph(sink):
    edges: dict[str, Any] = {"inp": ["out"], "out": sink}
    if sink == "absent":
        del edges["out"]
    given = {"nodes": {"inp": {"coro": feed([1])}, "out": {"coro": Probe()}}, "graph": edges}
    report = await Plumber(given).run(collect=["out"])
    assert report.outputs == {"out": [1]}


async def test_nodes_bear_the_attributes_they_always_had():
    plumber = Plumber(first_graph(), getcoro, {"seen": []})
    plumber.create_pipeline()
    assert [each.name for each in plumber.nodes] == ["inp", "n1", "n2", "n3", "n4"]
    by_name = {each.name: each for each in plumber.nodes}
    assert by_name["n1"].processor_coro == StringFunc.reverse
    assert by_name["n2"].processor_coro == StringFunc.toupper
    assert [len(by_name["n3"].liason_queues[0]), len(by_name["n3"].liason_queues[1])] == [2, 1]
    assert by_name["n1"].liason_queues[1][1] is by_name["n3"].liason_queues[0][0]
    assert by_name["n3"].input_queue.qsize() == 0
    assert by_name["n3"].output_queue.qsize() == 0
    assert by_name["inp"].input_queue is None
    assert by_name["inp"].output_queue.qsize() == 0
    await plumber.abort()


async def test_every_node_has_a_uuid_of_its_own_that_stays():
    plumber = Plumber(first_graph(), getcoro)
    found = [each.uuid for each in plumber.nodes]
    assert len(set(found)) == 5
    assert [str(uuid.UUID(text)) for text in found] == found
    assert [each.uuid for each in plumber.nodes] == found


async def test_a_source_is_an_input_processor_and_no_other_node_is():
    kinds = [type(each) for each in Plumber(first_graph(), getcoro).nodes]
    assert kinds == [InputProcessor, Processor, Processor, Processor, Processor]
    assert issubclass(InputProcessor, Processor)


async def test_liason_graph_is_the_matrix_of_channels():
    plumber = Plumber(first_graph(), getcoro)
    drawn = [["." if channel is None else "x" for channel in row] for row in plumber.liason_graph]
    assert ["".join(row) for row in drawn] == [".x...", "..xx.", "...xx", "....x", "....."]
    channel = plumber.liason_graph[1][3]
    assert channel is plumber.nodes[1].liason_queues[1][1]
    assert (channel.maxsize, channel.qsize(), channel.empty(), channel.full()) == (64, 0, True, False)


async def test_env_vars_are_a_mapping_and_attributes_of_self():
    found = []

    async def look(self, q_elt):
        found.append((self.env_vars["sid"], self.sid, self.name))

    env_vars = {"sid": "a1", "name": "the node's own name wins"}
    given = {"nodes": {"inp": {"coro": feed([1])}, "out": {"coro": look}}, "graph": {"inp": ["out"]}}
    await Plumber(given, env_vars=env_vars).run()
    assert found == [("a1", "a1", "out")]


NAMES = [
    "name", "queue_size", "env_vars", "coro", "args", "properties", "input_srcs", "output_dests", "input_queue",
    "item", "source", "processor", "function", "node", "run", "this", "cls", "timeout", "loop", "executor", "q",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_an_argument_of_a_coro_may_bear_any_name(name):
    source: dict[str, Any] = {}
    exec(
        f"async def put(self, output_q, {name}=None):\n    await output_q.put({name})\n"
        f"async def take(self, q_elt, {name}):\n    return (q_elt[0], {name})",
        source,
    )
    given = {
        "nodes": {
            "inp": {"coro": source["put"], "args": {name: 1}},
            "out": {"coro": source["take"], "args": {name: 2}},
        },
        "graph": {"inp": ("out",), "out": None},
    }
    report = await Plumber(given).run(collect=["out"])
    assert report.outputs["out"] == [(1, 2)]


async def test_an_argument_may_be_called_self_or_q_elt_where_the_coro_calls_its_own_something_else():
    async def take(this, items, self, q_elt):
        return (items[0], self, q_elt)

    given = {
        "nodes": {"inp": {"coro": feed([1])}, "out": {"coro": take, "args": {"self": "s", "q_elt": "q"}}},
        "graph": {"inp": ["out"]},
    }
    report = await Plumber(given).run(collect=["out"])
    assert report.outputs["out"] == [(1, "s", "q")]


async def test_create_pipeline_returns_at_once_and_the_graph_runs_in_the_running_loop():
    seen = Probe()
    plumber = Plumber({"nodes": {"inp": {"coro": feed([1, 2])}, "out": {"coro": seen}}, "graph": {"inp": ["out"]}})
    plumber.create_pipeline()
    assert seen.items == []
    await plumber.wait()
    assert seen.items == [(1,), (2,)]


async def test_two_plumbers_of_one_dict_do_not_disturb_each_other():
    given = first_graph(aggregate=True)
    one, two = (Plumber(given, getcoro, {"seen": []}) for _ in range(2))
    reports = await asyncio.gather(one.run(collect=["n4"]), two.run(collect=["n4"]))
    assert [report.outputs["n4"] for report in reports] == [list(zip(uppers(), lowers(), strict=True))] * 2


async def test_importing_prints_nothing():
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-Werror",
        "-c",
        "import pipelines, pipelines.plumber, pipelines.processor, pipelines.testing",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert (process.returncode, output) == (0, b"")

"""`read_jsonl` and `write_jsonl`."""

from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.formats import FormatError, RecordError, reading
from pipelines.formats.jsonl import JsonlWriter
from pipelines.graph import Batch, Properties
from pipelines.types import FailedItem
from tests.unit.formats.fakes import FakeNode, read

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(values=st.lists(VALUES, max_size=5), name=st.sampled_from(["a.jsonl", "a.jsonl.gz"]), block=st.integers(5, 50))
async def test_p1_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], name: str, block: int
) -> None:
    path = tmp_path_factory.mktemp("jsonl") / name
    await FakeNode("write_jsonl", path=str(path)).write_all(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK", block)
        output = await read("read_jsonl", path)
    assert [json.dumps(item) for item in output.items] == [json.dumps(value) for value in values]
    assert output.failed == []


async def test_documents_are_compact_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    await FakeNode("write_jsonl", path=str(path)).write_all([{"é": [1, "\u2028\n", None]}, "x", (1, 2), {3: True}])
    assert path.read_bytes().decode() == '{"é":[1,"\u2028\\n",null]}\n"x"\n[1,2]\n{"3":true}\n'


async def test_lone_surrogates_survive(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    await FakeNode("write_jsonl", path=str(path)).write_all(["a\ud800b\\", {"\udfff": "é"}])
    assert (await read("read_jsonl", path)).items == ["a\ud800b\\", {"\udfff": "é"}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "no valid JSON: Expecting property name enclosed in double quotes at column 2"),
        (b"[1] 2", "no valid JSON: Extra data at column 5"),
        (b"{'a': 1}", "no valid JSON: Expecting property name"),
        (b"NaN", "NaN is no JSON"),
        (b"[-Infinity]", "-Infinity is no JSON"),
        (b'"\xff"', "not valid utf-8: byte 2 of the line"),
        (b"[" * 100_000, "the value is nested too deeply"),
        (b"1" * 5000, "Exceeds the limit"),
        (b'"' + b"x" * (1 << 20) + b'"', "the line is longer than 1,048,576 bytes"),
    ],
    ids=lambda value: str(value[:20]),
)
async def test_lines_that_cannot_be_read_cost_themselves(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n\n" + line + b"\r\n2\n")
    output = await read("read_jsonl", path)
    assert output.items == [1, 2]
    [(text, error)] = output.failed
    assert error.line == 3
    assert error.reason.startswith(reason)
    assert text == line[: 1 << 20].decode("utf-8", "backslashreplace")


async def test_values_of_all_kinds(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1, "a": 2}\n \t\r\n[]\r\n12345678901234567890123\nnull\n"\\ud83d\\ude00"')
    assert (await read("read_jsonl", path)).items == [{"a": 2}, [], 12345678901234567890123, None, "😀"]


async def test_read_jsonl_takes_its_arguments(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress('"é"\n"long"\n2\n3\n'.encode("latin-1")))
    output = await read("read_jsonl", path, encoding="latin-1", limit=2, max_record=5)
    assert (output.items, output.lines) == (["é", 2], [2])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"a": [1, {"when": datetime.date(2013, 1, 1)}]}, r"item\['a'\]\[1\]\['when'\]: Object of type date"),
        ({"a": float("nan")}, r"item\['a'\]: Out of range float values are not JSON compliant"),
        (float("inf"), "item: Out of range"),
        ({"a": {1, 2}}, r"item\['a'\]: Object of type set"),
        ({(1, 2): 3}, "item: keys must be"),
        ([10**5000], r"item\[0\]: Exceeds the limit"),
        (b"x", "item: Object of type bytes"),
    ],
)
async def test_p6_what_cannot_be_written_is_named_and_costs_nothing_else(
    tmp_path: Path, item: Any, message: str
) -> None:
    path = tmp_path / "a.jsonl"
    node = FakeNode("write_jsonl", path=str(path))
    await node.setup()
    with pytest.raises(FormatError, match=message) as caught:
        await node.write(item)
    assert str(caught.value).startswith(f"{path}: item")
    await node.write(1)
    await node.cleanup()
    assert path.read_text() == "1\n"


def test_an_item_that_contains_itself(tmp_path: Path) -> None:
    item: list[Any] = [1]
    item.append(item)
    with pytest.raises(FormatError, match="Circular reference"):
        JsonlWriter(str(tmp_path / "a")).encode([item])


async def test_failed_items_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    failed = FailedItem("1,2,3", "inp", RecordError("a.csv", 7, "3 cells"), 2)
    await FakeNode("write_jsonl", path=str(path)).write_all([failed])
    assert json.loads(path.read_text()) == {
        "item": "1,2,3",
        "node": "inp",
        "error": "RecordError: a.csv, line 7: 3 cells",
        "attempts": 2,
    }


@pytest.mark.parametrize("batch", [None, {"size": 2}])
async def test_only_a_node_with_batches_writes_lists_line_by_line(tmp_path: Path, batch: Any) -> None:
    path = tmp_path / "a.jsonl"
    node = FakeNode("write_jsonl", path=str(path))
    node.properties = Properties(batch=None if batch is None else Batch(**batch))
    await node.write_all([[1, 2], [3]])
    assert path.read_text() == ("[1,2]\n[3]\n" if batch is None else "1\n2\n3\n")


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
async def test_append_adds_lines(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for value in (1, 2):
        await FakeNode("write_jsonl", path=str(path), append=True).write_all([value])
    assert (await read("read_jsonl", path)).items == [1, 2]
    assert [each.name for each in tmp_path.iterdir()] == [name]

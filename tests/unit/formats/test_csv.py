"""`read_csv` and `write_csv`: what is written is read again, and everything else says so."""

from __future__ import annotations

import asyncio
import datetime
import enum
import gzip
import math
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.formats import FormatError, RecordError, reading
from pipelines.types import FailedItem
from tests.unit.formats.fakes import FakeNode, read

CELLS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('",;\n\r\0 \ufeff\u2028'), max_size=8)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, str]]:
    columns = draw(st.lists(CELLS, min_size=1, max_size=4, unique=True))
    return draw(st.lists(st.fixed_dictionaries(dict.fromkeys(columns, CELLS)), min_size=1, max_size=5))


@settings(max_examples=60)
@given(rows=tables(), name=st.sampled_from(["a.csv", "a.csv.gz"]), delimiter=st.sampled_from(",;\t"))
async def test_p1_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]], name: str, delimiter: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / name
    await FakeNode("write_csv", path=str(path), delimiter=delimiter).write_all(rows)
    output = await read("read_csv", path, delimiter=delimiter)
    assert output.items == rows
    assert output.failed == []


@settings(max_examples=25)
@given(rows=tables(), block=st.integers(1, 7))
@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32-be"])
async def test_p1_what_is_written_is_read_again_in_any_encoding(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]], block: int, encoding: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    await FakeNode("write_csv", path=str(path), encoding=encoding).write_all(rows)
    assert path.read_bytes().startswith("".encode(encoding))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK", block)
        output = await read("read_csv", path, encoding=encoding)
    assert output.items == rows


@settings(max_examples=40)
@given(data=st.data())
async def test_p1_appended_runs_are_read_as_one(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("csv") / data.draw(st.sampled_from(["a.csv", "a.csv.gz"]))
    rows = data.draw(tables())
    cut = data.draw(st.integers(0, len(rows)))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-16"]))
    for part in (rows[:cut], rows[cut:]):
        await FakeNode("write_csv", path=str(path), append=True, encoding=encoding).write_all(part)
    assert (await read("read_csv", path, encoding=encoding)).items == rows


async def test_cells_are_written_as_documented(tmp_path: Path) -> None:
    class Colour(enum.StrEnum):
        RED = "red"

    class Size(enum.IntEnum):
        BIG = 3

    class Length(float):
        def __repr__(self) -> str:
            return "long"

    row = {
        "text": "007",
        "empty": "",
        "none": None,
        "int": 10**30,
        "float": 0.1 + 0.2,
        "true": True,
        "false": False,
        "decimal": Decimal("1.10"),
        "colour": Colour.RED,
        "size": Size.BIG,
        "length": Length(1.5),
    }
    path = tmp_path / "a.csv"
    await FakeNode("write_csv", path=str(path)).write_all([row])
    header, line = path.read_text().splitlines()
    assert header == ",".join(row)
    assert line == "007,,,1000000000000000000000000000000,0.30000000000000004,true,false,1.10,red,3,1.5"


@settings(max_examples=40)
@given(number=st.floats() | st.integers())
async def test_numbers_lose_nothing(tmp_path_factory: pytest.TempPathFactory, number: float) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    await FakeNode("write_csv", path=str(path)).write_all([{"n": number}])
    [row] = (await read("read_csv", path)).items
    again = type(number)(row["n"])
    assert again == number or (math.isnan(again) and math.isnan(number))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"a": datetime.date(2013, 1, 1), "b": 1},
            "column 'a': a cell must be text, numbers, booleans or None, not date",
        ),
        ({"a": "1", "b": b"x"}, "column 'b': a cell must be .* not bytes"),
        ({"a": "1", "b": ["x"]}, "column 'b': a cell must be .* not list"),
        ({"a": "1"}, "the row lacks column 'b'; it has 'a'"),
        ({"a": "1", "c": "2"}, "has no column 'c'; its columns are 'a', 'b'"),
        ({"a": "1", "b": "2", "c": "3"}, "has no column 'c'"),
        ({"a": "1", "b": "\ud800"}, "column 'b': .*surrogates not allowed"),
        ({"a": 10**5000, "b": "2"}, "column 'a': Exceeds the limit"),
        (("1", "2"), "a row must be a dict of columns and cells, not tuple"),
        (FailedItem("x", "inp", ValueError()), "a row must be a dict .* not FailedItem"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
async def test_p6_what_cannot_be_written_is_named_and_costs_nothing_else(
    tmp_path: Path, row: Any, message: str, first: bool
) -> None:
    path = tmp_path / "a.csv"
    node = FakeNode("write_csv", path=str(path), columns=["a", "b"])
    await node.setup()
    if not first:
        await node.write({"a": "0", "b": "0"})
    with pytest.raises(FormatError, match=message) as caught:
        await node.write(row)
    assert str(path) in str(caught.value)
    await node.write({"b": "2", "a": "1"})
    await node.cleanup()
    assert path.read_text() == ("a,b\n1,2\n" if first else "a,b\n0,0\n1,2\n")


async def test_a_first_row_that_cannot_be_written_decides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    node = FakeNode("write_csv", path=str(path))
    await node.setup()
    for wrong in ({}, {"x": object()}, {"\ud800": 1}, {1: 1}):
        with pytest.raises(FormatError):
            await node.write(wrong)
    await node.write(MappingProxyType({"a": "1"}))
    await node.cleanup()
    assert path.read_text() == "a\n1\n"


async def test_restval_fills_columns_that_are_missing_but_takes_none_too_many(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    node = FakeNode("write_csv", path=str(path), columns=["a", "b"], restval="?")
    await node.setup()
    await node.write({"b": "1"})
    with pytest.raises(FormatError, match="has no column 'c'"):
        await node.write({"b": "1", "c": "2"})
    await node.cleanup()
    assert path.read_text() == "a,b\n?,1\n"


async def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    node = FakeNode("write_csv", path=str(path))
    await node.setup()
    batch = [{"a": "1"}, {"a": "2"}]
    assert await node.write(batch) is batch
    with pytest.raises(FormatError):
        await node.write([{"a": "3"}, {"b": "4"}])
    assert await node.write([]) == []
    await node.cleanup()
    assert path.read_text() == "a\n1\n2\n"


@pytest.mark.parametrize(("columns", "text"), [(["a", "b"], "a,b\n"), (None, "")])
async def test_a_run_without_rows_writes_what_is_known(tmp_path: Path, columns: Any, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("of another run\n")
    await FakeNode("write_csv", path=str(path), columns=columns).write_all([])
    assert path.read_text() == text
    assert (await read("read_csv", path)).items == []


async def test_append_writes_the_header_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for text in ("1", "2"):
        await FakeNode("write_csv", path=str(path), append=True, columns=["a", "b"]).write_all([{"a": text, "b": "x"}])
    await FakeNode("write_csv", path=str(path), append=True).write_all([{"b": "x", "a": "3"}])
    assert path.read_text() == "a,b\n1,x\n2,x\n3,x\n"


async def test_append_to_nothing_but_blank_lines_writes_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n\n")
    await FakeNode("write_csv", path=str(path), append=True, columns=["a"]).write_all([{"a": "1"}])
    assert path.read_text() == "\n\na\n1\n"


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("a,b\n1,2\n", ["b", "a"], "has the columns 'a', 'b'; not 'b', 'a'"),
        ("a,b\n1,2", None, "its last line has no end"),
        ("a,a\n1,2\n", None, "more than one column is named 'a'"),
    ],
)
async def test_append_refuses_what_does_not_fit(tmp_path: Path, text: str, columns: Any, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    node = FakeNode("write_csv", path=str(path), append=True, columns=columns)
    with pytest.raises(FormatError, match=message):
        await node.setup()
    await node.cleanup("failed")
    assert path.read_text() == text
    path.unlink()
    await FakeNode("write_csv", path=str(path)).write_all([])  # nobody holds the target any more


async def test_append_checks_rows_against_the_columns_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(FormatError, match="lacks column 'b'"):
        await FakeNode("write_csv", path=str(path), append=True).write_all([{"a": "1"}])
    assert path.read_text() == "a,b\n1,2\n"


async def test_append_continues_in_the_byte_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffé\n1\n".encode("utf-16-be"))
    await FakeNode("write_csv", path=str(path), append=True, encoding="utf-16").write_all([{"é": "2"}])
    assert path.read_bytes().decode("utf-16") == "é\n1\n2\n"


@pytest.mark.parametrize(
    "args", [{"delimiter": "ab"}, {"columns": []}, {"columns": ["\ud800"]}, {"encoding": "utf-99"}, {"columns": "ab"}]
)
async def test_arguments_that_make_no_sense_are_refused_before_the_first_row(tmp_path: Path, args: Any) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(ValueError, match=r"delimiter|columns|encoding|surrogates"):
        await FakeNode("write_csv", path=str(path), **args).setup()
    assert not path.exists()
    await FakeNode("write_csv", path=str(path)).write_all([])


async def test_other_encodings_name_what_they_do_not_have(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(FormatError, match="column 'b': 'latin-1' codec can't encode character"):
        await FakeNode("write_csv", path=str(path), encoding="latin-1").write_all([{"a": "é", "b": "€"}])
    await FakeNode("write_csv", path=str(path), encoding="latin-1").write_all([{"a": "é"}])
    assert path.read_bytes() == b"a\n\xe9\n"
    assert (await read("read_csv", path, encoding="latin-1")).items == [{"a": "é"}]


async def test_read_csv_reports_failures_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n3\n\xff,4\n5,6\n"))
    output = await read("read_csv", path)
    assert output.items == [{"a": "1", "b": "2"}, {"a": "5", "b": "6"}]
    assert [(text, str(error)) for text, error in output.failed] == [
        ("3", f"{path}, line 3: 1 cells, but there are 2 columns"),
        ("\\xff,4", f"{path}, line 4: not valid utf-8: byte 1 of the line (0xff): invalid start byte"),
    ]


async def test_read_csv_takes_its_arguments(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("1;é\n2;x\n3;yyyyyyy\n".encode("cp1252"))
    args = {"encoding": "cp1252", "delimiter": ";", "header": False, "columns": ["n", "t"]}
    assert (await read("read_csv", path, **args, limit=1)).items == [{"n": "1", "t": "é"}]
    output = await read("read_csv", path, **args, max_record=8)
    assert (len(output.items), output.lines) == (2, [3])


async def test_read_csv_raises_what_concerns_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(FileNotFoundError, match=r"a\.csv"):
        await read("read_csv", path)
    path.write_bytes(b"\xff\xfea\0,\0b\0\n\0")
    with pytest.raises(RecordError, match="line 1: not valid utf-8"):
        await read("read_csv", path)
    with pytest.raises(FormatError, match="encoding 'utf-99'"):
        await read("read_csv", path, encoding="utf-99")


async def test_p2_rows_stand_in_the_order_in_which_calls_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.formats.writing.BUFFER", 10)
    path = tmp_path / "a.csv"
    node = FakeNode("write_csv", path=str(path))
    await node.setup()
    tasks = [asyncio.create_task(node.write({"n": number})) for number in range(300)]
    assert [row["n"] for row in await asyncio.gather(*tasks)] == list(range(300))
    await node.cleanup()
    assert path.read_text() == "n\n" + "".join(f"{number}\n" for number in range(300))

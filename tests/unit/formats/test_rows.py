"""The rules of CSV: which rows come of which lines, and what a bad one costs."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.formats import FormatError, RecordError
from pipelines.formats.reading import LineFile
from pipelines.formats.rows import CsvParser
from tests.unit.formats.fakes import parsed

TOO_LONG = "a quote is opened and not closed, within {} bytes or to the end of the file"


def rows(path: Path, data: bytes | str, *, block: int = 0, max_record: int = 1 << 20, **options: Any) -> list[Any]:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    file = LineFile(str(path), max_record=max_record, block=block)
    return parsed(file, CsvParser(file, **options))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.csv"


def test_rows_are_dicts_of_text(path: Path) -> None:
    assert rows(path, 'id,name\n007,"a ""b"", c"\n,NA\n"x\r\ny", z \n') == [
        {"id": "007", "name": 'a "b", c'},
        {"id": "", "name": "NA"},
        {"id": "x\r\ny", "name": " z "},
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("final", [True, False])
def test_line_ends_and_the_lack_of_the_last(path: Path, end: str, final: bool) -> None:
    text = end.join(["a,b", "1,2", "3,4"]) + (end if final else "")
    assert rows(path, text) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_blank_lines_are_passed_over_and_counted(path: Path) -> None:
    assert rows(path, "\n\na,b\n\n1,2\n\r\n3\n") == [
        {"a": "1", "b": "2"},
        ("failed", 7, "1 cells, but there are 2 columns", "3"),
    ]


def test_a_single_empty_cell_is_no_blank_line(path: Path) -> None:
    assert rows(path, 'a\n""\n\n1\n') == [{"a": ""}, {"a": "1"}]


def test_nothing_comes_of_an_empty_file(path: Path) -> None:
    assert rows(path, "") == []
    assert rows(path, "\n \n"[:1]) == []
    assert rows(path, "a,b\n") == []
    assert rows(path, "", columns=["a"]) == []


def test_ragged_rows_are_reported_where_they_begin(path: Path) -> None:
    assert rows(path, 'a,b\n"1\n1",2\n"3\n3"\n4,5,6\n7,8\n') == [
        {"a": "1\n1", "b": "2"},
        ("failed", 4, "1 cells, but there are 2 columns", '"3\n3"'),
        ("failed", 6, "3 cells, but there are 2 columns", "4,5,6"),
        {"a": "7", "b": "8"},
    ]


def test_bytes_that_are_no_text_cost_their_record(path: Path) -> None:
    reason = "not valid utf-8: byte {} of the line (0xff): invalid start byte"
    assert rows(path, b'a,b\n1,\xff\n2,3\n"4\n\xff",5\n6,7\n') == [
        ("failed", 2, reason.format(3), "1,\\xff"),
        {"a": "2", "b": "3"},
        ("failed", 4, reason.format(1) + " (in line 5)", '"4\n\\xff",5'),
        {"a": "6", "b": "7"},
    ]


def test_a_line_that_is_too_long_costs_itself(path: Path) -> None:
    assert rows(path, "a,b\n1,2\n" + "3" * 50 + ",4\n5,6\n", max_record=9) == [
        {"a": "1", "b": "2"},
        ("failed", 3, "the line is longer than 9 bytes", "3" * 9),
        {"a": "5", "b": "6"},
    ]


def test_text_behind_a_closing_quote(path: Path) -> None:
    assert rows(path, 'a,b\n"1"x,2\n3,4\n"5\n"x,6\n7,8\n') == [
        ("failed", 2, "text stands behind a closing quote", '"1"x,2'),
        {"a": "3", "b": "4"},
        ("failed", 4, "text stands behind a closing quote", '"5\n"x,6'),
        {"a": "7", "b": "8"},
    ]


def test_a_carriage_return_outside_quotes(path: Path) -> None:
    assert rows(path, "a,b\n1,2\r3,4\n5,6\n") == [
        ("failed", 2, "a carriage return stands in a cell without quotes", "1,2\r3,4"),
        {"a": "5", "b": "6"},
    ]


def test_quotes_inside_a_cell_without_quotes_are_text(path: Path) -> None:
    assert rows(path, 'a,b\n5" disk,"6"\n') == [{"a": '5" disk', "b": "6"}]


def test_a_quote_that_is_never_closed_costs_its_line(path: Path) -> None:
    assert rows(path, 'a,b\n1,"2\n3,4\n5\n6,7\n') == [
        ("failed", 2, TOO_LONG.format("1,048,576"), '1,"2'),
        {"a": "3", "b": "4"},
        ("failed", 4, "1 cells, but there are 2 columns", "5"),
        {"a": "6", "b": "7"},
    ]


def test_a_quote_in_the_last_line_is_never_closed(path: Path) -> None:
    assert rows(path, 'a,b\n1,2\n3,"4') == [
        {"a": "1", "b": "2"},
        ("failed", 3, TOO_LONG.format("1,048,576"), '3,"4'),
    ]


def test_what_an_unclosed_quote_would_swallow_is_read_line_by_line(path: Path) -> None:
    text = 'a,b\n1,"2\n3,4\nx",,"5\n6,7\n8,9\n"10\n",11\n'
    assert rows(path, text, max_record=20) == [
        ("failed", 2, TOO_LONG.format(20), '1,"2'),
        {"a": "3", "b": "4"},
        ("failed", 4, "a quote is opened and not closed", 'x",,"5'),
        {"a": "6", "b": "7"},
        {"a": "8", "b": "9"},
        {"a": "10\n", "b": "11"},
    ]


def test_what_another_quote_closes_too_late_is_one_record(path: Path) -> None:
    assert rows(path, 'a,b\n1,"2\n3,4\n5,"6"\n7,8\n') == [
        ("failed", 2, "text stands behind a closing quote", '1,"2\n3,4\n5,"6"'),
        {"a": "7", "b": "8"},
    ]


def test_a_record_of_several_lines_may_be_as_long_as_allowed(path: Path) -> None:
    text = 'a\n"é\n3456"\n7\n'  # the record has 10 bytes with its line end
    assert rows(path, text, max_record=10) == [{"a": "é\n3456"}, {"a": "7"}]
    assert rows(path, text, max_record=9) == [
        ("failed", 2, TOO_LONG.format(9), '"é'),
        {"a": '3456"'},
        {"a": "7"},
    ]


def test_cells_may_be_longer_than_the_csv_module_thinks(path: Path) -> None:
    assert rows(path, "a,b\n" + "x" * 200_000 + ",1\n") == [{"a": "x" * 200_000, "b": "1"}]


def test_columns_pick_and_order(path: Path) -> None:
    assert rows(path, "a,b,c\n1,2,3\n4,5\n", columns=["c", "a"]) == [
        {"c": "3", "a": "1"},
        ("failed", 3, "2 cells, but there are 3 columns", "4,5"),
    ]


def test_without_header_columns_name_the_cells(path: Path) -> None:
    assert rows(path, "1,2\n3\n", header=False, columns=["a", "b"]) == [
        {"a": "1", "b": "2"},
        ("failed", 2, "1 cells, but there are 2 columns", "3"),
    ]


def test_without_header_and_columns_rows_are_lists_of_any_length(path: Path) -> None:
    assert rows(path, '1,2\n3\n\n"4\n5"\n', header=False) == [["1", "2"], ["3"], ["4\n5"]]


def test_other_delimiters(path: Path) -> None:
    assert rows(path, "a;b\tc\n1;2\t3\n", delimiter=";") == [{"a": "1", "b\tc": "2\t3"}]
    assert rows(path, "a;b\tc\n1;2\t3\n", delimiter="\t") == [{"a;b": "1;2", "c": "3"}]


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\r"])
def test_delimiters_that_cannot_be(path: Path, delimiter: str) -> None:
    with pytest.raises(ValueError, match="delimiter must be one character"):
        rows(path, "a\n", delimiter=delimiter)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (b"a,b,a\n", {}, "more than one column is named 'a'; the columns are 'a', 'b', 'a'"),
        (b"a,b\n", {"columns": ["a", "c", "d"]}, "has no column 'c', 'd'; its columns are 'a', 'b'"),
        (b"a\n", {"columns": ["a", "a"]}, "columns: more than one column is named 'a'"),
        (b"a\n", {"columns": []}, "columns: there are no columns"),
        (b"a\n", {"columns": "ab"}, "columns: the names of columns must be a list of text, not 'ab'"),
        (b"a\n", {"columns": [1]}, "must be a list of text"),
        (b"\n\xff,b\n1,2\n", {}, "line 2: not valid utf-8"),
        (b'a,"b\n1,2\n', {}, "line 1: a quote is opened and not closed"),
        (b'a,"b"c\n1,2\n', {}, "line 1: text stands behind a closing quote"),
    ],
)
def test_headers_that_make_no_sense(path: Path, data: bytes, options: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        rows(path, data, **options)


def test_a_header_that_is_too_long_is_no_header(path: Path) -> None:
    with pytest.raises(RecordError, match="line 1: the line is longer than 5 bytes"):
        rows(path, "abcdefghi\n1\n", max_record=5)


TEXT = st.text(st.sampled_from('ab",\n\n\r\0é'), max_size=60)


@given(text=TEXT, block=st.integers(1, 12), max_record=st.integers(3, 40))
@example(text='a\n"b",,"a\n' * 6, block=1, max_record=12)
@example(text='a\n"b\n\n\n",\n"x', block=2, max_record=8)
def test_p1_rows_are_the_same_wherever_blocks_end(
    tmp_path_factory: pytest.TempPathFactory, text: str, block: int, max_record: int
) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.csv"
    whole = rows(path, text, max_record=max_record, header=False)
    assert rows(path, text, block=block, max_record=max_record, header=False) == whole


@given(text=TEXT, block=st.integers(1, 12))
def test_valid_text_is_read_as_the_csv_module_does(
    tmp_path_factory: pytest.TempPathFactory, text: str, block: int
) -> None:
    try:
        expected = [row for row in csv.reader(io.StringIO(text, newline="\n"), strict=True) if row]
    except csv.Error:
        return
    assert rows(tmp_path_factory.mktemp("rows") / "a.csv", text, block=block, header=False) == expected


@given(text=TEXT, block=st.integers(1, 12), max_record=st.integers(3, 40))
def test_p1_every_line_belongs_to_something(
    tmp_path_factory: pytest.TempPathFactory, text: str, block: int, max_record: int
) -> None:
    """Characters that are no syntax are found again, in a row or in a failure."""
    path = tmp_path_factory.mktemp("rows") / "a.csv"
    found = rows(path, text, block=block, max_record=max_record, header=False)
    whole = "".join(record[3] if isinstance(record, tuple) else "".join(record) for record in found)
    if not any(isinstance(record, tuple) and "line is longer" in record[2] for record in found):
        assert [whole.count(each) for each in "abé\0"] == [text.count(each) for each in "abé\0"]


def test_p4_a_file_full_of_unclosed_quotes_takes_linear_time(path: Path) -> None:
    line = 'b",,"a\n'  # opens a quote wherever it stands

    def seconds(count: int) -> float:
        begun = time.process_time()
        found = rows(path, "a,b,c\n" + line * count, max_record=1 << 15)
        assert all(record[0] == "failed" for record in found)
        assert len(found) > count // 2
        return time.process_time() - begun

    seconds(1000)
    assert seconds(40_000) < 16 * max(seconds(10_000), 0.01)


def test_p4_records_of_many_blocks_are_not_parsed_again_and_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed_lines = 0
    reader = CsvParser._reader

    def counting(self: CsvParser, lines: Any) -> Any:
        def count() -> Any:
            nonlocal parsed_lines
            for line in lines:
                parsed_lines += 1
                yield line

        return reader(self, count())

    monkeypatch.setattr(CsvParser, "_reader", counting)
    cell = "line\n" * 10_000
    assert rows(path, f'a\n"{cell}"\n', block=100) == [{"a": cell}]
    assert parsed_lines < 4 * 10_000

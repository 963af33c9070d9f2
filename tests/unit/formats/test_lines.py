"""`read_lines`."""

from __future__ import annotations

from pathlib import Path

from tests.unit.formats.fakes import read


async def test_lines_without_and_with_their_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeff one \r\n\ntwo\rthree\u2028\nfour\r".encode())
    assert (await read("read_lines", path)).items == [" one ", "", "two\rthree\u2028", "four\r"]
    assert (await read("read_lines", path, keep_ends=True)).items == [" one \r\n", "\n", "two\rthree\u2028\n", "four\r"]


async def test_lines_that_cannot_be_read_cost_themselves(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"1\n\xff\r\n2\n" + b"x" * 20 + b"\n3\n")
    output = await read("read_lines", path, max_record=10)
    assert output.items == ["1", "2", "3"]
    assert [(text, error.line) for text, error in output.failed] == [("\\xff", 2), ("x" * 10, 4)]


async def test_read_lines_takes_its_arguments(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("é\nb\nc\n".encode("utf-16"))
    assert (await read("read_lines", path, encoding="utf-16", limit=2)).items == ["é", "b"]

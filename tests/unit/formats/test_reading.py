"""Lines out of files: blocks, bad lines, positions, and how a source delivers them."""

from __future__ import annotations

import asyncio
import codecs
import gzip
import io
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.formats import FormatError, RecordError, reading
from pipelines.formats.reading import BLANK, Block, Failure, LineFile, deliver
from tests.unit.formats.fakes import FakeOutput, blocks, breathe


def everything(path: Path, **options: Any) -> tuple[list[str], dict[int, tuple[str, str]]]:
    """All lines of a file, and the bad ones by line number; checks numbers and positions on the way."""
    lines: list[str] = []
    bad: dict[int, tuple[str, str]] = {}
    for block in blocks(LineFile(str(path), **options)):
        assert block.line == len(lines) + 1
        lines += block.lines
        bad.update((block.line + index, (each.reason, each.text)) for index, each in block.bad.items())
    return lines, bad


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


pieces = st.lists(
    st.sampled_from([b"a", b"bc", b"\n", b"\n", b"\r\n", b"\r", b"\xff", "é".encode(), "\u2028".encode(), b"\x00", b""])
)


@given(pieces=pieces, block=st.integers(1, 9), compressed=st.booleans(), max_record=st.integers(1, 12))
def test_p1_lines_are_the_same_wherever_blocks_end(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], block: int, compressed: bool, max_record: int
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    data = b"".join(pieces)
    path = write(folder / ("a.gz" if compressed else "a"), data)
    expected = io.BytesIO(data).readlines()
    lines, bad = everything(path, block=block, max_record=max_record)
    assert (lines, bad) == everything(path, max_record=max_record)
    assert len(lines) == len(expected)
    for number, (text, raw) in enumerate(zip(lines, expected, strict=True), 1):
        if len(raw) > max_record:
            assert (text, bad[number][0]) == ("\n", f"the line is longer than {max_record} bytes")
            assert bad[number][1] == raw[:max_record].decode("utf-8", "backslashreplace")
        elif b"\xff" in raw:
            assert bad[number][1] == text == raw.decode("utf-8", "backslashreplace")
            assert "not valid utf-8" in bad[number][0]
        else:
            assert text == raw.decode()
            assert number not in bad


@given(text=st.text(st.sampled_from("aé\n\r\u0a61\u0100\u6100\u2028😀")), block=st.integers(1, 9))
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32-le", "utf-8-sig", "cp500", "gb18030"])
def test_lines_of_any_encoding(tmp_path_factory: pytest.TempPathFactory, text: str, block: int, encoding: str) -> None:
    text = text if encoding != "cp500" else text.encode("ascii", "ignore").decode()
    path = write(tmp_path_factory.mktemp("lines") / "a", text.encode(encoding))
    lines, bad = everything(path, block=block, encoding=encoding)
    assert "".join(lines) == text
    assert [line.count("\n") for line in lines[:-1]] == [1] * (len(lines) - 1)
    assert bad == {}


@given(
    pieces=st.lists(st.sampled_from(["a\n", "bé\n", "\u0a61\u0100\n", "\ud800\n", "\n", "x" * 9 + "\n"])),
    block=st.integers(1, 9),
)
def test_bad_lines_of_wide_characters(tmp_path_factory: pytest.TempPathFactory, pieces: list[str], block: int) -> None:
    data = "".join(pieces).encode("utf-16-le", "surrogatepass")
    path = write(tmp_path_factory.mktemp("lines") / "a", data)
    lines, bad = everything(path, block=block, encoding="utf-16", max_record=13)
    wrong = [number for number, piece in enumerate(pieces, 1) if "\ud800" in piece or len(piece) > 6]
    assert list(bad) == wrong
    assert [line for line in lines if line in ("a\n", "bé\n")] == [line for line in pieces if line in ("a\n", "bé\n")]


def test_the_reason_says_which_byte(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"fine\nab\xffc\n")
    lines, bad = everything(path)
    assert lines == ["fine\n", "ab\\xffc\n"]
    assert bad == {2: ("not valid utf-8: byte 3 of the line (0xff): invalid start byte", "ab\\xffc\n")}


def test_positions_lead_back_to_the_lines(tmp_path: Path) -> None:
    data = codecs.BOM_UTF8 + b"one\ntwo\n" + b"x" * 50 + b"\nthree\nfour"
    path = write(tmp_path / "a", data)
    found = [block for block in blocks(LineFile(str(path), max_record=20, block=7)) if block.lines]
    begins = {block.line: data[block.start :].split(b"\n")[0] for block in found}
    assert begins == {1: b"one", 3: b"x" * 50, 4: b"three", 5: b"four"}
    assert [block.bad[0].text for block in found if block.bad] == ["x" * 20]


@pytest.mark.parametrize("data", [b"", codecs.BOM_UTF8])
def test_an_empty_file_has_one_empty_last_block(tmp_path: Path, data: bytes) -> None:
    [block] = blocks(LineFile(str(write(tmp_path / "a", data))))
    assert block == Block(1, len(data), [], {}, len(data), last=True)


def test_many_bad_lines(tmp_path: Path) -> None:
    lines, bad = everything(write(tmp_path / "a", b"\xe9\n" * 1000))
    assert len(lines) == len(bad) == 1000


@pytest.mark.parametrize("cut", [-1, -9, 5])
def test_a_broken_compressed_file_says_how_far_it_was_read(tmp_path: Path, cut: int) -> None:
    data = gzip.compress(b"".join(b"line %d\n" % number for number in range(5000)))
    path = tmp_path / "a.gz"
    path.write_bytes(data[:cut])
    with pytest.raises(RecordError, match="the compressed file is broken here") as caught:
        everything(path, block=1000)
    assert caught.value.path == str(path)
    assert caught.value.line >= (4000 if cut < 0 else 1)


def test_a_file_compressed_in_name_only(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(b"plain")
    with pytest.raises(RecordError, match=r"a\.gz, line 1: the compressed file is broken here: Not a gzipped file"):
        everything(path)


def test_a_failing_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LineFile(str(write(tmp_path / "a", b"a\nb\n")))
    file.open()

    class Broken:
        def read(self, size: int) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(file, "_stream", Broken())
    with pytest.raises(OSError, match=rf"Input/output error: '{tmp_path / 'a'}'"):
        file.read()
    file.close()


def test_the_longest_record_must_have_a_length() -> None:
    with pytest.raises(ValueError, match="max_record must be at least 1 byte, not 0"):
        LineFile("a", max_record=0)


def plain(block: Block) -> Iterator[object]:
    """Lines as items; ``?`` fails, empty lines are blank."""
    for index, line in enumerate(block.lines):
        if line == "?\n":
            yield Failure("?", RecordError("a", block.line + index, "a question"))
        else:
            yield BLANK if line == "\n" else line


async def test_deliver_puts_fails_and_tells_progress(tmp_path: Path) -> None:
    output = FakeOutput()
    path = write(tmp_path / "a", b"1\n?\n\n2\n")
    await deliver(output, LineFile(str(path), block=2), plain)
    assert output.items == ["1\n", "2\n"]
    assert [(text, error.line) for text, error in output.failed] == [("?", 2)]
    assert [done for done, _ in output.told] == sorted(done for done, _ in output.told)
    assert output.told[-1] == (7, 7)


async def test_progress_of_a_compressed_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    data = b"".join(b"%d\n" % (number * 7919 % 100_003) for number in range(250_000))  # several of zlib's buffers
    path = write(tmp_path / "a.gz", data)
    output = FakeOutput(keep=False)
    await deliver(output, LineFile(str(path), block=20_000), plain)
    size = path.stat().st_size
    assert {total for _, total in output.told} == {size}
    assert output.told[-1] == (size, size)
    assert len({done for done, _ in output.told}) > 3


@pytest.mark.parametrize("limit", [0, 1, 3, 4, None])
async def test_limit_counts_items(tmp_path: Path, limit: int | None) -> None:
    output = FakeOutput()
    await deliver(output, LineFile(str(write(tmp_path / "a", b"1\n2\n?\n3\n4\n?\n"))), plain, limit)
    assert output.items == ["1\n", "2\n", "3\n", "4\n"][:limit]
    assert output.lines == [line for line, after in ((3, 3), (6, 5)) if limit is None or limit >= after]


async def test_limit_must_not_be_negative(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="limit must not be negative, but is -1"):
        await deliver(FakeOutput(), LineFile(str(tmp_path / "a")), plain, -1)


async def test_p6_a_failure_that_the_policy_does_not_forgive_ends_the_source(tmp_path: Path) -> None:
    output = FakeOutput(on_fail="fail")
    with pytest.raises(RecordError, match="line 2"):
        await deliver(output, LineFile(str(write(tmp_path / "a", b"1\n?\n2\n"))), plain)
    assert output.items == ["1\n"]


async def test_missing_files_and_directories_keep_their_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        await deliver(FakeOutput(), LineFile(str(tmp_path / "nothing")), plain)
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        await deliver(FakeOutput(), LineFile(str(tmp_path)), plain)
    with pytest.raises(FormatError, match="/dev/zero is not a regular file"):
        await deliver(FakeOutput(), LineFile("/dev/zero"), plain)


def open_files() -> set[str]:
    return {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}


@pytest.mark.parametrize("steps", range(12))
async def test_p5_cancelled_at_any_moment_it_leaves_no_file_and_no_thread(tmp_path: Path, steps: int) -> None:
    path = write(tmp_path / "a", b"line\n" * 50)
    output = FakeOutput(after=breathe)
    task = asyncio.create_task(deliver(output, LineFile(str(path), block=20), plain))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert str(path) not in open_files()
    assert [each.name for each in threading.enumerate() if each.name.startswith("pipelines-file")] == []


async def test_p5_a_cancelled_source_waits_for_the_read_that_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a", b"line\n" * 50)
    reading_now, may_end = threading.Event(), threading.Event()
    read = LineFile.read

    def slow(self: LineFile) -> Block:
        reading_now.set()
        assert may_end.wait(10)
        return read(self)

    monkeypatch.setattr(LineFile, "read", slow)
    task = asyncio.create_task(deliver(FakeOutput(), LineFile(str(path)), plain))
    while not reading_now.is_set():
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    assert str(path) in open_files()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert str(path) not in open_files()


@pytest.mark.parametrize("line", [b"\n", b"?\n"])
async def test_p8_records_without_items_do_not_keep_the_loop_busy(tmp_path: Path, line: bytes) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    await deliver(FakeOutput(keep=False), LineFile(str(write(tmp_path / "a", line * 6400))), plain)
    counter.cancel()
    assert turns >= 6400 // 64
    await asyncio.wait([counter])


async def test_p4_memory_is_flat_for_files_much_longer_than_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BLOCK", 1 << 14)
    path = tmp_path / "a.gz"
    with gzip.open(path, "wb") as file:
        for _ in range(40):
            file.write(b"a line of some text\n" * 2500)  # 2 MB in all
    assert await peak(path) < 1 << 19


async def test_p4_memory_is_flat_for_a_line_without_end(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    with gzip.open(path, "wb") as file:
        for _ in range(60):
            file.write(b"x" * 1_000_000)
        file.write(b"\nlast\n")
    assert await peak(path, max_record=1 << 18) < 8 << 20


async def peak(path: Path, **options: Any) -> int:
    """Most bytes allocated at a time while a file is delivered."""
    tracemalloc.start()
    try:
        await deliver(FakeOutput(keep=False), LineFile(str(path), **options), plain)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

"""Encodings as one file uses them, and the thread of a file."""

from __future__ import annotations

import asyncio
import codecs
import threading
from pathlib import Path

import pytest

from pipelines.errors import PipelinesError
from pipelines.formats.base import Encoding, FileThread, FormatError, RecordError, check_regular, is_gzip


def test_record_error_says_where_and_why() -> None:
    error = RecordError("a.csv", 7, "3 cells")
    assert str(error) == "a.csv, line 7: 3 cells"
    assert (error.path, error.line, error.reason) == ("a.csv", 7, "3 cells")
    assert isinstance(error, FormatError)
    assert isinstance(error, PipelinesError)
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("name", "head", "codec", "mark"),
    [
        ("utf-8", b"a", "utf-8", b""),
        ("UTF8", codecs.BOM_UTF8, "utf-8", codecs.BOM_UTF8),
        ("utf-8-sig", b"", "utf-8", b""),
        ("utf-16", codecs.BOM_UTF16_BE, "utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-16", codecs.BOM_UTF16_LE + b"a\0", "utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-le", codecs.BOM_UTF16_LE, "utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-le", codecs.BOM_UTF16_BE, "utf-16-le", b""),
        ("utf-32", codecs.BOM_UTF32_LE, "utf-32-le", codecs.BOM_UTF32_LE),
        ("latin-1", codecs.BOM_UTF8, "iso8859-1", b""),
    ],
)
def test_encoding_of_a_file_is_told_by_its_beginning(name: str, head: bytes, codec: str, mark: bytes) -> None:
    encoding = Encoding.of(name, head)
    assert (encoding.codec, encoding.mark) == (codec, mark)
    assert encoding.newline == "\n".encode(codec)


@pytest.mark.parametrize("name", ["utf-16", "utf-32", "utf-8-sig"])
def test_encoding_of_a_new_file_marks_it_as_python_does(name: str) -> None:
    encoding = Encoding.of(name)
    assert encoding.mark + "né\n".encode(encoding.codec) == "né\n".encode(name)


@pytest.mark.parametrize("name", ["latin-17", "base64", "rot13", "", "punycode", "unicode_escape"])
def test_encoding_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match=f"encoding '{name}'"):
        Encoding.of(name)


def test_compressed_files_are_told_by_their_names() -> None:
    assert is_gzip("a.csv.gz")
    assert is_gzip(Path("A.CSV.GZ"))
    assert not is_gzip("a.gz.csv")


def test_only_regular_files_pass(tmp_path: Path) -> None:
    check_regular(Path(__file__))
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        check_regular(tmp_path)
    with pytest.raises(FormatError, match="/dev/null is not a regular file"):
        check_regular(Path("/dev/null"))
    with pytest.raises(FileNotFoundError, match="nothing"):
        check_regular(tmp_path / "nothing")


async def test_p5_file_thread_does_one_thing_after_the_other_and_ends() -> None:
    thread = FileThread()
    done: list[int] = []
    first = thread.start(done.append, 1)
    await thread.run(done.append, 2)
    await thread.end(first)
    assert await thread.run(threading.get_ident) != threading.get_ident()
    await thread.close(lambda: done.append(3))
    assert done == [1, 2, 3]


async def test_file_thread_gives_what_an_operation_raises() -> None:
    thread = FileThread()
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        await thread.close(lambda: 1 // 0)


async def test_p5_a_cancelled_task_waits_for_its_operation() -> None:
    thread, may_end, ended = FileThread(), threading.Event(), []

    def operation() -> None:
        assert may_end.wait(10)
        ended.append(True)
        raise OSError("never told: the cancellation is")

    task = asyncio.create_task(thread.run(operation))
    for _ in range(3):  # however often it is cancelled
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]
    await thread.close(lambda: None)

"""Files that appear only when they are complete."""

from __future__ import annotations

import asyncio
import errno
import gzip
import io
import logging
import os
import random
import stat
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import StateError
from pipelines.formats import FormatError, writing
from pipelines.formats.writing import TargetFile
from tests.unit.formats.fakes import FakeNode

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.jsonl"


def partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def node_for(path: Path, **args: Any) -> FakeNode:
    return FakeNode("write_jsonl", path=str(path), **args)


async def test_the_file_appears_at_the_end_and_whole(path: Path) -> None:
    path.write_text("before\n")
    node = node_for(path)
    await node.setup()
    await node.write(1)
    assert path.read_text() == "before\n"
    assert partial(path).exists()
    await node.cleanup()
    assert path.read_text() == "1\n"
    assert not partial(path).exists()


@pytest.mark.parametrize("outcome", ["failed", "stopped", "aborted"])
async def test_the_partial_file_stays_and_is_named_if_the_run_does_not_end_well(
    path: Path, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text("before\n")
    await node_for(path).write_all([1, 2], outcome)
    assert path.read_text() == "before\n"
    assert partial(path).read_text() == "1\n2\n"
    assert caplog.record_tuples == [
        (
            "pipelines.formats.writing",
            logging.WARNING,
            f"{path} is not complete, the run {outcome}; see {partial(path)}",
        )
    ]
    await node_for(path).write_all([3])  # what an earlier run has left is overwritten
    assert path.read_text() == "3\n"
    assert not partial(path).exists()


async def test_a_run_that_ends_well_says_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await node_for(path).write_all([1])
    await node_for(path, append=True).write_all([2], "failed")
    assert path.read_text() == "1\n2\n"
    assert caplog.records == []


async def test_a_run_without_items_writes_an_empty_file(path: Path) -> None:
    path.write_text("before\n")
    await node_for(path).write_all([])
    assert path.read_bytes() == b""


def test_p10_a_crash_leaves_the_target_alone(path: Path) -> None:
    path.write_text("before\n")
    code = (
        "import asyncio, os, sys\n"
        "from tests.unit.formats.fakes import FakeNode\n"
        "async def main():\n"
        "    node = FakeNode('write_jsonl', path=sys.argv[1])\n"
        "    await node.setup()\n"
        "    for number in range(60_000):\n"
        "        await node.write('x' * 20)\n"
        "    os._exit(9)\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code, str(path)], env=environment, cwd=ROOT, check=False)
    assert result.returncode == 9
    assert path.read_text() == "before\n"
    assert partial(path).stat().st_size > 0


async def test_everything_is_on_disk_before_the_file_gets_its_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    replace, fsync = Path.replace, os.fsync

    def noting_fsync(handle: int) -> None:
        fsync(handle)
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"{os.fstat(handle).st_size} bytes")

    def noting_replace(self: Path, target: Path) -> Path:
        done.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    await node_for(path).write_all(["abc"])
    assert done == ["6 bytes", "name", "folder"]


async def test_what_lies_behind_a_link_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far" / "real.jsonl", tmp_path / "link.jsonl"
    real.write_text("before\n")
    real.chmod(0o640)
    link.symlink_to(real)
    await node_for(link).write_all([1])
    assert link.is_symlink()
    assert real.read_text() == "1\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


@pytest.mark.parametrize("append", [False, True])
async def test_targets_that_cannot_be_written(tmp_path: Path, append: bool) -> None:
    with pytest.raises(FormatError, match="/dev/null is not a regular file"):
        await node_for(Path("/dev/null"), append=append).setup()
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        await node_for(tmp_path, append=append).setup()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        await node_for(tmp_path / "nowhere" / "a", append=append).setup()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("append", [False, True])
async def test_two_writers_of_one_target_are_refused(path: Path, append: bool) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    node = node_for(path)
    await node.setup()
    for other in (path, link, partial(path)):
        with pytest.raises(FormatError, match=f"{other} is being written already"):
            await node_for(other, append=append).setup()
    await node.write(1)
    await node.cleanup()
    assert path.read_text() == "1\n"
    await node_for(path).write_all([2])
    assert path.read_text() == "2\n"


def test_a_forgotten_writer_does_not_keep_its_target(path: Path) -> None:
    file = TargetFile(str(path))
    file.open()
    assert file._raw is not None
    file._raw.close()
    del file
    again = TargetFile(str(path))
    again.open()
    again.close()


async def test_a_node_without_setup_says_what_is_missing(path: Path) -> None:
    node = node_for(path)
    node.env_vars["_pipelines_writer"] = "no writer"
    with pytest.raises(StateError, match="node 'out' has no open file: a writer needs the setup and cleanup"):
        await node.write(1)
    await node.cleanup()
    assert not path.exists()


async def test_items_of_several_upstreams_are_refused(path: Path) -> None:
    node = node_for(path)
    await node.setup()
    with pytest.raises(TypeError, match="node 'out' writes one item at a time, and gets 2"):
        await node._call(node, (1, 2), **node.args)
    await node.cleanup()


async def test_p5_a_cancelled_setup_leaves_nothing_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opening, may_end = threading.Event(), threading.Event()
    open_file = TargetFile.open

    def slow(self: TargetFile) -> None:
        opening.set()
        assert may_end.wait(10)
        open_file(self)

    monkeypatch.setattr(TargetFile, "open", slow)
    node = node_for(path)
    task = asyncio.create_task(node.setup())
    while not opening.is_set():
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await node.cleanup("aborted")
    monkeypatch.undo()
    await node_for(path).write_all([1])


class Disk:
    """A disk with room for so many bytes; it takes a few at a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        disk = self

        class File(io.FileIO):
            def write(self, data: Any) -> int:
                if not disk.room:
                    raise OSError(errno.ENOSPC, "No space left on device")
                written = super().write(data[: min(disk.room, 7)])
                disk.room -= written
                return written

        monkeypatch.setattr(io, "FileIO", File)
        monkeypatch.setattr(writing, "BUFFER", 20)
        monkeypatch.setattr(writing, "PATIENCE", 1000)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
async def test_p1_a_full_disk_loses_nothing_if_there_is_room_again(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    disk = Disk(monkeypatch, 30)
    node = node_for(path)
    await node.setup()
    written: list[int] = []
    refused: list[str] = []
    numbers = random.Random(1)
    for _ in range(1000):
        number = numbers.randrange(10**60)  # nothing that could be compressed away
        try:
            await node.write(number)
            written.append(number)
        except OSError as error:
            refused.append(error.filename)
            disk.room += 500 if len(refused) % 3 == 0 else 0
    disk.room = 1 << 20
    await node.cleanup()
    assert len(refused) > 5
    assert set(refused) == {str(partial(path))}
    data = path.read_bytes()
    text = gzip.decompress(data) if name.endswith(".gz") else data
    assert text.decode() == "".join(f"{number}\n" for number in written)


async def test_p6_a_full_disk_at_the_end_is_no_success(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text("before\n")
    Disk(monkeypatch, 3)
    node = node_for(path)
    await node.setup()
    await node.write(12345)
    with pytest.raises(OSError, match="No space left on device"):
        await node.cleanup()
    assert path.read_text() == "before\n"
    assert partial(path).read_text() == "123"
    [message] = caplog.messages
    assert message.startswith(f"{path} could not be finished: [Errno 28] No space left on device")
    assert message.endswith(f"what was written is in {partial(path)}")
    monkeypatch.undo()
    await node_for(path).write_all([1])


async def test_a_full_disk_after_a_failure_is_told_but_not_raised(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Disk(monkeypatch, 3)
    await node_for(path).write_all([12345], "failed")
    assert [message.partition(":")[0] for message in caplog.messages] == [f"{path} could not be finished"]


async def test_p4_while_the_disk_is_full_nothing_more_is_gathered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Disk(monkeypatch, 0)
    node = node_for(path)
    await node.setup()
    results = [await asyncio.gather(node.write("x" * 10), return_exceptions=True) for _ in range(50)]
    refused = sum(isinstance(result, OSError) for [result] in results)
    assert refused >= 45
    await node.cleanup("failed")
    assert partial(path).read_bytes() == b""


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Semaphore]:
    """A disk that writes only when it is let."""
    monkeypatch.setattr(writing, "BUFFER", 10)
    monkeypatch.setattr(writing, "PATIENCE", 1000)
    permits = threading.Semaphore(0)
    write = TargetFile.write

    def slow(self: TargetFile, data: bytes) -> None:
        assert permits.acquire(timeout=10)
        write(self, data)

    monkeypatch.setattr(TargetFile, "write", slow)
    yield permits
    permits.release(1000)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_p1_a_cancelled_call_writes_nothing_and_loses_nothing_of_others(
    path: Path, slow_disk: threading.Semaphore
) -> None:
    node = node_for(path)
    await node.setup()
    tasks = [asyncio.create_task(node.write(f"item {number}")) for number in range(12)]
    await settle()
    waiting = [task for task in tasks if not task.done()]
    assert len(waiting) > 6
    cancelled = [waiting[0], waiting[2], waiting[3], waiting[-1]]
    for task in cancelled:
        task.cancel()
    await settle()
    slow_disk.release(1000)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await node.cleanup()
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [task in cancelled for task in tasks]
    written = [f'"{result}"\n' for result in results if isinstance(result, str)]
    assert path.read_text() == "".join(written)


async def test_p2_nobody_overtakes_calls_that_wait(path: Path, slow_disk: threading.Semaphore) -> None:
    node = node_for(path)
    await node.setup()
    tasks = []
    for number in range(60):
        tasks.append(asyncio.create_task(node.write(number)))
        if number % 3 == 0:
            slow_disk.release()
        await asyncio.sleep(0)
    slow_disk.release(1000)
    await asyncio.gather(*tasks)
    await node.cleanup()
    assert path.read_text() == "".join(f"{number}\n" for number in range(60))


async def test_p4_what_waits_to_be_written_is_bounded(path: Path, slow_disk: threading.Semaphore) -> None:
    node = node_for(path)
    await node.setup()
    tasks = [asyncio.create_task(node.write("x" * 8)) for _ in range(20)]
    await settle()
    # One item fills what is being written, one what comes next; the others wait.
    assert sum(task.done() for task in tasks) == 2
    slow_disk.release(1000)
    await asyncio.gather(*tasks)
    await node.cleanup()
    assert path.read_text() == '"xxxxxxxx"\n' * 20


async def test_a_call_that_is_cancelled_while_the_disk_fails_leaves_the_failure_to_the_next(
    path: Path, slow_disk: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = node_for(path)
    await node.setup()
    monkeypatch.setattr(TargetFile, "_write_out", failing_once(TargetFile._write_out))
    await node.write("12345678")
    tasks = [asyncio.create_task(node.write(letter * 8)) for letter in "ab"]
    await settle()
    assert [task.done() for task in tasks] == [True, False]
    tasks[1].cancel()
    slow_disk.release(1000)
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    await node.write("c")
    await node.cleanup()
    assert path.read_text() == '"12345678"\n"aaaaaaaa"\n"c"\n'


def failing_once(function: Any) -> Any:
    failures = iter([OSError(errno.EIO, "Input/output error")])

    def fail(self: TargetFile) -> None:
        for error in failures:
            raise error
        function(self)

    return fail


async def test_p4_memory_is_flat_however_much_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "BUFFER", 1 << 14)
    node = node_for(path)
    await node.setup()
    tracemalloc.start()
    try:
        for _ in range(6_000):
            await node.write("x" * 100)
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
    finally:
        tracemalloc.stop()
    await node.cleanup()
    assert path.stat().st_size == 6_000 * 103


@pytest.mark.parametrize("append", [False, True])
async def test_what_comes_slowly_is_written_all_the_same(
    path: Path, append: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(writing, "monotonic", lambda: now)
    node = node_for(path, append=append)
    await node.setup()
    file = path if append else partial(path)
    await node.write(1)
    now = 0.9
    await node.write(2)
    assert file.read_text() == ""
    now = 1.0
    await node.write(3)
    now = 2.0
    await node.write(4)  # waits for what the call before has begun
    assert file.read_text() in ("1\n2\n", "1\n2\n3\n")
    await node.cleanup()
    assert path.read_text() == "1\n2\n3\n4\n"


async def test_p5_no_thread_is_left(path: Path) -> None:
    await node_for(path).write_all(range(10))
    await node_for(path).write_all(range(10), "aborted")
    assert [each.name for each in threading.enumerate() if each.name.startswith("pipelines-file")] == []


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", b"1\n2", "its last line has no end"),
        ("a.jsonl.gz", gzip.compress(b"1\n2"), "its last line has no end"),
        ("a.jsonl.gz", gzip.compress(b"1\n2\n")[:-3], "its compressed data is broken"),
        ("a.jsonl.gz", b"1\n2\n", "its compressed data is broken"),
    ],
)
async def test_append_refuses_files_that_are_torn(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(FormatError, match=f"{path} cannot be appended to, {message}"):
        await node_for(path, append=True).setup()
    assert path.read_bytes() == data
    await node_for(path).write_all([])


@pytest.mark.parametrize("data", [b"", gzip.compress(b"")])
async def test_append_to_an_empty_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(data)
    await node_for(path, append=True).write_all([1])
    assert gzip.decompress(path.read_bytes()) == b"1\n"


def test_a_compressed_file_depends_on_nothing_but_its_text(tmp_path: Path) -> None:
    files = [TargetFile(str(tmp_path / name)) for name in ("a.gz", "b.gz")]
    for file in files:
        file.open()
        file.finish(b"text", complete=True)
    first, second = (tmp_path / name for name in ("a.gz", "b.gz"))
    assert first.read_bytes() == second.read_bytes()
    assert gzip.decompress(first.read_bytes()) == b"text"

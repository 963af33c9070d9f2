"""The command line as its user meets it: processes, pipes, terminals and signals."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 30

COROS = '''
import asyncio
from pathlib import Path

from pipelines.registry import coro


@coro("t.count")
async def count(self, output_q, n: int = 3):
    for number in range(n):
        output_q.progress(number, n)
        await output_q.put(number)


@coro("t.forever")
async def forever(self, output_q, pause: float = 0.002):
    number = 0
    while True:
        await output_q.put(number)
        await asyncio.sleep(pause)
        number += 1


@coro("t.double")
async def double(self, q_elt, fail_at: int = -1):
    if q_elt[0] == fail_at:
        raise ValueError("odd \\x1b[2J")
    return 2 * q_elt[0]


@coro("t.gate")
async def gate(self, q_elt, path: str = "open"):
    """Hold items back until a file is there."""
    while not Path(path).exists():
        await asyncio.sleep(0.005)
    return q_elt[0]


@coro("t.hang")
def hang(self, q_elt):
    Path("hanging").touch()
    while True:
        pass
'''

GRAPH = """
coros: [t_coros]
nodes:
  inp: {coro: t.count, args: {n: 3}}
  dbl: {coro: t.double}
  out: {coro: t.gate, args: {path: .}}
graph:
  inp: [dbl]
  dbl: [out]
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with a graph file in it, and the module of its coros."""
    (tmp_path / "t_coros.py").write_text(COROS)
    (tmp_path / "graph.yaml").write_text(GRAPH)
    (tmp_path / "forever.yaml").write_text(GRAPH.replace("t.count, args: {n: 3}", "t.forever"))
    (tmp_path / "hang.yaml").write_text(GRAPH.replace("t.gate, args: {path: .}", "t.hang"))
    return tmp_path


def environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
    }
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PYTHONUNBUFFERED": "1"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pipelines", *arguments]


def call(here: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=here,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        **options,
    )


# Exit statuses


def test_a_run_that_ends_well(here: Path) -> None:
    result = call(here, "run", "graph.yaml", "--collect", "out")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-3:] == ["0", "2", "4"]
    assert re.match(r"graph.yaml: completed after \d+\.\d s, 3 items in", result.stdout)


def test_a_graph_on_standard_input_and_a_report_in_json(here: Path) -> None:
    result = call(here, "run", "-", "--json", "--collect", "out", input=GRAPH)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["outputs"] == {"out": [0, 2, 4]}


def test_a_run_that_fails(here: Path) -> None:
    result = call(here, "run", "graph.yaml", "--set", "dbl.args.fail_at=1")
    assert result.returncode == 1
    assert result.stderr.splitlines()[0] == "error: node 'dbl' failed on item 1: ValueError: odd \\x1b[2J"
    assert "Traceback" not in result.stderr
    traced = call(here, "run", "graph.yaml", "--set", "dbl.args.fail_at=1", "--traceback")
    assert 'raise ValueError("odd \\x1b[2J")' in traced.stderr
    assert "\x1b" not in traced.stderr


def test_a_graph_that_is_wrong(here: Path) -> None:
    (here / "graph.yaml").write_text(GRAPH.replace("[dbl]", "[dlb]").replace("t.gate", "t.gaze"))
    for name in ("run", "check"):
        result = call(here, name, "graph.yaml")
        assert (result.returncode, result.stdout) == (2, "")
        codes = [line.split(":")[0].strip() for line in result.stderr.splitlines()[1:]]
        assert {"unknown_node", "unknown_coro"} <= set(codes)


def test_usage_that_is_wrong(here: Path) -> None:
    assert call(here, "run").returncode == 2


def test_a_reader_that_leaves_is_no_traceback(here: Path) -> None:
    (here / "graph.yaml").write_text(GRAPH.replace("n: 3", "n: 100000"))
    with subprocess.Popen(
        command("run", "graph.yaml", "--quiet", "--collect", "out"),
        cwd=here,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "0\n"
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
        assert process.wait(SECONDS) == 1


def test_help_loads_neither_yaml_nor_the_tables(here: Path) -> None:
    code = (
        "import sys; from pipelines.cli import main; status = main(['--help'])\n"
        "sys.exit(' '.join({'yaml', 'rich.table', 'rich.live'} & set(sys.modules)) or status)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "Commands:" in result.stdout


# Signals


@pytest.fixture
def started(here: Path) -> Iterator[Any]:
    """Starts ``pipelines`` with pipes; what still runs at the end is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command(*arguments),
            cwd=here,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def line_with(process: subprocess.Popen[str], words: str) -> str:
    """The next line of standard error that holds ``words``."""
    assert process.stderr is not None
    deadline = time.monotonic() + SECONDS
    for line in process.stderr:
        if words in line:
            return line
        assert time.monotonic() < deadline, line
    raise AssertionError(f"the process ended before it said {words!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_p1_the_first_signal_drains(here: Path, started: Any, number: signal.Signals) -> None:
    process = started("run", "forever.yaml", "--interval", "0.05", "--collect", "out", "--set", "out.args.path=open")
    line_with(process, "in flight 6")
    process.send_signal(number)
    assert line_with(process, "stop") == "stopping: what is inside goes on to the end; Ctrl-C again aborts\n"
    line_with(process, "draining")
    (here / "open").touch()
    out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    summary, *rows = out.splitlines()
    put = int(re.search(r"([\d,]+) items in", summary)[1].replace(",", ""))  # type: ignore[index]
    assert summary.startswith("forever.yaml: stopped after")
    assert [int(each) for each in rows[-put:]] == [2 * number for number in range(put)]


def test_the_second_signal_aborts(started: Any) -> None:
    process = started("run", "forever.yaml", "--interval", "0.05", "--set", "out.args.path=never")
    line_with(process, "in flight 6")
    process.send_signal(signal.SIGINT)
    line_with(process, "stopping")
    process.send_signal(signal.SIGINT)
    assert line_with(process, "abort") == "aborting; Ctrl-C again kills\n"
    out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert out.startswith("forever.yaml: aborted after")


def test_the_third_signal_kills_even_what_blocks_the_loop(here: Path, started: Any) -> None:
    process = started("run", "hang.yaml")
    wait_until((here / "hanging").exists)
    # Signals that come close together count as one, so they are sent until the process has gone.
    wait_until(lambda: process.poll() is not None or process.send_signal(signal.SIGINT))
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out, err.splitlines()[-1]) == (130, "", "killed")


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Progress


def test_without_a_terminal_there_is_a_line_now_and_then(here: Path, started: Any) -> None:
    process = started("run", "forever.yaml", "--interval", "0.05")
    lines = [line_with(process, "running") for _ in range(3)]
    process.send_signal(signal.SIGINT)
    out, rest = process.communicate(timeout=SECONDS)
    shape = r"\d+\.\d s  running  in \d+ \(\S+/s\)  out \d+ \(\S+/s\)  in flight \d+  skipped 0  failed 0.*\n"
    assert all(re.fullmatch(shape, line) for line in lines)
    elapsed = [float(line.split()[0]) for line in lines]
    assert elapsed == sorted(elapsed)
    assert "\x1b" not in out + rest


class Terminal:
    """A pseudo-terminal and a process on it."""

    def __init__(self, here: Path, *arguments: str, rows: int = 30, columns: int = 110) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            command(*arguments),
            cwd=here,
            env=environment(),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.raw = ""

    def read(self, words: str) -> None:
        """Read on until ``words`` have been shown after what was read before."""
        begin, deadline = len(self.text), time.monotonic() + SECONDS
        while words not in self.text[begin:]:
            assert self._more(deadline), f"{words!r} was never shown:\n{self.text}"

    def end(self) -> int:
        """Read to the end; the exit status."""
        deadline = time.monotonic() + SECONDS
        while self._more(deadline):
            pass
        return self.process.wait(SECONDS)

    def _more(self, deadline: float) -> bool:
        assert time.monotonic() < deadline, self.text
        if not select.select([self.master], [], [], 1)[0]:
            return True
        try:
            data = os.read(self.master, 1 << 16)
        except OSError:  # how the end of a terminal's other side shows on Linux
            return False
        self.raw += data.decode()
        return bool(data)

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.raw).replace("\r", "")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal(here: Path) -> Iterator[Any]:
    """Starts ``pipelines`` on a terminal of its own."""
    terminals: list[Terminal] = []

    def start(*arguments: str, **size: int) -> Terminal:
        terminals.append(Terminal(here, *arguments, **size))
        return terminals[-1]

    yield start
    for each in terminals:
        each.close()


def test_a_terminal_shows_a_live_table(here: Path, terminal: Any) -> None:
    shown = terminal(
        "run",
        "graph.yaml",
        "--set=inp.args.n=100",
        "--set=out.args.path=open",
        "--set=out.properties.queue_size=8",
        "--set=out.properties.concurrency=4",
    )
    shown.read("8/8 ██████ !!")
    shown.read("about")
    row = next(line for line in reversed(shown.text.splitlines()) if line.startswith("out "))
    assert row.split() == ["out", "busy", "4", row.split()[3], "4", "8/8", "██████", "!!", "0", "0"]
    assert re.search(r"\ninp .*busy|\ninp .*blocked", shown.text)
    assert re.search(r"\ninp ━+.* +\d+% about", shown.text)
    (here / "open").touch()
    assert shown.end() == 0
    assert re.search(r"\n?graph.yaml: completed after [\d.]+ s, 100 items in", shown.text)
    assert shown.raw.count("\x1b[?25l") == shown.raw.count("\x1b[?25h") == 1


def test_ctrl_c_on_a_terminal_drains_and_says_so(here: Path, terminal: Any) -> None:
    shown = terminal("run", "forever.yaml", "--set", "out.args.path=open")
    shown.read("in flight")
    os.killpg(shown.process.pid, signal.SIGINT)
    shown.read("stopping: what is inside goes on to the end")
    (here / "open").touch()
    assert shown.end() == 130
    assert "forever.yaml: stopped after" in shown.text


def test_p11_hostile_names_do_not_steer_the_terminal(here: Path, terminal: Any) -> None:
    name = "[red]x\x1b]0;title\x07\x9b2J\u202e"
    graph = {
        "coros": ["t_coros"],
        "nodes": {name: {"coro": "t.forever"}, "out": {"coro": "t.double"}},
        "graph": {name: ["out"]},
    }
    (here / "hostile.json").write_text(json.dumps(graph))
    shown = terminal("run", "hostile.json")
    shown.read("[red]x\\x1b]0;title\\x07\\x9b2J\\u202e")
    os.killpg(shown.process.pid, signal.SIGINT)
    assert shown.end() == 130
    for bad in ("\x1b]", "\x07", "\x9b", "\u202e"):
        assert bad not in shown.raw

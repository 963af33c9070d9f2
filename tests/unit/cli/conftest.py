"""A directory with a module of coros and a graph file in it, and the command line called inside this process."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.registry import default_registry

COROS = '''
import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

from pipelines import SKIP
from pipelines.registry import coro


@coro("t.numbers")
async def numbers(self: Any, output_q: Any, n: int = 3) -> None:
    """Count from 0."""
    for number in range(n):
        output_q.progress(number, n)
        await output_q.put(number)


@coro("t.forever")
async def forever(self: Any, output_q: Any) -> None:
    number = 0
    while True:
        await output_q.put(number)
        await asyncio.sleep(0)
        number += 1


@coro("t.double")
async def double(self: Any, q_elt: Any, fail_at: int = -1, skip_at: int = -1) -> Any:
    """Twice the number."""
    if q_elt[0] == fail_at:
        raise ValueError(f"no {fail_at}")
    return SKIP if q_elt[0] == skip_at else 2 * q_elt[0]


@coro("t.echo")
def echo(self: Any, q_elt: Any, text: str = "got") -> Any:
    print(text, q_elt[0])
    return q_elt[0]


@coro("t.interrupt")
async def interrupt(self: Any, q_elt: Any, times: int = 1, name: str = "SIGINT") -> Any:
    """Send this process signals at the third item."""
    if q_elt[0] == 2:
        for _ in range(times):
            os.kill(os.getpid(), getattr(signal, name))
        if times > 1:
            await asyncio.Event().wait()
    return q_elt[0]


@coro("t.quit")
def quit_(self: Any, q_elt: Any) -> Any:
    raise SystemExit(0)


def plain(self: Any, q_elt: Any, suffix: str = "") -> str:
    return f"{q_elt[0]}{suffix}"
'''

GRAPH: dict[str, Any] = {
    "coros": ["t_coros"],
    "nodes": {
        "inp": {"coro": "t.numbers", "args": {"n": 3}},
        "dbl": {"coro": "t.double"},
        "out": {"coro": "t_coros:plain"},
    },
    "graph": {"inp": ["dbl"], "dbl": ["out"]},
}


class Result:
    """What a command printed, and its exit status."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err

    def __repr__(self) -> str:
        return f"status {self.status}\n--- out\n{self.out}\n--- err\n{self.err}"


Command = Callable[..., Result]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory: ``t_coros.py`` and ``graph.json``; what is imported there is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(default_registry, "_entries", dict(default_registry._entries))
    (tmp_path / "t_coros.py").write_text(COROS)
    (tmp_path / "graph.json").write_text(json.dumps(GRAPH))
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    assert sys.path == path
    for name in set(sys.modules) - modules:
        if name.startswith("t_"):
            del sys.modules[name]


@contextlib.contextmanager
def without_pytest_logging() -> Iterator[None]:
    """The command line shows what is logged unless the program has configured logging, as pytest has."""
    root = logging.getLogger()
    handlers = root.handlers
    root.handlers = [each for each in handlers if not type(each).__module__.startswith("_pytest.")]
    try:
        yield
    finally:
        root.handlers = handlers


@pytest.fixture
def command(here: Path) -> Command:
    """Calls ``pipelines`` with some arguments, inside this process."""

    def call(*arguments: str, stdin: str | bytes | None = None) -> Result:
        with without_pytest_logging():
            result = CliRunner().invoke(app, list(arguments), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def graph(here: Path) -> Callable[..., str]:
    """Writes a graph file, `GRAPH` with other keys, and gives its name."""

    def write(**keys: Any) -> str:
        (here / "other.json").write_text(json.dumps({**GRAPH, **keys}))
        return "other.json"

    return write

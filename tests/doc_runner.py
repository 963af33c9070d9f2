"""Runs the code in a Markdown file: ``python -m tests.doc_runner README.md``.

Everything runs in one process, in file order, in one namespace and in an empty directory of its own:

============================  =====================================================================
``python``                    executed; with a top-level ``await`` or ``async with`` inside the
                              file's one event loop
``python no-run``             only compiled; an HTML comment before it, ``<!-- no-run: why -->``, says why
``text output``               what the ``python`` block before it printed
``console run``               each ``$ command`` is run by a shell and must print what follows it
``console run exit=2``        the same for commands that end with that status
``yaml``, ``json``            a graph (it has ``nodes``) is read by `Graph.parse`
``... file=NAME``             written to that file, for the blocks and commands after it
============================  =====================================================================

In expected output ``...`` stands for any text, and blanks at line ends do not count. Blocks in any
other language, and console blocks without ``run``, are left alone.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import contextlib
import gc
import inspect
import io
import os
import re
import shlex
import stat
import subprocess
import sys
import tempfile
import textwrap
import traceback
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COMMAND_SECONDS = 60

OPENING = re.compile(r"^(?: |[-*+] |\d+[.)] )*(?P<fence>`{3,}|~{3,}|:{3,})\s*(?P<info>.*?)\s*$")
REASON = re.compile(r"<!--\s*no-run:\s*\S.*?-->\s*$", re.DOTALL)
TAGS = {"no-run", "output", "run"}
DIRECTIVES_OF_CODE = ("{code-block}", "{code}", "{sourcecode}", "{code-cell}")


class DocumentError(Exception):
    """Something in a document is wrong; the message begins with ``file:line``."""


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, tags and options, its text, and where its first line of text stands."""

    path: Path
    line: int
    language: str
    tags: frozenset[str]
    options: dict[str, str]
    text: str
    reason: bool

    def error(self, why: str) -> DocumentError:
        """The error that names this block."""
        return DocumentError(f"{self.path}:{self.line}: {why}")

    @property
    def runs(self) -> bool:
        """Whether there is anything to do for this block."""
        if self.language == "console":
            return "run" in self.tags
        return self.language in ("python", "yaml", "json") or "file" in self.options or "output" in self.tags


def blocks_of(path: Path) -> list[Block]:
    """Every block of the file, also those inside admonitions and other directives."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(_blocks(path, lines, 0))


def _blocks(path: Path, lines: list[str], offset: int) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        opening = OPENING.match(lines[number])
        number += 1
        if opening is None:
            continue
        begin, before = number, lines[: number - 1]
        closing = re.compile(rf"^ *{re.escape(opening['fence'])}{re.escape(opening['fence'][0])}*\s*$")
        while number < len(lines) and not closing.match(lines[number]):
            number += 1
        if number == len(lines):
            raise DocumentError(f"{path}:{offset + begin}: this fence is never closed")
        inner = lines[begin:number]
        number += 1
        if opening["info"].startswith(DIRECTIVES_OF_CODE):
            raise DocumentError(f"{path}:{offset + begin}: write ```python, not a directive, so that the code is run")
        if opening["info"].startswith("{") or opening["fence"].startswith(":"):
            yield from _blocks(path, inner, offset + begin)
        else:
            yield _block(path, offset + begin + 1, opening["info"], inner, before)


def _block(path: Path, line: int, info: str, inner: list[str], before: list[str]) -> Block:
    language, *words = info.split() or [""]
    options = dict(word.split("=", 1) for word in words if "=" in word)
    tags = frozenset(word for word in words if "=" not in word)
    reason = REASON.search("\n".join(before[-5:]).rstrip()) is not None
    block = Block(path, line, language, tags, options, textwrap.dedent("\n".join(inner)) + "\n", reason)
    if tags - TAGS or options.keys() - {"file", "exit"}:
        raise block.error(f"unknown words after the language: {' '.join(words)}")
    if "no-run" in tags and not reason:
        raise block.error("a no-run block needs a comment right before it: <!-- no-run: why -->")
    return block


class Document:
    """The state that the blocks of one file share.

    Args:
        folder: The directory in which everything runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._printed: str | None = None
        self._told: list[str] = []
        self._main = types.ModuleType("__main__")
        self._main.__dict__["__file__"] = None

    def run(self, blocks: list[Block]) -> None:
        """Run the blocks one after the other.

        Raises:
            DocumentError: At the first block that fails; and at the end when tasks are left alive.
        """
        sys.modules["__main__"] = self._main
        sys.unraisablehook = lambda told: self._told.append(f"{told.exc_value!r} in {told.object!r}")
        with asyncio.Runner() as runner:
            runner.get_loop().set_exception_handler(lambda _, told: self._told.append(str(told)))
            for block in blocks:
                self._run(block, runner)
                self._check_told(block)
            left = asyncio.all_tasks(runner.get_loop())
            if left:
                raise blocks[-1].error(f"tasks are left alive at the end: {left}")
        self._check_told(blocks[-1])

    def _check_told(self, block: Block) -> None:
        gc.collect()
        if self._told:
            raise block.error("\n".join(["something went wrong behind the code:", *self._told]))

    def _run(self, block: Block, runner: asyncio.Runner) -> None:
        if name := block.options.get("file"):
            self._write(block, name)
        if "no-run" in block.tags:
            if block.language == "python":
                _compiled(block)
        elif "output" in block.tags:
            self._compare_printed(block)
        elif block.language == "python" and not name:
            self._printed = self._execute(block, runner)
        elif block.language in ("yaml", "json"):
            _parse_graph(block)
        elif block.language == "console" and "run" in block.tags:
            for command, expected in _commands(block):
                self._command(block, command, expected)

    def _write(self, block: Block, name: str) -> None:
        target = (self._folder / name).resolve()
        if self._folder.resolve() not in target.parents:
            raise block.error(f"file={name} leads out of the document's own directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text, encoding="utf-8")
        if block.language == "python":
            _compiled(block)

    def _execute(self, block: Block, runner: asyncio.Runner) -> str:
        code = _compiled(block)
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                result = eval(code, self._main.__dict__)
                if code.co_flags & inspect.CO_COROUTINE:
                    runner.run(result)
        except BaseException as error:
            raise block.error(f"{_place(block, error)}{''.join(traceback.format_exception(error))}") from error
        return printed.getvalue()

    def _compare_printed(self, block: Block) -> None:
        if self._printed is None:
            raise block.error("there is no python block before this output")
        if not matches(block.text, self._printed):
            raise block.error(f"the output differs; printed was:\n{self._printed}")

    def _command(self, block: Block, command: str, expected: str) -> None:
        process = subprocess.run(
            command,
            shell=True,
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        status = int(block.options.get("exit", "0"))
        if process.returncode != status:
            raise block.error(f"$ {command}\nended with {process.returncode}, not {status}:\n{process.stdout}")
        if expected.strip() and not matches(expected, process.stdout):
            raise block.error(f"$ {command}\nthe output differs; printed was:\n{process.stdout}")

    def _environment(self) -> dict[str, str]:
        """An environment in which `python` and `pipelines` are this interpreter and this checkout."""
        programs = self._folder / ".bin"
        if not programs.exists():
            programs.mkdir()
            # Like an installed script, this one does not put the working directory on sys.path.
            _program(programs / "pipelines", "import sys\nfrom pipelines.cli import main\nsys.exit(main())\n")
            # No symbolic link, by which some interpreters do not find their environment.
            _program(programs / "python", f'exec {shlex.quote(sys.executable)} "$@"\n', "/bin/sh")
        return {
            **os.environ,
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "1",
            "TERM": "dumb",
        }


def _program(path: Path, text: str, interpreter: str = sys.executable) -> None:
    path.write_text(f"#!{interpreter}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _compiled(block: Block) -> types.CodeType:
    try:
        tree = ast.parse(block.text, str(block.path))
        ast.increment_lineno(tree, block.line - 1)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code: types.CodeType = compile(tree, str(block.path), "exec", flags=flags, dont_inherit=True)
    except SyntaxError as error:
        raise block.error(f"no valid Python: {error.msg} (line {error.lineno} of the block)") from error
    return code


def _place(block: Block, error: BaseException) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(block.path)]
    return f"line {lines[-1]} failed:\n" if lines else "failed:\n"


def _parse_graph(block: Block) -> None:
    import yaml

    data: Any = yaml.safe_load(block.text)
    if not isinstance(data, dict) or "nodes" not in data:
        return
    data.pop("coros", None)  # for the command line: the modules that hold the coros
    try:
        from pipelines import Graph

        Graph.parse(data)
    except Exception as error:
        raise block.error(f"no valid graph: {error}") from error


def _commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block with the output shown below it."""
    text = block.text.replace("\\\n", "")
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    if parts[0].strip() or len(parts) == 1:
        raise block.error("a console block begins with a line that begins with `$ `")
    for part in parts[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def matches(expected: str, printed: str) -> bool:
    """Whether ``printed`` is ``expected``, where ``...`` stands for any text."""
    pieces = [re.escape(piece) for piece in _trimmed(expected).split("...")]
    return re.fullmatch(".*?".join(pieces), _trimmed(printed), re.DOTALL) is not None


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def run_file(path: Path) -> None:
    """Run every block of one file in a directory of its own.

    Raises:
        DocumentError: Something is wrong; the message begins with ``file:line``.
    """
    blocks = blocks_of(path.resolve())
    if not blocks:
        return
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        sys.path.insert(0, folder)
        Document(Path(folder)).run(blocks)


def run_in_new_process(path: Path) -> subprocess.CompletedProcess[str]:
    """Run one file as the command line does, with warnings as errors."""
    command = [sys.executable, "-W", "error", "-m", "tests.doc_runner", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


def main() -> int:
    """Run the files named on the command line; 1 when one of them fails."""
    parser = argparse.ArgumentParser(description="Run the code in Markdown files.")
    parser.add_argument("file", type=Path)
    try:
        run_file(parser.parse_args().file)
    except DocumentError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

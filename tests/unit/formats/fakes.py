"""What a graph is for a format: something to put items into, and a node with arguments and an outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipelines.formats import RecordError
from pipelines.formats.reading import BLANK, Block, Failure, LineFile, Parse
from pipelines.graph import Properties
from pipelines.registry import default_registry


class FakeOutput:
    """Keeps what a source delivers; ``after`` is awaited after every item."""

    def __init__(self, *, keep: bool = True, on_fail: str = "skip", after: Callable[[], Any] | None = None) -> None:
        self.items: list[Any] = []
        self.failed: list[tuple[Any, RecordError]] = []
        self.told: list[tuple[float, float | None]] = []
        self.count = 0
        self._keep = keep
        self._on_fail = on_fail
        self._after = after

    async def put(self, item: Any) -> None:
        self.count += 1
        if self._keep:
            self.items.append(item)
        if self._after is not None:
            await self._after()

    async def fail(self, item: Any, error: BaseException) -> None:
        assert isinstance(error, RecordError)
        if self._on_fail == "fail":
            raise error
        self.failed.append((item, error))

    def progress(self, done: float, total: float | None) -> None:
        self.told.append((done, total))

    @property
    def lines(self) -> list[int]:
        """The line numbers of what failed."""
        return [error.line for _, error in self.failed]


class FakeNode:
    """A node with one of the registered writers."""

    def __init__(self, coro: str, **args: Any) -> None:
        self.name = "out"
        self.args = MappingProxyType(args)
        self.env_vars: dict[str, Any] = {}
        self.outcome: str | None = None
        self.properties = Properties()
        self._call = default_registry.resolve(coro)
        self._setup, self._cleanup = default_registry.lifecycle(coro)

    async def setup(self) -> None:
        assert self._setup is not None
        await self._setup(self)

    async def write(self, item: Any) -> Any:
        return await self._call(self, (item,), **self.args)

    async def cleanup(self, outcome: str = "completed") -> None:
        assert self._cleanup is not None
        self.outcome = outcome
        await self._cleanup(self)

    async def write_all(self, items: Any, outcome: str = "completed") -> None:
        """A whole run."""
        await self.setup()
        try:
            for item in items:
                assert await self.write(item) is item
        except BaseException:
            outcome = "failed"
            raise
        finally:
            await self.cleanup(outcome)


async def read(coro: str, path: Path | str, **args: Any) -> FakeOutput:
    """What a registered reader delivers, and what it reports as failed."""
    output = FakeOutput()
    await default_registry.resolve(coro)(None, output, str(path), **args)
    return output


def parsed(file: LineFile, parse: Parse) -> list[Any]:
    """What a format makes of a file, failures as line numbers and texts."""
    found: list[Any] = []
    file.open()
    try:
        while True:
            block = file.read()
            for record in parse(block):
                if isinstance(record, Failure):
                    found.append(("failed", record.error.line, record.error.reason, record.text))
                elif record is not BLANK:
                    found.append(record)
            if block.last:
                return found
    finally:
        file.close()


def blocks(file: LineFile) -> list[Block]:
    """All blocks of a file."""
    found: list[Block] = []
    file.open()
    try:
        while not found or not found[-1].last:
            found.append(file.read())
        return found
    finally:
        file.close()


async def breathe() -> None:
    await asyncio.sleep(0)

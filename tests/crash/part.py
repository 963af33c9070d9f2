"""One host's process of a split graph, which tests kill.

``python -m tests.crash.part HOST URL RUN_ID FOLDER COUNT``
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from pathlib import Path
from typing import Any

from pipelines import SKIP, Plumber
from pipelines.engine import part as engine_part


def numbers(self: Any, count: int) -> Any:
    yield from range(count)


async def work(self: Any, q_elt: tuple[int]) -> int:
    if not q_elt[0] % 50:
        await asyncio.sleep(random.random() / 100)
    return q_elt[0]


async def halve(self: Any, q_elt: tuple[int]) -> Any:
    """Several items, or none, out of one."""
    for _ in range(q_elt[0] % 3):
        yield q_elt[0]


async def drop_some(self: Any, q_elt: tuple[int]) -> Any:
    if not q_elt[0] % 70:
        await asyncio.sleep(random.random() / 100)
    return SKIP if q_elt[0] % 5 == 0 else q_elt[0]


async def keep(self: Any, q_elt: tuple[int, ...]) -> None:
    self.file.write(" ".join(map(str, q_elt)) + "\n")


def open_file(self: Any) -> None:
    self.file = Path(self.folder, self.name).open("a", buffering=1)  # noqa: SIM115 - closed by `close_file`


def close_file(self: Any) -> None:
    self.file.close()


def graph(count: int) -> dict[str, Any]:
    """From a to b to c, by several ways, two of which meet again."""
    lifecycle = {"setup": open_file, "cleanup": close_file}
    nodes = {
        "inp": {"coro": numbers, "args": {"count": count}, "properties": {"host": "a"}},
        "one": {"coro": work, "properties": {"host": "b", "queue_size": 100}},
        "two": {"coro": halve, "properties": {"host": "b"}},
        "three": {"coro": drop_some, "properties": {"host": "a"}},
        "pairs": {"coro": keep, "properties": {"host": "c", **lifecycle}},
        "all": {"coro": keep, "properties": {"host": "c", **lifecycle}},
        "some": {"coro": keep, "properties": {"host": "c", **lifecycle}},
    }
    return {
        "nodes": nodes,
        "graph": {"inp": ["one", "two", "three"], "one": ["all", "pairs"], "two": ["some"], "three": ["pairs"]},
    }


async def main(host: str, url: str, run_id: str, folder: str, count: str) -> None:
    engine_part.LEASE_SECONDS = 0.6
    await Plumber(graph(int(count)), None, {"folder": folder}, host=host, redis=url, run_id=run_id).run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main(*sys.argv[1:]))

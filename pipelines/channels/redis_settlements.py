"""What a part is done with, told to Redis in batches: acknowledged entries, handled items of sources, forgotten ids."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .redis_edges import Outlet
    from .redis_session import Session

__all__ = ["Forgotten", "Settlements"]

MOST_SETTLED = 2_000

Forgotten = Mapping["Outlet", Sequence[str]]
"""Ids that were sent, for each outlet."""

Settlement = tuple[str, str, str, Forgotten | None]


class Settlements:
    """What is done and not yet told to Redis; told in batches, in order, while earlier ones are on their way."""

    def __init__(self, link: Session) -> None:
        self._link = link
        self._waiting: list[Settlement] = []
        self._progress: dict[str, int] = {}
        self._forgotten: dict[str, list[str]] = {}
        self._soon: asyncio.Handle | None = None
        self._telling: asyncio.Task[None] | None = None
        self._told: list[Settlement] = []

    def add(self, edge: str, token: str, entry_id: str, forget: Forgotten | None) -> None:
        """An entry is done."""
        self._waiting.append((edge, token, entry_id, forget))
        self._schedule()

    def advance(self, source: str, count: int, forget: Forgotten | None) -> None:
        """The first ``count`` items of a source are done."""
        self._progress[source] = count
        self._forget(forget)
        self._schedule()

    async def settled(self) -> None:
        """Wait until Redis knows of everything that is done so far."""
        while self._waiting or self._progress or self._telling is not None:
            self._begin()
            if self._telling is not None:
                await asyncio.shield(self._telling)

    def recent(self, edge: str) -> Iterable[str]:
        """Ids of the entries of that edge that were done in the last moments."""
        for name, _, entry_id, _ in (*self._told, *self._waiting):
            if name == edge:
                yield entry_id
        for words in self._link.log.recent():
            if words[0] == "settle":
                for name, _, *ids in words[1]:
                    if name == edge and ids:
                        yield from ids[0]

    def _schedule(self) -> None:
        if self._soon is None and self._telling is None:
            self._soon = asyncio.get_running_loop().call_soon(self._begin)

    def stop(self) -> None:
        """Tell nothing any more."""
        if self._soon is not None:
            self._soon.cancel()

    def _begin(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if self._telling is None and (self._waiting or self._progress):
            self._telling = self._link.spawn(self._tell())

    async def _tell(self) -> None:
        try:
            while self._waiting or self._progress:
                await self._tell_some()
        finally:
            self._telling = None

    async def _tell_some(self) -> None:
        some = self._told = self._waiting[:MOST_SETTLED]
        del self._waiting[:MOST_SETTLED]
        done: dict[str, tuple[list[str], list[str]]] = {}
        for edge, token, entry_id, forget in some:
            tokens, ids = done.setdefault(edge, ([], []))
            tokens.append(token)
            ids.append(entry_id)
            if forget is not None:
                self._forget(forget)
        progress, self._progress = list(self._progress.items()), {}
        forgotten, self._forgotten = list(self._forgotten.items()), {}
        write = self._link.log.write("settle", (), progress, forgotten, items=len(some), size=100 * len(some) + 100)
        # Redis is told of the ids only when it must do the write again.
        full = [[edge, tokens, ids] for edge, (tokens, ids) in done.items()]
        write.words[1] = [[edge, tokens] for edge, tokens, _ in full]
        write.keep = lambda _: ["settle", full, progress, forgotten]
        if await write.answer:
            # Redis lost some of these entries; whoever sent them is about to send them again.
            await self._link.log.do(
                "count_as_sent", [[edge, list(filter(None, ids))] for edge, _, ids in full], items=len(some)
            )
        self._told = []

    def _forget(self, forget: Forgotten | None) -> None:
        for outlet, ids in (forget or {}).items():
            self._forgotten.setdefault(outlet.edge, []).extend(ids)

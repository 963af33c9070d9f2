"""The two ends of an edge between hosts: an `Outlet` sends, an `Inlet` receives and acknowledges.

Promises: entries arrive in the order in which they were sent; never more than the capacity are sent and not
acknowledged; each is received once by a host whose process lives, and again, if it was not acknowledged, by the
next process of that host; an entry whose id was sent before, and not forgotten since, is not sent again. This holds
whatever connection breaks, and whichever process, or Redis, is killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .redis_connection import Line
from .redis_settlements import Forgotten

if TYPE_CHECKING:
    from .redis_session import Session

__all__ = ["Entry", "Inlet", "Outlet"]

MOST_SENT, MOST_BYTES = 500, 4_000_000
LARGEST = 400_000_000
"""Bytes of one entry that Redis takes, with what goes along."""

MOST_READ, LEAST_READ = 500, 8
GLANCE = 1.0
"""Seconds after which one who waits looks for himself; the message that should wake him may have got lost."""

NEW = ">"
"""The cursor that Redis reads as: what nobody was given yet."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What travels over an edge: bytes, and an id that the same item has also when it is made again."""

    id: str
    body: bytes


class Outlet:
    """The sending end of an edge; made by `Link.outlet`. One task at a time may send."""

    def __init__(self, link: Session, edge: str, capacity: int) -> None:
        self._link = link
        self._room = link.event("room:" + edge)
        self.edge = edge
        self.capacity = capacity

    async def send(self, entries: Sequence[Entry]) -> None:
        """Append the entries in order; waits while the edge is full, and until Redis has them.

        An entry whose id was sent before and is not forgotten is left out. When the call is cancelled some of the
        entries are sent; to send all of them once more is right.

        Raises:
            LeaseLostError: Another process is this host's part now.
            ValueError: An entry is larger than Redis takes; none is sent then.
        """
        for entry in entries:
            if len(entry.body) > LARGEST:
                raise ValueError(f"entry {entry.id!r} has {len(entry.body):,} bytes, Redis takes {LARGEST:,}")
        start = 0
        while start < len(entries):
            batch = _batch(entries, start)
            self._room.clear()
            taken = await self._append(batch)
            start += taken
            if taken < len(batch):
                await self._link.wait(self._room, GLANCE)

    async def _append(self, batch: Sequence[Entry]) -> int:
        ids, bodies = [entry.id for entry in batch], [entry.body for entry in batch]
        size = sum([len(body) for body in bodies]) + 40 * len(ids)
        words = ["send", self.edge, self.capacity, False, ids, bodies]
        write = self._link.log.write(*words, items=len(ids), size=size)

        def keep(taken: int) -> list[Any]:
            # What was taken is taken, however full the edge is when it must be written again.
            return ["send", self.edge, 0, True, ids[:taken], bodies[:taken]] if taken else ["count_as_sent", []]

        write.keep = keep
        taken: int = await write.answer
        return taken

    async def close(self) -> None:
        """Say that nothing more follows. Entries that are new and sent after all put the end off."""
        await self._link.log.do("close", self.edge)


def _batch(entries: Sequence[Entry], start: int) -> Sequence[Entry]:
    size = 0
    for end in range(start, min(start + MOST_SENT, len(entries))):
        size += len(entries[end].body)
        if size > MOST_BYTES and end > start:
            return entries[start:end]
    return entries[start : start + MOST_SENT]


class Inlet:
    """The receiving end of an edge; made by `Link.inlet`."""

    def __init__(self, link: Session, edge: str, line: Line) -> None:
        self._link = link
        self._line = line
        self._items = link.event("items:" + edge)
        self._held: dict[str, str] = {}  # token -> id of what was handed out and is not done
        self._known: dict[str, str | None] = {}
        self._aliases: dict[str, list[str]] = {}
        self._cursor = "0"
        self._troubles = -1
        self._count = LEAST_READ
        self._fetching: asyncio.Task[list[tuple[str, Entry]]] | None = None
        self.edge = edge

    async def read(self) -> list[tuple[str, Entry]]:
        """Wait for the next entries, each with the token that acknowledges it; an empty list at the end.

        A process gets at first what an earlier process of its host took and did not acknowledge, in the old order.
        The end is never acknowledged: every later process sees it too, behind everything else.
        """
        if self._fetching is None:
            self._fetching = self._link.spawn(self._fetch())
        # When the wait is cancelled the entries stay with the task, for the next call.
        await asyncio.wait([self._fetching])
        fetching, self._fetching = self._fetching, None
        if fetching.cancelled():
            raise self._link.left
        entries = fetching.result()
        if entries:
            self._fetching = self._link.spawn(self._fetch())
        return entries

    def done(self, token: str, forget: Forgotten | None = None) -> None:
        """Acknowledge an entry, soon, in any order: it left this part, and what it became was sent.

        Args:
            token: What came with the entry.
            forget: What was sent because of this entry: ids for each outlet. Nothing will make them again.
        """
        entry_id = self._held.pop(token, None)
        if entry_id is None:
            return
        self._link.settlements.add(self.edge, token, entry_id, forget)
        for other in self._aliases.pop(token, ()):
            self._link.settlements.add(self.edge, other, entry_id, None)

    async def settled(self) -> None:
        """Wait until Redis has everything that was said to be done."""
        await self._link.settlements.settled()

    async def _fetch(self) -> list[tuple[str, Entry]]:
        while True:
            self._items.clear()
            if self._troubles != self._line.server.troubles:
                await self._recover()
            last, tokens, ids, bodies, gone, ended = await self._ask()
            if self._troubles != self._line.server.troubles:
                # An earlier answer may have got lost, so this may not be what comes next.
                continue
            for token in gone:
                self._link.settlements.add(self.edge, token.decode(), "", None)
            self._adapt(bodies)
            entries = self._new(tokens, ids, bodies)
            if entries or ended:
                self._turn_to(last)
                return entries
            if not last and self._cursor == NEW:
                await self._link.wait(self._items, GLANCE)
            self._turn_to(last)

    def _turn_to(self, last: bytes | None) -> None:
        """Go on behind what was read; what was given before is through when nothing of it comes any more."""
        if self._cursor != NEW:
            self._cursor = last.decode() if last else NEW

    async def _ask(self) -> list[Any]:
        words = ["read", self.edge, self._cursor, self._count]
        answer: list[Any] = await self._link.ask(self._line, *words)
        return answer

    async def _recover(self) -> None:
        """Read again what was given but maybe not received, without handing out anything twice."""
        troubles = self._line.server.troubles
        # When Redis lost its last moments the part's own writes come first: they tell what is done.
        await self._link.log.do("open", self.edge)
        known: dict[str, str | None] = dict.fromkeys(self._link.settlements.recent(self.edge))
        known.update((entry_id, token) for token, entry_id in self._held.items())
        self._known = known
        self._cursor = "0"
        self._troubles = troubles

    def _new(self, tokens: list[bytes], ids: list[bytes], bodies: list[bytes]) -> list[tuple[str, Entry]]:
        entries = []
        for token_bytes, id_bytes, body in zip(tokens, ids, bodies, strict=True):
            token, entry_id = token_bytes.decode(), id_bytes.decode()
            if token in self._held:
                continue
            if self._known and entry_id in self._known:
                self._again(token, entry_id)
                continue
            self._held[token] = entry_id
            entries.append((token, Entry(entry_id, body)))
        return entries

    def _again(self, token: str, entry_id: str) -> None:
        """Something that this process was given already comes under another token: it is done when that one is."""
        first = self._known[entry_id]
        if first is not None and first in self._held:
            self._aliases.setdefault(first, []).append(token)
        else:
            self._link.settlements.add(self.edge, token, entry_id, None)

    def _adapt(self, bodies: list[bytes]) -> None:
        """Ask for so many entries that an answer is neither tiny nor huge."""
        if bodies:
            mean = sum([len(body) for body in bodies]) // len(bodies) + 1
            self._count = max(1, min(MOST_READ, 4 * self._count, MOST_BYTES // mean))

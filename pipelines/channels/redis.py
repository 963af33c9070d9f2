"""One part of a split graph, as it meets the others in Redis.

A run is split over hosts; each runs one part of the graph, in one living process. A `Link` is the end of the run that
such a process holds. It promises:

- *order and bound*: what `Outlet` and `Inlet` say of each edge;
- *nothing lost, nothing doubled*: when a connection breaks at any moment, when Redis is stopped or killed and started
  again with its append-only file (``appendfsync everysec`` is enough), when a process of a part is killed and started
  again, or several of these at once; each call waits until Redis answers again;
- *one at a time*: of several processes with the same host name one works, the others wait for its place; a process
  that was suspended, and has been replaced, can write nothing any more;
- *apart*: runs with different ids share no key; parts of different graphs or versions are refused;
- *tidy*: the last part that leaves cleanly deletes every key of the run; keys of a run that nobody looks after expire.

Exceptions: Redis started without its data, or with less than its last four seconds of them, is a `RunLostError` for
the parts that notice; and for an item whose handling has effects outside, a killed process means that it is handled
again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cached_property
from typing import Any

from pipelines.errors import StateError

from .redis_connection import Script, Server
from .redis_edges import Entry, Inlet, Outlet
from .redis_log import LeaseLostError, Membership, RunLostError, WriteRefusedError
from .redis_messages import Mailbox, Message
from .redis_scripts import PURGE
from .redis_session import PartMismatchError, Session, checked_run
from .redis_settlements import Forgotten
from .wire import unpack

__all__ = [
    "Entry",
    "Inlet",
    "LeaseLostError",
    "Link",
    "Message",
    "Outlet",
    "PartMismatchError",
    "RunLostError",
    "WriteRefusedError",
    "purge",
]


PURGE_SCRIPT = Script(PURGE)


class Link(Session):
    """One host's part of a run: its edges to other hosts, its sources, and what parts tell each other."""

    # Edges and sources.

    def outlet(self, edge: str, capacity: int) -> Outlet:
        """The sending end of an edge to another host; at most ``capacity`` entries are not acknowledged."""
        outlet = Outlet(self, edge, capacity)
        self._open(edge)
        return outlet

    def inlet(self, edge: str) -> Inlet:
        """The receiving end of an edge from another host."""
        inlet = Inlet(self, edge, self.new_line())
        self._open(edge)
        return inlet

    def _open(self, edge: str) -> None:
        if edge in self._edges:
            raise StateError(f"this part has an end of the edge {edge!r} already")
        self._edges.add(edge)
        self.log.write("open", edge)

    async def progress(self, source: str) -> int:
        """How many items of a source of this part are handled for good."""
        return int(await self.ask_aside("progress", source))

    def advance(self, source: str, count: int, forget: Forgotten | None = None) -> None:
        """Note, soon, that the first ``count`` items of a source are handled for good.

        Args:
            source: Name of the source.
            count: How many of its items, in its order, nobody needs to handle again.
            forget: What was sent because of items that are new among these: ids for each outlet.
        """
        self.settlements.advance(source, count, forget)

    async def settled(self) -> None:
        """Wait until Redis knows of everything that is done, of inlets and sources."""
        await self.settlements.settled()

    # What parts tell each other.

    async def tell(self, host: str, body: bytes) -> None:
        """Send a message to another host's part; in order with everything else that this part writes."""
        if host not in self.hosts:
            raise ValueError(f"host {host!r} is none of the run's: {', '.join(self.hosts)}")
        await self.log.do("tell", host, body, size=len(body))

    async def receive(self) -> list[Message]:
        """Wait for messages to this part, in order; they are deleted when the next ones are asked for."""
        return await self._mailbox.receive()

    @cached_property
    def _mailbox(self) -> Mailbox:
        return Mailbox(self)

    async def messages(self) -> AsyncIterator[Message]:
        """Every message to this part; one that was not finished with when the process died comes again."""
        while True:
            for message in await self.receive():
                yield message

    async def publish(self, snapshot: bytes) -> None:
        """Show something to all parts, in place of what this part showed before."""
        await self.log.do("publish", snapshot, size=len(snapshot))

    async def snapshots(self) -> dict[str, tuple[float, bytes]]:
        """What each part showed last, and how many seconds ago."""
        now, pairs = await self.ask_aside("snapshots")
        shown = {host.decode(): unpack(data) for host, data in zip(pairs[::2], pairs[1::2], strict=True)}
        return {host: (max(0.0, (now - then) / 1000), body) for host, (then, body) in shown.items()}

    async def fail(self, note: bytes) -> None:
        """Let all parts know that the run failed, those that join later too; the first note stays."""
        await self.log.do("fail", note or b"failed", size=len(note))
        await self.learn_of_failure()


async def purge(url_or_client: Any, run_id: str) -> None:
    """Delete every key of a run, whoever may still work on it: what is left of one that failed."""
    server = Server(url_or_client)
    line = server.line()
    me = Membership(checked_run(run_id), "", "", 1, 1)
    try:
        await line.run(PURGE_SCRIPT, me.key, me.head())
    finally:
        await line.close()
        await server.close()

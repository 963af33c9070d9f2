"""One host's part of a split graph: how it meets the others, and what they tell each other besides items."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..channels.entries import Ticket
from ..channels.redis import Link
from ..channels.wire import decode, encode
from ..errors import AbortedError, NodeError, RemoteError, shortened
from ..graph import Graph
from ..statistics import EdgeStatistics, NodeStatistics, PartStatistics, Statistics
from .carriers import Arrival, Departure
from .origins import SourceTrack
from .snapshot import unstarted_node
from .source import Source
from .submission import Claim, Submission

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["Part", "Split"]

logger = logging.getLogger(__name__)

LEASE_SECONDS = 5.0
"""Seconds after which another process may take the place of one that died."""

PUBLISH_EVERY = 1.0
"""Seconds after which a part shows the others its statistics."""

FINAL = frozenset({"completed", "stopped"})
"""States of parts that are done."""

NOT_SEEN = {"state": "unknown"}

FAREWELL = 5.0
"""Seconds that a part which failed tries to tell the others."""


@dataclass(frozen=True, slots=True)
class Split:
    """How a graph is split, as a `Plumber` is told.

    Attributes:
        graph: The whole graph.
        host: Whose part this is.
        redis: Where the parts meet: a URL, or a ``redis.asyncio.Redis``.
        run_id: What keeps runs apart; all parts must have the same.
    """

    graph: Graph
    host: str
    redis: Any
    run_id: str


class Part:
    """Joins an execution of one part of the graph to those of the others."""

    def __init__(self, execution: Execution, split: Split, version: str) -> None:
        self.scheduler = execution.scheduler
        self.host = split.host
        self._graph = split.graph
        self._execution = execution
        self._new_ids = 0
        self._birth = secrets.token_hex(6)
        self._claimed: dict[int, Submission] = {}
        self._numbers: dict[Submission, int] = {}
        self._heard: set[tuple[int, str]] = set()
        self._mail: deque[tuple[str, bytes]] = deque()
        self._posting = asyncio.Lock()
        self._news = asyncio.Event()
        self._others: Mapping[str, tuple[float, Any]] = {}
        self.link = Link(
            split.redis,
            split.run_id,
            split.host,
            hosts=split.graph.hosts,
            digest=split.graph.digest,
            version=version,
            lease=LEASE_SECONDS,
            on_trouble=self._on_trouble,
        )
        self.carriers: list[Departure | Arrival] = []
        self._track_fed_sources()

    def _track_fed_sources(self) -> None:
        for worker in self._execution.workers.values():
            if isinstance(worker, Source) and worker.is_fed:
                worker.track = SourceTrack(worker.name, self.link, None)

    # Beginning and end.

    async def join(self) -> bool:
        """Meet the others; whether there is anything to do for this part.

        Raises:
            PartMismatchError: The others run another graph, or another version.
            NodeError: The run has failed elsewhere.
        """
        await self.link.join(lambda: logger.info("part %r stands by: another process runs it", self.host))
        if self.link.finished:
            return False
        for worker in self._execution.workers.values():
            if isinstance(worker, Source) and not worker.is_fed:
                worker.track = SourceTrack(worker.name, self.link, await self.link.progress(worker.name))
        for edge, channel in self._execution.assembly.edges():
            name = f"{edge.upstream}>{edge.downstream}" + (":failed" if edge.route else "")
            nodes = self._execution.assembly.graph.nodes
            if edge.downstream not in nodes:
                capacity = channel.capacity + self._graph.held_behind(edge.downstream)
                self.carriers.append(Departure(self, channel, self.link.outlet(name, capacity)))
            elif edge.upstream not in nodes:
                self.carriers.append(Arrival(self, channel, self.link.inlet(name), self._graph.edges.index(edge)))
        return True

    def start(self) -> None:
        """Begin to carry, to listen and to show."""
        self.scheduler.live += len(self.carriers)
        for carrier in self.carriers:
            self.scheduler.spawn(self._carry(carrier))
        self.link.failed.add_done_callback(
            lambda failed: None if failed.cancelled() else self._on_failed(failed.result())
        )
        self.link.lost.add_done_callback(lambda lost: None if lost.cancelled() else self.scheduler.fail(lost.result()))
        self.link.spawn(self._listen())
        self.link.spawn(self._show())

    async def _carry(self, carrier: Departure | Arrival) -> None:
        await carrier.carry()
        self.scheduler.ended()

    async def leave(self, outcome: str, error: BaseException | None) -> None:
        """Part from the others: when all are done, or telling them why not."""
        link = self.link
        try:
            if outcome in FINAL:
                await self.flush()
                await self._see_all_through(outcome)
                if not link.failed.done():
                    await link.leave(clean=True)
            elif not link.failed.done() and not link.lost.done():
                async with asyncio.timeout(FAREWELL):
                    await self._publish(outcome)
                    await link.fail(encode(_told(self.host, outcome, error)))
        except TimeoutError:
            logger.warning("part %r could not tell the others of its end: Redis does not answer", self.host)
        finally:
            await link.leave(clean=False)

    async def _see_all_through(self, outcome: str) -> None:
        """Return when every part is done, or one has failed: only then is it known how the graph's run ends."""
        link = self.link
        await link.settled()
        await self._publish(outcome)
        for host in self._elsewhere:
            await link.tell(host, encode(("done",)))
        while not link.failed.done() and not link.lost.done():
            self._news.clear()
            await self._look_around()
            if all(self._others.get(host, (0.0, NOT_SEEN))[1]["state"] in FINAL for host in self._elsewhere):
                return
            news: asyncio.Future[Any] = asyncio.ensure_future(self._news.wait())
            try:
                events: list[asyncio.Future[Any]] = [news, link.failed, link.lost]
                await asyncio.wait(events, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()

    @property
    def _elsewhere(self) -> list[str]:
        return [host for host in self._graph.hosts if host != self.host]

    def _on_failed(self, note: bytes) -> None:
        host, node, kind, text = decode(note)
        if kind == "aborted":
            error: Exception = AbortedError(f"the run was aborted on host {host!r}")
        else:
            cause = RemoteError(kind, text)
            cause.add_note(f"on host {host!r}")
            error = NodeError(node, cause=cause)
        self.scheduler.fail(error)

    def _on_trouble(self, error: BaseException | None) -> None:
        if error is None:
            logger.info("part %r: Redis is back", self.host)
        else:
            logger.warning("part %r waits for Redis: %s", self.host, error)

    # Messages.

    def tell_stop(self) -> None:
        """Have the other parts stop their sources too."""
        for host in self._elsewhere:
            self._post(host, ("stop",))

    def _post(self, host: str, words: tuple[Any, ...]) -> None:
        self._mail.append((host, encode(words)))
        if len(self._mail) == 1:
            self.link.spawn(self.flush())

    async def flush(self) -> None:
        """Return when everything that was to be told before has been told."""
        if not self._mail and not self._posting.locked():
            return
        async with self._posting:
            while self._mail:
                host, body = self._mail[0]
                await self.link.tell(host, body)
                self._mail.popleft()

    async def _listen(self) -> None:
        async for message in self.link.messages():
            what, *details = decode(message.body)
            if what == "stop":
                self._execution.stop()
            elif what == "done":
                self._news.set()
            else:
                self._on_claim(what, *details)

    # Submitted items.

    def new_id(self) -> str:
        """An id for an entry that came from nowhere."""
        self._new_ids += 1
        return f"{self.host}@{self._birth}:{self._new_ids}"

    def claim(self, ticket: Ticket) -> tuple[str, int]:
        """The ticket in two words, for the way to another host."""
        if isinstance(ticket, Claim):
            return ticket.host, ticket.number
        assert isinstance(ticket, Submission)
        number = self._numbers.get(ticket)
        if number is None:
            number = self._numbers[ticket] = len(self._heard) + len(self._numbers) + 1
            self._claimed[number] = ticket
            ticket.future.add_done_callback(lambda _: self._forget(ticket, number))
        return self.host, number

    def _forget(self, ticket: Submission, number: int) -> None:
        self._claimed.pop(number, None)
        self._numbers.pop(ticket, None)

    def report(self, host: str, number: int, key: str, what: str, *details: Any) -> None:
        """Tell ``host`` what became of an item that was submitted there."""
        self._post(host, ("claim", number, f"{self.host}/{key}", what, *details))

    def _on_claim(self, _: str, number: int, key: str, what: str, *details: Any) -> None:
        submission = self._claimed.get(number)
        if submission is None or (number, key) in self._heard:
            return
        self._heard.add((number, key))
        if what == "fail":
            node, text = details
            submission.fail(NodeError(node, cause=RemoteError("RemoteError", text)))
        else:
            getattr(submission, what)(*details)

    # Statistics.

    async def _show(self) -> None:
        while True:
            if not self._execution.is_over:
                await self._publish(None)
            await self._look_around()
            await asyncio.sleep(PUBLISH_EVERY)

    async def _look_around(self) -> None:
        snapshots = await self.link.snapshots()
        self._others = {host: (age, decode(body)) for host, (age, body) in snapshots.items() if host != self.host}

    async def _publish(self, outcome: str | None) -> None:
        own = self._execution.own_statistics(outcome).to_dict()
        await self.link.publish(encode({key: own[key] for key in ("state", "nodes", "edges")}))

    def whole(self, own: Statistics) -> Statistics:
        """The statistics of all parts, as far as they are known here; those of others as they were a moment ago."""
        nodes = {node.name: node for node in own.nodes}
        edges = {(edge.upstream, edge.downstream, edge.route): edge for edge in own.edges}
        parts = [PartStatistics(self.host, own.state, 0.0)]
        for host, (age, shown) in self._others.items():
            parts.append(PartStatistics(host, shown["state"], age))
            for each in shown["nodes"]:
                nodes.setdefault(each["name"], NodeStatistics(**each))
            for each in shown["edges"]:
                edges.setdefault((each["upstream"], each["downstream"], each["route"]), EdgeStatistics(**each))
        places = [(edge.upstream, edge.downstream, edge.route) for edge in self._graph.edges]
        items_in = sum([nodes[name].sent for name in self._graph.sources if name in nodes])
        items_out = sum([nodes[name].sent for name in self._graph.sinks if name in nodes])
        return replace(
            own,
            items_in=items_in,
            items_out=items_out,
            rate_in=items_in / own.elapsed if own.elapsed else 0.0,
            rate_out=items_out / own.elapsed if own.elapsed else 0.0,
            nodes=tuple([nodes.get(name) or unstarted_node(name) for name in self._graph.nodes]),
            edges=tuple([edges.get(place) or _unseen_edge(*place) for place in places]),
            parts=tuple(sorted(parts, key=lambda part: part.host)),
        )


def _unseen_edge(upstream: str, downstream: str, route: bool) -> EdgeStatistics:
    return EdgeStatistics(upstream, downstream, 0, 0, 0, 0, route)


def _told(host: str, outcome: str, error: BaseException | None) -> tuple[str, str, str, str]:
    if outcome == "aborted":
        return host, "", "aborted", ""
    cause = error.__cause__ if isinstance(error, NodeError) and error.__cause__ is not None else error
    return host, getattr(error, "node", ""), type(cause).__name__, shortened(cause, str, 2000)

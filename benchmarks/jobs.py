"""What a contender is asked to do: the sizes, the bodies of the nodes, and where the results go.

A job is made anew for each run and knows whether it was done right. Contenders decide how they do
it; they do not touch what is recorded.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from . import away
from .bodies import ADD_ONE, SAME, SKIPPED, Body, InFlight, jittering, pairing, recording, sleeping, summing

__all__ = [
    "BUFFER",
    "Chain",
    "Cores",
    "Dag",
    "Diamond",
    "Edge",
    "Graphs",
    "Hops",
    "RayChain",
    "RoundTrips",
    "SkippingDiamond",
    "Sleep",
    "Timed",
    "Variant",
    "WrongResultError",
]

BUFFER = 128
"""How many items may wait between two nodes, for every contender that has buffers."""


class WrongResultError(Exception):
    """A contender's results are not those that were asked for."""


def expect(found: Sequence[Any], wanted: Sequence[Any], what: str = "results") -> None:
    """Raise `WrongResultError`, with the first difference, unless both are the same."""
    if found == wanted:
        return
    for position, (one, other) in enumerate(zip(found, wanted, strict=False)):
        if one != other:
            raise WrongResultError(f"{what}: at position {position} stands {one!r}, not {other!r}")
    raise WrongResultError(f"{what}: there are {len(found)}, not {len(wanted)}")


@dataclass
class Chain:
    """The integers from 0 on go through ``depth`` nodes, of which the last one records them, in order.

    Attributes:
        items: How many integers.
        depth: How many nodes, without the source, with the one that records.
        node: The body of all nodes but the last.
        sink: The body of the last node; it gives nothing.
    """

    items: int
    depth: int
    node: Body = SAME
    sink: Body = field(init=False)
    recorded: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sink = recording(self.recorded.append)

    def check(self) -> None:
        """Every integer is there once, in order, and went through every node."""
        added = self.depth - 1 if self.node is ADD_ONE else 0
        expect(self.recorded, list(range(added, added + self.items)))


@dataclass
class Diamond:
    """Each integer goes through two branches of one node each, and meets itself again where they are zipped.

    Attributes:
        left, right: The bodies of the branches.
        pair: The body of the node that zips: of two items; it records them and gives nothing.
    """

    items: int
    left: Body = SAME
    right: Body = SAME
    recorded: list[tuple[Any, Any]] = field(default_factory=list)
    pair: Body = field(init=False)

    def __post_init__(self) -> None:
        self.pair = pairing(self.recorded.append)

    def check(self) -> None:
        """Every pair is there once, in order, of two items that are one."""
        left, right = (int(body is ADD_ONE) for body in (self.left, self.right))
        expect(self.recorded, [(x + left, x + right) for x in range(self.items)], "pairs")


@dataclass
class SkippingDiamond:
    """A diamond whose left branch takes its time and drops a part of its items, and whose right one does not.

    The pair of a dropped item must not be recorded, and no other pair may suffer for it.

    Attributes:
        delays: How long each item stays in the left branch, in seconds.
        dropped: The items that the left branch drops.
    """

    items: int
    longest: float
    share: float = 0.1
    right: Body = SAME
    recorded: list[tuple[Any, Any]] = field(default_factory=list)
    pair: Body = field(init=False)

    def __post_init__(self) -> None:
        chance = random.Random(5)
        self.delays = [chance.uniform(0, self.longest) for _ in range(self.items)]
        self.dropped = frozenset(chance.sample(range(self.items), round(self.items * self.share)))
        self.pair = pairing(self.recorded.append)

    def left(self, drop: object = SKIPPED) -> Body:
        """The left branch; ``drop`` is what a contender's nodes give for an item that they drop."""
        return jittering(self.delays, self.dropped, drop)

    def check(self) -> None:
        """The pairs of all items that were not dropped are there once, in order."""
        expect(self.recorded, [(x, x) for x in range(self.items) if x not in self.dropped], "pairs")


@dataclass
class Sleep:
    """Each integer sleeps, up to ``concurrency`` of them at a time, and is recorded by a node behind.

    Attributes:
        delays: How long each one sleeps, in seconds.
        ordered: Whether they must be recorded in the order in which they came.
        node, sink: The bodies of the two nodes.
    """

    delays: Sequence[float]
    concurrency: int
    ordered: bool
    recorded: list[Any] = field(default_factory=list)
    node: Body = field(init=False)
    sink: Body = field(init=False)

    def __post_init__(self) -> None:
        self.in_flight = InFlight()
        self.node = sleeping(self.delays, self.in_flight)
        self.sink = recording(self.recorded.append)

    @property
    def items(self) -> int:
        """How many integers."""
        return len(self.delays)

    @property
    def ideal(self) -> float:
        """The seconds below which nobody can stay: all places taken all the time, or the longest sleep."""
        return max(sum(self.delays) / self.concurrency, max(self.delays))

    def check(self) -> None:
        """Every integer is there once, in order if so asked, and never were more asleep than allowed."""
        found = self.recorded if self.ordered else sorted(self.recorded)
        expect(found, list(range(self.items)))
        if self.in_flight.most > self.concurrency:
            raise WrongResultError(f"{self.in_flight.most} at a time, not {self.concurrency}")


@dataclass
class Dag:
    """One large graph without cycles: a source, and nodes that sum one item of each of their upstreams.

    Attributes:
        upstreams: For each node the numbers of its upstreams, all below its own; node 0 is the source.
        downstreams: For each node the numbers of those behind it.
        sinks: The numbers of the nodes with nobody behind them; each records its sums, in order.
        bodies: For each node its body; that of the source is not called.
        parsed: Whether a contender that checks descriptions may have done so before.
        prepared: What the contender has made beforehand.
    """

    nodes: int
    items: int
    parsed: bool
    window: int = 400
    prepared: Any = None

    def __post_init__(self) -> None:
        self.upstreams = _random_upstreams(self.nodes, self.window)
        self.downstreams: list[list[int]] = [[] for _ in range(self.nodes)]
        for number, upstreams in enumerate(self.upstreams):
            for upstream in upstreams:
                self.downstreams[upstream].append(number)
        self.sinks = [number for number, downstreams in enumerate(self.downstreams) if not downstreams]
        self.recorded: dict[int, list[int]] = {number: [] for number in self.sinks}
        inner = summing()
        self.bodies = [
            summing(self.recorded[number].append) if number in self.recorded else inner for number in range(self.nodes)
        ]

    @property
    def edges(self) -> int:
        """How many there are: twice the nodes."""
        return sum(map(len, self.upstreams))

    def check(self) -> None:
        """Every sink recorded the right sum for every item, in order."""
        body = summing()
        assert body.plain is not None
        sums = [list(range(self.items))]
        for upstreams in self.upstreams[1:]:
            sums.append([body.plain(xs) for xs in zip(*(sums[number] for number in upstreams), strict=True)])
        for number in self.sinks:
            expect(self.recorded[number], sums[number], f"sums of sink {number}")


def _random_upstreams(nodes: int, window: int) -> list[tuple[int, ...]]:
    """Two upstreams for each node, out of the ``window`` before it, and three for the last three: two edges a node."""
    chance = random.Random(7)
    upstreams: list[tuple[int, ...]] = [(), (0,)]
    for number in range(2, nodes):
        first = max(0, number - window)
        count = 3 if number >= nodes - 3 else 2
        upstreams.append(tuple(sorted(chance.sample(range(first, number), count))))
    return upstreams


@dataclass
class Graphs:
    """Many small chains are made, run and ended, all of them at once where the contender can.

    Attributes:
        count: How many chains.
        parsed: Whether what describes a chain may be prepared once, and only run for each of them.
    """

    count: int
    chain_items: int
    depth: int
    parsed: bool
    recorded: list[int] = field(default_factory=list)

    @property
    def items(self) -> int:
        """How many graphs: the figures are per graph."""
        return self.count

    def chain(self) -> Chain:
        """The job of one chain. All chains record in one place, so that they can share what is prepared."""
        chain = Chain(self.chain_items, self.depth, ADD_ONE)
        chain.sink = recording(self.recorded.append)
        return chain

    def check(self) -> None:
        """Every integer came out of every chain, through every node."""
        added = self.depth - 1
        if Counter(self.recorded) != Counter(dict.fromkeys(range(added, added + self.chain_items), self.count)):
            raise WrongResultError(f"not every chain gave the {self.chain_items} results that were asked for")


@dataclass
class RoundTrips:
    """Items go through an idle chain one at a time; the time of each way is taken.

    Attributes:
        trips: How many items.
        depth: How many nodes.
        node: The body of all of them; the last one's result is what comes back.
        seconds: The time that each way took.
    """

    trips: int
    depth: int
    node: Body = SAME
    recorded: list[Any] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def items(self) -> int:
        """How many items: the figures are per item."""
        return self.trips

    async def drive(self, send: Callable[[int], Awaitable[Any]]) -> None:
        """Send all items, each when the one before is back; ``send`` gives the result for an item."""
        clock = time.perf_counter
        for x in range(self.trips):
            begin = clock()
            result = await send(x)
            self.seconds.append(clock() - begin)
            self.recorded.append(result)

    def check(self) -> None:
        """Every item came back, through every node."""
        added = self.depth if self.node is ADD_ONE else 0
        expect(self.recorded, list(range(added, added + self.trips)))


@dataclass
class Variant:
    """A chain, run with something switched on that is not used.

    Attributes:
        option: ``statistics``, ``hooks``, ``timeout`` or ``retry``; None for the plain chain.
    """

    option: str | None
    chain: Chain

    @property
    def items(self) -> int:
        """How many integers."""
        return self.chain.items

    def check(self) -> None:
        """The chain was run right."""
        self.chain.check()


@dataclass
class Timed:
    """A job that contenders prepare for, with processes and connections, before its time is taken."""

    items: int
    recorded: list[Any] = field(default_factory=list, kw_only=True)
    seconds: float = field(default=0.0, kw_only=True)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around what is measured; whatever was recorded before does not count."""
        self.recorded.clear()
        begin = time.perf_counter()
        yield
        self.seconds = time.perf_counter() - begin


@dataclass
class Cores(Timed):
    """Integers go through `benchmarks.away.spin`, which fills a core for ``spin`` seconds; the results in order."""

    spin: float
    workers: int = 2

    def check(self) -> None:
        """Every integer is there once, in order."""
        expect(self.recorded, list(range(self.items)))


@dataclass
class Hops(Timed):
    """Arrays of so many megabytes travel; what is recorded is the sum of each, which is its number."""

    megabytes: float

    def arrays(self) -> Iterator[Any]:
        """The arrays; each is another one."""
        return away.arrays(self.items, self.megabytes)

    def check(self) -> None:
        """Every array arrived, in order."""
        expect([round(x) for x in self.recorded], list(range(self.items)))


@dataclass
class RayChain(Timed):
    """Arrays that nodes on Ray make of their numbers, turn, and sum.

    Attributes:
        back: Whether they come back to the program between two nodes.
    """

    megabytes: float
    back: bool

    def check(self) -> None:
        """Every array was summed, in order."""
        expect([round(x) for x in self.recorded], list(range(self.items)))


@dataclass
class Edge(Timed):
    """Integers travel to another process over Redis; what is recorded is what arrives."""

    capacity: int = 5_000

    def check(self) -> None:
        """Every integer arrived, in order."""
        expect(self.recorded, list(range(self.items)))

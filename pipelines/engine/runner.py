"""One node's receive -> call -> send loop.

The driver visits a node whenever something may be possible. While nothing of the node is in flight and
nothing asks for more than "one item in, one result out", its items fly through it, and through idle
nodes behind it, in a quick loop (`flight`, `quick`). Everything else is the work of its crew (`crew`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..channels.base import Inbox
from ..channels.entries import Tomb
from ..channels.join import SingleInbox, ZipInbox
from ..errors import AlignmentError
from ..events import NodeEnded, NodeStarted
from ..executors.base import Executor
from ..graph.model import CallKind, Node
from ..processor import Processor
from ..statistics import BLOCKED, WAITING
from .attempts import Attempts
from .away import Away
from .batching import BatchInbox
from .crew import Crew
from .flight import STRETCH_SECONDS, TIMED_EVERY, Flight, stretch_behind
from .mesh import mesh_behind
from .model import Model
from .outbox import Outbox
from .run import Run, call_once

__all__ = ["Runner"]


class Runner:
    """Works for one node that has upstreams.

    Attributes:
        queued: Whether the scheduler has it on its list.
        blocked: It had something to do at its last visit, but no room for results.
        begun: The run has reached this node, so that its cleanup is due.
        ended: Input has ended and everything was sent.
        executor: Where the node's function runs; None for here.
        rank: The node's place in the graph, from the sources on.
        keeps: Whether results may stay with the executor's workers.
        awaits: Whether each call gives something to be awaited, as far as is known.
        flyable: Its items need no more than a quick loop, and nothing of it is in flight.
        is_single: It has one upstream, and takes single items.
        due: When it has to be timed alone again.
    """

    __slots__ = (
        "_attempts",
        "_crew",
        "_flies",
        "_joins",
        "_ready",
        "awaits",
        "begun",
        "blocked",
        "call",
        "due",
        "ended",
        "executor",
        "flyable",
        "inbox",
        "is_single",
        "keeps",
        "meter",
        "name",
        "node",
        "outbox",
        "processor",
        "queued",
        "rank",
        "run",
        "scheduler",
    )

    def __init__(
        self,
        node: Node,
        processor: Processor,
        inbox: Inbox,
        outbox: Outbox,
        run: Run,
        call: Callable[..., Any],
        executor: Executor | None = None,
        rank: int = 0,
        *,
        keeps: bool = False,
    ) -> None:
        properties = node.properties
        self.node = node
        self.name = node.name
        self.processor = processor
        self.outbox = outbox
        self.meter = outbox.meter
        self.run = run
        self.scheduler = run.scheduler
        self.call = call
        self.executor = executor
        self.rank = rank
        self.keeps = keeps
        self.inbox: Inbox = inbox
        if properties.batch is not None:
            self.inbox = BatchInbox(inbox, properties.batch, run.scheduler.loop, self.wake)
        wake = self._on_some if node.zips else self.wake
        for channel in inbox.channels:
            channel.on_items = wake
            channel.reader = self
        self.is_single = isinstance(self.inbox, SingleInbox)
        self._joins = isinstance(self.inbox, (SingleInbox, ZipInbox)) and outbox.route is None
        self.queued = False
        self.blocked = False
        self.ended = False
        self.begun = False
        self._attempts: Attempts | None = None
        self._crew: Crew | Away | None = None
        self.meter.tempo = run.scheduler.known_tempo
        self.due = 0.0 if self.meter.tempo is None else run.scheduler.clock() + TIMED_EVERY
        self.awaits = node.kind is CallKind.COROUTINE
        self._flies = not node.kind.yields and properties.rate is None and properties.batch is None and executor is None
        self._ready = executor is not None or not (node.setup or node.is_model)
        self.flyable = False
        self.review()

    @property
    def attempts(self) -> Attempts:
        """Makes calls that may fail; made when first needed, as most nodes of most graphs never do."""
        if self._attempts is None:
            self._attempts = Attempts(self.node, self.processor, self.call, self.meter, self.run)
        return self._attempts

    @property
    def crew(self) -> Crew | Away:
        """Does what is more than one item in, one result out; made when first needed."""
        if self._crew is None:
            self._crew = Crew(self) if self.executor is None else Away(self, self.executor)
        return self._crew

    @property
    def away(self) -> Away | None:
        """The crew, if the node's function runs on an executor and anything of it may be there."""
        return self._crew if isinstance(self._crew, Away) else None

    # What the channels and the program say.

    def start(self) -> None:
        """The run starts."""
        if not self._ready:
            self.scheduler.spawn(self._set_up())
        else:
            self.begun = True
            self.run.tell(NodeStarted, self.name)

    async def _set_up(self) -> None:
        self.begun = True
        if self.node.setup is not None:
            await call_once(self.processor, self.node.setup)
        if isinstance(self.call, Model):
            await call_once(self.processor, self.call.build)
        self._ready = True
        self.review()
        self.run.tell(NodeStarted, self.name)
        self.wake()

    def wake(self) -> None:
        """Something may be possible now that was not before."""
        if not self.queued:
            self.scheduler.mark(self)

    def _on_some(self) -> None:
        """One channel of a zip has something new, or is closed: mostly the others have nothing yet."""
        if not self.queued and self.inbox.concerned:
            self.scheduler.mark(self)

    def on_room(self) -> None:
        """A port has room again."""
        if not self.queued and (self.blocked or (self._crew is not None and (self.outbox.held or self._crew.yields))):
            self.scheduler.mark(self)

    def pause(self) -> None:
        """Start no more calls; those in flight end and their results are sent."""
        if self.crew.steps is None:
            self.crew.steps = 0
            self.review()
            self.scheduler.cut_turn()

    def resume(self) -> None:
        """Start calls again."""
        if self._crew is not None:
            self._crew.steps = None
        self.review()
        self.wake()

    def step(self, count: int) -> None:
        """Let ``count`` more calls start and then pause."""
        self.crew.steps = (self.crew.steps or 0) + count
        self.review()
        self.scheduler.cut_turn()
        self.wake()

    @property
    def in_flight(self) -> int:
        """Calls running now, but for those that nobody has seen suspended."""
        return self._crew.in_flight if self._crew is not None else 0

    @property
    def paused(self) -> bool:
        """Whether calls start only by `step`."""
        return self._crew is not None and self._crew.steps is not None

    @property
    def state(self) -> str:
        """What the node does, in one word."""
        if self.ended:
            return "ended"
        if not self._ready:
            return "starting"
        if self.in_flight or self.scheduler.is_calling(self):
            return "busy"
        if self.paused:
            return "paused"
        return "blocked" if self.blocked else "waiting"

    def shut(self) -> None:
        """The node's run is over: no timer of it fires any more."""
        self.ended = True
        self.flyable = False
        if self._crew is not None:
            self._crew.close()
        if isinstance(self.inbox, BatchInbox):
            self.inbox.close()

    # One visit of the driver.

    async def visit(self, flight: Flight) -> None:
        """Do what can be done now, until the turn of the loop is over."""
        if self.ended or not self._ready:
            return
        outbox = self.outbox
        if outbox.waiting:
            outbox.flush()
        if self.flyable and not outbox.waiting:
            await self._fly(flight)
        else:
            await self.crew.visit(flight)
        if not flight.taken:
            self._settle()

    def _settle(self) -> None:
        """After a visit: end, or note what the node waits for."""
        if self.node.zips:
            self._check_surplus()
        crew = self._crew
        if crew is not None and (crew.in_flight or crew.helpers):
            return
        held, available = self.outbox.held, self.inbox.available()
        if not held and not available and self.inbox.ended:
            self._end()
            return
        self.blocked = held > 0 or (available > 0 and self.outbox.room() <= 0)
        state = BLOCKED if self.blocked else WAITING
        if state != self.meter.state:
            self.meter.enter(state, self.scheduler.clock())
        if available > 0 and not self.blocked and not self.queued and (crew is None or crew.startable() > 0):
            self.scheduler.mark_first(self)

    def _check_surplus(self) -> None:
        counts = self.inbox.surplus(self.name)
        # Sources that were stopped were cut wherever they stood.
        if counts is not None and not self.run.draining:
            raise AlignmentError(self.name, counts)

    def _end(self) -> None:
        self.blocked = False
        self.shut()
        self.meter.enter(WAITING, self.scheduler.clock())
        self.outbox.end()
        self.run.tell(NodeEnded, self.name, self.meter.received, self.meter.sent)
        self.scheduler.ended()

    def adopt(self, flight: Flight) -> None:
        """The driver was found suspended in a call of this node."""
        if flight.members:
            flight.land(unfinished=True)
            assert flight.origin is not None
            flight.origin.wake()
        self.crew.adopt(flight)

    # Flying.

    def review(self) -> None:
        """Something has changed that decides whether items may fly through this node."""
        self.flyable = self._flies and self._ready and not self.ended and (self._crew is None or self._crew.idle)

    def joins_mesh(self) -> bool:
        """Whether this node can be part of a mesh, as far as it depends on it; not before it was timed once."""
        return self._joins and self.flyable and self.meter.tempo is not None and not self.outbox.waiting

    async def _fly(self, flight: Flight) -> None:
        """Let items fly from here, through as many nodes as possible."""
        inbox, outbox = self.inbox, self.outbox
        count = inbox.available()
        if count <= 0:
            return
        members, room = stretch_behind(outbox.sole, self.meter.tempo or 0.0)
        if not members:
            room = outbox.room()
        elif outbox.route is not None:
            room = min(room, outbox.route.room())
        if room <= 0:
            return
        members.insert(0, self)
        now = self.scheduler.clock()
        if inbox.noted:
            await self._fly_one(flight, members, now)
            return
        mesh = None
        if members[-1].outbox.fans_out and now >= outbox.no_mesh_until and outbox.route is None:
            mesh = mesh_behind(self, outbox, self.meter.tempo or 0.0, STRETCH_SECONDS)
        if mesh is not None and len(mesh.members) > len(members):
            members, room = mesh.members, mesh.room
        else:
            mesh = None
        feed = inbox.lend(min(count, room))
        await flight.fly(self, members, feed, now, mesh=mesh, tuples=inbox.tuples, lent=True)

    async def _fly_one(self, flight: Flight, members: list[Runner], now: float) -> None:
        """Let the next entry go alone: a tombstone, or an item somebody may be waiting for."""
        q_elt, tickets, tombs = self.inbox.take()
        if q_elt is None:
            self.inbox.release()
            self.outbox.dispatch(Tomb(tombs, tickets))
            self.outbox.announce()
        else:
            await flight.fly(self, members, iter((q_elt,)), now, tuples=True, tickets=tickets)

    def take_back(self, done: int, rest: list[Any] | None) -> None:
        """A flight from here is over: so many were taken; of those lent, ``rest`` comes back."""
        if rest is None:
            self.inbox.release()
        else:
            self.inbox.repay(done, rest)

    def send(self, item: Any) -> None:
        """Only sources hold anything back."""
        raise AssertionError(f"{self.name!r} has nothing to hold back")

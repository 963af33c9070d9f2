"""`Plumber`: from a dict to a running graph, and everything one can say to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property
from itertools import count
from typing import Any, Self

from . import formats  # noqa: F401 - registers the readers and writers
from .channels.memory import MemoryChannel
from .engine.assembly import Worker
from .engine.doors import Doors
from .engine.execution import Execution
from .engine.launch import Launch
from .engine.snapshot import empty_statistics
from .engine.source import Source
from .engine.submission import Submission
from .engine.taps import Collected, Stream, StreamPort
from .errors import ClosedError, StateError, UnknownNodeError
from .events import Hook
from .executors.base import Executor
from .graph import Graph
from .limits import Limits
from .processor import Processor
from .registry import Registry, default_registry
from .statistics import Report, Statistics
from .types import CoroMap, GraphDict
from .untrusted import read_untrusted

__all__ = ["Plumber"]

_numbers = count(1)


class Plumber:
    """Builds a graph of coroutines from a dict, and runs it once, in the running event loop.

    The dict is read at once: a wrong one raises `GraphError` here, with all its problems, and
    nothing is started. Every command is legal in every state: before the start, twice, and after
    the end. A run that has ended is not started again; make another `Plumber` (from a parsed
    `Graph`, to save the reading).

    Args:
        input_d: The dict with ``nodes`` and ``graph``, or a parsed `Graph`.
        coro_map: How coros are found: a callable that is given what stands in ``coro``, a mapping
            by name, or a `Registry`. None: every coro is a callable or a name of the default registry.
        env_vars: Reachable in every coro as ``self.env_vars[...]`` and as attributes of ``self``.
        name: The run's name in events, logs and reports.
        defaults: Properties for all nodes that do not set them.
        executors: Where nodes run that name one of them as their ``executor``.
        hooks: Callables that are told of every event.
        host: Run only the nodes of this host; the other parts of the graph run elsewhere.
        redis: Where the parts of a split graph meet: a URL, or a ``redis.asyncio.Redis``.
        run_id: Keeps runs of split graphs apart; all parts must be given the same, or none.

    Raises:
        GraphError: The dict is no valid graph, or an executor cannot run a node.
        UnknownNodeError: No node is on ``host``.
        MissingExtraError: What an executor or a split graph needs is not installed.
    """

    def __init__(
        self,
        input_d: GraphDict | Graph,
        coro_map: CoroMap | None = None,
        env_vars: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        defaults: Mapping[str, Any] | None = None,
        executors: Mapping[str, Executor] | None = None,
        hooks: Iterable[Hook] = (),
        host: str | None = None,
        redis: Any = None,
        run_id: str | None = None,
    ) -> None:
        given = {} if executors is None else dict(executors)
        self.graph = _read(input_d, coro_map, defaults, given)
        self.name = name or f"run-{next(_numbers)}"
        self.env_vars: Mapping[str, Any] = {} if env_vars is None else env_vars
        self._launch = Launch(self.graph, self.env_vars, given, hooks, host=host, redis=redis, run_id=run_id)
        self._doors = Doors(self._launch.local, self.graph)
        self._execution: Execution | None = None
        # What was said before there was an event loop to do it in.
        self._said: list[Callable[[Execution], None]] = []

    @classmethod
    def from_untrusted(
        cls,
        data: GraphDict | str | bytes,
        registry: Registry,
        limits: Limits | None = None,
        env_vars: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        defaults: Mapping[str, Any] | None = None,
        executors: Mapping[str, Executor] | None = None,
        hooks: Iterable[Hook] = (),
    ) -> Self:
        """A plumber for a graph from somebody who is not trusted, such as a browser.

        Coros are names of ``registry`` and nothing else, arguments are checked strictly, and
        whatever exceeds ``limits`` is refused. ``items`` and ``seconds`` of the limits end a run
        that goes over them with a `LimitError`.

        Raises:
            GraphError: Each of its problems has a stable ``code``. Nothing else is raised for any
                ``data``, and the answer takes at most 50 ms.
        """
        limits = limits or Limits()
        graph = read_untrusted(data, registry, limits, defaults=defaults, executors=executors or ())
        plumber = cls(graph, None, env_vars, name=name, executors=executors, hooks=hooks)
        plumber._launch.limits = limits
        return plumber

    # The parts.

    @property
    def nodes(self) -> list[Processor]:
        """The processors, in the order of the dict's ``nodes``."""
        return list(self._launch.assembly.processors.values())

    @cached_property
    def liason_graph(self) -> list[list[MemoryChannel | None]]:
        """The channels as a matrix: row and column are positions in ``nodes``, None means no edge."""
        return self._launch.assembly.matrix()

    # Running.

    def create_pipeline(self) -> None:
        """Start the graph in the running event loop; returns at once.

        Raises:
            StateError: There is no running event loop, or the graph was started before.
        """
        execution = self._engage()
        self._check_not_started(execution)
        execution.start()

    def _check_not_started(self, execution: Execution) -> None:
        if execution.started:
            raise StateError(f"{self.name!r} was started before; a plumber runs once, make another one")

    async def run(self, collect: Iterable[str] = ()) -> Report:
        """Start the graph, wait for its end, and report.

        Cancelling the call aborts the run.

        Args:
            collect: Names of sinks whose results are kept in ``report.outputs``.

        Raises:
            NodeError: The first failure of a coro (other errors of the run likewise).
            UnknownNodeError: ``collect`` names something that is no sink.
        """
        sinks = list(collect)
        for sink in sinks:
            self._doors.check_sink(sink)
        execution = self._engage()
        self._check_not_started(execution)
        for sink in sinks:
            execution.collect(sink, Collected())
        execution.start()
        try:
            return await self.wait()
        except asyncio.CancelledError:
            await self.abort()
            raise

    async def wait(self) -> Report:
        """Wait until the graph has ended by itself or was ended, and report.

        Raises:
            NodeError: The first failure of a coro (other errors of the run likewise).
            StateError: The graph was not started.
        """
        execution = self._execution
        if execution is None or not (execution.started or execution.done.done()):
            raise StateError(f"{self.name!r} was not started: call run() or create_pipeline(), or use 'async with'")
        if execution.is_own_task:
            raise StateError(f"a coro of {self.name!r} waits for the end of its own graph, which waits for the coro")
        execution.watched += 1
        try:
            report = await asyncio.shield(execution.done)
        finally:
            execution.watched -= 1
        if report.error is not None:
            raise report.error
        return report

    @property
    def report(self) -> Report | None:
        """The report of the run, also of a failed one; None before its end."""
        execution = self._execution
        return execution.done.result() if execution is not None and execution.done.done() else None

    async def __aenter__(self) -> Self:
        self.create_pipeline()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is not None:
            await self.abort()
            if isinstance(error, ClosedError) and self.report is not None and error.__cause__ is self.report.error:
                raise error.__cause__ or error  # what closed the source is what the program wants to know
            return
        try:
            await self.stop()
        except asyncio.CancelledError:
            await self.abort()
            raise
        await self.wait()

    async def stop(self, timeout: float | None = None) -> None:
        """Stop the sources and let what is inside go through to the end.

        Paused nodes go on. Called by a coro of this very graph, it returns at once, as the graph
        cannot end before the coro does.

        Args:
            timeout: Seconds after which what is still inside is aborted; None waits for ever.
        """
        execution = self._engage()
        execution.stop()
        if execution.is_inside:
            if timeout is not None:
                execution.abort_later(timeout)
            return
        done, _ = await asyncio.wait([execution.done], timeout=timeout)
        if not done:
            await self.abort()

    async def abort(self) -> None:
        """Cancel everything now, run the cleanups, and return when nothing is alive any more.

        Called by a coro of this very graph, it returns at once; the coro is cancelled at its next
        ``await``.
        """
        execution = self._engage()
        execution.abort()
        if not execution.is_inside:
            await execution.see_to_the_end()

    # Feeding.

    async def put(self, source: str, item: Any) -> None:
        """Put one item into a source that has no coro; waits while the graph is full.

        Before the start items are kept as far as there is room, and then it waits.

        Raises:
            ClosedError: The source was closed, or the run has ended.
            UnknownNodeError: There is no such source.
        """
        await self._fed(source).queue.put(item)

    def close(self, source: str) -> None:
        """Say that nothing more is put into ``source``; the graph ends when all has gone through."""
        self._doors.check_fed(source)
        self._say(lambda execution: execution.fed(source).close())

    async def submit(self, item: Any, *, source: str | None = None, timeout: float | None = None) -> Any:
        """Put one item in and wait for what becomes of it.

        The result is what the sink returns for it. If an item can give several results at a sink
        (an async generator or a merge of branches is on the way), it is the list of them; if
        several sinks are reached, a dict by sink name.

        Args:
            item: The item.
            source: Where to put it; may be left out when only one source is fed by the program.
            timeout: Seconds to wait; ``TimeoutError`` after that, while the item goes on.

        Raises:
            SkippedError: It was dropped on the way.
            NodeError: A coro failed on it.
            StoppedError: The graph ended before it was through.
            AbortedError: The graph was aborted, or failed on another item.
            ClosedError: The source was closed, or the run has ended.
        """
        name = source if source is not None else self._doors.only_fed()
        worker = self._fed(name)
        execution = self._engage()
        submission = Submission(execution.loop.create_future(), self._doors.shapes[name])
        async with asyncio.timeout(timeout):
            execution.submissions.add(submission)
            try:
                await worker.queue.put_tracked(item, (submission,))
            except BaseException:
                submission.future.cancel()
                raise
            return await submission.future

    def stream(self, sink: str) -> Stream:
        """What ``sink`` returns from now on, as it comes: an async iterator.

        A reader that does not keep up slows the graph down once as many results wait as the sink's
        ``queue_size``. The iterator ends with the run, and raises the run's error if it failed.

        Raises:
            UnknownNodeError: There is no such sink.
        """
        self._doors.check_sink(sink)
        port = StreamPort(self.graph.nodes[sink].properties.queue_size)
        self._say(lambda execution: execution.attach(sink, port))
        return Stream(port, on_leave=lambda: self._detach(sink, port), on_taken=lambda: self._room_made(sink))

    def _detach(self, sink: str, port: StreamPort) -> None:
        if self._execution is None:
            self._said.append(lambda execution: execution.detach(sink, port))
        else:
            self._execution.detach(sink, port)

    def _room_made(self, sink: str) -> None:
        if self._execution is not None:
            self._execution.workers[sink].on_room()

    # Steering.

    def pause(self, node: str | None = None) -> None:
        """Let ``node``, or every node, start no more calls; a source puts nothing more."""
        self._steer(node, lambda worker: worker.pause())

    def resume(self, node: str | None = None) -> None:
        """Take a pause back."""
        self._steer(node, lambda worker: worker.resume())

    def step(self, node: str | None = None, count: int = 1) -> None:
        """Let ``node``, or every node, start ``count`` more calls (a source: put items), and pause."""
        if count < 1:
            raise ValueError(f"step: count must be at least 1, not {count}")
        self._steer(node, lambda worker: worker.step(count))

    def statistics(self) -> Statistics:
        """A frozen snapshot of all counts and states, in any state of the run."""
        if self._execution is not None:
            return self._execution.statistics()
        return empty_statistics(self.name, self._launch.assembly)

    # Inside.

    def _engage(self) -> Execution:
        """The execution, made in the running loop when it is first needed."""
        if self._execution is None:
            self._execution = self._launch.execution(self.name)
            said, self._said = self._said, []
            for do in said:
                do(self._execution)
        return self._execution

    def _say(self, do: Callable[[Execution], None]) -> None:
        if self._execution is None:
            self._said.append(do)
        else:
            do(self._execution)

    def _steer(self, node: str | None, do: Callable[[Worker], None]) -> None:
        local = self._launch.local
        if node is not None and node not in local.nodes:
            raise UnknownNodeError("node", node, local.nodes)
        names = local.order if node is None else (node,)

        def steer(execution: Execution) -> None:
            for name in names:
                do(execution.workers[name])

        self._say(steer)

    def _fed(self, name: str) -> Source:
        self._doors.check_fed(name)
        return self._engage().fed(name)


def _read(
    input_d: GraphDict | Graph,
    coro_map: CoroMap | None,
    defaults: Mapping[str, Any] | None,
    executors: Collection[str],
) -> Graph:
    if isinstance(input_d, Graph) and coro_map is None and defaults is None and input_d.is_resolved:
        return input_d
    coros = default_registry if coro_map is None else coro_map
    return Graph.parse(input_d, coros, defaults=defaults, executors=executors)

"""Functions on a Ray cluster: one that is there, or a small one on this machine that lives as long as it is used.

Promises: a stateless function holds what it needs of the cluster only while it is called; a node with a
class, a setup or a cleanup, and a coroutine function, has actors of its own, which give their place up when
other nodes have none. Short calls go by the portion. Large values between neighbouring nodes on Ray stay in
the object store, and only references come here. Nodes near the sinks come first, and no more is sent than
the cluster has room for, which is looked up again while it grows. Items of workers and machines that die
are sent again. Large arrays that a node gets from its neighbour on Ray are read-only, as everywhere in Ray;
all others can be written to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Self
from weakref import WeakKeyDictionary

from ..errors import MissingExtraError

try:
    import ray
    from ray import cloudpickle
    from ray.experimental import internal_kv
except ImportError:
    raise MissingExtraError("the executor 'ray'", "ray") from None

from .base import Job, Listener
from .ray_cluster import Cluster
from .ray_connection import Connections
from .ray_gate import Gate
from .ray_stage import RayStage
from .ray_values import Packer
from .ray_worker import Bench, Order, Tools, bench_of

__all__ = ["RayExecutor"]

MARKS = b"pipelines"
"""Where in Ray's key-value store workers note which call did not end."""

packer = Packer(cloudpickle.dumps)


class RayExecutor:
    """A Ray cluster.

    Give it to a plumber as ``executors={"gpu": RayExecutor(num_gpus=1)}``; the name ``ray`` is there without
    that. All such executors of an event loop share the cluster. If Ray has been initialised by then, that is
    used; else Ray is started, or connected to, for as long as any graph uses it, or until the end of
    ``async with``.

    Args:
        num_cpus, num_gpus, resources: What one call needs, if the node does not say; one CPU if nobody does.
        address: Of the cluster, as for ``ray.init``.
        init: More arguments for ``ray.init``.
    """

    def __init__(
        self,
        *,
        num_cpus: float | None = None,
        num_gpus: float | None = None,
        resources: Mapping[str, float] | None = None,
        address: str | None = None,
        init: Mapping[str, Any] | None = None,
    ) -> None:
        self.num_cpus = num_cpus
        self.num_gpus = num_gpus
        self.resources = dict(resources or {})
        self._options = dict(init or {}) | ({} if address is None else {"address": address})
        self._users = 0
        self._cluster: Cluster | None = None

    @property
    def capacity(self) -> int:
        """How many calls fit into the cluster; 1 before that is known."""
        if self._cluster is None:
            return 1
        return max(1, self._cluster.resources.width(self._needs_of(None)))

    @property
    def measures(self) -> bool:
        """Short calls go to workers by the portion."""
        return True

    @property
    def keeps(self) -> str:
        """Values stay in the object store between all nodes that run on Ray."""
        return "ray"

    def check(self, job: Job) -> list[tuple[str, str]]:
        """What of ``job`` cannot be pickled, and why."""
        parts = {"coro": job.function, "properties.setup": job.setup, "properties.cleanup": job.cleanup}
        parts |= {f"args.{name}": value for name, value in job.args.items()}
        parts |= {f"env_vars.{name}": value for name, value in job.env_vars.items()}
        return [(part, why) for part, value in parts.items() if (why := packer.why_not(value))]

    def acquire(self) -> None:
        """Come to life in the running event loop, or count one more user."""
        loop = asyncio.get_running_loop()
        if not self._users:
            cluster = _clusters.get(loop)
            if cluster is None:
                gate = Gate(ray, _work, (_Actor, _AsyncActor), packer, _mark)
                cluster = _clusters[loop] = Cluster(_connections, gate, self._options)
            self._cluster = cluster
        elif self._cluster is None or loop is not self._cluster.loop:
            raise RuntimeError("a RayExecutor is used by one event loop at a time")
        self._users += 1
        self._cluster.users += 1

    async def release(self) -> None:
        """One user less; the last, if Ray was started here, waits until none of its processes is alive."""
        cluster = self._cluster
        assert cluster is not None
        self._users -= 1
        if not self._users:
            self._cluster = None
        cluster.users -= 1
        if not cluster.users:
            del _clusters[cluster.loop]
            await cluster.close()

    async def __aenter__(self) -> Self:
        self.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.release()

    def open(self, job: Job, listener: Listener) -> RayStage:
        """A place for one node; workers are started when there are items."""
        assert self._cluster is not None
        return self._cluster.open(job, listener, self._needs_of(job))

    def _needs_of(self, job: Job | None) -> dict[str, float]:
        given = None if job is None else job.needs
        cpus = self.num_cpus if given is None or given.num_cpus is None else given.num_cpus
        gpus = self.num_gpus if given is None or given.num_gpus is None else given.num_gpus
        others = self.resources if given is None or given.resources is None else given.resources
        needs = {"CPU": 1.0 if cpus is None else cpus, "GPU": gpus or 0.0, **others}
        return {name: amount for name, amount in needs.items() if amount}


_connections = Connections(ray)
_clusters: WeakKeyDictionary[asyncio.AbstractEventLoop, Cluster] = WeakKeyDictionary()


# What runs in the workers.


def _tools(*, tasks: bool) -> Tools:
    worker: Any = ray._private.worker.global_worker
    attempt_of = getattr(worker.core_worker, "get_current_task_attempt_number", lambda: None)
    return Tools(packer, _note, attempt_of() if tasks else 0)


def _note(key: str, value: bytes) -> None:
    internal_kv._internal_kv_put(key.encode(), value, namespace=MARKS)


def _mark(key: str) -> bytes | None:
    mark: bytes | None = internal_kv._internal_kv_get(key.encode(), namespace=MARKS)
    if mark is not None:
        internal_kv._internal_kv_del(key.encode(), namespace=MARKS)
    return mark


def _load(blob: Any) -> bytes:
    loaded: bytes = blob if isinstance(blob, bytes) else ray.get(blob[0])
    return loaded


def _work(key: str, blob: Any, order: Order, message: list[Any], *values: Any) -> list[Any]:
    return bench_of(key, lambda: _load(blob), packer).work(_tools(tasks=True), order, message, values)


class _Actor:
    def __init__(self, blob: Any) -> None:
        self._bench = Bench(_load(blob), packer)

    def open(self) -> list[Any]:
        return packer.pack(self._bench.open())

    def work(self, order: Order, message: list[Any], *values: Any) -> list[Any]:
        return self._bench.work(_tools(tasks=False), order, message, values)

    def here(self) -> None:
        pass

    def close(self, outcome: str | None) -> list[Any]:
        return self._bench.close(outcome)


class _AsyncActor:
    def __init__(self, blob: Any) -> None:
        self._bench = Bench(_load(blob), packer)

    async def open(self) -> list[Any]:
        return packer.pack(await self._bench.open_async())

    async def work(self, order: Order, message: list[Any], *values: Any) -> list[Any]:
        return await self._bench.work_async(_tools(tasks=False), order, message, values)

    async def here(self) -> None:
        pass

    async def close(self, outcome: str | None) -> list[Any]:
        return await self._bench.close_async(outcome)

"""Federated averaging: the graph, and the rounds that go through it.

A graph has no cycles, and needs none: one round is one item. The program submits the weights, every worker
gets them and trains on its own examples, and the server, a zip, averages what comes back. What it returns is the
result of the submission, and the weights of the next::

               ┌─ worker-0 ─┐
     weights ──┼─ worker-1 ─┼── server
               └─ worker-2 ─┘
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from demos.federated import model
from demos.federated.nodes import Merged, Server, Task, Worker
from demos.federated.torch_nodes import TorchServer, TorchWorker, communication, require_torch
from pipelines import Plumber
from pipelines.executors.base import Executor
from pipelines.executors.process import ProcessExecutor

EXECUTORS = ("process", "ray", "thread", "loop")
BACKENDS = ("numpy", "torch")
APART = ("process", "ray")
"""Executors on which every worker has a process of its own."""

SHARE = 0.1
"""Of a core, what Ray sets aside for a worker: so all of them have a place at once, even on a small machine."""


@dataclass(frozen=True)
class Settings:
    """What is to be done.

    Attributes:
        epochs: How often a worker goes through its examples in a round.
        rate: How far it goes with every step.
        rendezvous: Where torch's workers find each other; needed if they are on several machines.
    """

    workers: int = 4
    rounds: int = 20
    executor: str = "process"
    backend: str = "numpy"
    seed: int = 1
    epochs: int = 3
    rate: float = 0.3
    rendezvous: str | None = None

    def __post_init__(self) -> None:
        if self.workers < 1 or self.rounds < 1:
            raise ValueError("there must be at least one worker and one round")
        if self.backend == "torch":
            require_torch()
        if self.backend == "torch" and self.executor not in APART:
            raise ValueError("with torch every worker needs a process of its own: --executor process, or ray")


@dataclass(frozen=True)
class Round:
    """What came of one round, as numbers between 0 and 1; ``alone`` is that of the workers without each other."""

    number: int
    accuracy: float
    loss: float
    alone: float | None


def worker_names(settings: Settings) -> list[str]:
    """The nodes that train."""
    return [f"worker-{number}" for number in range(settings.workers)]


def make_graph(settings: Settings, rendezvous: str = "") -> dict[str, Any]:
    """The graph for so many workers: a source without coro, fan-out to them, and a zip behind them."""
    workers = worker_names(settings)
    torch = settings.backend == "torch"
    group = {"rendezvous": rendezvous, "communication": communication(settings.workers)} if torch else {}
    nodes: dict[str, Any] = {"weights": {}}  # without a coro: items come from `submit`
    nodes |= {name: make_worker(number, settings, group) for number, name in enumerate(workers)}
    nodes["server"] = {"coro": TorchServer if torch else Server, "args": {"seed": settings.seed}}
    return {"nodes": nodes, "graph": {"weights": workers, **{name: ["server"] for name in workers}}}


def make_worker(number: int, settings: Settings, group: dict[str, str]) -> dict[str, Any]:
    """The node of one worker, which belongs to ``group`` if torch averages.

    Otherwise a process that dies is replaced by another one, which tries the round again; but a group that has
    lost a member is lost.
    """
    args: dict[str, Any] = {"number": number, "workers": settings.workers, "seed": settings.seed}
    args |= {"epochs": settings.epochs, "rate": settings.rate}
    properties: dict[str, Any] = {"executor": settings.executor, "concurrency": 1}
    if settings.executor == "process":
        properties["executor"] = f"process-{number}"
    if settings.executor == "ray":
        properties["num_cpus"] = SHARE
        if group.get("communication") == "nccl":
            properties["num_gpus"] = 1
    if group:
        return {"coro": TorchWorker, "args": args | group, "properties": properties}
    return {"coro": Worker, "args": args, "properties": properties | {"retry": {"attempts": 3}}}


def make_executors(settings: Settings) -> dict[str, Executor]:
    """A pool with a single process for every worker; the usual pool would run any node in any of its processes."""
    if settings.executor != "process":
        return {}
    return {f"process-{number}": ProcessExecutor(1) for number in range(settings.workers)}


@contextmanager
def meeting_place(settings: Settings) -> Iterator[str]:
    """Where torch's workers find each other: a file, unless the settings say something else."""
    with TemporaryDirectory() as folder:
        yield settings.rendezvous or Path(folder, "rendezvous").as_uri()


async def federate(settings: Settings, tell: Callable[[Round], None] = lambda _: None) -> list[Round]:
    """Train for as many rounds as the settings say; ``tell`` hears of each when it is over."""
    weights = model.initial(settings.seed)
    curve: list[Round] = []
    with meeting_place(settings) as rendezvous:
        plumber = Plumber(make_graph(settings, rendezvous), executors=make_executors(settings))
        async with plumber:
            for number in range(1, settings.rounds + 1):
                merged: Merged = await plumber.submit(Task(number, weights))
                weights = merged.weights
                curve.append(Round(number, merged.accuracy, merged.loss, merged.alone))
                tell(curve[-1])
    return curve

"""Which executor each node of a graph runs on, and whether it can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import GraphError, Problem
from ..executors.base import Executor, Job
from ..executors.table import make_executor, shared_executor
from ..graph import Graph, Node

__all__ = ["Placement"]

_WHY = "{part} cannot travel to a worker: {why}"
_HINT = "functions must stand at the top level of a module, and everything they need must be picklable"


class Placement:
    """The executors that a graph asks for.

    Args:
        given: Executors by name; one of a usual name stands in its place.

    Raises:
        GraphError: A node asks for an executor that is not there, or one it cannot run on.
        MissingExtraError: What an executor needs is not installed.
    """

    def __init__(self, graph: Graph, given: Mapping[str, Executor], env_vars: Mapping[str, Any]) -> None:
        self._given = given
        nodes = [node for node in graph.nodes.values() if node.properties.executor != "loop"]
        self._names = dict.fromkeys(node.properties.executor for node in nodes)
        if nodes:
            judges = {name: given.get(name) or make_executor(name) for name in self._names}
            problems = [p for node in nodes for p in _problems(node, judges[node.properties.executor], env_vars)]
            if problems:
                raise GraphError(problems)

    def executors(self) -> dict[str, Executor]:
        """The executors by name, in the running event loop."""
        return {name: self._given.get(name) or shared_executor(name) for name in self._names}


def _problems(node: Node, executor: Executor, env_vars: Mapping[str, Any]) -> list[Problem]:
    if node.function is None:
        return []
    job = Job(node.name, "", node.function, node.args, env_vars, node.setup, node.cleanup)
    asked = f"node {node.name!r} asks for executor {node.properties.executor!r}, but "
    at = f"nodes.{node.name}"
    return [
        Problem("bad_executor", part if part.startswith("env_vars") else f"{at}.{part}", asked + why, _HINT)
        for part, why in ((part, _WHY.format(part=part, why=why)) for part, why in executor.check(job))
    ]

"""From the name of a file to a graph that can run, with everything that is wrong told at once."""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import GraphError, Problem
from ..graph import CallKind, Graph
from ..graph.problems import Problems, shown
from ..registry import TrustedNames
from .assignments import assign
from .document import STDIN, Document, read_document
from .output import error

__all__ = ["Order", "import_modules", "importable", "load"]


@dataclass(frozen=True, slots=True)
class Order:
    """What a command is asked to load.

    Attributes:
        file: A YAML or JSON file; ``-`` is standard input.
        coros: Modules to import besides those that the file names.
        assignments: Values to replace, as ``--set`` takes them.
        collect: Names of sinks whose results are wanted.
        traceback: Whether to show where an import failed.
        host: Whose part of a split graph is wanted.
        redis: Where the parts meet.
    """

    file: str
    coros: Sequence[str] = ()
    assignments: Sequence[str] = ()
    collect: Sequence[str] = ()
    traceback: bool = False
    host: str | None = None
    redis: str | None = None

    @property
    def name(self) -> str:
        """What the run of this file is called."""
        return "standard input" if self.file == STDIN else self.file


@contextlib.contextmanager
def importable(file: str | None = None) -> Iterator[None]:
    """While entered, modules beside ``file`` and in the working directory can be imported."""
    folders = [str(Path.cwd())]
    if file is not None and file != STDIN:
        folders.insert(0, str(Path(file).resolve().parent))
    sys.path[:0] = folders
    try:
        yield
    finally:
        for folder in folders:
            with contextlib.suppress(ValueError):  # whoever was imported may have changed the path
                sys.path.remove(folder)


def import_modules(modules: Iterable[tuple[str, str]], problems: Problems, *, trace: bool = False) -> bool:
    """Import modules so that they register their coros; whether all could be.

    Args:
        modules: Pairs of where a module is named, for messages, and its name.
        problems: Where failures are noted.
        trace: Whether to show the traceback of each failure.
    """
    before = len(problems)
    for at, module in modules:
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as reason:
            if trace:
                error("".join(traceback.format_exception(reason)))
            hint = "name a module, as in package.module, not a file" if module.endswith(".py") or "/" in module else ""
            message = f"module {shown(module)} cannot be imported: {type(reason).__name__}: {reason}"
            problems.extend([Problem("bad_import", at, message, hint)])
    return len(problems) == before


def load(order: Order, *, names: bool = True, to_run: bool = False) -> Graph:
    """Read the file, import what it names, and parse the graph.

    Args:
        order: What to load.
        names: Import modules and look the names of coros up; otherwise they stay names.
        to_run: Also refuse what can be a graph, but cannot run from a command line.

    Raises:
        GraphError: It carries everything that is wrong, with file, command line and graph.
    """
    problems = Problems()
    document = read_document(order.file, problems)
    assign(document, order.assignments, problems)
    with contextlib.redirect_stdout(sys.stderr):  # what modules print when they are imported is no result
        graph = _resolved(document, order, problems, names=names)
    part = _part(order, graph, problems)
    _check_collect(order.collect, document, part, problems)
    if part is not None and to_run:
        _check_fed(part, problems)
    problems.refuse()
    assert graph is not None
    return graph


def _resolved(document: Document, order: Order, problems: Problems, *, names: bool) -> Graph | None:
    # Names that a broken module would have registered are not unknown: one problem is told, not two.
    known = names and _imported(document, order, problems)
    try:
        return Graph.parse(document.graph, TrustedNames() if known else None, defaults=document.defaults)
    except GraphError as refused:
        problems.extend(refused.problems)
        return None


def _part(order: Order, graph: Graph | None, problems: Problems) -> Graph | None:
    """What is to be run here: of a split graph the part of one host."""
    if order.host is None:
        if order.redis is not None and graph is not None and graph.hosts:
            hint = f"hosts are: {', '.join(graph.hosts)}"
            problems.extend([Problem("missing_host", "--host", "--redis without --host: whose part is it?", hint)])
        return graph
    if order.redis is None:
        hint = "say --redis redis://HOST:PORT, or set PIPELINES_REDIS"
        message = "the parts of a split graph need a Redis to meet in"
        problems.extend([Problem("missing_redis", "--redis", message, hint)])
    if graph is None or order.host in graph.hosts:
        return graph if graph is None else graph.part(order.host)
    hint = problems.choices(order.host, graph.hosts, "hosts are") if graph.hosts else "no node says a host"
    problems.extend([Problem("unknown_host", f"--host {order.host}", f"unknown host {shown(order.host)}", hint)])
    return None


def _imported(document: Document, order: Order, problems: Problems) -> bool:
    modules = [(f"coros[{position}]", module) for position, module in enumerate(document.coros)]
    modules += [("--coros", module) for module in order.coros]
    return import_modules(modules, problems, trace=order.traceback)


def _check_collect(collect: Iterable[str], document: Document, graph: Graph | None, problems: Problems) -> None:
    nodes = document.graph.get("nodes") if isinstance(document.graph, dict) else None
    for name in collect:
        if isinstance(nodes, dict) and name not in nodes:
            hint = problems.choices(name, [node for node in nodes if isinstance(node, str)], "nodes are")
            problems.extend([Problem("unknown_node", f"--collect {name}", f"unknown node {shown(name)}", hint)])
        elif graph is not None and name not in graph.sinks:
            hint = problems.choices(None, graph.sinks, "sinks are")
            problems.extend([Problem("no_sink", f"--collect {name}", f"node {shown(name)} is no sink", hint)])


def _check_fed(graph: Graph, problems: Problems) -> None:
    for name, node in graph.nodes.items():
        if node.kind is CallKind.FED:
            message = f"source {shown(name)} has no coro: it would wait for items that nothing puts in"
            problems.add("fed_source", ("nodes", name), message, "such a graph is run from Python")

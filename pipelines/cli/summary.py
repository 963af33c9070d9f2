"""What is said about a run that has ended."""

from __future__ import annotations

import sys
import traceback

from rich import box
from rich.table import Table
from rich.text import Text

from ..errors import NodeError, PipelinesError
from ..statistics import NodeStatistics, Report
from ..types import FailedItem
from .live import console_on
from .output import duration, error, figure, line, message, plural, put, shortened

__all__ = ["tell_error", "tell_summary"]

_FAILURES_TOLD = 5
_ITEM_LENGTH = 80
_MOST_NODES = 200
_WIDE = 200
"""Columns of a table that goes to a file or a pipe."""


def tell_summary(report: Report) -> None:
    """Write the counts of all nodes, and the first failures, to standard output."""
    statistics = report.statistics
    put(
        f"{line(report.name)}: {report.state} after {duration(report.elapsed)}, "
        f"{plural(statistics.items_in, 'item')} in ({figure(statistics.rate_in)}/s), "
        f"{figure(statistics.items_out)} out ({figure(statistics.rate_out)}/s)"
    )
    sys.stdout.flush()
    console = console_on(sys.stdout, None if sys.stdout.isatty() else _WIDE)
    nodes = _chosen(statistics.nodes)
    console.print(_table(nodes, report.elapsed))
    if len(nodes) < len(statistics.nodes):
        put(f"... and {plural(len(statistics.nodes) - len(nodes), 'node')} more; --json tells of all")
    for edge in statistics.edges:
        if edge.dropped:
            put(f"{plural(edge.dropped, 'item')} dropped from {line(edge.upstream)} to {line(edge.downstream)}")
    _tell_failures(report)


def _chosen(nodes: tuple[NodeStatistics, ...]) -> tuple[NodeStatistics, ...]:
    """As many nodes as one can read about, in their order; first of all those that lost items."""
    if len(nodes) <= _MOST_NODES:
        return nodes
    by_loss = sorted(nodes, key=lambda node: not (node.failed or node.skipped))
    names = {node.name for node in by_loss[:_MOST_NODES]}
    return tuple(node for node in nodes if node.name in names)


def _table(nodes: tuple[NodeStatistics, ...], elapsed: float) -> Table:
    retried = any(node.retried for node in nodes)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("node", overflow="fold")
    for name in ("received", "sent", "sent/s", "skipped", "failed", *(["retried"] if retried else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for node in nodes:
        rate = node.sent / elapsed if elapsed else 0.0
        numbers = [node.received, node.sent, rate, node.skipped, node.failed, *([node.retried] if retried else [])]
        table.add_row(Text(line(node.name)), *(Text(figure(number)) for number in numbers))
    return table


def _tell_failures(report: Report) -> None:
    count = sum(node.failed for node in report.statistics.nodes)
    if not count:
        return
    first = report.failures[:_FAILURES_TOLD]
    put(f"{plural(count, 'item')} failed" + (f"; the first {len(first)}:" if count > len(first) > 1 else ":"))
    for failed in first:
        put("  " + _failure(failed))


def _failure(failed: FailedItem) -> str:
    tried = f" after {failed.attempts} attempts" if failed.attempts > 1 else ""
    why = line(f"{type(failed.error).__name__}: {message(failed.error)}")
    return f"{line(failed.node)}: {why}{tried}, item {shortened(failed.item, _ITEM_LENGTH)}"


def tell_error(reason: BaseException, *, trace: bool) -> None:
    """Write why a run failed to standard error; ``trace`` also writes where it was raised."""
    if trace:
        error("".join(traceback.format_exception(reason)))
    text = message(reason)
    if not isinstance(reason, PipelinesError):
        text = f"{type(reason).__name__}: {text}"
    error(f"error: {text}")
    if isinstance(reason, NodeError) and not trace:
        error("(--traceback shows where it was raised)")

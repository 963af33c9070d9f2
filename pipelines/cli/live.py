"""The live table: what every node does, redrawn in place on a terminal."""

from __future__ import annotations

import math
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ..statistics import EdgeStatistics, NodeStatistics, Statistics
from .output import duration, figure, line
from .progress import Moment

__all__ = ["LiveTable", "console_on"]

MOST_HELD = 1 << 16
"""Characters that coros may print until they are shown before the next refresh."""

_FILLING, _FULL = 0.6, 0.85
_BAR = 6
_NARROW = 100
"""Columns under which the table leaves out what it can."""

_STATES = {"blocked": "yellow", "paused": "magenta", "ended": "dim", "starting": "dim"}


def console_on(stream: TextIO, width: int | None = None) -> Console:
    """A console that shows text as it is: no markup, no emoji, no colouring of its own."""
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


class LiveTable:
    """Redraws a table of the nodes on standard error, at most five times a second.

    While it is open, what coros print appears above the table, whole lines at a time, when the
    table is next redrawn; printing costs a coro no more than remembering the text.

    Args:
        keep: Leave the last table standing; otherwise it vanishes in favour of the summary.
    """

    interval = 0.2

    def __init__(self, *, keep: bool = False) -> None:
        self._console = console_on(sys.stderr)
        self._said = ""
        self._held = _Held(self._print)
        self._replaced = {name: getattr(sys, name) for name in ("stdout", "stderr") if getattr(sys, name).isatty()}
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=not keep,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._live.start()
        for name, stream in self._replaced.items():
            setattr(sys, name, _Printed(stream, self._held))

    def show(self, moment: Moment) -> None:
        """Redraw the table, below what was printed since the last time."""
        drawn = self._drawn(moment)
        # Laid out once: printing what was held shows it, and so does the refresh.
        self._live.update(_Drawn(self._console.render_lines(drawn, pad=False)))
        self._held.release()
        self._live.refresh()

    def say(self, text: str) -> None:
        """Show a sentence below the table from now on."""
        self._said = text

    def close(self) -> None:
        """Take the table away, give standard output back, and print what is still held."""
        for name, stream in self._replaced.items():
            setattr(sys, name, stream)
        self._held.release(everything=True)
        self._live.stop()

    def _print(self, text: str) -> None:
        self._console.print(_Raw(text), crop=False, end="")

    def _drawn(self, moment: Moment) -> RenderableType:
        size = self._console.size
        parts: list[RenderableType] = [_headline(moment)]
        bars = list(_bars(moment.statistics, size.width))
        waits = ["; ".join(moment.statistics.waits)] if moment.still and moment.statistics.waits else []
        notes = [*waits, *([self._said] if self._said else [])]
        room = size.height - len(bars) - len(notes) - 4
        parts.append(_table(moment, max(1, room), size.width, self._console.options.ascii_only))
        parts += bars
        parts += [Text(line(note), style="yellow", overflow="ellipsis", no_wrap=True) for note in notes]
        return Group(*parts)


def _headline(moment: Moment) -> Text:
    now = moment.statistics
    text = Text(overflow="ellipsis", no_wrap=True)
    text.append(line(now.name), style="bold")
    text.append(f"  {now.state}  {duration(now.elapsed)}  in {figure(now.items_in)} ({figure(moment.rate_in)}/s)")
    text.append(f"  out {figure(now.items_out)} ({figure(moment.rate_out)}/s)")
    return text


_COLUMNS = ("node", "state", "items", "rate/s", "in flight", "queue", "skipped", "failed")
_LEFT = ("node", "state", "queue")
_GAP = 2


def _table(moment: Moment, room: int, width: int, ascii_only: bool) -> Table:
    nodes = moment.statistics.nodes
    shown = _chosen(nodes, room)
    fullest = _fullest(moment.statistics)
    narrow = width < _NARROW
    rows = [
        _cells(node, moment.rates[node.name], _queue(fullest.get(node.name), narrow=narrow, ascii_only=ascii_only))
        for node in shown
    ]
    table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold", pad_edge=False)
    for name, cells in zip(_COLUMNS, zip(*rows, strict=True), strict=True):
        # No figure is ever cut: names are, when there is no room for both.
        needed = max(len(name), *(cell.cell_len for cell in cells))
        width -= 0 if name == "node" else needed + _GAP
        side: JustifyMethod = "left" if name in _LEFT else "right"
        least = None if name == "node" else needed
        table.add_column(name, justify=side, overflow="ellipsis", no_wrap=True, min_width=least)
    table.columns[0].max_width = max(len("node"), width)
    for row in rows:
        table.add_row(*row)
    if len(shown) < len(nodes):
        table.add_row(Text(f"... {len(nodes) - len(shown)} more", style="dim"))
    return table


def _chosen(nodes: tuple[NodeStatistics, ...], room: int) -> list[NodeStatistics]:
    """As many nodes as there is room for, in their order; those that have ended give way first."""
    if len(nodes) <= room:
        return list(nodes)
    live = [node for node in nodes if node.state != "ended"]
    names = {node.name for node in [*live, *(node for node in nodes if node.state == "ended")][: max(1, room - 1)]}
    return [node for node in nodes if node.name in names]


def _cells(node: NodeStatistics, rate: float, queue: Text) -> tuple[Text, ...]:
    return (
        Text(line(node.name)),
        Text(f"{node.state:<8}", style=_STATES.get(node.state, "")),
        Text(figure(max(node.received, node.sent))),
        Text(figure(rate)),
        Text(figure(node.in_flight)),
        queue,
        Text(figure(node.skipped)),
        Text(figure(node.failed), style="bold red" if node.failed else ""),
    )


def _fullest(statistics: Statistics) -> Mapping[str, EdgeStatistics]:
    """The fullest incoming edge of every node."""
    fullest: dict[str, EdgeStatistics] = {}
    for edge in statistics.edges:
        known = fullest.get(edge.downstream)
        if known is None or edge.queued * known.capacity > known.queued * edge.capacity:
            fullest[edge.downstream] = edge
    return fullest


def _queue(edge: EdgeStatistics | None, *, narrow: bool, ascii_only: bool) -> Text:
    """``12/64`` and a bar; marked ``!`` from 60 % and ``!!`` from 85 %, for eyes and terminals without colour."""
    if edge is None:
        return Text("")
    fill = min(1.0, edge.queued / edge.capacity)
    style, mark = ("red", "!!") if fill >= _FULL else ("yellow", "!") if fill >= _FILLING else ("", "")
    text = Text(f"{edge.queued}/{edge.capacity}", style=style)
    if not narrow:
        full, empty = "#." if ascii_only else "█░"
        filled = math.ceil(fill * _BAR)
        text.append(f" {full * filled}{empty * (_BAR - filled)}")
    text.append(f" {mark}".rstrip())
    return text


def _bars(statistics: Statistics, width: int) -> Iterator[RenderableType]:
    """A bar for every source that knows how much there is."""
    for node in statistics.nodes:
        if node.progress is None or node.state == "ended":
            continue
        rest = statistics.elapsed * (1 - node.progress) / node.progress if node.progress > 0 else math.inf
        left = f"about {duration(rest)} left" if 0 < rest < 1e6 else ""
        grid = Table.grid(padding=(0, 1))
        grid.add_column(overflow="ellipsis", no_wrap=True, max_width=max(8, width // 3))
        grid.add_row(
            Text(line(node.name)),
            ProgressBar(total=1.0, completed=node.progress, width=max(8, width // 4)),
            Text(f"{node.progress:4.0%}"),
            Text(left, style="dim"),
        )
        yield grid


class _Drawn:
    """Something that was laid out already."""

    def __init__(self, lines: list[list[Segment]]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for each in self._lines:
            yield from each
            yield Segment.line()


class _Raw:
    """Text that reaches the terminal as the coro printed it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        yield Segment(self._text)


class _Held:
    """What was printed, in the order in which it was, until somebody shows it; any thread may print."""

    def __init__(self, show: Any) -> None:
        self._show = show
        self._pieces: deque[str] = deque()
        self._size = 0
        self._lock = threading.RLock()

    def add(self, text: str) -> None:
        """Hold ``text`` back, or show everything if that gets too much."""
        with self._lock:
            self._pieces.append(text)
            self._size += len(text)
            if self._size > MOST_HELD:
                self.release()

    def release(self, *, everything: bool = False) -> None:
        """Show the lines that are complete; with ``everything`` also the one that is not."""
        with self._lock:
            text = "".join(self._pieces)
            end = len(text) if everything else text.rfind("\n") + 1
            self._pieces = deque([text[end:]] if text[end:] else [])
            self._size = len(text) - end
            if everything and not text.endswith("\n") and text:
                text, end = text + "\n", end + 1
            if end:
                self._show(text[:end])


class _Printed:
    """Stands for standard output or standard error while the table is there."""

    def __init__(self, stream: TextIO, held: _Held) -> None:
        self._stream = stream
        self._held = held

    def write(self, text: str) -> int:
        self._held.add(text)
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        self._held.add("".join(texts))

    def flush(self) -> None:
        """The table's next refresh shows it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

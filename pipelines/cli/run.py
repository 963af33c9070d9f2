"""``pipelines run``: a graph file, run to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from ..blocking import run_with_signals
from ..errors import GraphError, MissingExtraError
from ..plumber import Plumber
from ..statistics import Report
from .loading import Order, importable, load
from .logs import shown_logs
from .options import AsJson, Assignments, Coros, File, Host, Redis, RunId, Trace
from .output import FAILED, INTERRUPTED, error, refuse, shortened
from .progress import Lines, Recent, Silent, View, watch

__all__ = ["run"]

Collect = Annotated[
    list[str] | None,
    typer.Option("--collect", metavar="NODE", help="Print what this sink returns, one result a line, as JSON."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress and no summary, only errors.")]
Interval = Annotated[float, typer.Option("--interval", hidden=True, min=0.001)]


def run(
    file: File,
    coros: Coros = None,
    assignments: Assignments = None,
    collect: Collect = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    host: Host = None,
    redis: Redis = None,
    run_id: RunId = None,
    trace: Trace = False,
    interval: Interval = 1.0,
) -> None:
    """Run the graph in FILE to its end.

    What it does is shown while it runs, and summed up at the end. The first Ctrl-C (or SIGTERM) stops
    the sources and lets what is inside go through, the second aborts, the third kills.

    With --host and --redis only the nodes of that host are run; start the others with the same file,
    wherever they belong.

    The exit status is 0, also when items failed that the graph skips or routes; 1 when the run
    failed; 2 for a graph that is wrong; 130 after Ctrl-C.
    """
    order = Order(file, coros or (), assignments or (), tuple(dict.fromkeys(collect or ())), trace, host, redis)
    with importable(file):
        try:
            graph = load(order, to_run=True)
            meet = redis if host is not None else None
            plumber = Plumber(graph, name=order.name, host=host, redis=meet, run_id=run_id)
        except GraphError as refused:
            refuse(file, refused)
        except MissingExtraError as missing:
            error(f"error: {missing}")
            raise typer.Exit(FAILED) from None
        run = _Run(plumber, order, quiet=quiet, as_json=as_json)
        with shown_logs(quiet=quiet, trace=trace):
            report = run.through(interval)
    _tell(report, order, quiet=quiet, as_json=as_json)
    raise typer.Exit(_status(report, interrupted=run.interrupted))


@dataclass(slots=True)
class _Run:
    """One run and how it is shown.

    Attributes:
        interrupted: A signal has ended it.
    """

    plumber: Plumber
    order: Order
    quiet: bool
    as_json: bool
    interrupted: bool = False

    def through(self, interval: float) -> Report:
        """Run to the end, whatever that is; standard output is kept free for a report in JSON."""
        with contextlib.redirect_stdout(sys.stderr) if self.as_json else contextlib.nullcontext():
            view = Silent() if self.quiet or self.as_json else _view(interval)
            try:
                return asyncio.run(self._watched(view))
            except SystemExit as end:
                # Its status would say how the run went, of which a coro that leaves knows nothing.
                error(f"error: a coro called sys.exit({shortened(end.code)}), which ended the run at once")
                raise typer.Exit(FAILED) from None
            finally:
                view.close()

    async def _watched(self, view: View) -> Report:
        loop = asyncio.get_running_loop()

        def on_signal(count: int) -> None:
            self.interrupted = True
            if count > len(_SAID):
                _kill()
            loop.call_soon_threadsafe(view.say, _SAID[count - 1])

        watcher = None
        if view.interval:
            watcher = asyncio.create_task(watch(self.plumber.statistics, Recent(self.plumber.graph), view))
        try:
            return await run_with_signals(self.plumber, self.order.collect, on_signal)
        except Exception:
            # A run that has failed has a report too, and the report has the error.
            if self.plumber.report is None:
                raise
            return self.plumber.report
        finally:
            if watcher is not None:
                watcher.cancel()
                await asyncio.wait([watcher])


_SAID = (
    "stopping: what is inside goes on to the end; Ctrl-C again aborts",
    "aborting; Ctrl-C again kills",
)


def _kill() -> None:
    # Only what may be done at any point of a program that hangs: no locks, no buffers.
    with contextlib.suppress(OSError):
        os.write(2, b"\x1b[?25h\nkilled\n" if os.isatty(2) else b"killed\n")
    os._exit(INTERRUPTED)


def _view(interval: float) -> View:
    if sys.stderr.isatty():
        from .live import LiveTable, console_on

        if console_on(sys.stderr).is_interactive:
            return LiveTable(keep=not sys.stdout.isatty())
    return Lines(interval)


def _tell(report: Report, order: Order, *, quiet: bool, as_json: bool) -> None:
    from .plain import json_report
    from .summary import tell_error, tell_summary

    if as_json:
        sys.stdout.write(json_report(report) + "\n")
    else:
        if not quiet:
            tell_summary(report)
        _tell_outputs(report, order)
    sys.stdout.flush()
    if report.error is not None:
        tell_error(report.error, trace=order.traceback)


def _tell_outputs(report: Report, order: Order) -> None:
    from .plain import json_line

    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    several = len(order.collect) > 1
    for name in order.collect:
        for value in report.outputs[name]:
            shown = {name: value} if several else value
            sys.stdout.write(json_line(shown, ascii_only=ascii_only) + "\n")


def _status(report: Report, *, interrupted: bool) -> int:
    if report.state == "failed":
        return FAILED
    return INTERRUPTED if interrupted or report.state != "completed" else 0

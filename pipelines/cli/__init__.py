"""The command line: ``pipelines run``, ``check``, ``draw`` and ``nodes``.

What a command needs besides the library - rich, PyYAML - is imported when the command runs.
"""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.main import get_command

from . import check, draw, nodes, run
from .output import INTERRUPTED, put

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help in plain text: it is there sooner, and names in usage errors are no markup
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """The command, ending with the same status wherever Ctrl-C comes, also before anything runs."""

    @functools.wraps(command)
    def call(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None

    return call


for _command in (run.run, check.check, draw.draw, nodes.nodes):
    app.command()(_interruptible(_command))


def _show_version(wanted: bool) -> None:
    if wanted:
        package = __package__.partition(".")[0]
        put(f"{package} {sys.modules[package].__version__}")
        raise typer.Exit


@app.callback()
def _pipelines(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Graphs of coroutines: run them, check them, draw them, and see what they can be made of."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What stands behind ``pipelines`` on the command line; the program's own when left out.

    Returns:
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the terminal's encoding lacks is escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        get_command(app)(args=None if arguments is None else list(arguments), prog_name="pipelines")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0

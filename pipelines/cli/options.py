"""Arguments and options that several commands have, each with the one help text it has everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["AsJson", "Assignments", "Coros", "File", "Host", "Redis", "RunId", "Trace"]

File = Annotated[
    str, typer.Argument(metavar="FILE", show_default=False, help="The graph in YAML or JSON; - reads standard input.")
]
Coros = Annotated[
    list[str] | None,
    typer.Option("--coros", metavar="MODULE", help="Import this module first, so that it registers its coros."),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Replace one value: NODE.args.KEY, NODE.properties.KEY or defaults.KEY. The value is YAML or JSON.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Trace = Annotated[bool, typer.Option("--traceback", help="Show where an error was raised.")]
Host = Annotated[
    str | None,
    typer.Option("--host", metavar="NAME", help="Run the nodes of this host of a split graph; others run elsewhere."),
]
Redis = Annotated[
    str | None,
    typer.Option(
        "--redis",
        metavar="URL",
        envvar="PIPELINES_REDIS",
        help="Where the parts of a split graph meet, as redis://HOST:PORT.",
    ),
]
RunId = Annotated[
    str | None,
    typer.Option("--run-id", metavar="ID", help="Keeps runs of one split graph apart; the same for all its parts."),
]

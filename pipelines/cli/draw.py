"""``pipelines draw``: a graph file as a picture, or what one is made of."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ..errors import GraphError
from ..graph import Graph
from .loading import Order, load
from .options import Assignments, File
from .output import put, refuse

__all__ = ["draw"]


class Format(StrEnum):
    """The languages in which a graph can be drawn."""

    mermaid = "mermaid"
    dot = "dot"
    text = "text"


FormatOption = Annotated[Format, typer.Option("--format", help="The language of the drawing.")]


def draw(file: File, form: FormatOption = Format.mermaid, assignments: Assignments = None) -> None:
    """Draw the graph in FILE.

    No module is imported: a graph can be drawn where its coros are not installed.
    """
    try:
        graph = load(Order(file, assignments=assignments or ()), names=False)
    except GraphError as refused:
        refuse(file, refused)
    drawings = {Format.mermaid: Graph.to_mermaid, Format.dot: Graph.to_dot, Format.text: Graph.to_text}
    put(drawings[form](graph).rstrip("\n"))

"""A graph drawn: as Mermaid, in Graphviz' language, and as plain text.

Names come from anybody, so drawings carry them only as escaped labels; the identifiers are n0, n1, ...
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .model import Edge, Node

__all__ = ["dot", "mermaid", "text"]

_MERMAID_SHAPES = {"source": '(["{}"])', "sink": '[["{}"]]', "both": '{{{{"{}"}}}}', "inner": '["{}"]'}
_DOT_SHAPES = {"source": "oval", "sink": "doubleoctagon", "both": "hexagon", "inner": "box"}
_BEYOND_LATIN = 0x2FF


def mermaid(nodes: Mapping[str, Node], edges: Iterable[Edge]) -> str:
    """A Mermaid flowchart from left to right; dead-letter routes are dashed."""
    ids = _ids(nodes)
    lines = ["flowchart LR"]
    for name, node in nodes.items():
        lines.append(f"    {ids[name]}{_MERMAID_SHAPES[_position(node)].format(_mermaid_text(name))}")
    for edge in edges:
        arrow = "-. failed .->" if edge.route else "-->"
        lines.append(f"    {ids[edge.upstream]} {arrow} {ids[edge.downstream]}")
    return "\n".join(lines) + "\n"


def dot(nodes: Mapping[str, Node], edges: Iterable[Edge]) -> str:
    """A Graphviz digraph from left to right; dead-letter routes are dashed."""
    ids = _ids(nodes)
    lines = ["digraph pipelines {", "    rankdir=LR;"]
    for name, node in nodes.items():
        lines.append(f'    {ids[name]} [label="{_dot_text(name)}", shape={_DOT_SHAPES[_position(node)]}];')
    for edge in edges:
        style = ' [style=dashed, label="failed"]' if edge.route else ""
        lines.append(f"    {ids[edge.upstream]} -> {ids[edge.downstream]}{style};")
    return "\n".join([*lines, "}"]) + "\n"


def text(nodes: Mapping[str, Node], edges: Iterable[Edge], order: Sequence[str]) -> str:
    """One line per node by its distance from the sources: where its items come from and go to."""
    levels = dict.fromkeys(nodes, 0)
    targets: dict[str, list[Edge]] = {name: [] for name in nodes}
    for edge in edges:
        targets[edge.upstream].append(edge)
    for name in order:
        for edge in targets[name]:
            levels[edge.downstream] = max(levels[edge.downstream], levels[name] + 1)
    width = min(max(len(readable(name)) for name in nodes), 40)
    lines = []
    for name in sorted(nodes, key=levels.__getitem__):
        words = [f"{levels[name]:>3}  {readable(name):<{width}}", _role(nodes[name])]
        lines.append("  ".join([*words, _flow(targets[name])]).rstrip())
    return "\n".join(lines) + "\n"


def _flow(edges: Sequence[Edge]) -> str:
    items = ", ".join(readable(edge.downstream) for edge in edges if not edge.route)
    failed = ", ".join(readable(edge.downstream) for edge in edges if edge.route)
    return "  ".join(part for part in (items and f"-> {items}", failed and f"failed -> {failed}") if part)


def _role(node: Node) -> str:
    taken = f"{'zip of ' if node.zips else 'merge of ' if node.merges else ''}{len(node.upstreams) + len(node.feeders)}"
    words = "source" if node.is_source else taken if not taken.isdigit() else ""
    return f"{words or ('sink' if node.is_sink else ''):<11}"


def _ids(nodes: Mapping[str, Node]) -> dict[str, str]:
    return {name: f"n{index}" for index, name in enumerate(nodes)}


def _position(node: Node) -> str:
    if node.is_source:
        return "both" if node.is_sink else "source"
    return "sink" if node.is_sink else "inner"


def readable(name: str) -> str:
    """``name`` in printable characters: others are written as Python writes them in a string."""
    return name if name.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def _mermaid_text(name: str) -> str:
    # Everything but letters, digits and a few harmless marks becomes a numbered entity.
    return "".join(c if c.isalnum() or c in " _-." else f"#{ord(c)};" for c in readable(name))


def _dot_text(name: str) -> str:
    # Graphviz reads backslash escapes and HTML entities inside quotes.
    return readable(name).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")

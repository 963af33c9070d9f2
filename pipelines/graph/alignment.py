"""Which zips can pair their inputs by position, and which edges must keep count for them.

Every source starts a stream. A node that keeps its stream hands position ``n`` of its input on as
position ``n`` of its output; a zip of streams belongs to all of them; every other node (a merge, a
generator, completion order, a batch) starts a stream of its own, which descends from every source upstream.
Two inputs of a zip pair by position when they have a stream in common, or no source in common.

Sets of streams and of sources are bit sets in integers, handed on by reference along chains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .model import Node
from .problems import Problems, bare, shown
from .wiring import chain_text

__all__ = ["check_zips", "counted"]

_MOST_EXPLAINED = 20
"""Zips after which paths, each of which may be as long as the graph, are not looked for any more."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a node's output comes from: the streams it belongs to, and all sources upstream."""

    streams: int
    sources: int


def counted(nodes: Mapping[str, Node], order: Sequence[str]) -> set[str]:
    """The nodes whose input positions are counted by a zip: the node itself, or one behind it."""
    found: set[str] = set()
    for name in reversed(order):
        node = nodes[name]
        if node.zips or (node.keeps_stream and not found.isdisjoint(node.downstreams)):
            found.add(name)
    return found


def check_zips(nodes: Mapping[str, Node], order: Sequence[str], problems: Problems) -> None:
    """Note every zip whose inputs cannot be paired by position."""
    origins: dict[str, _Origin] = {}
    wrong: list[tuple[Node, str, str]] = []
    streams = sources = 0
    for name in order:
        node = nodes[name]
        if node.is_source:
            origins[name] = _Origin(1 << streams, 1 << sources)
            streams, sources = streams + 1, sources + 1
            continue
        if node.zips:
            pair = _unpairable([origins[upstream] for upstream in node.upstreams])
            if pair is not None:
                wrong.append((node, node.upstreams[pair[0]], node.upstreams[pair[1]]))
        # Failed items come as a stream of their own: positions on a route count failures.
        if node.keeps_stream and not node.feeders:
            origins[name] = _joined([origins[upstream] for upstream in node.upstreams])
        else:
            inputs = [origins[upstream] for upstream in (*node.upstreams, *node.feeders)]
            origins[name] = _Origin(1 << streams, _joined(inputs).sources)
            streams += 1
    for count, (node, one, other) in enumerate(wrong):
        if count < _MOST_EXPLAINED:
            _explain(nodes, origins, node, (one, other), problems)
        else:
            problems.add("unaligned_zip", ("nodes", node.name), f"{_says(node)}: {bare(one)} and {bare(other)}")


def _says(node: Node) -> str:
    return f"node {shown(node.name)} zips two paths whose items do not correspond one to one"


def _joined(inputs: Sequence[_Origin]) -> _Origin:
    if len(inputs) == 1:
        return inputs[0]
    streams = sources = 0
    for origin in inputs:
        streams |= origin.streams
        sources |= origin.sources
    return _Origin(streams, sources)


def _unpairable(inputs: Sequence[_Origin]) -> tuple[int, int] | None:
    """The first two inputs with a common source but no common stream."""
    common, sources = inputs[0].streams, 0
    for origin in inputs:
        common &= origin.streams
        if origin.sources & sources and not common:
            break
        sources |= origin.sources
    else:
        return None
    distinct = {(origin.streams, origin.sources): index for index, origin in reversed(list(enumerate(inputs)))}
    earlier: list[tuple[int, int, int]] = []
    for (streams, sources), index in sorted(distinct.items(), key=lambda entry: entry[1]):
        for other_streams, other_sources, other in earlier:
            if sources & other_sources and not streams & other_streams:
                return other, index
        earlier.append((streams, sources, index))
    return None


def _explain(
    nodes: Mapping[str, Node],
    origins: Mapping[str, _Origin],
    zipping: Node,
    pair: tuple[str, str],
    problems: Problems,
) -> None:
    shared = origins[pair[0]].sources & origins[pair[1]].sources
    paths = [_path(nodes, origins, upstream, shared & -shared) for upstream in pair]
    breaks = list(dict.fromkeys(name for path in paths for name in path[1:] if _starts_stream(nodes[name])))
    both = " and ".join(chain_text([*path, zipping.name]) for path in paths)
    where = ", ".join(map(bare, breaks[:5]))
    hint = f"positions change at {where}; set aggregate_inputs to false to take items as they come"
    problems.add("unaligned_zip", ("nodes", zipping.name), f"{_says(zipping)}: {both}", hint)


def _starts_stream(node: Node) -> bool:
    return not node.keeps_stream or bool(node.feeders)


def _path(nodes: Mapping[str, Node], origins: Mapping[str, _Origin], name: str, source: int) -> list[str]:
    """One way from a source down to ``name``."""
    path = [name]
    while not nodes[path[-1]].is_source:
        node = nodes[path[-1]]
        path.append(next(up for up in (*node.upstreams, *node.feeders) if origins[up].sources & source))
    return path[::-1]

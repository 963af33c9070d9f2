"""Everything that can be wrong with a graph dict: the codes, and the list that gathers them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from types import MappingProxyType
from typing import Any

from ..errors import GraphError, Problem

__all__ = ["CODES", "SHAPE_CODES", "At", "Problems", "path_text", "shown"]

SHAPE_CODES = MappingProxyType(
    {
        "bad_choice": "a value is none of the words that may stand here",
        "bad_name": "a node's name is empty or, from a stranger, too long or holds unprintable characters",
        "duplicate_edge": "a node lists the same downstream twice",
        "empty_graph": "there are no nodes",
        "missing_key": "a key that must be there is not",
        "out_of_range": "a number is too small, too large or not finite",
        "unknown_key": "a key means nothing here",
        "wrong_type": "a value is of another type than belongs here",
    }
)
"""The codes about shape alone: a dict without any of them is valid under `Graph.json_schema`."""

CODES = MappingProxyType(
    {
        **SHAPE_CODES,
        # wiring
        "cycle": "nodes feed each other in a circle; dead-letter routes count",
        "no_source": "every node has an upstream, so nothing ever starts",
        "route_into_zip": "a node zips its upstreams and receives failed items too",
        "self_loop": "a node is its own downstream or its own dead-letter node",
        "unaligned_zip": "a node zips inputs of common origin whose positions do not correspond",
        "unknown_node": "a name is not in nodes",
        "unreachable": "no source leads to the node",
        # coros and their arguments
        "bad_argument": "an argument's value does not fit the coro's signature",
        "bad_signature": "the coro cannot be called in this place of the graph",
        "missing_argument": "the coro needs an argument that args lacks",
        "missing_coro": "a node with upstreams has no coro",
        "reserved_argument": "an argument has the name of a parameter that is given by position",
        "unknown_argument": "the coro takes no argument of this name",
        "unknown_coro": "coro, setup or cleanup names no known function",
        # properties
        "bad_executor": "the coro cannot run on this executor",
        "missing_host": "other nodes say which host runs them, this one does not",
        "source_property": "the property has no meaning on a source",
        "unknown_executor": "there is no executor of this name",
        # graphs from strangers
        "bad_key": "a key of an object is not text",
        "bad_text": "text holds half a surrogate pair, which no encoding can carry",
        "duplicate_key": "an object holds the same key twice",
        "forbidden_executor": "the executor is not open to strangers",
        "forbidden_host": "strangers do not say which host runs a node",
        "huge_number": "an integer needs more than 64 bits",
        "invalid_json": "the text is not JSON",
        "invalid_utf8": "the bytes are not UTF-8",
        "not_finite": "NaN and infinity are not JSON",
        "not_json": "a value has no form in JSON, for example a function",
        "over_limit": "a property's value is over the limit for strangers",
        "too_deep": "lists and objects are nested too deeply",
        "too_large": "the graph, a text in it or the arguments of a node are too large",
        "too_many_edges": "there are too many edges, or too many at one node",
        "too_many_nodes": "there are too many nodes",
        "too_many_problems": "there are more problems than are listed",
    }
)
"""Every code that a `Problem` can bear, with its meaning. Codes are stable; messages are not."""

At = tuple[str | int, ...]
"""Where in the dict: keys and positions, from the outside in."""

_PLAIN = re.compile(r"[^\W\d][\w-]*")
_LONGEST_GUESS = 64
_LONGEST_LIST = 20


class Problems:
    """Gathers the problems of one dict, and spends a bounded effort on hints.

    Args:
        limit: Refuse the dict as soon as so many problems are found; None gathers all of them.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._found: list[Problem] = []
        self._limit = limit
        # Comparing names costs time by the product of their lengths; strangers get little of it.
        self._effort = 2_000_000 if limit is None else 60_000

    def __len__(self) -> int:
        return len(self._found)

    def add(self, code: str, at: At, message: str, hint: str = "") -> None:
        """Note one problem.

        Raises:
            GraphError: The limit is reached; it carries everything found so far.
        """
        self._found.append(Problem(code, path_text(at), message, hint))
        if self._limit is not None and len(self._found) >= self._limit:
            more = f"these are the first {self._limit} problems; there may be more"
            self._found.append(Problem("too_many_problems", "", more))
            self.refuse()

    def extend(self, found: Iterable[Problem]) -> None:
        """Note problems that were found elsewhere."""
        self._found.extend(found)

    def refuse(self) -> None:
        """Raise `GraphError` if anything was found."""
        if self._found:
            raise GraphError(self._found)

    def choices(self, wrong: object, right: Collection[str], what: str) -> str:
        """A hint that names the nearest of the right words, and all of them when they are few."""
        near = self._nearest(wrong, right) if isinstance(wrong, str) else []
        guess = f"did you mean {' or '.join(map(shown, near))}?" if near else ""
        longest = _LONGEST_LIST if not guess else _LONGEST_LIST // 2
        words = f"{what}: {', '.join(map(bare, right))}" if 0 < len(right) <= longest else ""
        return " ".join(part for part in (guess, words) if part)

    def _nearest(self, wrong: str, right: Collection[str]) -> list[str]:
        if len(wrong) > _LONGEST_GUESS or self._effort <= 0:
            return []
        near = [word for word in right if abs(len(word) - len(wrong)) <= 3 + len(wrong) // 2]
        self._effort -= sum(map(len, near)) * max(len(wrong), 1)
        return difflib.get_close_matches(wrong, near, n=2) if self._effort >= 0 else []


def path_text(at: At) -> str:
    """``at`` as people write it: ``nodes.rev.args.items[3]``; strange names are quoted."""
    return "".join(map(_step, at)).removeprefix(".")


def _step(part: str | int) -> str:
    if isinstance(part, str) and len(part) <= _LONGEST_GUESS and _PLAIN.fullmatch(part):
        return f".{part}"
    return f"[{shown(part)}]"


def shown(value: Any, longest: int = 80) -> str:
    """``value`` in a message: short, in printable characters, and without calling its code."""
    if isinstance(value, str):
        return repr(str(value[:longest]) + ("…" if len(value) > longest else ""))
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return repr(int(value)) if value.bit_length() <= 128 else "a huge integer"
    kind = type(value).__name__[:longest]
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def bare(name: str) -> str:
    """A name in a list of names: quoted only where it would be unreadable otherwise."""
    return name if len(name) <= _LONGEST_GUESS and name.isprintable() and name else shown(name)

"""The only door for graphs from strangers.

Whatever is sent, the answer is a `Graph` within the limits or a `GraphError`, and comes within milliseconds:
sizes are looked at first, walks have no recursion and end where a limit is passed, and effort is bounded.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

from .errors import GraphError, Problem
from .graph import Graph, Properties
from .graph.graph import assembled
from .graph.problems import At, Problems, shown
from .graph.reader import PROBLEM_LIMIT, read_graph
from .limits import Limits
from .registry import Registry
from .types import Coro, GraphDict

__all__ = ["decode", "read_untrusted"]

_LARGEST_INTEGER = 2**64 - 1
_MOST_DIGITS = 21
"""The sign and the digits of the largest integer."""

_MANY_DIGITS = re.compile(f"(?<![0-9])[0-9]{{{_MOST_DIGITS}}}")
# The closing quote may be missing, so that there is never a reason to go back and try again.
_TEXTS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_BRACKETS = re.compile(r"[\[\]{}]")
_CONTAINERS = frozenset({dict, list, tuple})


def read_untrusted(
    data: GraphDict | str | bytes,
    registry: Registry | Mapping[str, Coro],
    limits: Limits | None = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    executors: Collection[str] = (),
) -> Graph:
    """Read a graph from somebody who is not trusted.

    Coros, setups and cleanups are names of ``registry`` and nothing else, arguments are checked
    strictly, and whatever exceeds ``limits`` is refused, values that come from defaults too.

    Args:
        data: The graph dict, or its JSON as text or bytes.
        registry: The functions that may be named. Nothing that imports or computes them is accepted.
        limits: How much the graph may ask for.
        defaults: The program's own properties for nodes that do not set them.
        executors: Names of executors that the program gives, besides the usual ones; see `Limits.executors`.

    Raises:
        GraphError: With stable codes. Nothing else is raised for any ``data``.
        TypeError: ``registry`` is no table of names.
    """
    limits = limits or Limits()
    table = _table(registry)
    plain = decode(data, limits)
    parts = read_graph(
        plain,
        table,
        defaults=defaults,
        strict=True,
        name_length=limits.name_length,
        inspect=_inspector(limits),
        executors=executors,
    )
    return assembled(parts)


def _table(registry: Registry | Mapping[str, Coro]) -> Registry:
    if isinstance(registry, Registry):
        return registry
    if not isinstance(registry, Mapping):
        raise TypeError(f"graphs from strangers need a Registry or a mapping, not {type(registry).__name__}")
    table = Registry()
    table.update(registry)
    return table


def decode(data: GraphDict | str | bytes, limits: Limits | None = None) -> dict[str, Any]:
    """Turn what a stranger sent into plain JSON values, or refuse it.

    The result is made of dict, list, str, int, float, bool and None alone, shares nothing with
    ``data``, has no more nodes and edges, is no larger and no deeper than ``limits`` say, and holds
    no text that cannot be encoded.

    Raises:
        GraphError: With stable codes. Nothing else is raised for any ``data``.
    """
    limits = limits or Limits()
    # Exact types: a subclass may do anything when it is looked at.
    found: Any = data
    if type(found) in (bytes, bytearray, memoryview):
        found = _text(found, limits)
    sent_as_text = type(found) is str
    if sent_as_text:
        found = _parsed(found, limits)
    if type(found) is not dict:
        _refuse("wrong_type", f"a graph is an object with nodes and graph, not {shown(found)}")
    _check_counts(found, limits)
    _Walk(limits).over(found)
    # What was parsed here is nobody else's; what was given is copied, and becomes exactly what its JSON says.
    plain: dict[str, Any] = found if sent_as_text else json.loads(json.dumps(found))
    return plain


def _refuse(code: str, message: str) -> NoReturn:
    raise GraphError([Problem(code, "", message)])


def _refuse_size(limits: Limits) -> NoReturn:
    _refuse("too_large", f"the graph has more than {limits.bytes} bytes")


def _refuse_depth(limits: Limits) -> NoReturn:
    _refuse("too_deep", f"lists and objects are nested more than {limits.depth} deep")


def _text(data: bytes | bytearray | memoryview, limits: Limits) -> str:
    if memoryview(data).nbytes > limits.bytes:
        _refuse_size(limits)
    try:
        return bytes(data).decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse("invalid_utf8", f"byte {error.start} of the graph is not UTF-8")


class _DuplicateKeyError(ValueError):
    """An object has the key ``args[0]`` twice."""


class _HugeNumberError(ValueError):
    """An integer has more digits than anybody should have to turn into a number."""


class _NotFiniteError(ValueError):
    """``args[0]`` stands where a number should."""


def _parsed(text: str, limits: Limits) -> Any:
    if len(text) > limits.bytes or (not text.isascii() and len(text.encode("utf-8", "replace")) > limits.bytes):
        _refuse_size(limits)
    if sum(map(text.count, ",[{")) > limits.values:
        _skim(_TEXTS.sub("", text), limits)
    # Asking about every integer takes as long as all the rest, so it is done only where it may matter.
    parse_int = _integer if _MANY_DIGITS.search(text) else None
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_int=parse_int, parse_constant=_constant)
    except _DuplicateKeyError as error:
        _refuse("duplicate_key", f"an object has the key {shown(error.args[0])} twice")
    except _HugeNumberError:
        _refuse("huge_number", "an integer in the graph needs more than 64 bits")
    except _NotFiniteError as error:
        _refuse("not_finite", f"{error.args[0]} is not JSON")
    except RecursionError:
        _refuse_depth(limits)
    except ValueError as error:
        _refuse("invalid_json", f"the text is not JSON: {str(error)[:200]}")


def _skim(bare: str, limits: Limits) -> None:
    """Refuse JSON text that must be too deep or hold too much, by what is outside of its texts: commas and brackets.

    Reading it all would take several times longer.
    """
    depth = 0
    for seen, bracket in enumerate(_BRACKETS.finditer(bare)):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > limits.depth:
            _refuse_depth(limits)
        if seen > 2 * limits.values:
            break
    else:
        if bare.count(",") <= limits.values:
            return
    _refuse("too_large", f"the graph holds more than {limits.values} values")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _DuplicateKeyError(Counter(key for key, _ in pairs).most_common(1)[0][0])
    return made


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise _HugeNumberError
    return int(text)


def _constant(name: str) -> NoReturn:
    raise _NotFiniteError(name)


_Place = tuple[Any, "_Place | None", str | int]
"""A list or object, the place that holds it, and its key or position there."""


class _Walk:
    """Looks at every value, level by level, and stops where a limit is passed."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._problems = Problems(PROBLEM_LIMIT)
        self._bytes = limits.bytes
        self._values = limits.values
        self._below: list[_Place] = []

    def over(self, data: dict[Any, Any]) -> None:
        """Note everything that is not plain JSON, and refuse it."""
        level: list[_Place] = [(data, None, "")]
        depth = 1
        while level:
            if depth > self._limits.depth:
                message = f"lists and objects are nested more than {self._limits.depth} deep"
                self._stop("too_deep", _at(level[0])[:8], message)
            self._below = []
            for place in level:
                self._look_into(place)
            level = self._below
            depth += 1
        self._problems.refuse()

    def _look_into(self, place: _Place) -> None:
        container = place[0]
        self._values -= len(container)
        if self._values < 0:
            self._stop("too_large", (), f"the graph holds more than {self._limits.values} values")
        if type(container) is not dict:
            for position, value in enumerate(container):
                self._look_at(value, place, position)
            return
        for key, value in container.items():
            if type(key) is str:
                self._look_at_text(key, place, key)
                self._look_at(value, place, key)
            else:
                message = f"the keys of an object must be text, not {shown(key)}"
                self._problems.add("bad_key", _at(place), message)

    def _look_at(self, value: Any, place: _Place, step: str | int) -> None:
        kind = type(value)
        if kind is str:
            self._look_at_text(value, place, step)
        elif kind in _CONTAINERS:
            self._below.append((value, place, step))
        elif kind is int:
            if not -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER:
                self._problems.add("huge_number", (*_at(place), step), "the integer needs more than 64 bits")
        elif kind is float:
            if not math.isfinite(value):
                self._problems.add("not_finite", (*_at(place), step), f"{value!r} is not JSON")
        elif value is not None and kind is not bool:
            self._problems.add("not_json", (*_at(place), step), f"{shown(value)} has no form in JSON")

    def _look_at_text(self, text: str, place: _Place, step: str | int) -> None:
        self._bytes -= len(text)
        if self._bytes < 0:
            self._stop("too_large", (), f"the graph has more than {self._limits.bytes} bytes")
        if not text.isascii() and _HALF_PAIR.search(text):
            self._problems.add("bad_text", (*_at(place), step), "the text holds half a surrogate pair")

    def _stop(self, code: str, at: At, message: str) -> None:
        self._problems.add(code, at, message)
        self._problems.refuse()


def _at(place: _Place) -> At:
    steps: list[str | int] = []
    while place[1] is not None:
        steps.append(place[2])
        place = place[1]
    return tuple(reversed(steps))


def _check_counts(found: dict[Any, Any], limits: Limits) -> None:
    """Refuse too many nodes and edges, which is seen at a glance, before every value is looked at."""
    problems = Problems(PROBLEM_LIMIT)
    nodes, graph = (part if type(part) is dict else {} for part in (found.get("nodes"), found.get("graph")))
    for key, part in (("nodes", nodes), ("graph", graph)):
        if len(part) > limits.nodes:
            problems.add("too_many_nodes", (key,), f"{key} has {len(part)} nodes, more than {limits.nodes}")
    problems.refuse()
    lists = {name: targets for name, targets in graph.items() if type(targets) in (list, tuple)}
    routes = _routes(nodes)
    edges = sum(map(len, lists.values())) + len(routes)
    if edges > limits.edges:
        problems.add("too_many_edges", ("graph",), f"{edges} edges are more than {limits.edges}")
    problems.refuse()
    incoming = Counter(target for targets in lists.values() for target in targets if type(target) is str)
    incoming.update(routes)
    for what, counts in (("from", {name: len(targets) for name, targets in lists.items()}), ("to", incoming)):
        for name, count in counts.items():
            if count > limits.degree:
                message = f"{count} edges {what} node {shown(name)} are more than {limits.degree}"
                problems.add("too_many_edges", ("graph", name), message)
    problems.refuse()


def _routes(nodes: dict[str, Any]) -> list[str]:
    found = []
    for entry in nodes.values():
        value: Any = entry
        for key in ("properties", "on_error", "route"):
            value = value.get(key) if type(value) is dict else None
        if type(value) is str:
            found.append(value)
    return found


_Bounded = Callable[[Properties], Any]

_BOUNDS: tuple[tuple[str, str, _Bounded], ...] = (
    ("queue_size", "queue_size", lambda p: p.queue_size),
    ("concurrency", "concurrency", lambda p: p.concurrency),
    ("batch.size", "batch_size", lambda p: p.batch and p.batch.size),
    ("batch.timeout", "seconds", lambda p: p.batch and p.batch.timeout),
    ("retry.attempts", "attempts", lambda p: p.retry and p.retry.attempts),
    ("retry.backoff", "seconds", lambda p: p.retry and p.retry.backoff),
    ("retry.max_backoff", "seconds", lambda p: p.retry and p.retry.max_backoff),
    ("timeout", "seconds", lambda p: p.timeout),
    ("rate", "seconds", lambda p: p.rate and 1 / p.rate),
)
"""What is bounded: the property, the limit, and the value that the limit bounds."""


def _inspector(limits: Limits) -> Callable[[str, Properties, Mapping[str, Any], Problems], None]:
    bounds = [(tuple(path.split(".")), getattr(limits, limit), read) for path, limit, read in _BOUNDS]

    def inspect(name: str, properties: Properties, args: Mapping[str, Any], problems: Problems) -> None:
        for path, bound, read in bounds:
            value = read(properties)
            if value is not None and value > bound:
                message = f"{'.'.join(path)} of node {shown(name)} is over the limit"
                hint = f"at most {bound}" if path != ("rate",) else f"at least one call in {bound} seconds"
                problems.add("over_limit", ("nodes", name, "properties", *path), message, hint)
        if properties.host is not None:
            message = f"node {shown(name)} asks for the host {shown(properties.host)}"
            problems.add("forbidden_host", ("nodes", name, "properties", "host"), message, "leave host out")
        if properties.executor not in limits.executors:
            message = f"node {shown(name)} asks for the executor {shown(properties.executor)}"
            hint = f"open to strangers are: {', '.join(sorted(limits.executors))}"
            problems.add("forbidden_executor", ("nodes", name, "properties", "executor"), message, hint)
        if args and len(json.dumps(args, ensure_ascii=False, separators=(",", ":")).encode()) > limits.arg_bytes:
            message = f"the args of node {shown(name)} have more than {limits.arg_bytes} bytes"
            problems.add("too_large", ("nodes", name, "args"), message)

    return inspect

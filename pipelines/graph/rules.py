"""What may stand at each place of a graph dict: one table, read by the parser and told as JSON Schema.

A rule answers both questions about a value, so that they cannot drift apart: `read` checks it, notes
what is wrong and returns what the graph keeps; `schema` says the same in JSON Schema, draft 2020-12.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

from ..retry import Retry
from .model import Batch, Route
from .problems import At, Problems, shown

__all__ = ["MAX_NUMBER", "OBJECT", "PROPERTIES", "WRONG", "Rule", "read_fields", "unknown_key"]

MAX_NUMBER = 2**53
"""Numbers in a graph dict are exact in every JSON implementation, and add up on every clock."""


OBJECT: Final = (dict, Mapping)
"""For `isinstance`: what JSON calls an object. Asking for dict first is several times cheaper."""


class _Wrong:
    """What `read` returns for a value that was refused."""


WRONG: Final = _Wrong()


class Rule(Protocol):
    """What may stand at one place."""

    def read(self, value: Any, at: At, problems: Problems) -> Any:
        """Check ``value``; the value to keep, or `WRONG` after noting why it is refused."""
        ...

    def schema(self) -> dict[str, Any]:
        """The JSON Schema that accepts exactly the JSON values that `read` accepts."""
        ...


def _refuse(problems: Problems, at: At, value: Any, wanted: str, code: str = "wrong_type") -> Any:
    name = at[-1] if at else "the graph"
    problems.add(code, at, f"{name} must be {wanted}, not {shown(value)}")
    return WRONG


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer from ``minimum`` on; ``2.0`` is one, as in JSON Schema, ``True`` and ``2.5`` are none."""

    minimum: int

    def read(self, value: Any, at: At, problems: Problems) -> Any:
        if type(value) is bool or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
            return _refuse(problems, at, value, f"an integer of at least {self.minimum}")
        if value < self.minimum:
            return _refuse(problems, at, value, f"an integer of at least {self.minimum}", "out_of_range")
        if value > MAX_NUMBER:
            return _refuse(problems, at, value, f"an integer of at most {MAX_NUMBER}", "out_of_range")
        return int(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.minimum, "maximum": MAX_NUMBER}


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number, zero and more, or more than zero."""

    zero: bool

    def read(self, value: Any, at: At, problems: Problems) -> Any:
        wanted = "a number of at least 0" if self.zero else "a number greater than 0"
        if type(value) is bool or not isinstance(value, (int, float)):
            return _refuse(problems, at, value, wanted)
        if not (value > 0 or (value == 0 and self.zero)):  # NaN is neither
            return _refuse(problems, at, value, wanted, "out_of_range")
        if value > MAX_NUMBER:
            return _refuse(problems, at, value, f"a number of at most {MAX_NUMBER}", "out_of_range")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum" if self.zero else "exclusiveMinimum": 0, "maximum": MAX_NUMBER}


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def read(self, value: Any, at: At, problems: Problems) -> Any:
        return value if value is True or value is False else _refuse(problems, at, value, "true or false")

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, value: Any, at: At, problems: Problems) -> Any:
        if isinstance(value, str):
            if value in self.words:
                return value
            problems.add(
                "bad_choice",
                at,
                f"unknown {at[-1]} {shown(value)}",
                problems.choices(value, self.words, "it is one of"),
            )
            return WRONG
        return _refuse(problems, at, value, "one of " + ", ".join(map(repr, self.words)))

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Name:
    """Text of at least one character."""

    def read(self, value: Any, at: At, problems: Problems) -> Any:
        return value if isinstance(value, str) and value else _refuse(problems, at, value, "a name")

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class Function:
    """A function, or the name of one."""

    def read(self, value: Any, at: At, problems: Problems) -> Any:
        fits = value if isinstance(value, str) else callable(value)
        return value if fits else _refuse(problems, at, value, "a function or the name of one")

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class Optional:
    """What ``rule`` accepts, or nothing."""

    rule: Rule

    def read(self, value: Any, at: At, problems: Problems) -> Any:
        return None if value is None else self.rule.read(value, at, problems)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.rule.schema(), {"type": "null"}]}


@dataclass(frozen=True, slots=True)
class Record:
    """An object with these fields and no others, made into what ``build`` returns."""

    build: Callable[..., Any]
    fields: Mapping[str, Rule]
    required: Sequence[str] = ()

    def read(self, value: Any, at: At, problems: Problems) -> Any:
        if not isinstance(value, OBJECT):
            return _refuse(problems, at, value, f"an object with {', '.join(self.fields)}")
        before = len(problems)
        values = read_fields(value, self.fields, at, problems)
        for key in self.required:
            if key not in value:
                problems.add("missing_key", (*at, key), f"{at[-1]} lacks {key}")
        return self.build(**values) if len(problems) == before else WRONG

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {key: rule.schema() for key, rule in self.fields.items()},
            "required": list(self.required),
            "additionalProperties": False,
        }


@dataclass(frozen=True, slots=True)
class Amounts:
    """An object of numbers under any names."""

    each: Rule = field(default_factory=lambda: Number(zero=True))

    def read(self, value: Any, at: At, problems: Problems) -> Any:
        if not isinstance(value, OBJECT):
            return _refuse(problems, at, value, "an object of numbers")
        before = len(problems)
        amounts = {}
        for key, amount in value.items():
            if not isinstance(key, str):
                problems.add("wrong_type", at, f"the names in {at[-1]} must be text, not {shown(key)}")
                continue
            amounts[key] = self.each.read(amount, (*at, key), problems)
        return MappingProxyType(amounts) if len(problems) == before else WRONG

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.each.schema()}


@dataclass(frozen=True, slots=True)
class OnError:
    """``"fail"``, ``"skip"`` or ``{"route": node}``."""

    words: Choice = Choice(("fail", "skip"))
    route: Record = Record(lambda route: Route(route), {"route": Name()}, required=("route",))

    def read(self, value: Any, at: At, problems: Problems) -> Any:
        if isinstance(value, (str, Mapping)):
            return (self.words if isinstance(value, str) else self.route).read(value, at, problems)
        return _refuse(problems, at, value, "'fail', 'skip' or {'route': node}")

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.words.schema(), self.route.schema()]}


def read_fields(given: Mapping[Any, Any], rules: Mapping[str, Rule], at: At, problems: Problems) -> dict[str, Any]:
    """The values of an object's fields, those that are right; the rest is noted."""
    values = {}
    for key, value in given.items():
        rule = rules.get(key) if isinstance(key, str) else None
        if rule is None:
            unknown_key(key, rules, at, problems)
            continue
        kept = rule.read(value, (*at, key), problems)
        if kept is not WRONG:
            values[key] = kept
    return values


def unknown_key(key: object, rules: Mapping[str, Any], at: At, problems: Problems) -> None:
    """Note a key that means nothing here, with the nearest that do."""
    where = f" in {at[-1]}" if at else ""
    path = (*at, key) if isinstance(key, str) else at
    hint = problems.choices(key, list(rules), "there are" if len(rules) > 1 else "there is")
    problems.add("unknown_key", path, f"unknown key {shown(key)}{where}", hint)


PROPERTIES: Mapping[str, Rule] = {
    "aggregate_inputs": Flag(),
    "concurrency": Integer(minimum=1),
    "order": Choice(("input", "completion")),
    "queue_size": Integer(minimum=1),
    "overflow": Choice(("block", "drop_new", "drop_old")),
    "on_error": OnError(),
    "retry": Optional(
        Record(
            Retry,
            {
                "attempts": Integer(minimum=1),
                "backoff": Number(zero=True),
                "max_backoff": Number(zero=True),
                "jitter": Flag(),
            },
        )
    ),
    "timeout": Optional(Number(zero=False)),
    "rate": Optional(Number(zero=False)),
    "batch": Optional(
        Record(Batch, {"size": Integer(minimum=1), "timeout": Optional(Number(zero=False))}, required=("size",))
    ),
    "executor": Name(),
    "num_cpus": Optional(Number(zero=True)),
    "num_gpus": Optional(Number(zero=True)),
    "resources": Optional(Amounts()),
    "host": Optional(Name()),
    "setup": Optional(Function()),
    "cleanup": Optional(Function()),
}
"""The rule of every property of a node."""

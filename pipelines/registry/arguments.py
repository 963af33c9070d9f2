"""What a coro's arguments must be: read from its signature, checked by pydantic.

Every parameter is checked by itself and under its own name, so that an argument may bear any name a
parameter may bear. The checks are made when a graph first needs them.
"""

from __future__ import annotations

import functools
import inspect
import json
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Optional

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from ..signature import call_shape, innermost, is_model, plain_function, signature_of
from ..types import Coro

__all__ = ["ArgumentProblem", "ArgumentSchema", "Role"]

Role = Literal["source", "processor", "either"]

ArgumentProblem = tuple[tuple[str | int, ...], str]
"""Where a problem is, from the argument's name into its value, and what is wrong."""

_MOST_TOLD = 50
"""Problems of one argument that are told one by one; more of them are only counted."""


@dataclass(frozen=True)
class _Parameter:
    name: str
    annotation: Any
    default: Any
    required: bool

    @functools.cached_property
    def adapter(self) -> TypeAdapter[Any] | None:
        """What checks its values; None when anything may be given."""
        return _adapter(self.annotation)

    def check(self, value: Any, *, strict: bool) -> Any:
        """The value to use; raises whatever pydantic, json or an annotation's own code raise."""
        if not strict:
            return value if self.adapter is None else self.adapter.validate_python(value)
        text = json.dumps(value, allow_nan=False)
        return json.loads(text) if self.adapter is None else self.adapter.validate_json(text, strict=True)


class ArgumentSchema:
    """The arguments of one coro: their names, types and defaults.

    Attributes:
        role: Whether it is a source or a processor, as far as its signature tells.
    """

    def __init__(self, function: Coro) -> None:
        self._function = plain_function(function)
        self._lifted = self._function is not function
        parameters = _parameters(self._function)
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        kind, model = call_shape(function).kind, is_model(function)
        self.role: Role = "processor" if self._lifted or model else _role(kind, positional, _names(self._function))
        leading = 1 if self._lifted else 0 if model else _leading(kind, self.role)
        # A parameter that an item may take cannot be demanded by name.
        open_ended = positional[leading:] if self._lifted else positional[leading:2] if self.role == "either" else []
        self._named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        self._named = [p for p in self._named if p not in positional[:leading] and not (model and p.name == "context")]
        self._optional = {p.name for p in open_ended}
        self._rest = next((p for p in parameters if p.kind is p.VAR_KEYWORD), None)

    @functools.cached_property
    def _checks(self) -> dict[str, _Parameter]:
        return {p.name: self._parameter(p) for p in self._named}

    @functools.cached_property
    def _rest_check(self) -> _Parameter | None:
        return None if self._rest is None else self._parameter(self._rest)

    def _parameter(self, parameter: inspect.Parameter) -> _Parameter:
        annotation = _annotation(parameter, _names(self._function))
        free = parameter.name in self._optional or parameter.kind is parameter.VAR_KEYWORD
        required = parameter.default is parameter.empty and not free
        return _Parameter(parameter.name, annotation, parameter.default, required)

    def validate(self, args: Mapping[str, Any], *, strict: bool) -> tuple[dict[str, Any], list[ArgumentProblem]]:
        """The arguments as the coro gets them, and what is wrong with them; see `Registry.validate_args`."""
        values = dict(args)
        problems: list[ArgumentProblem] = []
        for name, value in args.items():
            parameter = self._checks.get(name, self._rest_check)
            if parameter is None:
                problems.append(((name,), f"unknown argument {_short(name)}"))
                continue
            try:
                values[name] = parameter.check(value, strict=strict)
            except Exception as error:  # an annotation may bring validators of its own
                problems += _explained(name, error)
        for name, parameter in self._checks.items():
            if parameter.required and name not in args:
                problems.append(((name,), f"missing argument {name!r}"))
        return values, problems

    def json_schema(self) -> dict[str, Any]:
        """The arguments as the JSON Schema of an object."""
        checks = self._checks
        schemas, definitions = _json_schemas(checks.values())
        for name, parameter in checks.items():
            default = _json_default(parameter)
            if default is not parameter:
                schemas[name] = {**schemas[name], "default": default}
        rest = self._rest_check
        schema: dict[str, Any] = {
            "type": "object",
            "properties": schemas,
            "required": [name for name, parameter in checks.items() if parameter.required],
            "additionalProperties": False if rest is None else next(iter(_json_schemas([rest])[0].values())) or True,
        }
        return {**schema, "$defs": definitions} if definitions else schema


def _parameters(function: Coro) -> list[inspect.Parameter]:
    signature = signature_of(function)
    if signature is None:
        anything = inspect.Parameter("args", inspect.Parameter.VAR_KEYWORD)
        return [anything]
    return list(signature.parameters.values())


def _names(function: Coro) -> dict[str, Any]:
    """The names that the function's annotations may use."""
    return getattr(innermost(function), "__globals__", {})


def _leading(kind: str, role: Role) -> int:
    if role == "processor" or kind == "coroutine":
        return 2
    return 1


def _role(kind: str, positional: list[inspect.Parameter], names: dict[str, Any]) -> Role:
    """Source or processor: told by the name of the second parameter, or by a type that ``q_elt`` never has."""
    if len(positional) < 2:
        return "source"
    second = positional[1]
    if second.name in ("q_elt", "output_q"):
        return "processor" if second.name == "q_elt" else "source"
    annotation = _annotation(second, names)
    type_ = typing.get_origin(annotation) or annotation
    if type_ is tuple:
        return "processor"
    never_a_tuple = annotation is not Any and isinstance(type_, type) and not issubclass(tuple, type_)
    return "source" if never_a_tuple and kind != "coroutine" else "either"


def _annotation(parameter: inspect.Parameter, names: dict[str, Any]) -> Any:
    """The parameter's annotation, evaluated; `Any` when there is none or it cannot be."""
    if parameter.annotation is parameter.empty:
        return Any
    probe = types.FunctionType((lambda: None).__code__, names)
    probe.__annotations__ = {"value": parameter.annotation}
    try:
        annotation = typing.get_type_hints(probe, include_extras=True)["value"]
        return Optional[annotation] if parameter.default is None else annotation  # noqa: UP045 - made at run time
    except Exception:  # for example a name that is only imported for type checkers
        return Any


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    if annotation is Any or annotation is inspect.Parameter.empty:
        return None
    try:
        try:
            adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
        except PydanticUserError:  # a model or dataclass has a configuration of its own
            adapter = TypeAdapter(annotation)
        return adapter if adapter.pydantic_complete else None
    except Exception:  # no type that can be checked
        return None


def _explained(name: str, error: Exception) -> list[ArgumentProblem]:
    if isinstance(error, ValidationError):
        return _told(name, error)
    if isinstance(error, RecursionError):
        return [((name,), f"argument {_short(name)} is nested too deeply")]
    return [((name,), f"argument {_short(name)} is refused: {_short_text(str(error))}")]


def _told(name: str, error: ValidationError) -> list[ArgumentProblem]:
    if error.error_count() > _MOST_TOLD:
        return [((name,), f"argument {_short(name)} is wrong in {error.error_count()} places")]
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [((name, *each["loc"]), f"argument {_short(name)}: {_lowered(each['msg'])}") for each in found]


def _lowered(text: str) -> str:
    return _short_text(text[:1].lower() + text[1:])


def _short_text(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"


def _short(name: str) -> str:
    return repr(_short_text(name))


def _json_schemas(parameters: Iterable[_Parameter]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON Schema of each parameter by name, ``{}`` where anything goes, and the shared definitions."""
    listed = list(parameters)
    schemas: dict[str, Any] = {p.name: {} for p in listed}
    typed = [(p.name, "validation", p.adapter) for p in listed if p.adapter is not None and _has_json_schema(p.adapter)]
    if not typed:
        return schemas, {}
    found, definitions = TypeAdapter.json_schemas(typed)  # type: ignore[arg-type]
    for (name, _), schema in found.items():
        schemas[str(name)] = schema
    return schemas, definitions.get("$defs", {})


def _has_json_schema(adapter: TypeAdapter[Any]) -> bool:
    try:
        adapter.json_schema()
    except Exception:  # a type of the program's own, which JSON has no form for
        return False
    return True


def _json_default(parameter: _Parameter) -> Any:
    """The parameter's default as JSON; the parameter itself when there is none."""
    if parameter.default is inspect.Parameter.empty:
        return parameter
    try:
        default = to_jsonable_python(parameter.default)
        json.dumps(default, allow_nan=False)
    except Exception:  # a default of the program's own, which JSON has no form for
        return parameter
    return default

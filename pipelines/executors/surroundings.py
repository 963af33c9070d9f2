"""What a worker process shares with its parent besides values: context variables, and logging.

Context variables that have a value when the graph starts have it in the workers, too, if the variable
stands in some module and the value can be pickled; what a worker sets stays there. Log records go to
the loggers of the parent, as text, and from there to its handlers.
"""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Callable, Mapping
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

__all__ = ["LogSender", "Surroundings", "hand_on", "surroundings_here"]


@dataclass
class Surroundings:
    """Of one run, as they travel to a worker.

    Attributes:
        variables: Values of context variables, by module and name there.
        levels: The levels of loggers, by name; the root's is called "".
    """

    variables: Mapping[tuple[str, str], Any]
    levels: Mapping[str, int]

    @cached_property
    def context(self) -> Context:
        """The context in which everything of the run is called here."""
        context = copy_context()
        for (module, name), value in self.variables.items():
            context.run(getattr(import_module(module), name).set, value)
        return context

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call ``function`` in the run's context."""
        return self.context.run(function, *args)

    def adopt_levels(self) -> None:
        """Log here what would be logged in the parent."""
        for name, level in self.levels.items():
            logging.getLogger(name).setLevel(level)


def surroundings_here() -> Surroundings:
    """What workers of a run that is started here and now should share."""
    return Surroundings(_variables(copy_context()), _levels())


def _variables(context: Context) -> dict[tuple[str, str], Any]:
    wanted = {id(variable): value for variable, value in context.items() if _is_portable(value)}
    found: dict[tuple[str, str], Any] = {}
    if wanted:
        for module_name, module in list(sys.modules.items()):
            for name, value in list(getattr(module, "__dict__", {}).items()):
                if type(value) is ContextVar and id(value) in wanted:
                    found[module_name, name] = wanted.pop(id(value))
    return found


def _is_portable(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:
        return False
    return True


def _levels() -> dict[str, int]:
    root = logging.getLogger()
    loggers = root.manager.loggerDict
    named = {name: each.level for name, each in loggers.items() if isinstance(each, logging.Logger) and each.level}
    return {"": root.level, **named}


class LogSender(logging.Handler):
    """Hands log records to the parent process, as text.

    Args:
        send: Is given each record, pickled.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        try:
            if record.exc_info:
                logging.Formatter().format(record)  # leaves the traceback as text in the record
            fields = {**record.__dict__, "msg": record.getMessage(), "args": None, "exc_info": None}
            self._send(pickle.dumps({name: value for name, value in fields.items() if _is_portable(value)}))
        except Exception:
            self.handleError(record)


def hand_on(pickled: bytes | memoryview) -> None:
    """Log a record of a worker here."""
    record = logging.makeLogRecord(pickle.loads(pickled))
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)

"""Making sure that what a worker has to say can be said: exceptions and results that cannot be pickled."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from typing import Any

from ..errors import RemoteError, TravelError, shortened
from .base import Failure

__all__ = ["portable", "sendable", "why_not"]


def portable(error: BaseException, what: str = "", dumps: Callable[[Any], bytes] = pickle.dumps) -> BaseException:
    """The exception as it can travel to the parent process, with the worker's traceback in a note.

    Args:
        what: Said in front of the error's own message, if anything is to be said.
        dumps: Pickles on that way.
    """
    text = "".join(traceback.format_exception(error)).rstrip()
    if what:
        told: BaseException = TravelError(f"{what}: {type(error).__name__}: {shortened(error, str)}")
    elif isinstance(error, Exception) and _survives(error, dumps):
        told = error
    else:
        told = RemoteError(type(error).__name__, shortened(error, str, 2000))
    told.add_note(f"In worker process {os.getpid()}:\n{text}")
    return told


def _survives(error: BaseException, dumps: Callable[[Any], bytes]) -> bool:
    try:
        return type(pickle.loads(dumps(error))) is type(error)
    except Exception:
        return False


def sendable(outcome: Any) -> Any:
    """The outcome of a call, or a failure if it cannot be pickled."""
    why = why_not(outcome)
    if not why:
        return outcome
    return Failure(TravelError(f"the result, a {type(outcome).__name__}, cannot leave its worker process: {why}"))


def why_not(value: Any) -> str:
    """Why ``value`` cannot be pickled; empty if it can."""
    try:
        pickle.dumps(value, 5, buffer_callback=lambda _: False)
    except Exception as error:
        return f"{type(error).__name__}: {shortened(error, str)}"
    return ""

"""What the library logs, in one line each on standard error."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Iterator

from .output import error, line, message

__all__ = ["shown_logs"]


class _OneLine(logging.Handler):
    def __init__(self, level: int, *, trace: bool) -> None:
        super().__init__(level)
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = f"{record.levelname.lower()}: {line(record.getMessage())}"
            reason = record.exc_info[1] if record.exc_info else None
            if reason is not None:
                text += f": {type(reason).__name__}: {line(message(reason))}"
            if reason is not None and self._trace:
                text += "\n" + "".join(traceback.format_exception(reason))
            error(text)
        except Exception:
            self.handleError(record)


@contextlib.contextmanager
def shown_logs(*, quiet: bool, trace: bool) -> Iterator[None]:
    """While entered, warnings and errors of the library are shown; only errors if ``quiet``.

    Programs whose modules have configured logging are left as they are.
    """
    if logging.getLogger().handlers:
        yield
        return
    logger = logging.getLogger(__package__.partition(".")[0])
    handler = _OneLine(logging.ERROR if quiet else logging.WARNING, trace=trace)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)

"""Keeps the garbage collector from looking in vain."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["only_new_objects"]

MANY = 10_000
"""New objects that the collector had better look at once at the end of the block."""


@contextmanager
def only_new_objects() -> Iterator[None]:
    """A block that makes many objects which all live on: no collection until its end.

    The collector runs whenever some hundred objects more are alive, and would look at the parts of a
    large graph again and again while they are made: half of the time that it takes. Not for blocks
    that run coros or wait.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        if gc.get_count()[0] > MANY:
            gc.collect(0)  # it would come with the next object, in somebody's turn of the event loop

"""Where the items of one part of a split graph come from, and when nothing of them is left in it.

Whatever enters a part - from another host, or out of a source of its own - is followed by an `Origin`.
Once all that was made of it has left the part or ended there, its edge or its source is told: only then
will nobody do the work again. Ids are the same when it is done again, so that receivers know what they have.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

from ..channels.redis import Link, Outlet

__all__ = ["Origin", "SourceTrack"]


class Origin:
    """Counts the places where something made of one entry is inside this part.

    Attributes:
        id: Names the entry, in this life of the part and in the next.
        sent: What was sent because of it: ids for each outlet.
    """

    __slots__ = ("_children", "_living", "_on_done", "id", "sent")

    follows = True

    def __init__(self, name: str, on_done: Callable[[Origin], None]) -> None:
        self.id = name
        self.sent: dict[Outlet, list[str]] = {}
        self._children: dict[Outlet, int] = {}
        self._living = 1
        self._on_done = on_done

    def child(self, outlet: Outlet) -> str:
        """The id of the next thing made of it that goes out there."""
        number = self._children.get(outlet, 0)
        self._children[outlet] = number + 1
        return f"{self.id}.{number}" if number else self.id

    def branch(self, more: int) -> None:
        """It lives on in ``more`` further places."""
        self._living += more
        if self._living <= 0:
            self._on_done(self)

    def drop(self, _node: str) -> None:
        """One of the places ended."""
        self.branch(-1)

    def result(self, _sink: str, _value: Any) -> None:
        """One of the places was a sink."""
        self.branch(-1)

    def fail(self, _error: BaseException) -> None:
        """What is left of it is followed elsewhere; if the run fails, it is as if it had never been begun."""


class SourceTrack:
    """Numbers the items of one source, and notes how many of the first are done.

    Args:
        done: So many were done before this process began; its source gives them again. None for a source
            that the program feeds, which does not begin anew.
    """

    def __init__(self, source: str, link: Link, done: int | None) -> None:
        self._name = source if done is not None else f"{source}@{secrets.token_hex(6)}"
        self._link = link
        self._number = 0
        self._done = done or 0
        self._ended: dict[int, Origin] = {}

    def __call__(self) -> Origin | None:
        """What follows the next item; None if that was done before."""
        self._number += 1
        if self._number <= self._done:
            return None
        return Origin(f"{self._name}:{self._number}", partial(self._end, self._number))

    def _end(self, number: int, origin: Origin) -> None:
        self._ended[number] = origin
        forget: dict[Outlet, list[str]] = {}
        while (ended := self._ended.pop(self._done + 1, None)) is not None:
            self._done += 1
            for outlet, ids in ended.sent.items():
                forget.setdefault(outlet, []).extend(ids)
        if self._done >= number:
            self._link.advance(self._name, self._done, forget)

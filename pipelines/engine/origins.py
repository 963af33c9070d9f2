"""Where the items of one part of a split graph come from, and when nothing of them is left in it.

Whatever enters a part - from another host, or out of a source of its own - is followed by an `Origin`.
Once all that was made of it has left the part or ended there, its edge or its source is told: only then
will nobody do the work again. Ids are the same when it is done again, so that receivers know what they have.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from ..channels.entries import Ticket
from ..channels.redis import Link, Outlet

__all__ = ["Branch", "Origin", "SourceTrack"]


class Origin:
    """Counts the places where something made of one entry is inside this part.

    Entries that came together - the pair of a zip, the items of a batch - are told to be done together:
    were one of a pair given again after a crash, and the other not, all later pairs would be shifted.

    Attributes:
        id: Names the entry, in this life of the part and in the next.
        sent: What was sent because of it: ids for each outlet.
        source, number: The track of the source that gave it, and its place there; None for other entries.
        empty: Nothing of it is left.
        settled: It was told to be done.
    """

    __slots__ = ("_children", "_group", "_living", "_on_done", "empty", "id", "number", "sent", "settled", "source")

    follows = True

    def __init__(
        self, name: str, on_done: Callable[[Origin], None], source: SourceTrack | None = None, number: int = 0
    ) -> None:
        self.id = name
        self.sent: dict[Outlet, list[str]] = {}
        self.source = source
        self.number = number
        self.empty = False
        self.settled = False
        self._children: dict[tuple[Outlet, str], int] = {}
        self._living = 1
        self._on_done = on_done
        self._group: list[Origin] = [self]

    @property
    def root(self) -> Origin:
        """Itself; of a branch what that is a branch of."""
        return self

    def child(self, outlet: Outlet, way: str = "") -> str:
        """The id of the next thing made of it that goes out there, having come by that way."""
        number = self._children.get((outlet, way), 0)
        self._children[outlet, way] = number + 1
        name = f"{self.id}.{number}" if number else self.id
        name += way
        self.sent.setdefault(outlet, []).append(name)
        return name

    def fork(self, number: int) -> Ticket:
        """It, on one of several branches inside this part."""
        return Branch(self, f"~{number}")

    def branch(self, more: int) -> None:
        """It lives on in ``more`` further places."""
        self._living += more
        if self._living <= 0:
            self.empty = True
            self.settle()

    def settle(self) -> None:
        """Tell that it is done, if all that came together with it, and all before that in a source, are through."""
        if self.settled:
            return
        while True:
            group = self._group
            if not all([each.empty for each in group]):
                return
            tracks = {each.source for each in group if each.source is not None}
            earlier = [origin for track in tracks for origin in track.before(group)]
            if not earlier:
                break
            if not all([origin.empty for origin in earlier]):
                return
            for origin in earlier:
                self.join(origin)  # so two groups that wait for each other's items are one
        for each in group:
            each.settled = True
        for each in group:
            each._on_done(each)
        for track in tracks:
            track.proceed()

    def join(self, other: Ticket) -> None:
        """It goes on together with ``other``."""
        assert isinstance(other, (Origin, Branch))
        others = other.root._group
        if others is not self._group:
            self._group += others
            for each in others:
                each._group = self._group

    def drop(self, node: str) -> None:
        """One of the places ended."""
        self.branch(-1)

    def result(self, sink: str, value: Any) -> None:
        """One of the places was a sink."""
        self.branch(-1)

    def fail(self, error: BaseException) -> None:
        """What is left of it is followed elsewhere; if the run fails, it is as if it had never been begun."""


class Branch:
    """An origin on one of several branches: what leaves the part by each has ids of its own, whichever comes first.

    Two branches of one origin are equal: where they meet in a zip, they are one again.
    """

    __slots__ = ("_way", "branch", "drop", "fail", "join", "result", "root")

    follows = True

    def __init__(self, root: Origin, way: str) -> None:
        self.root = root
        self._way = way
        self.branch, self.drop, self.result = root.branch, root.drop, root.result
        self.fail, self.join = root.fail, root.join

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (Origin, Branch)) and other.root is self.root

    def __hash__(self) -> int:
        return hash(self.root)

    def child(self, outlet: Outlet) -> str:
        """The id of the next thing made of it that goes out there."""
        return self.root.child(outlet, self._way)

    def fork(self, number: int) -> Ticket:
        """It, on one of several further branches."""
        return Branch(self.root, f"{self._way}~{number}")


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
        self._living: dict[int, Origin] = {}
        self._through: set[int] = set()
        self._proceeding = False

    def __call__(self) -> Origin | None:
        """What follows the next item; None if that was done before."""
        self._number += 1
        if self._number <= self._done:
            return None
        name = f"{self._name}:{self._number}"
        origin = self._living[self._number] = Origin(name, self._on_done, self, self._number)
        return origin

    def before(self, group: list[Origin]) -> list[Origin]:
        """The items before the last one in ``group`` that are neither done nor in it."""
        numbers = {each.number for each in group if each.source is self}
        others = [number for number in range(self._done + 1, max(numbers)) if number not in numbers]
        living = [self._living[number] for number in others if number in self._living]
        return [origin for origin in living if not origin.settled]

    def _on_done(self, origin: Origin) -> None:
        """Nobody will make the item, or what was sent because of it, again."""
        del self._living[origin.number]
        self._through.add(origin.number)
        while self._done + 1 in self._through:
            self._done += 1
            self._through.discard(self._done)
        self._link.advance(self._name, self._done, origin.sent)

    def proceed(self) -> None:
        """The items behind may have waited for those that are done now."""
        if self._proceeding:
            return
        self._proceeding = True
        done = -1
        while done != self._done:
            done = self._done
            if (following := self._living.get(done + 1)) is not None:
                following.settle()
        self._proceeding = False

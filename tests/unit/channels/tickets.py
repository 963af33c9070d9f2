"""A ticket that writes down what it is told."""

from __future__ import annotations

from typing import Any


class TicketLog:
    """Counts its item's places and notes where they ended."""

    follows = False

    def __init__(self) -> None:
        self.places = 1
        self.told: list[tuple[Any, ...]] = []

    def branch(self, more: int) -> None:
        """The item lives on in ``more`` further places."""
        self.places += more

    def drop(self, node: str) -> None:
        """One of the places ended at ``node``."""
        self.places -= 1
        self.told.append(("drop", node))

    def result(self, sink: str, value: Any) -> None:
        """A sink returned ``value``."""
        self.places -= 1
        self.told.append(("result", sink, value))

    def fail(self, error: BaseException) -> None:
        """Something made of the item failed."""
        self.told.append(("fail", error))

    def join(self, other: Any) -> None:
        """It goes on together with another."""

    def fork(self, number: int) -> TicketLog:
        """The same everywhere."""
        return self

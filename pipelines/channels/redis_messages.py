"""What parts of a run tell each other besides items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .redis_session import Session

__all__ = ["Mailbox", "Message"]

GLANCE = 1.0


@dataclass(frozen=True, slots=True)
class Message:
    """What another host told this one; the same id means the same message."""

    id: str
    sender: str
    body: bytes


class Mailbox:
    """The messages to one part: in the order in which each host sent them, to this process each once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._arrived = session.event("inbox")
        self._handed_out: list[bytes] = []
        self._heard: dict[str, tuple[int, int]] = {}

    async def receive(self) -> list[Message]:
        """Wait for the next messages, and delete those that were handed out before."""
        while True:
            self._arrived.clear()
            self._handed_out, rows = await self._session.ask_aside("inbox", self._handed_out)
            messages = [message for row in rows if (message := self._message(row)) is not None]
            if messages:
                return messages
            if not rows:
                await self._session.wait(self._arrived, GLANCE)

    def _message(self, row: list[bytes]) -> Message | None:
        _, sender_bytes, _, generation, _, number, _, body = row
        sender, place = sender_bytes.decode(), (int(generation), int(number))
        # Redis may have lost that it was deleted, or its sender may have written it once more.
        if place <= self._heard.get(sender, (0, 0)):
            return None
        self._heard[sender] = place
        return Message(f"{sender}:{place[0]}:{place[1]}", sender, body)

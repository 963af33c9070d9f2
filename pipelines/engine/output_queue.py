"""What the coro of a source puts its items into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .source import Source

__all__ = ["OutputQueue"]


class OutputQueue:
    """What a source puts its items into; they go to every downstream node.

    `put` waits while any downstream channel is full, and gives the event loop back when the graph
    has used up its share of this turn. Several tasks may put at once; they are served in turn.
    """

    __slots__ = ("_source",)

    def __init__(self, source: Source) -> None:
        self._source = source

    async def put(self, item: Any) -> None:
        """Send one item. If the call is cancelled, nothing was sent.

        Raises:
            ClosedError: The source was closed or the graph stopped.
        """
        await self._source.put(item)

    async def fail(self, item: Any, error: BaseException) -> None:
        """Report an item that could not be made, such as a line that cannot be read.

        The node's ``on_error`` decides: ``fail`` raises `NodeError` here and ends the run, ``skip``
        counts it, a route sends it to the dead-letter node. Its position is cancelled in zips.
        """
        await self._source.fail(item, error)

    def progress(self, done: float, total: float) -> None:
        """Say how far the source is, in any unit; shown by progress bars."""
        self._source.progress = min(1.0, done / total) if total > 0 else 1.0

    def full(self) -> bool:
        """Whether `put` would wait."""
        return self._source.outbox.room() <= 0

    def qsize(self) -> int:
        """Entries in the fullest downstream channel."""
        return max((channel.qsize() for channel in self._source.processor.liason_queues[1]), default=0)

"""A server between a link and Redis that cuts connections after so many bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path


class Cutter:
    """Passes bytes on, and cuts each connection after the next number of ``after`` bytes, in either direction."""

    def __init__(self, target: Path, after: Iterator[int]) -> None:
        self._target = target
        self._after = after
        self._busy: set[asyncio.Task[None]] = set()
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its cut."""
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            there, back = await asyncio.open_unix_connection(str(self._target))
            left = [next(self._after, 1 << 60)]
            ways = [
                asyncio.ensure_future(self._pass(reader, back, left)),
                asyncio.ensure_future(self._pass(there, writer, left)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                for end in (back, writer):
                    end.transport.abort()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._busy.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: list[int]) -> None:
        while data := await reader.read(4096):
            passed = data[: left[0]]
            left[0] -= len(passed)
            writer.write(passed)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            if left[0] <= 0:
                self.cuts += 1
                return

    async def stop(self) -> None:
        """Cut everything that is left."""
        for task in list(self._busy):
            task.cancel()
        while self._busy:
            await asyncio.sleep(0.001)


@asynccontextmanager
async def cutting(target: Path, after: Iterator[int]) -> AsyncIterator[tuple[str, Cutter]]:
    """The URL of a cutter in front of the server at ``target``, and the cutter."""
    cutter = Cutter(target, after)
    place = target.with_name(f"cutter-{id(cutter)}.sock")
    server = await asyncio.start_unix_server(cutter.serve, str(place))
    try:
        yield f"unix://{place}", cutter
    finally:
        server.close()
        await cutter.stop()
        await server.wait_closed()

"""A server that runs graphs drawn by its clients, and sends each client its own results.

A client sends ``process_msg`` with a graph dict that names coros of `ProcessFunc`. It is answered with

- ``recv``: one result, as often as the graph has one;
- ``ended``: how the run ended, and how many results there were;
- ``problems``: instead of all this, why the graph cannot run. Each has a code, a path, a message, a hint.

Start it with ``python demos/server.py``, and ``python demos/client.py`` in another terminal.
"""

import argparse
import asyncio
from collections.abc import Iterable
from typing import Any

import socketio
from aiohttp import web

from pipelines import GraphError, Limits, PipelinesError, Plumber, Problem, Processor, Registry

LIMITS = Limits(bytes=64 * 1024, nodes=16, edges=32, queue_size=64, concurrency=64, items=100, seconds=30)
"""How much one graph may ask for."""

MOST_GRAPHS = 4
"""How many graphs of one client may run at the same time."""

LONGEST_TEXT = 1000
"""Limits bound the graph, not what the coros make: nodes that double a text in a row would fill the memory."""


class ProcessFunc:
    """What a client's graph may be made of."""

    @classmethod
    async def inputcoro(cls, self: Processor, output_q: asyncio.Queue[str], strings_from_client: list[str]) -> None:
        """The source: strings that came with the graph, as an argument."""
        for text in strings_from_client:
            await output_q.put(text)

    @classmethod
    async def coro1(cls, self: Processor, q_elt: tuple[str]) -> str:
        """Reverse, slowly."""
        await asyncio.sleep(3 * self.second)  # stands for waiting for a database or a service
        return q_elt[0][::-1]

    @classmethod
    async def coro2(cls, self: Processor, q_elt: tuple[str]) -> str:
        """To upper case."""
        await asyncio.sleep(2 * self.second)
        return q_elt[0].upper()

    @classmethod
    async def coro3(cls, self: Processor, q_elt: tuple[str]) -> str:
        """The text, and its mirror image."""
        await asyncio.sleep(1 * self.second)
        if len(q_elt[0]) > LONGEST_TEXT:
            raise ValueError(f"a text of {len(q_elt[0])} characters is longer than {LONGEST_TEXT}")
        return q_elt[0] + "-" + q_elt[0][::-1]

    @classmethod
    async def outputcoro(cls, self: Processor, q_elt: tuple[Any, ...]) -> None:
        """The sink: send a result to the client whose graph this is."""
        await self.sio.emit("recv", q_elt[0], to=self.env_vars["sid"])


registry = Registry()
registry.group(ProcessFunc)  # 'ProcessFunc.coro1', ...: these names, and no others, can be used by a client


class Graphs:
    """The graphs that run now, for each client that is connected.

    Args:
        sio: The server through which clients are answered.
        second: How long one second of the coros' waiting takes, in seconds.
    """

    def __init__(self, sio: socketio.AsyncServer, second: float) -> None:
        self.running: dict[str, set[Plumber]] = {}
        self._sio = sio
        self._second = second

    async def connect(self, sid: str, environ: dict[str, Any]) -> None:
        """A client has come."""
        self.running[sid] = set()

    async def disconnect(self, sid: str, *_: Any) -> None:
        """A client has left: nobody waits for its results any more."""
        await asyncio.gather(*[plumber.abort() for plumber in self.running.pop(sid, ())])

    async def process_msg(self, sid: str, input_d: Any = None, *_: Any) -> None:
        """A client wants a graph to be run."""
        running = self.running.get(sid)
        if running is None:  # it has left already
            return
        if len(running) >= MOST_GRAPHS:
            await self._refuse(sid, [Problem("too_many_graphs", "", f"{MOST_GRAPHS} of your graphs run already")])
            return
        env_vars = {"sid": sid, "sio": self._sio, "second": self._second}
        try:
            plumber = Plumber.from_untrusted(input_d, registry, limits=LIMITS, env_vars=env_vars)
        except GraphError as error:
            await self._refuse(sid, error.problems)
            return
        running.add(plumber)
        ended = await run(plumber)
        running.discard(plumber)
        await self._sio.emit("ended", ended, to=sid)

    async def _refuse(self, sid: str, problems: Iterable[Problem]) -> None:
        await self._sio.emit("problems", [problem.to_dict() for problem in problems], to=sid)

    async def close(self, app: web.Application) -> None:
        """The server ends: so do all graphs, and then all connections."""
        await asyncio.gather(*[self.disconnect(sid) for sid in list(self.running)])
        for connection in list(self._sio.eio.sockets):
            await self._sio.eio.disconnect(connection)
        await self._sio.shutdown()


GRAPHS = web.AppKey("graphs", Graphs)


async def run(plumber: Plumber) -> dict[str, Any]:
    """Run a graph to its end, and say what end that was."""
    error = ""
    try:
        await plumber.run()
    except PipelinesError as failure:
        error = str(failure)
    statistics = plumber.statistics()
    return {"state": statistics.state, "results": statistics.items_out, "seconds": statistics.elapsed, "error": error}


def make_app(second: float = 0.2) -> web.Application:
    """The application; nothing runs before it is started."""
    sio = socketio.AsyncServer(async_mode="aiohttp")
    graphs = Graphs(sio, second)
    sio.on("connect", graphs.connect)
    sio.on("disconnect", graphs.disconnect)
    sio.on("process_msg", graphs.process_msg)
    app = web.Application()
    sio.attach(app)
    app.on_shutdown.append(graphs.close)
    app[GRAPHS] = graphs
    return app


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Run graphs that clients send.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--second", type=float, default=0.2, help="how long a second of the coros' waiting takes")
    args = parser.parse_args()
    web.run_app(make_app(args.second), host="127.0.0.1", port=args.port, shutdown_timeout=1)


if __name__ == "__main__":
    main()

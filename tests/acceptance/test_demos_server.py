"""The demo server and its clients, over real sockets."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the demos need the extra 'demos'")
pytest.importorskip("socketio", reason="the demos need the extra 'demos'")

import socketio
from aiohttp import web

from demos import client as demo_client
from demos import server as demo_server

ROOT = Path(__file__).parents[2]
LONG = 3600.0
"""As ``second``: the coros never come to their end."""


class Client:
    """A client that remembers everything it is told."""

    def __init__(self) -> None:
        self.sio = socketio.AsyncClient(reconnection=False)
        self.received: list[str] = []
        self.problems: list[list[dict[str, str]]] = []
        self.ended: list[dict[str, Any]] = []
        self._told = asyncio.Event()
        for event, told in (("recv", self.received), ("problems", self.problems), ("ended", self.ended)):
            self.sio.on(event, self._keeper(told))

    def _keeper(self, told: list[Any]) -> Callable[[Any], None]:
        def keep(data: Any) -> None:
            told.append(data)
            self._told.set()

        return keep

    async def send(self, *data: Any) -> None:
        """Ask for a graph to be run."""
        await self.sio.emit("process_msg", data)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until what the client was told fulfils a condition."""
        async with asyncio.timeout(10):
            while not condition():
                self._told.clear()
                await self._told.wait()

    async def until_ended(self) -> None:
        """Wait until a graph has ended."""
        await self.until(lambda: self.ended)


@asynccontextmanager
async def serving(second: float = 0.01) -> AsyncIterator[tuple[str, demo_server.Graphs]]:
    """The demo's server on a free port: its address, and the graphs that it runs."""
    app = demo_server.make_app(second)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", app[demo_server.GRAPHS]
    finally:
        await runner.cleanup()
        await end_pings()


async def end_pings() -> None:
    """End the timers that engineio leaves behind for each connection."""
    pings = [task for task in asyncio.all_tasks() if "_send_ping" in repr(task.get_coro())]
    for task in pings:
        task.cancel()
    await asyncio.gather(*pings, return_exceptions=True)


@asynccontextmanager
async def connected(url: str, count: int = 1) -> AsyncIterator[list[Client]]:
    """So many clients of the server at ``url``."""
    clients = [Client() for _ in range(count)]
    try:
        for client in clients:
            await client.sio.connect(url)
        yield clients
    finally:
        for client in clients:
            await client.sio.disconnect()


async def until(condition: Callable[[], object]) -> None:
    """Wait until something in the server has happened."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def tasks_of_graphs() -> list[str]:
    """Where tasks of running graphs are, that is in the engine of the library."""
    names = [repr(task.get_coro()) for task in asyncio.all_tasks()]
    return [name for name in names if "Scheduler" in name or "Runner._" in name or "Source._" in name]


def expected(strings: Iterable[str]) -> list[str]:
    """The results of the graph that the demo's client sends, sorted."""
    turned = [string[::-1] for string in strings]
    return sorted([text.upper() for text in turned] + [f"{text}-{text[::-1]}" for text in turned])


def graph(coro: str = "ProcessFunc.coro2", **args: Any) -> dict[str, Any]:
    """A small graph: a source, one coro, and the results."""
    return {
        "nodes": {
            "inp": {"coro": "ProcessFunc.inputcoro", "args": args or {"strings_from_client": ["a", "b"]}},
            "do": {"coro": coro},
            "out": {"coro": "ProcessFunc.outputcoro"},
        },
        "graph": {"inp": ["do"], "do": ["out"], "out": None},
    }


async def test_three_clients_at_once_get_their_own_results() -> None:
    async with serving() as (url, _), connected(url, 3) as clients:
        strings = [[f"client {number} string {each}" for each in range(5)] for number in range(3)]
        for client, mine in zip(clients, strings, strict=True):
            await client.send(demo_client.make_graph(mine))
        for client in clients:
            await client.until_ended()
        for client, mine in zip(clients, strings, strict=True):
            assert sorted(client.received) == expected(mine)
            [ended] = client.ended
            assert (ended["state"], ended["results"], ended["error"]) == ("completed", 10, "")
            assert client.problems == []


async def test_one_client_runs_several_graphs_and_is_refused_one_too_many() -> None:
    async with serving(LONG) as (url, graphs), connected(url, 2) as (client, other):
        for _ in range(demo_server.MOST_GRAPHS + 1):
            await client.send(graph())
        await client.until(lambda: client.problems)
        assert [[problem["code"] for problem in told] for told in client.problems] == [["too_many_graphs"]]
        assert sorted(map(len, graphs.running.values())) == [0, demo_server.MOST_GRAPHS]
        # The limit is each client's own.
        await other.send(graph())
        await until(lambda: sorted(map(len, graphs.running.values())) == [1, demo_server.MOST_GRAPHS])
        assert other.problems == []


async def test_p5_a_client_that_leaves_has_its_graphs_ended() -> None:
    async with serving(LONG) as (url, graphs), connected(url) as [stays]:
        async with connected(url) as [leaves]:
            await leaves.send(graph())
            await leaves.send(demo_client.make_graph(["x"]))
            await stays.send(graph())
            await until(lambda: sorted(map(len, graphs.running.values())) == [1, 2])
            plumbers = [plumber for running in graphs.running.values() for plumber in running]
        await until(lambda: len(graphs.running) == 1)
        ended = [plumber for plumber in plumbers if plumber.statistics().state != "running"]
        assert [plumber.statistics().state for plumber in ended] == ["aborted", "aborted"]
        assert len(tasks_of_graphs()) > 0
        await until(lambda: all(plumber.report for plumber in ended))
        # The other client's graph goes on.
        [[running]] = graphs.running.values()
        assert running.statistics().state == "running"
        await running.abort()
        await stays.until_ended()
        assert stays.ended[0]["state"] == "aborted"
        assert tasks_of_graphs() == []


async def test_p5_a_server_that_ends_ends_all_graphs_and_clients() -> None:
    async with serving(LONG) as (url, graphs):
        client = asyncio.create_task(demo_client.run_remotely(url, graph()))
        await until(lambda: any(graphs.running.values()))
        [plumber] = next(iter(graphs.running.values()))
    assert plumber.statistics().state == "aborted"
    assert tasks_of_graphs() == []
    async with asyncio.timeout(10):
        assert await client is False


HOSTILE: dict[str, tuple[Any, str]] = {
    "nothing": (None, "wrong_type"),
    "a number": (7, "wrong_type"),
    "bytes": (b"\xff\x00", "invalid_utf8"),
    "text": ("{", "invalid_json"),
    "deep text": ("[" * 50_000, "too_deep"),
    "twice": ('{"nodes": {}, "nodes": {}}', "duplicate_key"),
    "no nodes": ({"nodes": {}, "graph": {}}, "empty_graph"),
    "a walk": (graph("ProcessFunc.coro1.__globals__"), "unknown_coro"),
    "a module": (graph("os:system"), "unknown_coro"),
    "a private name": (graph("ProcessFunc.__init__"), "unknown_coro"),
    "a cycle": ({**graph(), "graph": {"inp": ["do"], "do": ["out"], "out": ["do"]}}, "cycle"),
    "wrong arguments": (graph(strings_from_client="abc"), "bad_argument"),
    "unknown arguments": (graph(strings_from_client=[], sid="another"), "unknown_argument"),
    "a long list": (graph(strings_from_client=["x" * 70_000]), "too_large"),
    "a large queue": ({**graph(), "nodes": {"inp": {"properties": {"queue_size": 10**9}}}}, "over_limit"),
    "markup": ({"nodes": {"<img onerror=x>": {"coro": "x"}}, "graph": {}}, "unknown_coro"),
}


async def test_p11_hostile_graphs_are_answered_with_problems_and_cost_nobody_else() -> None:
    async with serving() as (url, graphs), connected(url, 2) as (hostile, honest):
        for name, (data, code) in HOSTILE.items():
            await hostile.send(data)
            await hostile.until(lambda: hostile.problems)
            [problems] = hostile.problems
            hostile.problems.clear()
            assert code in [problem["code"] for problem in problems], name
            assert all(problem.keys() == {"code", "path", "message", "hint"} for problem in problems)
        assert not any(graphs.running.values())
        assert tasks_of_graphs() == []
        await hostile.sio.emit("process_msg")  # no graph at all
        await hostile.sio.emit("process_msg", (graph(), "more", 3))
        await honest.send(graph())
        await honest.until_ended()
        await hostile.until(lambda: hostile.ended and hostile.problems)
        assert honest.received == ["A", "B"]
        assert hostile.received == ["A", "B"]


async def test_p11_a_packet_that_cannot_be_read_costs_nobody_else() -> None:
    async with serving() as (url, _), connected(url, 2) as (hostile, honest):
        deep = "[" * 100_000 + "]" * 100_000
        await hostile.sio.eio.send(f'2["process_msg",{deep}]')
        await hostile.sio.eio.send("9 is no packet")
        await honest.send(graph())
        await honest.until_ended()
        assert honest.received == ["A", "B"]


async def test_a_run_that_goes_wrong_is_told_to_its_client() -> None:
    async with serving() as (url, _), connected(url) as [client]:
        await client.send(graph("ProcessFunc.coro3", strings_from_client=["x" * (demo_server.LONGEST_TEXT + 1)]))
        await client.until_ended()
        assert client.ended[0]["state"] == "failed"
        assert "node 'do' failed" in client.ended[0]["error"]
        await client.send(graph(strings_from_client=["x"] * (demo_server.LIMITS.items + 1)))
        await client.until(lambda: len(client.ended) == 2)
        assert "limit" in client.ended[1]["error"]


async def test_the_client_prints_what_it_receives_and_ends_with_its_graph(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving() as (url, _):
        assert await demo_client.run_remotely(url, demo_client.make_graph(["ab", "cd"])) is True
        printed = capsys.readouterr().out.splitlines()
        assert sorted(printed[:-1]) == sorted(f"Received data: {text}" for text in expected(["ab", "cd"]))
        assert printed[-1].startswith(":. the graph has completed: 4 results in ")
        assert await demo_client.run_remotely(url, graph("nothing")) is False
        assert "unknown_coro" in capsys.readouterr().out


def test_server_and_client_as_programs() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(ROOT / "demos" / "server.py"), "--port", "0", "--second", "0.01"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            url = server.stdout.readline().strip("= \n").removeprefix("Running on ")
            client = [sys.executable, str(ROOT / "demos" / "client.py"), "--url", url, "one", "two"]
            result = subprocess.run(client, env=environment, capture_output=True, text=True, timeout=30, check=False)
        finally:
            server.terminate()
    assert result.returncode == 0, result.stderr
    received = [line.removeprefix("Received data: ") for line in result.stdout.splitlines() if "Received" in line]
    assert sorted(received) == expected(["one", "two"])

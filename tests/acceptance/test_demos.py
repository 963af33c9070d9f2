"""The small demos: the first pipeline, and the graph inside a web application."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the demos need the extra 'demos'")

import aiohttp
from aiohttp import web

from demos import embed
from pipelines import AbortedError, ClosedError, NodeError, SkippedError, StoppedError

ROOT = Path(__file__).parents[2]


# The first pipeline.


def check_pairs(printed: str) -> None:
    """Twenty different random strings were printed, each beside its mirror image."""
    pairs = [ast.literal_eval(line.removeprefix("output~>  ")) for line in printed.splitlines()]
    assert len(set(pairs)) == 20
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) for text, _ in pairs)
    assert all(turned == text[::-1] for text, turned in pairs)


def test_readme_demo_prints_twenty_strings_and_their_mirror_images() -> None:
    command = [sys.executable, "-W", "error", str(ROOT / "demos" / "readme_demo.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    check_pairs(result.stdout)


FIRST_README = """
from pipelines.processor import Processor
from pipelines.plumber import Plumber
import asyncio

class StringFuncs:
    @classmethod
    async def reverse(cls, self:Processor=None, q_elt:tuple=None):
        return q_elt[0][::-1]

    @classmethod
    async def input_coro(cls, self:Processor=None, output_q:asyncio.Queue=None):
        # This coroutine generates 20 random input strings and populates the
        # output_q of whatever node it runs on.
        import uuid
        acc = [ str(uuid.uuid4()) for _ in range(20) ]
        for i in acc:
            await output_q.put(i)
            # unnecessary but async
            await asyncio.sleep(0)

    @classmethod
    async def output_coro(cls, self, q_elt):
        print('output~> ', q_elt)

input_d = {
    'nodes': {
        'inp': { 'coro': StringFuncs.input_coro },
        'rev': { 'coro': StringFuncs.reverse },
        'out': { 'coro': StringFuncs.output_coro },
    },
    'graph': {
        'inp': ('rev', 'out'),  # output of node 'inp' ~> 'rev' and 'out'
        'rev': ('out', ),       # and so on...
        'out': None,
    },
}

async def main():
    _t = Plumber(input_d, coro_map=lambda x: x)
    _t.create_pipeline()
    return _t
"""


async def test_the_first_readme_works_word_for_word(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(FIRST_README, names)
    plumber = await names["main"]()
    await plumber.wait()
    check_pairs(capsys.readouterr().out)


def test_importing_a_demo_starts_nothing() -> None:
    code = (
        "import threading, demos.client, demos.embed, demos.readme_demo, demos.server; print(threading.active_count())"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (result.stdout, result.stderr) == ("1\n", "")


# The graph inside a web application.


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[aiohttp.ClientSession, web.Application]]:
    """The demo's application on a free port, and a session for asking it."""
    app = embed.make_app(**options)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=512).start()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}", connector=connector) as session:
            yield session, app
    finally:
        await runner.cleanup()


async def ask(session: aiohttp.ClientSession, **query: Any) -> tuple[int, Any]:
    """The status and the answer to a request."""
    async with session.get("/quote", params=query) as response:
        return response.status, await response.json()


async def test_two_hundred_requests_at_once_get_their_own_answers() -> None:
    async with serving(latency=0.001) as (session, app):
        answers = await asyncio.gather(*[ask(session, product="tea", quantity=number) for number in range(1, 201)])
        assert [status for status, _ in answers] == [200] * 200
        assert [answer["quantity"] for _, answer in answers] == list(range(1, 201))
        assert all(answer["total"] == answer["quantity"] * 4.5 + 3.0 for _, answer in answers)
        node = app[embed.PLUMBER].statistics().node("answer")
        assert (node.received, node.failed, node.skipped) == (200, 0, 0)


async def test_right_and_wrong_requests_side_by_side_each_get_their_own_status() -> None:
    kinds = [
        ({"product": "cocoa", "country": "FR"}, 200),
        ({"product": "stone"}, 422),
        ({"product": "tea", "country": "XX"}, 502),
        ({"product": "tea", "quantity": "many"}, 400),
    ]
    async with serving(latency=0.001) as (session, app):
        answers = await asyncio.gather(*[ask(session, **query) for query, _ in kinds * 25])
        assert [status for status, _ in answers] == [status for _, status in kinds * 25]
        right, skipped, unreachable, wrong = [answer for _, answer in answers[:4]]
        assert right == {
            "product": "cocoa",
            "quantity": 1,
            "country": "FR",
            "price": 6.0,
            "shipping": 5.0,
            "total": 11.0,
        }
        assert skipped == {"error": "the item was skipped at node 'parse'"}
        assert "after 2 attempts: ConnectionError" in unreachable["error"]
        assert "node 'parse' failed" in wrong["error"]
        assert app[embed.PLUMBER].statistics().state == "running"


async def test_a_request_that_takes_too_long_is_answered_with_504() -> None:
    async with serving(latency=3600, timeout=0.05) as (session, app):
        assert await ask(session, product="tea") == (504, {"error": "it took too long"})
        await app[embed.PLUMBER].abort()


async def test_requests_inside_and_after_an_abort_are_answered_with_503() -> None:
    async with serving(latency=3600) as (session, app):
        plumber = app[embed.PLUMBER]
        waiting = [asyncio.create_task(ask(session, product="tea")) for _ in range(3)]
        async with asyncio.timeout(10):
            while plumber.statistics().node("price").in_flight < 3:
                await asyncio.sleep(0.005)
        await plumber.abort()
        assert [status for status, _ in await asyncio.gather(*waiting)] == [503] * 3
        status, answer = await ask(session, product="tea")
        assert (status, "closed" in answer["error"]) == (503, True)


def test_every_error_of_submit_has_its_status() -> None:
    failed = [NodeError("price", cause=cause) for cause in (ValueError(), ConnectionError(), KeyError())]
    errors = [SkippedError("parse"), StoppedError(), AbortedError(), ClosedError(), TimeoutError(), *failed]
    assert [embed.status_of(error) for error in errors] == [422, 503, 503, 503, 504, 400, 502, 500]


async def test_the_statistics_are_served_as_json() -> None:
    async with serving(latency=0.001) as (session, _):
        await ask(session, product="tea")
        async with session.get("/statistics") as response:
            statistics = await response.json()
        assert [node["name"] for node in statistics["nodes"]] == list(embed.GRAPH["nodes"])
        assert (statistics["items_in"], statistics["items_out"]) == (1, 1)


async def test_p5_the_graph_ends_with_the_application() -> None:
    async with serving(latency=0.001) as (session, app):
        assert (await ask(session, product="tea"))[0] == 200
        plumber = app[embed.PLUMBER]
    assert plumber.statistics().state == "stopped"

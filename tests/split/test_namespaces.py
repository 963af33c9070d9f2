"""Two hosts of a split graph in network namespaces of their own; where that is not allowed, over the loopback."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.redis_server import executable

ROOT = Path(__file__).parents[2]
COUNT = 300

SCRIPT = """
import asyncio, sys
from pipelines import Plumber
from tests.split import coros

host, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
nodes = {
    "inp": {"coro": coros.numbers, "args": {"count": count}, "properties": {"host": "a"}},
    "dbl": {"coro": coros.double, "properties": {"host": "b"}},
    "out": {"coro": coros.same, "properties": {"host": "a"}},
}
plumber = Plumber({"nodes": nodes, "graph": {"inp": ["dbl"], "dbl": ["out"]}}, host=host, redis=url)
report = asyncio.run(plumber.run(collect=["out"] if host == "a" else []))
print(report.outputs.get("out"))
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


@contextmanager
def two_namespaces() -> Iterator[tuple[list[str], list[str], str]]:
    """Prefixes of commands for two hosts, and the first one's address; both are joined by a cable."""
    name = secrets.token_hex(3)
    spaces, cables = [f"pl{name}a", f"pl{name}b"], [f"pl{name}0", f"pl{name}1"]
    with ExitStack() as stack:
        for space in spaces:
            ip("netns", "add", space)
            stack.callback(ip, "netns", "delete", space)
        ip("link", "add", cables[0], "type", "veth", "peer", "name", cables[1])
        for number, (space, cable) in enumerate(zip(spaces, cables, strict=True), 1):
            ip("link", "set", cable, "netns", space)
            ip("-n", space, "addr", "add", f"10.213.7.{number}/24", "dev", cable)
            ip("-n", space, "link", "set", cable, "up")
            ip("-n", space, "link", "set", "lo", "up")
        inside = [["ip", "netns", "exec", space] for space in spaces]
        yield inside[0], inside[1], "10.213.7.1"


@contextmanager
def two_hosts() -> Iterator[tuple[list[str], list[str], str]]:
    """Two namespaces if this machine lets us have them, else twice this one."""
    with ExitStack() as stack:
        try:
            hosts = stack.enter_context(two_namespaces())
        except (OSError, subprocess.SubprocessError):
            hosts = ([], [], "127.0.0.1")
        yield hosts


def free_port(inside: list[str]) -> int:
    code = "import socket; s = socket.socket(); s.bind(('', 0)); print(s.getsockname()[1])"
    found = subprocess.run([*inside, sys.executable, "-c", code], check=True, capture_output=True, timeout=20)
    return int(found.stdout)


@pytest.mark.timeout(90)
def test_p1_p2_two_hosts_on_a_network_of_their_own(tmp_path):
    with two_hosts() as (first, second, address), ExitStack() as stack:
        port = free_port(first)
        server = [executable(), "--port", str(port), "--bind", address, "--protected-mode", "no"]
        server += ["--save", "", "--dir", str(tmp_path), "--logfile", str(tmp_path / "redis.log")]
        redis = stack.enter_context(subprocess.Popen([*first, *server]))
        stack.callback(redis.terminate)
        url = f"redis://{address}:{port}"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        running = []
        for host, inside in (("a", first), ("b", second)):
            command = [*inside, sys.executable, "-c", SCRIPT, host, url, str(COUNT)]
            process = stack.enter_context(
                subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            running.append(process)
            time.sleep(0.2)  # they may start in any order, and before Redis does
        outputs = [process.communicate(timeout=60)[0].strip() for process in running]
    assert outputs == [str([2 * number for number in range(COUNT)]), "None"]
    assert [process.returncode for process in running] == [0, 0]

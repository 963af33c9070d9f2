"""Hosts of a split graph, and Redis itself, are killed at random moments; nothing is lost or doubled."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.redis_server import RedisServer, running_server

COUNT = 4000
MOST_KILLS = 6
ROOT = Path(__file__).parents[2]


def keys(server: RedisServer) -> list[bytes]:
    """What is in Redis, but for the bells of processes that were killed, which ring on for a minute."""
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        return [key for key in client.scan_iter() if b":wake:" not in key]


class Host:
    """One host's process, started again whenever it was killed."""

    def __init__(self, name: str, server: RedisServer, folder: Path) -> None:
        self._command = [sys.executable, "-m", "tests.crash.part", name, server.url, "run", str(folder), str(COUNT)]
        self._log = folder / f"{name}.log"
        self._server = server
        self._over = False
        self.start()

    def start(self) -> None:
        with self._log.open("a") as log:
            self.process = subprocess.Popen(self._command, cwd=ROOT, stdout=log, stderr=log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def kill_and_start(self, *, begun: bool) -> None:
        self.kill()
        # Killed when the last part has just taken leave, it has nothing to go on with: it would begin a new run.
        self._over = begun and not keys(self._server)
        if not self._over:
            self.start()

    @property
    def done(self) -> bool:
        if self._over:
            return True
        status = self.process.poll()
        assert status in (None, 0), self._log.read_text()[-3000:]
        return status == 0


@contextmanager
def running(folder: Path) -> Iterator[tuple[RedisServer, dict[str, Host]]]:
    with running_server() as server:
        hosts = {name: Host(name, server, folder) for name in "abc"}
        try:
            yield server, hosts
        finally:
            for host in hosts.values():
                host.kill()


def lines(folder: Path, sink: str) -> Counter[tuple[int, ...]]:
    file = folder / sink
    return Counter(tuple(map(int, line.split())) for line in file.read_text().splitlines())


def crash(seed: int, victims: str, folder: Path) -> int:
    """Kill ``victims`` at random until the work is done; gives how often."""
    chance = random.Random(seed)
    kills, begun = 0, False
    until = time.monotonic() + 100
    with running(folder) as (server, hosts):
        while not all(host.done for host in hosts.values()):
            assert time.monotonic() < until, {name: host.process.poll() for name, host in hosts.items()}
            time.sleep(chance.uniform(0.2, 1.2) if kills < MOST_KILLS else 0.1)
            begun = begun or bool(keys(server))
            victim = chance.choice(victims)
            if kills >= MOST_KILLS:
                continue
            if victim == "r":
                server.kill()
                time.sleep(chance.uniform(0.0, 1.0))
                server.start()
                kills += 1
            elif not hosts[victim].done:
                hosts[victim].kill_and_start(begun=begun)
                kills += 1
        assert keys(server) == []
    return kills


def check(folder: Path, *, exactly: bool) -> None:
    expected: dict[str, Counter[tuple[int, ...]]] = {
        "all": Counter({(number,): 1 for number in range(COUNT)}),
        "some": Counter({(number,): number % 3 for number in range(COUNT) if number % 3}),
        "pairs": Counter({(number, number): 1 for number in range(COUNT) if number % 5}),
    }
    for sink, wanted in expected.items():
        found = lines(folder, sink)
        assert set(found) == set(wanted), sink
        assert not exactly or found == wanted, sink


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [0, *[pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 20)]])
def test_p1_killed_senders_and_servers_lose_and_double_nothing(seed, tmp_path):
    kills = crash(seed, "abr", tmp_path)
    assert kills
    check(tmp_path, exactly=True)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [0, *[pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 20)]])
def test_p1_killed_sinks_repeat_only_what_they_had_not_acknowledged(seed, tmp_path):
    kills = crash(seed, "abcr", tmp_path)
    assert kills
    check(tmp_path, exactly=False)
    # A sink that was killed is given again what was in its hands: no more than its channels hold.
    every = lines(tmp_path, "all")
    assert sum(every.values()) - len(every) <= kills * 3 * 100

"""One Redis server for the tests that leave it alone, and one of its own for each test that does not."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.redis_server import RedisServer, running_server


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RedisServer]:
    """A server that many tests use, each with runs of its own."""
    with running_server() as server:
        yield server


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that one test alone uses, and may kill."""
    with running_server() as server:
        yield server


@pytest.fixture
def run_id() -> str:
    """The name of a run that nobody else has."""
    return secrets.token_hex(6)

"""One Redis server for the tests that leave it alone, and one of its own for each test that does not."""

from tests.redis.conftest import run_id, server, shared_server

__all__ = ["run_id", "server", "shared_server"]

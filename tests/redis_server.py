"""A real Redis server of a test's own, on a Unix socket, which can be stopped, killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACES = [ROOT / ".venv" / "bin", Path("/usr/local/bin"), Path("/usr/bin"), Path("/opt/homebrew/bin")]
MISSING = (
    "these tests need a real redis-server, and none was found on PATH: install one, "
    "for example with `apt-get install redis-server` or `brew install redis`"
)


def executable() -> str:
    """Where the server's program is; a test without it fails."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, PLACES)])
    found = shutil.which("redis-server", path=path)
    assert found is not None, MISSING
    return found


class RedisServer:
    """The server, with its append-only file in ``folder``."""

    def __init__(self, folder: Path, *, persistent: bool = True) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._persistent = persistent
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it listens."""
        settings = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder), "--save", ""]
        settings += ["--appendonly", "yes" if self._persistent else "no", "--appendfsync", "everysec"]
        settings += ["--logfile", str(self.folder / "redis.log")]
        self.socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [executable(), *settings], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 20
        while not self.socket.exists():
            assert self._process.poll() is None, (self.folder / "redis.log").read_text()
            assert time.monotonic() < until, "redis-server did not start within 20 s"
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill the server as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def suspend(self) -> None:
        """Let the server stand still."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextmanager
def running_server(**options: bool) -> Iterator[RedisServer]:
    """A started server, which is gone afterwards with all it wrote."""
    # The path of a Unix socket has room for about a hundred characters: pytest's own folders may be too deep.
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder), **options)
        server.start()
        try:
            yield server
        finally:
            server.kill()

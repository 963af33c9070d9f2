"""This program's tie to Ray: made by the first who needs it, untied by the last.

Beginning and end take seconds, so they have a thread of their own. It lives as long as Ray does: on
Linux the processes that Ray starts end with the thread that has started them.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

__all__ = ["Connections", "Hand", "Session"]

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""What the environment says while Ray starts, if it says nothing else."""


class Session:
    """Ray from its beginning, which may have been somebody else's, to its end.

    Args:
        ray: The module.
        options: Of ``ray.init``.
        before: The session that must have ended first.
    """

    def __init__(self, ray: Any, options: Mapping[str, Any], before: Session | None) -> None:
        self.users = 0
        self.ready = False
        self.error: BaseException | None = None
        self.waiting: list[Callable[[BaseException | None], None]] = []
        self.lock = threading.Lock()
        self._ray = ray
        self._options = options
        self._before = before
        self._over = threading.Event()
        self.thread = threading.Thread(target=self._live, name="pipelines_ray", daemon=True)
        self.thread.start()

    def _live(self) -> None:
        if self._before is not None:
            self._before.thread.join()
            self._before = None
        ours = not self._ray.is_initialized()
        if ours:
            try:
                _start(self._ray, self._options)
            except BaseException as error:
                self.error = error
        with self.lock:
            self.ready = True
            waiting, self.waiting = self.waiting, []
        for told in waiting:
            told(self.error)
        self._over.wait()
        if ours:
            self._ray.shutdown()

    def end(self) -> None:
        """Untie; the thread ends when that is done."""
        self._over.set()


def _start(ray: Any, options: Mapping[str, Any]) -> None:
    given = {"include_dashboard": False, "configure_logging": False, **options}
    added = [name for name in QUIET if name not in os.environ]
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it is no news that this is not the main thread
    try:
        os.environ.update({name: QUIET[name] for name in added})
        ray.init(**given)
    finally:
        logger.setLevel(level)
        for name in added:
            os.environ.pop(name, None)


class Connections:
    """The sessions of this process, of which one at a time is alive.

    Args:
        ray: The module.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._lock = threading.Lock()
        self._session: Session | None = None

    def enter(self, options: Mapping[str, Any], told: Callable[[BaseException | None], None]) -> Session:
        """One more user; ``told`` is called, perhaps from a thread, when Ray is there, or why it is not."""
        with self._lock:
            session = self._session
            if session is None or not session.users or session.error is not None:
                session = self._session = Session(self._ray, options, session)
            session.users += 1
            with session.lock:
                if not session.ready:
                    session.waiting.append(told)
                    return session
        told(session.error)
        return session

    def leave(self, session: Session) -> list[threading.Thread]:
        """One user less; gives the threads whose end is to be waited for."""
        with self._lock:
            session.users -= 1
            if session.users:
                return []
            session.end()
            return [session.thread]


class Hand:
    """A thread that does one thing after the other, for what may block.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._tasks: SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._live, name=name, daemon=True)
        self.thread.start()

    def _live(self) -> None:
        while (task := self._tasks.get()) is not None:
            do, args = task
            do(*args)
            del do, args, task

    def do(self, function: Callable[..., None], *args: Any) -> None:
        """Have ``function`` called; it must not raise."""
        self._tasks.put((function, args))

    def close(self) -> None:
        """End when everything is done."""
        self._tasks.put(None)

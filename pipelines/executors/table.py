"""Executors by name: those that are there without being made, each in the module that is loaded when it is wanted."""

from __future__ import annotations

import asyncio
from importlib import import_module
from weakref import WeakKeyDictionary

from .base import Executor

__all__ = ["EXECUTORS", "make_executor", "shared_executor"]

EXECUTORS = {
    "thread": "thread:ThreadExecutor",
    "process": "process:ProcessExecutor",
    "ray": "ray:RayExecutor",
}

_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Executor]] = WeakKeyDictionary()


def make_executor(name: str) -> Executor:
    """A new executor as the word in the dict means it.

    Raises:
        MissingExtraError: What it needs is not installed.
    """
    module, made = EXECUTORS[name].split(":")
    executor: Executor = getattr(import_module(f".{module}", __package__), made)()
    return executor


def shared_executor(name: str) -> Executor:
    """The executor that all graphs of the running event loop share under this name."""
    executors = _shared.setdefault(asyncio.get_running_loop(), {})
    if name not in executors:
        executors[name] = make_executor(name)
    return executors[name]

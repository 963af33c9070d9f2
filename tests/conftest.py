"""Runs coroutine tests, and sees to it that no test leaves anything behind.

A coroutine test gets an event loop of its own; ``@pytest.mark.virtual_time`` makes that loop a
`pipelines.testing.VirtualTimeLoop`. Fixtures stay plain functions. After a test these are failures:

- a task that is alive besides the test's own, or an async generator that was begun and not closed;
- a thread or a `multiprocessing` child that the test started;
- whatever reached the loop's exception handler, such as an exception that nobody retrieved;
- every warning, such as an unclosed transport or file, or a coroutine that was never awaited.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any, cast

import hypothesis
import pytest

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

# Threads of tools that watch a test from outside.
FOREIGN_THREADS = ("pytest_timeout ", "pydevd.", "debugpy.", "Profiler", "IPythonHistorySavingThread")

SECONDS_TO_NEXT_INTERRUPTION = 10.0

hypothesis.settings.register_profile(
    "gate",
    deadline=None,  # a slow machine is no failure
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("explore", hypothesis.settings.get_profile("gate"), derandomize=False)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


class TimedOut(BaseException):
    """A test took too long; nothing that catches exceptions, or pytest's own failures, may catch this."""


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(settings: Any) -> Generator[None, object, object]:
    """Interrupt a slow test for good: Hypothesis takes a failure for one more example, and goes on to shrink it."""
    result = yield
    if settings.method == "signal":
        fail = cast("Callable[[int, object], None]", signal.getsignal(signal.SIGALRM))

        def interrupt(number: int, frame: object) -> None:
            # Whatever swallows the first exception meets another one.
            signal.setitimer(signal.ITIMER_REAL, SECONDS_TO_NEXT_INTERRUPTION)
            try:
                fail(number, frame)
            except pytest.fail.Exception as error:
                raise TimedOut(str(error)) from None

        signal.signal(signal.SIGALRM, interrupt)
    return result


def pytest_runtest_logstart() -> None:
    """Take all that is alive out of the garbage collector's sight, so that looking for what a test leaves is cheap."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Make a coroutine test callable, and compare what is alive before and after any test."""
    __tracebackhide__ = True
    _make_callable(pyfuncitem)
    before = _alive()
    result = yield
    gc.collect()  # what is found too late is blamed on another test
    left = sorted(repr(one) for one in _alive() - before)
    if left:
        pytest.fail("the test left alive: " + ", ".join(left), pytrace=False)
    return result


def _make_callable(item: pytest.Function) -> None:
    """Replace a coroutine function in ``item``, or inside its Hypothesis wrapper, by a plain one."""
    handle = getattr(item.obj, "hypothesis", None)
    function = item.obj if handle is None else handle.inner_test
    virtual = item.get_closest_marker("virtual_time") is not None
    if inspect.iscoroutinefunction(function):
        plain = _plain(function, _virtual_time_loop if virtual else asyncio.new_event_loop)
        if handle is None:
            item.obj = plain
        else:
            handle.inner_test = plain
    elif virtual and not hasattr(function, "makes_loop"):
        pytest.fail("the mark virtual_time is for coroutine tests", pytrace=False)


def _virtual_time_loop() -> asyncio.AbstractEventLoop:
    from pipelines.testing import VirtualTimeLoop

    return VirtualTimeLoop()


def _plain(function: Callable[..., Coroutine[Any, Any, None]], make_loop: LoopFactory) -> Callable[..., None]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        run_in_new_loop(functools.partial(function, *args, **kwargs), make_loop)

    run.makes_loop = make_loop  # type: ignore[attr-defined]
    return run


def run_in_new_loop(test: Callable[[], Coroutine[Any, Any, None]], make_loop: LoopFactory) -> None:
    """Run one coroutine to its end in a loop of its own; fail when something of it is left."""
    __tracebackhide__ = True
    told: list[dict[str, Any]] = []
    with asyncio.Runner(debug=False, loop_factory=make_loop) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        try:
            left = runner.run(_what_is_left(test))
        except BaseException as error:
            # When a timeout interrupts the loop, these lines say where the test hung.
            for task in asyncio.all_tasks(loop):
                error.add_note(f"still alive: {_where(task)}")
            raise
    gc.collect()
    if left:
        raise AssertionError("the test left alive: " + ", ".join(left))
    if told:
        causes = (context.get("exception") for context in told)
        message = "the loop was told of: " + "; ".join(map(_shown, told))
        raise AssertionError(message) from next((cause for cause in causes if cause is not None), None)


async def _what_is_left(test: Callable[[], Coroutine[Any, Any, None]]) -> list[str]:
    """Await the test; then the other tasks, and the async generators that are half-way."""
    await test()
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    begun = [each for each in tuple(getattr(loop, "_asyncgens", ())) if each.ag_frame is not None]
    return [*map(_where, tasks), *map(repr, begun)]


def _where(task: asyncio.Task[Any]) -> str:
    """The task's name, and the places where its coroutines wait, outermost first."""
    places = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
        if frame is not None:
            places.append(f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})")
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
    return f"task {task.get_name()!r} in " + " -> ".join(places)


def _alive() -> set[threading.Thread | multiprocessing.process.BaseProcess]:
    """The threads and child processes that this process has, without those of other tools."""
    threads = [each for each in threading.enumerate() if not each.name.startswith(FOREIGN_THREADS)]
    for thread in threads:
        # Python 3.11 waits for every subprocess in such a thread, which ends by itself, a moment after the process.
        if thread.name.startswith(("waitpid-", "asyncio-waitpid-")):
            thread.join(timeout=5)
    return {each for each in threads if each.is_alive()} | set(multiprocessing.active_children())


def _shown(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context.get('message')}" + (f" ({error!r})" if error is not None else "")

"""What every executor promises."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pipelines.executors.base import Executor
from pipelines.executors.thread import ThreadExecutor

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")


class ExecutorSuite:
    """The contract; a subclass makes an executor that runs at most ``workers`` functions at once."""

    make: Callable[[int], Executor]

    @asynccontextmanager
    async def executor(self, workers: int = 2) -> AsyncIterator[Executor]:
        executor = type(self).make(workers)
        try:
            yield executor
        finally:
            await executor.close()

    async def test_call_gives_the_functions_result(self):
        async with self.executor() as executor:
            assert await executor.call(divmod, 7, 3) == (2, 1)

    async def test_p6_an_exception_is_raised_unchanged(self):
        error = ValueError("seven")

        def fail() -> None:
            raise error

        async with self.executor() as executor:
            with pytest.raises(ValueError, match="seven") as caught:
                await executor.call(fail)
        assert caught.value is error

    async def test_p6_stop_iteration_becomes_a_runtime_error(self):
        async with self.executor() as executor:
            with pytest.raises(RuntimeError, match="the function raised StopIteration") as caught:
                await executor.call(next, iter(()))
        assert isinstance(caught.value.__cause__, StopIteration)

    async def test_the_function_sees_the_callers_context_variables(self):
        variable.set("the caller's")
        async with self.executor() as executor:
            assert await executor.call(variable.get) == "the caller's"

    async def test_the_function_does_not_change_the_callers_context(self):
        async with self.executor() as executor:
            await executor.call(variable.set, "the function's")
        assert variable.get() == "default"

    async def test_p8_the_event_loop_goes_on_meanwhile(self):
        gate = threading.Event()
        async with self.executor() as executor:
            call = asyncio.create_task(executor.call(gate.wait, 30))
            await asyncio.sleep(0)
            assert not call.done()
            gate.set()
            assert await call is True

    async def test_as_many_run_at_once_as_there_are_workers(self):
        # Each waits for the other: alone, neither would come to its end.
        meeting = threading.Barrier(2, timeout=30)
        async with self.executor(2) as executor:
            places = await asyncio.gather(*[executor.call(meeting.wait) for _ in range(2)])
        assert sorted(places) == [0, 1]

    async def test_a_cancelled_call_that_waits_for_a_worker_never_runs(self):
        gate = threading.Event()
        ran: list[int] = []
        async with self.executor(1) as executor:
            first = asyncio.create_task(executor.call(gate.wait, 30))
            await asyncio.sleep(0)
            second = asyncio.create_task(executor.call(ran.append, 1))
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.wait([second])
            gate.set()
            await first
        assert second.cancelled()
        assert ran == []

    async def test_p5_close_waits_for_what_runs(self):
        started, gate, ended = threading.Event(), threading.Event(), []

        def work() -> None:
            started.set()
            gate.wait(30)
            ended.append(1)

        async with self.executor() as executor:
            call = asyncio.create_task(executor.call(work))
            while not started.is_set():
                await asyncio.sleep(0)
            call.cancel()
            closing = asyncio.create_task(executor.close())
            await asyncio.sleep(0)
            assert not closing.done()
            gate.set()
            await closing
        assert ended == [1]

    async def test_p5_close_drops_what_waits(self):
        gate = threading.Event()
        ran: list[int] = []
        async with self.executor(1) as executor:
            calls = [asyncio.create_task(executor.call(gate.wait, 30))]
            await asyncio.sleep(0)
            calls.append(asyncio.create_task(executor.call(ran.append, 1)))
            await asyncio.sleep(0)
            closing = asyncio.create_task(executor.close())
            await asyncio.sleep(0)
            gate.set()
            await closing
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert (results[0], type(results[1]), ran) == (True, asyncio.CancelledError, [])

    async def test_p5_the_exception_of_a_cancelled_call_disturbs_nobody(self):
        gate = threading.Event()

        def fail() -> None:
            gate.wait(30)
            raise ValueError("nobody hears this")

        async with self.executor() as executor:
            call = asyncio.create_task(executor.call(fail))
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.sleep(0)
            gate.set()
        assert call.cancelled()

    async def test_p9_closing_twice_is_legal(self):
        async with self.executor() as executor:
            await executor.call(int)
            await executor.close()

    async def test_p5_nothing_is_alive_after_close(self):
        before = self.alive()
        async with self.executor() as executor:
            await asyncio.gather(*[executor.call(int) for _ in range(10)])
            assert self.alive() - before
        assert self.alive() == before

    def alive(self) -> set[Any]:
        return {thread for thread in threading.enumerate() if thread.is_alive()}


class TestThreadExecutor(ExecutorSuite):
    make = ThreadExecutor

    async def test_p4_calls_that_are_over_are_forgotten(self):
        async with self.executor() as executor:
            await asyncio.gather(*[executor.call(int) for _ in range(100)])
            while executor._running:  # type: ignore[attr-defined]
                await asyncio.sleep(0)

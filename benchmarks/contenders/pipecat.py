"""pipecat: frame processors in a pipeline, made for voice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger
from pipecat.frames.frames import DataFrame, Frame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from ..jobs import Chain, RoundTrips

ABOUT = (
    "A `FrameProcessor` for each node, a `DataFrame` for each item, `PipelineWorker` without its timeouts and what it "
    "has for voice, logging off. Its queues have no bound."
)
DISTRIBUTION = "pipecat-ai"
_ONE = "a processor takes one frame at a time"
_MERGED = "parallel branches are merged, not zipped"
CANNOT = {
    "plain": "processors are asynchronous (see chain5)",
    "diamond": _MERGED,
    "diamond_skips": _MERGED,
    "dag": _MERGED,
    "sleep_ordered": _ONE,
    "sleep_unordered": _ONE,
    "memory": "its queues have no bound",
    "latency_submit": "no call that returns an item's result",
    "options": "no such options",
}

logger.remove()


@dataclass
class _Item(DataFrame):
    value: Any


class _Node(FrameProcessor):
    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self._function = function

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, _Item):
            frame.value = await self._function(frame.value)
        await self.push_frame(frame, direction)


class _Last(_Node):
    """Lets only the frames of pipecat itself out of the pipeline."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, _Item):
            await self._function(frame.value)
        else:
            await super().process_frame(frame, direction)


def _worker(*nodes: FrameProcessor) -> PipelineWorker:
    return PipelineWorker(Pipeline(list(nodes)), enable_rtvi=False, enable_turn_tracking=False, idle_timeout_secs=None)


async def _run(worker: PipelineWorker) -> None:
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


async def chain(job: Chain) -> None:
    """A processor per node; the frames are queued before and while it runs."""
    worker = _worker(*(_Node(job.node.call) for _ in range(job.depth - 1)), _Last(job.sink.call))

    async def feed() -> None:
        await worker.queue_frames(_Item(x) for x in range(job.items))
        await worker.stop_when_done()

    async with asyncio.TaskGroup() as group:
        group.create_task(_run(worker))
        group.create_task(feed())


async def latency_put(job: RoundTrips) -> None:
    """A frame is queued, and the last processor puts what comes into a queue."""
    results: asyncio.Queue[Any] = asyncio.Queue()
    worker = _worker(*(_Node(job.node.call) for _ in range(job.depth)), _Last(results.put))

    async def send(x: int) -> Any:
        await worker.queue_frame(_Item(x))
        return await results.get()

    async with asyncio.TaskGroup() as group:
        group.create_task(_run(worker))
        await job.drive(send)
        await worker.stop_when_done()

"""The shortest whole pipeline: strings are reversed, and shown beside what they were.

Start it with ``python demos/readme_demo.py``.
"""

import asyncio
import uuid

from pipelines.plumber import Plumber
from pipelines.processor import Processor


class StringFuncs:
    """Coros that belong together."""

    @classmethod
    async def reverse(cls, self: Processor, q_elt: tuple[str]) -> str:
        """What a coro returns goes to all downstream nodes."""
        return q_elt[0][::-1]

    @classmethod
    async def input_coro(cls, self: Processor, output_q: asyncio.Queue[str]) -> None:
        """A node without upstream is given a queue; `put` waits while the graph is full."""
        for _ in range(20):
            await output_q.put(str(uuid.uuid4()))

    @classmethod
    async def output_coro(cls, self: Processor, q_elt: tuple[str, str]) -> None:
        """A node with two upstreams gets an item of each, and always two that belong together."""
        print("output~> ", q_elt)


input_d = {
    "nodes": {
        "inp": {"coro": StringFuncs.input_coro},
        "rev": {"coro": StringFuncs.reverse},
        "out": {"coro": StringFuncs.output_coro},
    },
    "graph": {
        "inp": ("rev", "out"),  # output of node 'inp' ~> 'rev' and 'out'
        "rev": ("out",),  # and so on...
        "out": None,
    },
}


async def main() -> None:
    """Build the pipeline, start it, and wait for its end."""
    _t = Plumber(input_d, coro_map=lambda x: x)
    _t.create_pipeline()
    await _t.wait()


if __name__ == "__main__":
    asyncio.run(main())

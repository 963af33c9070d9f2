"""One part of a split graph as a process of its own, to be killed: ``python -m tests.redis.part URL RUN ROLE ITEMS``.

``source`` (host a) sends the numbers up to ITEMS; ``middle`` (host b) passes each on to host c, where the test is.
"""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

from pipelines.channels.redis import Entry, LeaseLostError, Link

LEASE = 0.5
AGREED: dict[str, Any] = {"hosts": ["a", "b", "c"], "digest": "d", "version": "1", "lease": LEASE}
CAPACITY = 64
FENCED = 3


async def source(link: Link, items: int) -> None:
    """Send what was not sent before, in lots of any size."""
    outlet = link.outlet("a-b", CAPACITY)
    start = await link.progress("numbers")
    while start < items:
        end = min(items, start + random.randint(1, 40))
        ids = [f"numbers:{number}" for number in range(start, end)]
        await outlet.send([Entry(each, each.encode()) for each in ids])
        link.advance("numbers", end, {outlet: ids})
        start = end
        await asyncio.sleep(0.002)
    await outlet.close()


async def middle(link: Link, items: int) -> None:
    """Pass everything on, and acknowledge it in any order."""
    inlet, outlet = link.inlet("a-b"), link.outlet("b-c", CAPACITY)
    while entries := await inlet.read():
        await outlet.send([Entry("b:" + entry.id, entry.body) for _, entry in entries])
        random.shuffle(entries)
        for token, entry in entries:
            inlet.done(token, {outlet: ["b:" + entry.id]})
            if random.random() < 0.05:
                await asyncio.sleep(0.001)
    await outlet.close()


def say(word: str) -> None:
    """Tell the test, at once."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


async def main(url: str, run_id: str, role: str, items: int) -> int:
    """Be the part; the exit status says whether it was replaced."""
    link = Link(url, run_id, {"source": "a", "middle": "b"}[role], **AGREED)
    await link.join(on_standby=lambda: say("standby"))
    say("joined")
    try:
        if not link.finished:
            await {"source": source, "middle": middle}[role](link, items)
        await link.leave(clean=True)
    except LeaseLostError:
        await link.leave(clean=False)
        return FENCED
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))))

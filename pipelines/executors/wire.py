"""What a worker process and its parent say to each other: frames on a socket, and a board in memory.

A frame is its length, its kind and its body; the body of most begins with a few numbers. The board is
a page of numbers that both see at any time. On it the worker says what it is at, and the parent what
is to be interrupted. So that stays possible while the worker is deep in a function and reads nothing.
"""

from __future__ import annotations

import os
import struct
from enum import IntEnum
from mmap import mmap
from typing import Any

__all__ = [
    "ALL",
    "BOARD_SIZE",
    "CHUNK",
    "COUNT",
    "FRAME",
    "JOB",
    "OUTCOME",
    "RESULT",
    "RESULTS_ARENA",
    "SLOTS",
    "TAKEN",
    "Board",
    "Kind",
    "frame",
]

SLOTS = 2
"""Portions that a worker has at once: while it works on one, the next is there already. Each has an arena."""

FRAME = struct.Struct("<IB")
"""Bytes of the body, and the kind."""

JOB = struct.Struct("<I")
"""Number of the job."""

CHUNK = struct.Struct("<QIBd")
"""Number of the portion, of the job, the slot, and the seconds after which the worker gives back the rest."""

RESULT = struct.Struct("<QBBd")
"""Number of the portion, its slot, whether all outcomes are plain, and the seconds that the calls took."""

OUTCOME = struct.Struct("<QId")
"""Of a result: number of the portion, index of the item in it, and the seconds of its call."""

COUNT = struct.Struct("<I")
"""How many results follow."""

TAKEN = struct.Struct("<B")
"""The slot."""

RESULTS_ARENA = SLOTS
"""The last arena is for the results of workers with an event loop, which come at any time."""


class Kind(IntEnum):
    """What a frame says."""

    JOB = 1  # parent: what a node is
    CHUNK = 2  # parent: items to work on
    CLOSE = 3  # parent: clean up after a job
    LEAVE = 4  # parent: there is nothing more to do
    READY = 5  # worker: I am here
    RESULT = 6  # worker: what became of some items of a portion
    CLOSED = 7  # worker: I have cleaned up after a job
    LOG = 8  # worker: somebody has logged something
    TAKEN = 9  # worker with an event loop: the slot of a portion is free again
    RESULTS = 10  # worker with an event loop: what became of some items of any portions
    READ = 11  # parent: the arena with results is free again
    CANCEL = 12  # parent: nobody wants anything more of a job
    AGAIN = 13  # parent: the results could not be read; send them again, each by itself


def frame(kind: Kind, *parts: bytes | bytearray) -> bytes:
    """A frame as it goes through the socket."""
    return b"".join((FRAME.pack(sum(map(len, parts)), kind), *parts))


BOARD_SIZE = 4096

ALL = -1
"""Instead of an index: every item of the portion."""


class Board:
    """The numbers that both sides see; each is written by one side only.

    Attributes:
        numbers: See the constants for what stands where.
    """

    # Written by the worker: the portion that it works on, the index of the item in it, and the
    # nanosecond of the machine's clock at which that call began. A worker with an event loop writes
    # only when its loop has turned.
    AT, INDEX, SINCE = 0, 1, 2
    # Written by the parent: which item of which portion is to be interrupted; from GONE on, the portion
    # in each slot that nobody wants any more; from END on, how many items of the one in each slot to do.
    TARGET, TARGET_INDEX, GONE, END = 3, 4, 5, 5 + SLOTS

    def __init__(self, descriptor: int) -> None:
        if os.fstat(descriptor).st_size < BOARD_SIZE:
            os.ftruncate(descriptor, BOARD_SIZE)
        self._map = mmap(descriptor, BOARD_SIZE)
        self.numbers: Any = memoryview(self._map).cast("q")

    def close(self) -> None:
        """Give the memory back; only once."""
        self.numbers.release()
        self._map.close()

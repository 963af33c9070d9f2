"""concurrent.futures: the standard library's pool of processes, one call at a time."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from ..away import spin, total
from ..jobs import Cores, Hops

ABOUT = "`ProcessPoolExecutor.map` with chunks of one call, as `submit` does; the fork server, two workers."
DISTRIBUTION: str | None = None
OTHERWISE = "only hands calls to other processes"
SHARE = {"cores_20us": 0.1}


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("forkserver"))


def cores(job: Cores) -> None:
    """One call after the other goes to the pool."""
    with _pool(job.workers) as pool:
        function = partial(spin, seconds=job.spin)
        list(pool.map(function, range(20)))
        with job.timed():
            job.recorded.extend(pool.map(function, range(job.items)))


def hops(job: Hops) -> None:
    """One array after the other goes to the pool."""
    with _pool(1) as pool:
        given = list(job.arrays())
        list(pool.map(total, given[:2]))
        with job.timed():
            job.recorded.extend(pool.map(total, given))

"""Ray, by hand: one task for every call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import ray

from ..away import spin, total
from ..jobs import Cores, Hops

ABOUT = "`ray.remote` functions on a local Ray, one task a call."
DISTRIBUTION = "ray"
OTHERWISE = "only hands calls to other processes"
SHARE = {"cores_20us": 0.05}


@contextmanager
def _ray(cpus: int) -> Iterator[None]:
    ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        yield
    finally:
        ray.shutdown()


def cores(job: Cores) -> None:
    """A task for every call, all at once."""
    with _ray(job.workers):
        remote = ray.remote(spin)
        ray.get([remote.remote(item, job.spin) for item in range(100)])
        with job.timed():
            job.recorded.extend(ray.get([remote.remote(item, job.spin) for item in range(job.items)]))


def hops(job: Hops) -> None:
    """A task for every array, one after the other."""
    with _ray(1):
        remote = ray.remote(total)
        given = list(job.arrays())
        ray.get([remote.remote(array) for array in given[:2]])
        with job.timed():
            for array in given:
                job.recorded.append(ray.get(remote.remote(array)))

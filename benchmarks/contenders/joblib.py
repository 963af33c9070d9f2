"""joblib: calls in batches whose size it finds by itself, on the workers of loky."""

from __future__ import annotations

import joblib

from ..away import spin, total
from ..jobs import Cores, Hops

ABOUT = '`joblib.Parallel` with its defaults (loky, `batch_size="auto"`), all calls given at once.'
DISTRIBUTION = "joblib"
OTHERWISE = "only hands calls to other processes"


def cores(job: Cores) -> None:
    """All calls at once."""
    with joblib.Parallel(n_jobs=job.workers) as parallel:
        parallel(joblib.delayed(spin)(item, job.spin) for item in range(100))
        with job.timed():
            job.recorded.extend(parallel(joblib.delayed(spin)(item, job.spin) for item in range(job.items)))


def hops(job: Hops) -> None:
    """All arrays at once; memory maps of large arguments are left at their default."""
    with joblib.Parallel(n_jobs=1, backend="loky") as parallel:
        given = list(job.arrays())
        parallel(joblib.delayed(total)(array) for array in given[:2])
        with job.timed():
            job.recorded.extend(parallel(joblib.delayed(total)(array) for array in given))

"""How the kernels run on several threads."""

from __future__ import annotations

import threading

import numba

# OpenMP threads spin at the end of every phase: on a busy machine two of them were slower than one, work queues were not.
# NUMBA_THREADING_LAYER still overrides this; a work queue takes one caller at a time, hence the lock.
numba.config.THREADING_LAYER_PRIORITY = ["workqueue", "tbb", "omp"]  # type: ignore[attr-defined]
one_caller = threading.Lock()


def threads_for(n_rows: int, fewest_rows: int = 32) -> int:
    """How many threads to use for ``n_rows`` rows of work, when less than ``fewest_rows`` each are not worth one."""
    return max(1, min(numba.get_num_threads(), n_rows // fewest_rows))

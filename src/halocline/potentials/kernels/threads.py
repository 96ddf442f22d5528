"""How the kernels run on several threads."""

from __future__ import annotations

import os
import threading

import numba

from halocline import compilation as compilation  # decides on the threading layer

# A work queue takes one caller at a time, hence the lock.
one_caller = threading.Lock()
if hasattr(os, "register_at_fork"):
    # OpenMP does not survive a fork: the child computes alone.
    os.register_at_fork(after_in_child=lambda: numba.set_num_threads(1))


def threads_for(n_rows: int, fewest_rows: int = 32) -> int:
    """How many threads to use for ``n_rows`` rows of work, when less than ``fewest_rows`` each are not worth one."""
    return max(1, min(numba.get_num_threads(), n_rows // fewest_rows))

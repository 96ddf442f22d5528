"""How many threads the compiled kernels and torch of this process use."""

from __future__ import annotations


def use_threads(count: int) -> None:
    """Use ``count`` threads, or as many as numba was started with where that is less.

    Two busy processes with more threads than cores slow each other down several times. Another number of threads sums in
    another order: forces differ by rounding (1e-6 eV/Å), so trajectories separate after a while and averages do not.
    """
    import numba
    import torch

    from halocline import compilation as compilation  # decides on the threading layer, which the next lines start

    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    numba.set_num_threads(max(1, min(count, most)))
    torch.set_num_threads(max(1, count))

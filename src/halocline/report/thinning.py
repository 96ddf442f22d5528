"""Fewer points for the page, without losing what an eye would look for: the extremes."""

from __future__ import annotations

import itertools

import numpy as np

from halocline.topology import FloatArray, IntArray

LINE_LIMIT = 400
CLOUD_LIMIT = 1500


def thin_line(y: FloatArray, limit: int = LINE_LIMIT) -> IntArray:
    """Indices of at most ``limit`` points of a curve: first, last, and lowest and highest of equal runs of points."""
    n = len(y)
    if n <= limit:
        return np.arange(n)
    edges = np.linspace(0, n, (limit - 2) // 2 + 1).astype(np.int64)
    filled_low, filled_high = np.where(np.isfinite(y), y, np.inf), np.where(np.isfinite(y), y, -np.inf)
    chosen = {0, n - 1}
    for start, stop in itertools.pairwise(edges.tolist()):
        chosen.add(start + int(np.argmin(filled_low[start:stop])))
        chosen.add(start + int(np.argmax(filled_high[start:stop])))
    return np.array(sorted(chosen), dtype=np.int64)


def thin_cloud(x: FloatArray, y: FloatArray, limit: int = CLOUD_LIMIT) -> IntArray:
    """Indices of at most ``limit`` points: every n-th, and those with extreme x, y and |y - x|.

    An even stride keeps the density of the cloud honest; the extremes keep its outliers.
    """
    n = len(x)
    if n <= limit:
        return np.arange(n)
    outliers = max(4, limit // 50)
    keys = [np.nan_to_num(key, nan=0.0) for key in (np.abs(y - x), x, -x, y, -y)]
    extremes = np.concatenate([np.argsort(-key, kind="stable")[:outliers] for key in keys])
    stride = np.linspace(0, n - 1, limit - len(extremes)).astype(np.int64)
    return np.unique(np.concatenate([stride, extremes]))

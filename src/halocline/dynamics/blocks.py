"""Sums over blocks of a series whose length is not known beforehand, in an amount of memory that is."""

from __future__ import annotations

import numpy as np

from halocline.topology import FloatArray

LIMIT = 128
"""Blocks that are kept at most: when so many are full, neighbours are added and blocks are twice as long from then on. Between
64 and 128 blocks the relative error of a standard error is 6 to 9 %."""


class Blocks:
    """Sums of consecutive samples, in blocks of equal length.

    Args:
        shape: of a sample.
        length: samples of a block at the start.

    Attributes:
        length: samples of a block now.
        current: sum of the samples of the block that is not full yet.
    """

    def __init__(self, shape: tuple[int, ...], length: int) -> None:
        self.length, self.current = length, np.zeros(shape)
        self._filled = 0
        self._sums: list[FloatArray] = []

    @property
    def sums(self) -> FloatArray:
        """(n_blocks, ...) sums of the full blocks."""
        return np.array(self._sums).reshape(-1, *self.current.shape)

    def add(self, sample: FloatArray) -> None:
        """The next sample."""
        self.current = self.current + sample
        self._filled += 1
        if self._filled == self.length:
            self._sums.append(self.current)
            self._filled, self.current = 0, np.zeros_like(self.current)
            if len(self._sums) == LIMIT:
                self._sums = [a + b for a, b in zip(self._sums[::2], self._sums[1::2])]
                self.length *= 2

    def state(self) -> dict[str, np.ndarray]:
        """Arrays that a restart needs."""
        return {"sums": self.sums, "current": self.current, "counters": np.array([self.length, self._filled])}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take up what :meth:`state` gave."""
        self._sums, self.current = list(arrays["sums"]), arrays["current"].copy()
        self.length, self._filled = (int(value) for value in arrays["counters"])

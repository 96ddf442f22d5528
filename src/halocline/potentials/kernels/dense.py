"""Dense layers in numba: small matrix products and activations, written so that LLVM makes vector code of them.

They stand beside the pair loops in one compiled function: no Python between the phases, one thread count for all of
them, and the same bits from one call to the next.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

SingleArray = NDArray[np.float32]

FASTMATH = {"reassoc", "contract", "nsz", "arcp"}
"""Reordering and fused multiply-add, but NaN and infinity stay what they are: they have to be found afterwards."""

_ONE, _TWO, _HALF = np.float32(1.0), np.float32(2.0), np.float32(0.5)
_LOG2_E, _LN_2 = np.float32(1.0 / math.log(2.0)), np.float32(math.log(2.0))
_LARGEST = np.float32(86.0)
_C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(math.log(2.0) ** k / math.factorial(k)) for k in range(2, 8))
_S3, _S5, _S7, _S9, _S11, _S13 = (np.float32(1.0 / k) for k in range(3, 14, 2))


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def multiply(a: SingleArray, b: SingleArray, c: SingleArray, n_rows: int) -> None:
    """c[:n_rows] += a[:n_rows] @ b; four rows and four terms at a time, columns contiguous."""
    inner, columns = b.shape
    whole_rows, whole_inner = n_rows - n_rows % 4, inner - inner % 4
    for i in range(0, whole_rows, 4):
        for k in range(0, whole_inner, 4):
            a00, a01, a02, a03 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            a10, a11, a12, a13 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
            a20, a21, a22, a23 = a[i + 2, k], a[i + 2, k + 1], a[i + 2, k + 2], a[i + 2, k + 3]
            a30, a31, a32, a33 = a[i + 3, k], a[i + 3, k + 1], a[i + 3, k + 2], a[i + 3, k + 3]
            for f in range(columns):
                b0, b1, b2, b3 = b[k, f], b[k + 1, f], b[k + 2, f], b[k + 3, f]
                c[i, f] += a00 * b0 + a01 * b1 + a02 * b2 + a03 * b3
                c[i + 1, f] += a10 * b0 + a11 * b1 + a12 * b2 + a13 * b3
                c[i + 2, f] += a20 * b0 + a21 * b1 + a22 * b2 + a23 * b3
                c[i + 3, f] += a30 * b0 + a31 * b1 + a32 * b2 + a33 * b3
        for k in range(whole_inner, inner):
            for row in range(i, i + 4):
                for f in range(columns):
                    c[row, f] += a[row, k] * b[k, f]
    for i in range(whole_rows, n_rows):
        for k in range(inner):
            factor = a[i, k]
            for f in range(columns):
                c[i, f] += factor * b[k, f]


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def clear(array: SingleArray, first: int, n_rows: int) -> None:
    """Zero in some rows."""
    for row in range(first, first + n_rows):
        line = array[row]
        for f in range(len(line)):
            line[f] = 0.0


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def fill(array: SingleArray, values: SingleArray, n_rows: int) -> None:
    """The same values in each of the first rows."""
    for row in range(n_rows):
        line = array[row]
        for f in range(len(values)):
            line[f] = values[f]


@njit(inline="always")
def _decay(value: Any) -> Any:
    """e^-|x| in single precision: 2^k times the Taylor series of 2^f on [-1/2, 1/2], free of calls and branches."""
    scaled = -min(abs(value), _LARGEST) * _LOG2_E
    whole = np.floor(scaled + _HALF)
    t = scaled - whole
    series = _ONE + t * (_LN_2 + t * (_C2 + t * (_C3 + t * (_C4 + t * (_C5 + t * (_C6 + t * _C7))))))
    power = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
    return series * power


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def softplus_in_place(x: SingleArray, slope: SingleArray, n_rows: int) -> None:
    """x <- ln(1 + e^x) - ln 2 and slope <- 1/(1 + e^-x), elementwise on the first rows.

    ln(1 + e) is 2 atanh(e/(2 + e)) with its argument below 1/3, a short series good to single precision.
    """
    for i in range(n_rows):
        for f in range(x.shape[1]):
            value = x[i, f]
            e = _decay(value)
            s = e / (_TWO + e)
            q = s * s
            logarithm = _TWO * s * (_ONE + q * (_S3 + q * (_S5 + q * (_S7 + q * (_S9 + q * (_S11 + q * _S13))))))
            inverse = _ONE / (_ONE + e)
            x[i, f] = max(value, np.float32(0.0)) + logarithm - _LN_2
            slope[i, f] = inverse if value > np.float32(0.0) else e * inverse


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def silu_in_place(x: SingleArray, slope: SingleArray, n_rows: int) -> None:
    """x <- x s(x) and slope <- s(x) + x s(x) s(-x) with s(x) = 1/(1 + e^-x), elementwise on the first rows."""
    for i in range(n_rows):
        for f in range(x.shape[1]):
            value = x[i, f]
            e = _decay(value)
            large = _ONE / (_ONE + e)
            small = e * large
            sigmoid = large if value > np.float32(0.0) else small
            x[i, f] = value * sigmoid
            slope[i, f] = sigmoid + value * large * small

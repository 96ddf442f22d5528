"""Normal numbers from a counter: the same number for the same (seed, step, counter), whoever asks and in whatever order.

A counter is hashed by the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, doi 10.1145/2660193.2660195), with a
second key between its two multiplications so that the sequences of two steps never run parallel; the ziggurat of Marsaglia
and Tsang (J. Stat. Softw. 5, 8 (2000), doi 10.18637/jss.v005.i08) with 256 layers turns the hash into a normal number. Layer,
sign and position come from bits of their own. The few numbers that the ziggurat refuses are drawn again from counters far away.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from halocline.topology import FloatArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31, _S40 = (np.uint64(shift) for shift in (11, 27, 30, 31, 40))
_ONE, _LAYER = np.uint64(1), np.uint64(255)
_UNIT = 2.0**-53
TAIL = 3.6541528853610088
"""Where the tail of a normal distribution cut into 256 layers of equal area begins."""


def _layers() -> tuple[FloatArray, FloatArray]:
    """Widths x_i of the layers, from the base up, and the density exp(-x_i^2/2)."""
    area = TAIL * math.exp(-0.5 * TAIL**2) + math.sqrt(0.5 * math.pi) * math.erfc(TAIL / math.sqrt(2.0))
    widths = [area * math.exp(0.5 * TAIL**2), TAIL]
    while len(widths) < 256:
        widths.append(math.sqrt(-2.0 * math.log(area / widths[-1] + math.exp(-0.5 * widths[-1] ** 2))))
    edges = np.array([*widths, 0.0])
    return edges, np.exp(-0.5 * edges**2)


WIDTH, DENSITY = _layers()
_SCALE = WIDTH[:256] * _UNIT


@numba.njit(cache=True, inline="always")
def hash_counter(counter, key, second):  # type: ignore[no-untyped-def]
    """64 random bits of a uint64 counter; with ``second`` zero the output ``counter`` of SplitMix64 seeded with ``key``."""
    z = key + counter * GOLDEN
    z = (z ^ (z >> _S30)) * _FIRST
    z = ((z ^ second) ^ (z >> _S27)) * _SECOND
    return z ^ (z >> _S31)


@numba.njit(cache=True)
def stream_keys(seed, purpose, step):  # type: ignore[no-untyped-def]
    """The two keys of one step; all arguments uint64. Different purposes never share numbers."""
    zero = np.uint64(0)
    root = hash_counter(purpose, seed, zero)
    return hash_counter(step, root, zero), hash_counter(step, hash_counter(purpose, ~seed, zero), root)


@numba.njit(cache=True)
def uniform(counter, key, second):  # type: ignore[no-untyped-def]
    """A number in (0, 1)."""
    return (np.float64(hash_counter(counter, key, second) >> _S11) + 0.5) * _UNIT


@numba.njit(cache=True, inline="always")
def _proposal(bits):  # type: ignore[no-untyped-def]
    """Layer from the low eight bits, signed position in it from the high 54."""
    layer = bits & _LAYER
    return layer, np.float64(np.int64(bits) >> 10) * _SCALE[layer]


@numba.njit(cache=True)
def _refused(layer, x, counter, key, second):  # type: ignore[no-untyped-def]
    """Wedge and tail of the ziggurat: decide about ``x``, or draw again."""
    while True:
        counter += _ONE << _S40
        if layer == 0:
            while True:
                beyond = -math.log(uniform(counter, key, second)) / TAIL
                counter += _ONE << _S40
                height = -math.log(uniform(counter, key, second))
                counter += _ONE << _S40
                if 2.0 * height > beyond * beyond:
                    return math.copysign(TAIL + beyond, x)
        height = DENSITY[layer] + uniform(counter, key, second) * (DENSITY[layer + _ONE] - DENSITY[layer])
        if height < math.exp(-0.5 * x * x):
            return x
        counter += _ONE << _S40
        layer, x = _proposal(hash_counter(counter, key, second))
        if abs(x) < WIDTH[layer + _ONE]:
            return x


@numba.njit(cache=True, inline="always")
def normal(counter, key, second):  # type: ignore[no-untyped-def]
    """Standard normal number of a uint64 counter below 2^40."""
    layer, x = _proposal(hash_counter(counter, key, second))
    if abs(x) < WIDTH[layer + _ONE]:
        return x
    return _refused(layer, x, counter, key, second)


@numba.njit(cache=True)
def fill_normal(out, first, seed, purpose, step):  # type: ignore[no-untyped-def]
    """Normal numbers of the counters ``first``, ``first`` + 1, ... into (n,) ``out``; the other arguments are uint64."""
    key, second = stream_keys(seed, purpose, step)
    for index in range(len(out)):
        out[index] = normal(np.uint64(first + index), key, second)

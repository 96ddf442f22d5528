"""What the phases of a SchNet evaluation read and write."""

from __future__ import annotations

from typing import NamedTuple

from halocline.potentials.kernels.dense import SingleArray
from halocline.potentials.kernels.neighbours import RowArray
from halocline.topology import FloatArray, IntArray


class Sites(NamedTuple):
    """A :class:`PairList` with the (n_sites,) type index and molecule of each site of the whole system."""

    sites: IntArray
    start: IntArray
    neighbours: RowArray
    displacements: FloatArray
    distances: FloatArray
    types: IntArray
    molecules: IntArray


class Work(NamedTuple):
    """Buffers, rows and pairs first come first; see :meth:`SchNetKernel._work_arrays` for the shapes."""

    knot: RowArray
    fraction: SingleArray
    pair_slope: SingleArray
    features: SingleArray
    sent: SingleArray
    slope: SingleArray
    received: SingleArray
    d_received: SingleArray
    d_sent: SingleArray
    d_features: SingleArray
    scratch: SingleArray
    head: SingleArray
    forces: FloatArray
    capped: IntArray
    energy: FloatArray
    virial: FloatArray

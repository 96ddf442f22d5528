"""What the phases of a PaiNN evaluation read and write."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from halocline.potentials.kernels.dense import SingleArray
from halocline.potentials.kernels.neighbours import RowArray
from halocline.potentials.kernels.painn_tables import LANES
from halocline.topology import FloatArray, IntArray

BLOCK = 32  # rows per block of the dense layers; a multiple of four, so that a row is summed in the same order whoever does it


class Work(NamedTuple):
    """Buffers, rows and pairs first come first.

    A *group* is ``LANES`` features, a *slab* a range of rows with its pairs: the work of pair loops is divided by both, and each slab adds
    to its own copy. Neither depends on the number of threads, so the results do not either.

    Attributes:
        unit: (pairs, 3) unit vectors from the first to the second site.
        gradient: (groups, pairs, 4) derivative of the energy with respect to the distance and to the unit vector.
        node: (layers, groups, rows, 10 LANES) what a site sends (scalar, vector and pair message), its vectors x, y, z, and the derivative
            with respect to what it received (scalars, vectors x, y, z).
        received: (slabs, groups, rows, 4 LANES) scalars and vectors from the neighbours.
        d_node: (slabs, groups, rows, 6 LANES) derivative with respect to the first six of ``node``.
        vectors, d_vectors, mixed: rows 3 i .. 3 i + 2 are the components of site i; ``mixed`` is u beside w.
        weights, own: (rows,) weight of the energy of each site, and this energy.
    """

    knot: RowArray
    fraction: SingleArray
    unit: SingleArray
    gradient: SingleArray
    node: SingleArray
    received: SingleArray
    d_node: SingleArray
    scalars: SingleArray
    vectors: SingleArray
    d_scalars: SingleArray
    d_vectors: SingleArray
    send_slope: SingleArray
    gate_slope: SingleArray
    mixed: SingleArray
    gate_scalars: SingleArray
    gate_vectors: SingleArray
    hidden: SingleArray
    single: SingleArray
    wide: SingleArray
    inner: SingleArray
    d_mixed: SingleArray
    head: SingleArray
    weights: FloatArray
    own: FloatArray
    forces: FloatArray
    own_pairs: FloatArray
    capped: IntArray
    energy: FloatArray
    virial: FloatArray


def make_work(layers: int, features: int, n_hidden: int, rows: int, pairs: int, threads: int, slabs: int) -> Work:
    """Buffers for so many rows, pairs, threads and slabs."""

    def zeros(*shape: int) -> SingleArray:
        return np.zeros(shape, dtype=np.float32)

    groups = features // LANES
    return Work(
        knot=np.zeros(pairs, dtype=np.int32),
        fraction=zeros(pairs),
        unit=zeros(pairs, 3),
        gradient=zeros(groups, pairs, 4),
        node=zeros(layers, groups, rows, 10 * LANES),
        received=zeros(slabs, groups, rows, 4 * LANES),
        d_node=zeros(slabs, groups, rows, 6 * LANES),
        scalars=zeros(rows, features),
        vectors=zeros(3 * rows, features),
        d_scalars=zeros(rows, features),
        d_vectors=zeros(3 * rows, features),
        send_slope=zeros(layers, rows, features),
        gate_slope=zeros(layers, rows, features),
        mixed=zeros(layers, 3 * rows, 2 * features),
        gate_scalars=zeros(layers, rows, 2 * features),
        gate_vectors=zeros(layers, rows, features),
        hidden=zeros(threads, BLOCK, features),
        single=zeros(threads, BLOCK, features),
        wide=zeros(threads, BLOCK, 3 * features),
        inner=zeros(threads, BLOCK, 2 * features),
        d_mixed=zeros(threads, 3 * BLOCK, 2 * features),
        head=zeros(threads, 2, BLOCK, n_hidden),
        weights=np.zeros(rows),
        own=np.zeros(rows),
        forces=np.zeros((slabs, rows, 3)),
        own_pairs=np.zeros((slabs, rows)),
        capped=np.zeros((slabs, rows), dtype=np.int64),
        energy=np.zeros(slabs),
        virial=np.zeros((slabs, 3, 3)),
    )

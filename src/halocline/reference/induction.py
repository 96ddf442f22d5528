"""Polarizability of a cluster from interacting atomic polarizabilities.

Thole, Chem. Phys. 59, 341 (1981), doi 10.1016/0301-0104(81)85176-2: point dipoles induce each other through a dipole
tensor that is damped where the charge clouds overlap.
"""

from __future__ import annotations

import numpy as np

from halocline.topology import FloatArray

POLARIZABILITIES = {"H": 0.514, "C": 1.405, "N": 1.105, "O": 0.862}
"""Å^3, Thole's fit for the linear charge model."""
WIDTH = 1.662
"""Thole's damping parameter of the linear charge model."""


def polarizability(positions: FloatArray, atomic: FloatArray) -> FloatArray:
    """(3, 3) static polarizability, Å^3.

    Args:
        positions: (n_atoms, 3), Å.
        atomic: (n_atoms,) isotropic atomic polarizabilities, Å^3.
    """
    n = len(positions)
    d = positions[:, None, :] - positions[None, :, :]
    r = np.linalg.norm(d, axis=-1) + np.eye(n)
    v = np.minimum(1.0, r / (WIDTH * (atomic[:, None] * atomic[None, :]) ** (1 / 6)))
    isotropic = (4 * v**3 - 3 * v**4) / r**3
    tensor = isotropic[..., None, None] * np.eye(3) - (3 * v**4 / r**5)[..., None, None] * d[..., :, None] * d[..., None, :]
    tensor[np.arange(n), np.arange(n)] = np.eye(3) / atomic[:, None, None]
    response = np.linalg.inv(tensor.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n))
    return response.reshape(n, 3, n, 3).sum(axis=(0, 2))

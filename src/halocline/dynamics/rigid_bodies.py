"""Shapes of rigid molecules: from lengths to a reference geometry, molecules put into it, and velocities that fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halocline.dynamics import rigid_modes
from halocline.dynamics.constraints import TRIANGLE_PARAMETERS
from halocline.errors import UserError
from halocline.topology import FloatArray, IntArray, Topology
from halocline.units import ACCELERATION, thermal_energy

Lengths = Sequence[tuple[int, int, float]]
"""(i, j, Å) for pairs of sites of one species."""
ModeArray = NDArray[np.int8]
WHERE = "rigid molecules"
SAME = 1e-9
"""Å within which two lengths count as one."""
LARGEST_MISFIT = 0.5
"""Å, root mean square, by which a molecule may start off its rigid shape."""
_FLAT = 1e-6


def reference_lengths(geometry: ArrayLike) -> list[tuple[int, int, float]]:
    """All lengths of an (n_sites, 3) geometry in Å, as (i, j, length)."""
    points = np.asarray(geometry, dtype=np.float64)
    pairs = zip(*np.triu_indices(len(points), 1), strict=True)
    return [(int(i), int(j), float(np.linalg.norm(points[i] - points[j]))) for i, j in pairs]


def reference_geometry(lengths: Lengths, masses: FloatArray, guide: FloatArray, name: str) -> FloatArray:
    """(n_sites, 3) geometry about its centre of mass that has the lengths, in Å.

    Lengths do not tell a molecule from its mirror image; ``guide``, (n_sites, 3) positions of one molecule, does.

    Raises:
        UserError: a pair has no length or two, no points of space have these lengths, or the molecule is linear.
    """
    n = len(masses)
    table, seen = np.zeros((n, n)), np.zeros((n, n), dtype=np.int64)
    for i, j, length in lengths:
        table[i, j] = table[j, i] = length
        seen[i, j] += 1
        seen[j, i] += 1
    if (seen != 1 - np.eye(n, dtype=np.int64)).any() or (table < 0.0).any():
        what = f"{len(lengths)} lengths for the {n * (n - 1) // 2} pairs of {name}"
        raise UserError(what, WHERE, "Give every pair of sites one length; reference_lengths(geometry) makes such a list.")
    weights = masses / masses.sum()
    squares = table**2
    # Scalar products about the centre of mass follow from the lengths (law of cosines).
    to_centre = squares @ weights - 0.5 * weights @ squares @ weights
    values, vectors = np.linalg.eigh(0.5 * (to_centre[:, None] + to_centre - squares))
    points = vectors[:, -3:] * np.sqrt(np.maximum(values[-3:], 0.0)) if n > 2 else np.zeros((n, 3))
    points -= weights @ points
    worst = max((abs(float(np.linalg.norm(points[i] - points[j])) - length) for i, j, length in lengths), default=0.0)
    if n > 2 and worst > SAME:
        raise UserError(f"lengths of {name} are {worst:.2e} A off any geometry", WHERE, "Take all lengths from one geometry.")
    inertia = np.linalg.eigvalsh(np.einsum("i,ij,ik->jk", masses, points, points))
    if n < 3 or inertia[1] < _FLAT * inertia[2]:
        raise UserError(f"{name} has {n} sites on one line", WHERE, "Rigid molecules must not be linear; use a flexible model.")
    mirrored = points * np.array([-1.0, 1.0, 1.0])
    centred = guide - weights @ guide
    return min((points, mirrored), key=lambda candidate: _misfit(_fit(candidate, centred[None], masses), centred[None], masses)[0])


def _fit(reference: FloatArray, molecules: FloatArray, masses: FloatArray) -> FloatArray:
    """The reference turned onto each of (n, n_sites, 3) molecules, all about centres of mass (Kabsch, doi 10.1107/S0567739476001873)."""
    left, _, right = np.linalg.svd(np.einsum("s,sa,msb->mab", masses, reference, molecules))
    sign = np.ones((len(molecules), 3))
    sign[:, 2] = np.linalg.det(left) * np.linalg.det(right)
    return np.einsum("sa,mac,mc,mcb->msb", reference, left, sign, right)


def _misfit(fitted: FloatArray, molecules: FloatArray, masses: FloatArray) -> FloatArray:
    """(n,) root mean square distance by mass, Å."""
    return np.sqrt(np.einsum("s,msa->m", masses / masses.sum(), (fitted - molecules) ** 2))


def put_into_shape(molecules: FloatArray, reference: FloatArray, masses: FloatArray, name: str) -> FloatArray:
    """Molecules (n, n_sites, 3) with the reference geometry at their centres of mass and orientations.

    Molecules that have it already are left as they are, bit by bit.

    Raises:
        UserError: a molecule is far off the shape, for example broken across the boundary.
    """
    pairs = np.triu_indices(len(masses), 1)
    wanted = np.linalg.norm(reference[pairs[0]] - reference[pairs[1]], axis=1)
    found = np.linalg.norm(molecules[:, pairs[0]] - molecules[:, pairs[1]], axis=2)
    off = np.abs(found - wanted).max(axis=1) > SAME
    if not off.any():
        return molecules
    centres = np.einsum("s,msa->ma", masses / masses.sum(), molecules)[:, None]
    fitted = _fit(reference, molecules - centres, masses)
    misfit = _misfit(fitted, molecules - centres, masses)
    if not misfit.max() <= LARGEST_MISFIT:
        what = f"a molecule of {name} is {misfit.max():.2f} A off its rigid shape"
        raise UserError(what, WHERE, "Make molecules whole, and start from the geometry of the rigid species.")
    return np.where(off[:, None, None], centres + fitted, molecules)


def triangle(reference: FloatArray, masses: FloatArray) -> tuple[IntArray, FloatArray] | None:
    """Apex and base sites, (3,), and the row of parameters of a water-like molecule; None for any other shape."""
    if len(masses) != 3:
        return None
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        long, other = np.linalg.norm(reference[b] - reference[a]), np.linalg.norm(reference[c] - reference[a])
        if masses[b] == masses[c] and abs(long - other) <= SAME:
            return np.array([a, b, c]), _parameters(reference[[a, b, c]], masses[[a, b, c]])
    return None


def _parameters(points: FloatArray, masses: FloatArray) -> FloatArray:
    """See :data:`halocline.dynamics.constraints.TRIANGLE_PARAMETERS`."""
    half_base = 0.5 * float(np.linalg.norm(points[2] - points[1]))
    height = float(np.linalg.norm(points[0] - 0.5 * (points[1] + points[2])))
    share = masses[1] / masses.sum()
    gradients = np.zeros((3, 3, 3))
    for k, (i, j) in enumerate(((0, 1), (0, 2), (1, 2))):
        gradients[k, j] = points[j] - points[i]
        gradients[k, i] = -gradients[k, j]
    multipliers = np.linalg.inv(np.einsum("kia,i,lia->kl", gradients, 1.0 / masses, gradients))
    apex = 2.0 * share * height
    row = [apex, height - apex, half_base, share, masses[1] / masses[0], *(multipliers[np.triu_indices(3)] / masses[1])]
    assert len(row) == TRIANGLE_PARAMETERS
    return np.array(row)


@dataclass(frozen=True)
class SpeciesTables:
    """Tables over species for the compiled loops; see :mod:`halocline.dynamics.rigid_modes`.

    Attributes:
        modes: (n_species,) natural mode. corners, triangles: of water-like species.
        sites, lengths: pairs of all other rigid species, those of s in rows ``starts[s]:starts[s + 1]``.
        reference: geometries of rigid species and single atoms, in rows ``places[s]`` on.
    """

    modes: ModeArray
    corners: IntArray
    triangles: FloatArray
    sites: IntArray
    lengths: FloatArray
    starts: IntArray
    reference: FloatArray
    places: IntArray


def species_tables(topology: Topology, positions: FloatArray, rigid: Sequence[bool], lengths: Sequence[Lengths]) -> SpeciesTables:
    """Tables of the species; puts their molecules into shape, in ``positions``."""
    n = len(topology.species)
    modes, corners, triangles = np.zeros(n, dtype=np.int8), np.zeros((n, 3), dtype=np.int64), np.zeros((n, TRIANGLE_PARAMETERS))
    pairs: list[list[tuple[int, int, float]]] = [[] for _ in range(n)]
    references: list[FloatArray] = []
    for s in range(n):
        members = np.flatnonzero(topology.molecule_species == s)
        size = int(topology.offsets[members[0] + 1] - topology.offsets[members[0]]) if len(members) else 0
        references.append(np.zeros((size, 3)))
        if not rigid[s] or size < 2:
            continue
        atoms = topology.offsets[members][:, None] + np.arange(size)
        masses, name = topology.masses[atoms[0]], topology.species[s]
        references[s] = reference_geometry(lengths[s], masses, positions[atoms[0]], name)
        positions[atoms] = put_into_shape(positions[atoms], references[s], masses, name)
        found = triangle(references[s], masses)
        modes[s] = rigid_modes.BODY if found is None else rigid_modes.TRIANGLE
        if found is None:
            pairs[s] = list(lengths[s])
        else:
            corners[s], triangles[s] = found
    flat = [pair for species in pairs for pair in species]
    sites = np.array([pair[:2] for pair in flat], dtype=np.int64).reshape(-1, 2)
    starts = np.concatenate([[0], np.cumsum([len(species) for species in pairs])]).astype(np.int64)
    places = np.concatenate([[0], np.cumsum([len(points) for points in references])[:-1]]).astype(np.int64)
    table = np.array([pair[2] for pair in flat], dtype=np.float64)
    return SpeciesTables(modes, corners, triangles, sites, table, starts, np.concatenate(references), places)


def rigid_velocities(
    topology: Topology, positions: FloatArray, rigid: Sequence[bool], temperature: float, generator: np.random.Generator
) -> FloatArray:
    """(n_atoms, 3) Maxwell-Boltzmann velocities in Å/fs on the constraints of rigid species, without total momentum.

    A Gaussian velocity of every atom, projected onto the rigid motions, has the distribution of the rigid body.

    Args:
        positions: (n_atoms, 3), Å; molecules of rigid species in their shape.
        temperature: K.
    """
    speeds = np.sqrt(thermal_energy(temperature) * ACCELERATION / topology.masses)
    velocities = generator.normal(size=(topology.n_atoms, 3)) * speeds[:, None]
    bodies = np.array(rigid, dtype=bool)[topology.molecule_species] & (np.diff(topology.offsets) > 1)
    modes = np.where(bodies, rigid_modes.BODY, rigid_modes.FREE).astype(np.int8)
    rigid_modes.project(np.ascontiguousarray(positions, dtype=np.float64), velocities, topology.offsets, modes, topology.masses)
    return velocities - (topology.masses[:, None] * velocities).sum(0) / topology.masses.sum()

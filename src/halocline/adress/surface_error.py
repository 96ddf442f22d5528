"""How far the surface of the resolved region is felt: force error against depth below it.

With a many-body potential of receptive field R, the force on a molecule depends on site energies within R, each of which
depends on atoms within R of it: missing molecules are felt up to 2 R deep, although weakly beyond R. The same holds for a
many-body coarse potential: E_coarse(all) - E_coarse(S1) leaves forces up to twice its field below the border. So the error is
measured on snapshots instead of assumed to vanish.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from halocline.adress.coupling.base import Coupling
from halocline.adress.regions import BoolArray, Regions, Resolution
from halocline.topology import FloatArray, IntArray, Topology


@dataclass(frozen=True)
class SurfaceError:
    """Root mean square difference between open and full-resolution forces, per Cartesian component.

    Attributes:
        depth: (n_bins,) centres of bins of the distance below the border between Δ and reservoir, Å.
        error: (n_bins,) RMS over atoms of |F_open - F_full| / sqrt(3), eV/Å; NaN where there was no atom.
        centre_of_mass: (n_bins,) the same for the total force on a molecule.
        force: (n_bins,) RMS of F_full per component, eV/Å: the scale of the error.
        count: (n_bins,) molecules, over all snapshots.
        largest_atomistic: largest |F_open - F_full| of one atom in AT, eV/Å.
        atomistic: RMS per component over all atoms in AT, eV/Å.
    """

    depth: FloatArray
    error: FloatArray
    centre_of_mass: FloatArray
    force: FloatArray
    count: IntArray
    largest_atomistic: float
    atomistic: float


def surface_error(
    coupling: Coupling, snapshots: Iterable[tuple[FloatArray, BoolArray]], topology: Topology, regions: Regions, width: float = 1.0
) -> SurfaceError:
    """Compare the forces of a coupling with those of its fine potential on everything.

    Args:
        coupling: bound to the system.
        snapshots: (n_atoms, 3) positions in Å and (n_molecules,) members of S1.
        width: of a bin of depth, Å.
    """
    n_bins = int(np.ceil(regions.outer / width))
    sums = np.zeros((3, n_bins))
    counts = np.zeros((2, n_bins), dtype=np.int64)
    atomistic_sum, atomistic_count, largest = 0.0, 0, 0.0
    everything = np.ones(topology.n_molecules, dtype=bool)
    atoms_per_molecule = np.diff(topology.offsets)
    for positions, inside in snapshots:
        open_forces = np.array(coupling.evaluate(positions, Resolution.of(regions, topology, positions, inside)).forces)
        full_forces = np.array(coupling.fine.evaluate(positions, everything).forces)
        difference = open_forces - full_forces
        distance = regions.distance(topology.centres_of_mass(positions))
        squares = np.add.reduceat((difference**2).sum(1), topology.offsets[:-1])
        scales = np.add.reduceat((full_forces**2).sum(1), topology.offsets[:-1])
        totals = (np.add.reduceat(difference, topology.offsets[:-1], axis=0) ** 2).sum(1)
        resolved = (inside if inside.ndim == 1 else inside[-1]) & (distance < regions.outer)
        bins = np.minimum(((regions.outer - distance[resolved]) / width).astype(np.int64), n_bins - 1)
        for row, values in enumerate((squares, totals, scales)):
            sums[row] += np.bincount(bins, values[resolved], n_bins)
        counts[0] += np.bincount(bins, minlength=n_bins)
        counts[1] += np.bincount(bins, atoms_per_molecule[resolved], n_bins).astype(np.int64)
        in_core = topology.atom_mask(distance < regions.atomistic)
        atomistic_sum += float((difference[in_core] ** 2).sum())
        atomistic_count += 3 * int(in_core.sum())
        largest = max(largest, float(np.linalg.norm(difference[in_core], axis=1).max(initial=0.0)))
    with np.errstate(invalid="ignore", divide="ignore"):
        error, force = (np.sqrt(sums[row] / (3 * counts[1])) for row in (0, 2))
        centre_of_mass = np.sqrt(sums[1] / (3 * counts[0]))
    depth = (np.arange(n_bins, dtype=np.float64) + 0.5) * width
    in_atomistic = float(np.sqrt(atomistic_sum / atomistic_count)) if atomistic_count else float("nan")
    return SurfaceError(depth, error, centre_of_mass, force, counts[0], largest, in_atomistic)

"""PaiNN with tabulated filters: energy, exact gradient and virial over a half neighbour list.

The filters W_l(r) depend on the distance alone, so each is a table of cubic splines; each pair evaluates them once per layer and serves
both directions. The forces are the gradient of this tabulated energy, not an approximation to that of the network. Features are
single precision, distances, pair prior, forces and energy double. The number of threads changes no bit of a result.
"""

from __future__ import annotations

import math

import numpy as np

from halocline.models.heads.energy import EnergyHead
from halocline.models.heads.sources import AtomicSources
from halocline.models.painn import PaiNN
from halocline.models.priors.pair_tables import PairTables
from halocline.potentials.kernels import painn_phases as phases
from halocline.potentials.kernels.buffers import Sites
from halocline.potentials.kernels.neighbours import PairList
from halocline.potentials.kernels.painn_buffers import BLOCK, Work, make_work
from halocline.potentials.kernels.painn_tables import PaiNNArrays, padded, painn_arrays
from halocline.potentials.kernels.results import KernelResult, SiteOutputs
from halocline.potentials.kernels.site_heads import SiteHeads
from halocline.potentials.kernels.tables import PriorArrays, prior_arrays
from halocline.potentials.kernels.threads import one_caller, threads_for
from halocline.topology import FloatArray, IntArray

ROWS_OF_SLAB = 1024
MOST_SLABS = 8


class PaiNNKernel:
    """Compiled evaluation of one PaiNN, its energy head and its pair prior.

    Args:
        representation, head, prior: torch modules; copied, so later training does not change the kernel.
        force_cap: eV/Å, limit of the repulsion of one pair of the prior between molecules.
        n_knots: knots of each filter table.
        sources: of the charges and multipoles of the model, for :meth:`forward`; None where it has none.
    """

    default_knots = 512

    def __init__(
        self,
        representation: PaiNN,
        head: EnergyHead,
        prior: PairTables | None,
        force_cap: float = math.inf,
        n_knots: int = default_knots,
        sources: AtomicSources | None = None,
    ) -> None:
        self._heads = SiteHeads(head, sources)
        self.network: PaiNNArrays = painn_arrays(representation, head, n_knots)
        self.prior: PriorArrays = prior_arrays(prior, len(representation.types), force_cap)
        self.layers, self.features = representation.layers, representation.features
        top = self.layers - 1
        forward = [step for layer in range(top) for step in ((phases.CONVOLVE, layer), (phases.UPDATE, layer))]
        back = [step for layer in range(top, 0, -1) for step in ((phases.CONVOLVE_BACK, layer), (phases.UPDATE_BACK, layer))]
        start = [(phases.PREPARE, 0), *forward, (phases.CONVOLVE, top)]
        # The last update goes straight on with the head and its own derivative; nothing depends on the embedding.
        program = [*start, (phases.TURN, top), *back, (phases.CONVOLVE_BACK, 0), (phases.FORCES, 0)]
        self._program = np.array(program, dtype=np.int64)
        self._forward = np.array([*start, (phases.FINISH, top)], dtype=np.int64)
        self._capacity = (0, 0, 0, 0)

    def evaluate(self, pairs: PairList, types: IntArray, molecules: IntArray, weights: FloatArray | None = None) -> KernelResult:
        """Energy and forces of the rows of a pair list.

        Args:
            pairs: the selected sites and their pairs.
            types: (n_sites,) index of the type of each site of the whole system.
            molecules: (n_sites,) molecule of each site.
            weights: (n_sites,) of the energy of each site, or None for their plain sum.
        """
        listed = Sites(pairs.sites, pairs.start, pairs.neighbours, pairs.displacements, pairs.distances, types, molecules)
        bounds = self._run(self._program, listed, weights)
        forces, capped, virial = np.zeros((len(types), 3)), np.zeros(len(types), dtype=np.int64), np.zeros((3, 3))
        own = np.zeros(len(types))
        energy = phases.collect(listed, len(bounds) - 1, self._work, forces, capped, virial, own)
        return KernelResult(energy, forces, virial, capped, own if weights is not None else np.zeros(0))

    def forward(self, pairs: PairList, types: IntArray, molecules: IntArray, molecule_charges: FloatArray | None = None) -> SiteOutputs:
        """Hidden features of the energy head, and charges and atomic dipoles where the model has heads for them.

        Args:
            pairs, types, molecules: as in :meth:`evaluate`.
            molecule_charges: (n_molecules,) in e, or None where all are neutral.
        """
        listed = Sites(pairs.sites, pairs.start, pairs.neighbours, pairs.displacements, pairs.distances, types, molecules)
        self._run(self._forward, listed, None)
        n, width = len(pairs.sites), self.features
        vectors = self._work.vectors[: 3 * n].reshape(n, 3, -1)[:, :, :width]
        return self._heads(self._work.scalars[:n, :width], vectors, pairs.sites, types, molecules, molecule_charges)

    def _run(self, program: IntArray, listed: Sites, weights: FloatArray | None) -> IntArray:
        """Run a program; returns the bounds of the slabs, (n_slabs + 1,) rows."""
        n_rows = len(listed.sites)
        n_threads = threads_for(n_rows, BLOCK)
        n_slabs = min(MOST_SLABS, 1 + n_rows // ROWS_OF_SLAB)
        work = self._work_arrays(n_rows, len(listed.distances), n_threads, n_slabs)
        work.weights[:n_rows] = 1.0 if weights is None else weights[listed.sites]
        # About as many pairs in each.
        bounds = np.searchsorted(listed.start, np.linspace(0, listed.start[-1], n_slabs + 1)).astype(np.int64)
        bounds[0], bounds[-1] = 0, n_rows
        if n_threads == 1:
            phases.run(program, bounds, 0, 1, self.network, self.prior, listed, work)
        else:
            with one_caller:
                phases.run_parallel(program, bounds, n_threads, self.network, self.prior, listed, work)
        return bounds

    def _work_arrays(self, n_rows: int, n_pairs: int, n_threads: int, n_slabs: int) -> Work:
        """Buffers, made again only when they have become too small."""
        rows, pairs, threads, slabs = self._capacity
        if n_rows > rows or n_pairs > pairs or n_threads > threads or n_slabs > slabs:
            capacity = max(rows, n_rows), max(pairs, int(1.1 * n_pairs)), max(threads, n_threads), max(slabs, n_slabs)
            self._work = make_work(self.layers, padded(self.features), len(self.network.head2), *capacity)
            self._capacity = capacity
        return self._work

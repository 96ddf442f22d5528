"""SchNet with tabulated filters: energy, exact gradient and virial over a half neighbour list.

The filters W_l(r) depend on the distance alone, so each is a table of cubic Hermite polynomials; each pair evaluates
them once per layer and serves both directions. The forces are the gradient of this tabulated energy, not an
approximation to that of the network. Features are single precision, distances, pair prior, forces and energy double.
"""

from __future__ import annotations

import math

import numpy as np

from halocline.models.heads.energy import EnergyHead
from halocline.models.heads.sources import AtomicSources
from halocline.models.priors.pair_tables import PairTables
from halocline.models.schnet import SchNet
from halocline.potentials.kernels import phases, weighted
from halocline.potentials.kernels.buffers import Sites, Work
from halocline.potentials.kernels.dense import SingleArray
from halocline.potentials.kernels.neighbours import PairList
from halocline.potentials.kernels.results import KernelResult, SiteOutputs
from halocline.potentials.kernels.site_heads import SiteHeads
from halocline.potentials.kernels.tables import NetworkArrays, PriorArrays, network_arrays, prior_arrays
from halocline.potentials.kernels.threads import one_caller, threads_for
from halocline.topology import FloatArray, IntArray


class SchNetKernel:
    """Compiled evaluation of one SchNet, its energy head and its pair prior.

    Args:
        representation, head, prior: torch modules; copied, so later training does not change the kernel.
        force_cap: eV/Å, limit of the repulsion of one pair of the prior between molecules.
        n_knots: knots of each filter table.
        sources: of the charges and multipoles of the model, for :meth:`forward`; None where it has none.
    """

    default_knots = 1024

    def __init__(
        self,
        representation: SchNet,
        head: EnergyHead,
        prior: PairTables | None,
        force_cap: float = math.inf,
        n_knots: int = default_knots,
        sources: AtomicSources | None = None,
    ) -> None:
        self._heads = SiteHeads(head, sources)
        self.network: NetworkArrays = network_arrays(representation, head, n_knots)
        self.prior: PriorArrays = prior_arrays(prior, len(representation.types), force_cap)
        self.layers, self.features = representation.layers, representation.features
        back = [step for layer in reversed(range(self.layers)) for step in ((phases.CONVOLVE_BACK, layer), (phases.UPDATE_BACK, layer))]
        forward = [step for layer in range(self.layers) for step in ((phases.CONVOLVE, layer), (phases.UPDATE, layer))]
        # The last update goes straight on with the head and its own derivative; nothing depends on the embedding.
        self._program = np.array([(phases.PREPARE, 0), *forward, *back[:-1], (phases.FORCES, 0)], dtype=np.int64)
        self._turn = 1 + len(forward)
        self._capacity = (0, 0, 0)

    def evaluate(self, pairs: PairList, types: IntArray, molecules: IntArray, weights: FloatArray | None = None) -> KernelResult:
        """Energy and forces of the rows of a pair list.

        Args:
            pairs: the selected sites and their pairs.
            types: (n_sites,) index of the type of each site of the whole system.
            molecules: (n_sites,) molecule of each site.
            weights: (n_sites,) of the energy of each site, or None for their plain sum.
        """
        n_threads = threads_for(len(pairs.sites), phases.BLOCK)
        work = self._work_arrays(len(pairs.sites), len(pairs.distances), n_threads)
        listed = Sites(pairs.sites, pairs.start, pairs.neighbours, pairs.displacements, pairs.distances, types, molecules)
        own = np.zeros(0)
        if weights is None:
            self._run(self._program, n_threads, listed, work)
        else:
            own = self._run_weighted(weights, n_threads, listed, work)
        forces, capped, virial = np.zeros((len(types), 3)), np.zeros(len(types), dtype=np.int64), np.zeros((3, 3))
        energy = phases.collect(listed, n_threads, work, forces, capped, virial)
        return KernelResult(energy, forces, virial, capped, own)

    def forward(self, pairs: PairList, types: IntArray, molecules: IntArray, molecule_charges: FloatArray | None = None) -> SiteOutputs:
        """Hidden features of the energy head, and charges where the model has a head for them.

        Args:
            pairs, types, molecules: as in :meth:`evaluate`.
            molecule_charges: (n_molecules,) in e, or None where all are neutral.
        """
        n_threads = threads_for(len(pairs.sites), phases.BLOCK)
        work = self._work_arrays(len(pairs.sites), len(pairs.distances), n_threads)
        listed = Sites(pairs.sites, pairs.start, pairs.neighbours, pairs.displacements, pairs.distances, types, molecules)
        self._run(self._program[: self._turn], n_threads, listed, work)
        return self._heads(work.features[: len(pairs.sites)], None, pairs.sites, types, molecules, molecule_charges)

    def _run(self, program: IntArray, n_threads: int, listed: Sites, work: Work) -> None:
        if n_threads == 1:
            phases.run(program, 0, 1, self.network, self.prior, listed, work)
        else:
            with one_caller:
                phases.run_parallel(program, n_threads, self.network, self.prior, listed, work)

    def _run_weighted(self, weights: FloatArray, n_threads: int, listed: Sites, work: Work) -> FloatArray:
        """The same with weights of sites; returns the energies of all sites, zero where they are not listed, eV."""
        of_rows, rows = weights[listed.sites], np.zeros(len(listed.sites))
        self._run(self._program[: self._turn], n_threads, listed, work)
        weighted.readout(of_rows, n_threads, self.network, listed, work, rows)
        self._run(self._program[self._turn : -1], n_threads, listed, work)
        weighted.pair_forces(of_rows, n_threads, self.prior, listed, work, rows)
        own = np.zeros(len(weights))
        own[listed.sites] = rows
        return own

    def _work_arrays(self, n_rows: int, n_pairs: int, n_threads: int) -> Work:
        """Buffers, made again only when they have become too small."""
        rows, pairs, threads = self._capacity
        if n_rows > rows or n_pairs > pairs or n_threads > threads:
            rows, pairs, threads = max(rows, n_rows), max(pairs, int(1.1 * n_pairs)), max(threads, n_threads)
            layers, features = self.layers, self.features

            def single(*shape: int) -> SingleArray:
                return np.zeros(shape, dtype=np.float32)

            self._work = Work(
                knot=np.zeros(pairs, dtype=np.int32),
                fraction=single(pairs),
                pair_slope=single(pairs),
                features=single(rows, features),
                sent=single(layers, rows, features),
                slope=single(layers, rows, features),
                received=single(threads, rows, features),
                d_received=single(rows, features),
                d_sent=single(threads, rows, features),
                d_features=single(rows, features),
                scratch=single(threads, 2, phases.BLOCK, features),
                head=single(threads, 2, phases.BLOCK, features // 2),
                forces=np.zeros((threads, rows, 3)),
                capped=np.zeros((threads, rows), dtype=np.int64),
                energy=np.zeros(threads),
                virial=np.zeros((threads, 3, 3)),
            )
            self._capacity = (rows, pairs, threads)
        return self._work

"""mu_ex of the reservoir, which with the compensation and the force makes that of AT."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from halocline.adress.chemical_potential import ZERO, Term
from halocline.adress.reservoir import reservoir_of
from halocline.config.study import Study
from halocline.dynamics.chemical_potential import FRICTION, INSERTIONS, SAMPLE
from halocline.dynamics.insertion import WidomEstimate, WidomInsertion
from halocline.dynamics.nvt import make_mover, rigid_lengths, run
from halocline.files import read_arrays, write_arrays
from halocline.potentials.insertion import BeadInsertion
from halocline.potentials.pair_table import PairTable
from halocline.stages._assembly import coarse_of, steps_of
from halocline.stages._classical import species_of
from halocline.stages._target_density import has_target
from halocline.stages.base import Context
from halocline.state import State
from halocline.topology import FloatArray

FILE = "reservoir-excess.npz"
SEED = 40


def is_measured(study: Study) -> bool:
    """Whether beads of a tabulated potential are inserted; they have the density of the box."""
    return study.is_classical and reservoir_of(study).is_pair_table and not has_target(study)


def reservoir_excess(context: Context, start: State) -> list[Term] | None:
    """mu_ex of each species in the reservoir, eV: zero for tracers, by Widom's insertion of beads into a bulk run for tables.

    Args:
        start: equilibrated liquid at the density of the box.

    Returns:
        None where nothing is known: reservoirs of dipoles or learned beads, another density than that of the box, or too few
        insertions that count.

    Raises:
        RunFailure: the run blew up.
    """
    study, path = context.study, context.folder / FILE
    if reservoir_of(study).is_ideal:
        return [ZERO] * len(start.topology.species)
    if not is_measured(study):
        return None
    if not path.exists():
        found = _insert(context, start)
        doubts = [f"{name}: {item.warning}" for name, item in zip(start.topology.species, found) if item.warning]
        if doubts:
            context.progress.log(f"mu_ex of the reservoir is not known: {'; '.join(doubts)}")
        write_arrays(path, values=np.array([[item.value, item.error] for item in found]), known=np.array(not doubts))
    kept = read_arrays(path)
    return [Term(float(value), float(error)) for value, error in kept["values"]] if kept["known"] else None


def _insert(context: Context, start: State) -> list[WidomEstimate]:
    study, topology = context.study, start.topology
    dynamics, temperature, seed = study.dynamics, study.system.temperature, study.system.seed + SEED
    table, coarse = PairTable.load(Path(context.file("train", "coarse")), dynamics.force_cap), coarse_of(context)
    samplers = []
    for kind, name in enumerate(topology.species):
        insertion = BeadInsertion.of_table(table, name, topology.species)
        samplers.append(WidomInsertion(insertion, INSERTIONS, temperature, seed + kind))
        samplers[-1].bind(topology, start.cell)
    coarse.bind(topology, start.cell)
    rigid = {molecule.name: rigid_lengths(molecule) for molecule in species_of(study) if molecule.rigid and molecule.n_atoms > 1}
    mover = make_mover(start, dynamics.timestep, temperature, FRICTION, seed, rigid)
    steps = steps_of(study, study.calibration.bulk)
    dropped = int(study.calibration.discard * steps)
    with context.progress.task("mu_ex of the reservoir", steps) as bar:
        run(mover, coarse, dropped, task=bar)
        run(mover, coarse, steps - dropped, SAMPLE, partial(_add, samplers), bar)
    return [sampler.result() for sampler in samplers]


def _add(samplers: list[WidomInsertion], positions: FloatArray) -> None:
    for sampler in samplers:
        sampler.add(positions)

"""Every program that a model can be used from gives the same energy and forces, to 1e-5."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import openmm
import pytest
import torch
from openmm import app, unit
from random_models import random_model, random_prior, water_box

from halocline.export.ase import HaloclineCalculator
from halocline.export.openmm import create_system
from halocline.models.model import Model, make_representation
from halocline.potentials.learned import LearnedAtoms, LearnedBeads
from halocline.potentials.torch_model import TorchAtoms, TorchBeads
from halocline.state import State
from halocline.topology import FloatArray
from halocline.units import KILOJOULE_PER_MOLE

Numbers = tuple[float, FloatArray]
TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def one_thread() -> None:
    numba.set_num_threads(1)
    torch.set_num_threads(1)


def painn_model(heads: tuple[str, ...] = ("energy", "charges", "dipole", "polarizability")) -> Model:
    """A PaiNN with random weights, prior and all heads."""
    torch.manual_seed(3)
    metadata = {"species": ["water"], "molecular_charges": {"water": 0.0}}
    model = Model("atoms", make_representation("painn", [1, 8], 16, 2, 4.0), heads, random_prior(2, 3.9, 3), metadata)
    model.heads["energy"].shift[:] = torch.tensor([-3.0, -40.0])
    return model.eval()


MODELS: dict[str, Callable[[], Model]] = {
    "schnet": lambda: random_model("atoms"),
    "painn": lambda: painn_model(),
    "beads": lambda: random_model("beads"),
}


def openmm_topology(state: State) -> app.Topology:
    """Waters with residues and bonds."""
    topology = app.Topology()
    chain = topology.addChain()
    for _ in range(state.topology.n_molecules):
        residue = topology.addResidue("HOH", chain)
        oxygen, *hydrogens = [topology.addAtom(name, app.Element.getBySymbol(name[0]), residue) for name in ("O", "H1", "H2")]
        for hydrogen in hydrogens:
            topology.addBond(oxygen, hydrogen)
    if state.periodic:
        topology.setPeriodicBoxVectors(state.cell * 0.1 * unit.nanometer)
    return topology


def run_openmm(system: openmm.System, state: State) -> Numbers:
    """Energy in eV and forces in eV/Å on the reference platform, which computes in double precision."""
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(state.positions * 0.1)
    result = context.getState(getEnergy=True, getForces=True)
    energy = result.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) * KILOJOULE_PER_MOLE
    forces = result.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.angstrom) * KILOJOULE_PER_MOLE
    return energy, np.asarray(forces)


def by_graph(model: Model, state: State) -> Numbers:
    """The model itself, in double precision: what everything else is measured against."""
    model = model.convert(torch.float64)
    energy, forces = model.energy_and_forces(model.graph(state))
    of_sites, topology = forces.detach().numpy(), state.topology
    if model.kind == "beads":
        of_sites = of_sites[topology.molecule_of_atom] * (topology.masses / topology.molecule_masses[topology.molecule_of_atom])[:, None]
    return float(energy[0]), of_sites


def by_potential(kind: type, *options: object) -> Callable[[Model, State], Numbers]:
    def evaluate(model: Model, state: State) -> Numbers:
        potential = kind(model, *options)
        potential.bind(state.topology, state.cell)
        result = potential.evaluate(state.positions)
        return result.energy, result.forces

    return evaluate


def by_ase(model: Model, state: State) -> Numbers:
    """Bare atoms in reverse order, wrapped into the cell atom by atom, as any other program may hand them over."""
    atoms = state.to_ase()[::-1]
    del atoms.arrays["molecule"]
    atoms.wrap()
    atoms.calc = HaloclineCalculator(model)
    return atoms.get_potential_energy(), atoms.get_forces()[::-1]


def by_openmm(model: Model, state: State) -> Numbers:
    return run_openmm(create_system(openmm_topology(state), model), state)


def by_openmmml(model: Model, state: State) -> Numbers:
    mlpotential = pytest.importorskip("openmmml.mlpotential", reason="openmmml is not installed")
    from halocline.export.openmmml import HaloclinePotentialImplFactory

    # By hand, since the entry point of a tree that is not installed is not found.
    mlpotential.MLPotential.registerImplFactory("halocline", HaloclinePotentialImplFactory())
    return run_openmm(mlpotential.MLPotential("halocline", model=model).createSystem(openmm_topology(state)), state)


PROGRAMS = {"ase": by_ase, "openmm": by_openmm, "openmmml": by_openmmml}
POTENTIALS = {
    "schnet": {"kernel": by_potential(LearnedAtoms), "torch": by_potential(TorchAtoms, torch.float64)},
    "painn": {"torch": by_potential(TorchAtoms, torch.float64)},
    "beads": {"kernel": by_potential(LearnedBeads), "torch": by_potential(TorchBeads, torch.float64)},
}
CASES = [(name, program) for name in MODELS for program in [*POTENTIALS[name], *PROGRAMS]]


@pytest.mark.parametrize(("name", "program"), CASES)
def test_all_programs_give_the_numbers_of_the_model_on_a_box_of_water(name: str, program: str, tmp_path: Path) -> None:
    state = water_box(40, 5)
    energy, forces = by_graph(MODELS[name](), state)
    evaluate = {**POTENTIALS[name], **PROGRAMS}[program]
    other_energy, other_forces = evaluate(MODELS[name](), state)
    size = np.sqrt(np.mean(forces**2))
    assert size > 1e-2
    assert other_energy == pytest.approx(energy, rel=TOLERANCE, abs=TOLERANCE)
    assert abs(other_energy - energy) / state.topology.n_atoms < TOLERANCE, "far from being drowned by the energies of atoms"
    np.testing.assert_allclose(other_forces, forces, rtol=TOLERANCE, atol=TOLERANCE * max(size, 1.0))


def test_a_file_gives_the_numbers_of_the_model_in_memory(tmp_path: Path) -> None:
    state, model = water_box(40, 6), painn_model()
    model.save(tmp_path / "model.safetensors")
    for evaluate in (by_ase, by_openmm):
        memory, file = evaluate(model, state), evaluate(tmp_path / "model.safetensors", state)  # type: ignore[arg-type]
        assert file[0] == memory[0]
        np.testing.assert_array_equal(file[1], memory[1])


def test_an_openmm_system_in_xml_gives_the_same_numbers() -> None:
    state = water_box(40, 7)
    system = create_system(openmm_topology(state), random_model("atoms"))
    again = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system))
    first, second = run_openmm(system, state), run_openmm(again, state)
    assert second[0] == pytest.approx(first[0], rel=1e-9)
    np.testing.assert_allclose(second[1], first[1], atol=1e-6)


def test_the_entry_point_of_openmmml_leads_to_the_factory() -> None:
    import tomllib

    pytest.importorskip("openmmml", reason="openmmml is not installed")
    config: dict[str, Any] = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    module, name = config["project"]["entry-points"]["openmmml.potentials"]["halocline"].split(":")
    __import__(module)
    from openmmml.mlpotential import MLPotentialImplFactory

    assert issubclass(getattr(sys.modules[module], name), MLPotentialImplFactory)

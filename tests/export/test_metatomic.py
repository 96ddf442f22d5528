"""The file for metatomic gives the numbers of the model, without this program and without being told of molecules."""

from __future__ import annotations

from pathlib import Path

import ase
import numpy as np
import pytest
import torch
from random_models import random_model, water_box
from test_same_numbers import MODELS, by_graph, painn_model

from halocline.errors import UserError
from halocline.export.ase import HaloclineCalculator
from halocline.models.model import Model

metatomic = pytest.importorskip("metatomic.torch", reason="metatomic-torch is not installed")


def compute(file: Path, atoms: ase.Atoms, per_atom: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Energies and forces of the file, with the neighbour list made here from all images."""
    from metatensor.torch import Labels, TensorBlock
    from vesin import NeighborList

    model = metatomic.load_atomistic_model(str(file))
    positions = torch.tensor(atoms.positions, dtype=torch.float64, requires_grad=True)
    cell, pbc = torch.tensor(np.array(atoms.cell), dtype=torch.float64), torch.tensor(atoms.pbc)
    system = metatomic.System(torch.tensor(atoms.numbers, dtype=torch.int32), positions, cell, pbc)
    (options,) = model.requested_neighbor_lists()
    found = NeighborList(cutoff=options.cutoff, full_list=True).compute(atoms.positions, np.array(atoms.cell), list(atoms.pbc), "ijS")
    i, j, images = (torch.tensor(part.astype(np.int64)) for part in found)
    displacements = positions[j] + images.double() @ cell - positions[i]
    names = ["first_atom", "second_atom", "cell_shift_a", "cell_shift_b", "cell_shift_c"]
    samples = Labels(names, torch.cat([i[:, None], j[:, None], images], dim=1).to(torch.int32))
    component = Labels(["xyz"], torch.arange(3)[:, None])
    block = TensorBlock(displacements.detach()[:, :, None], samples, [component], Labels(["distance"], torch.tensor([[0]])))
    metatomic.register_autograd_neighbors(system, block, check_consistency=True)
    system.add_neighbor_list(options, block)
    output = metatomic.ModelOutput(unit="eV", sample_kind="atom" if per_atom else "system")
    asked = metatomic.ModelEvaluationOptions(length_unit="angstrom", outputs={"energy": output})
    energy = model([system], asked, check_consistency=True)["energy"].block().values
    (gradient,) = torch.autograd.grad(energy.sum(), positions)
    return energy.detach().numpy()[:, 0], -gradient.numpy()


@pytest.mark.parametrize("name", ["schnet", "painn"])
def test_metatomic_gives_the_numbers_of_the_model(name: str, tmp_path: Path) -> None:
    """Wrapped atom by atom, so that molecules are cut by the faces of the box."""
    from halocline.export.metatomic import export

    export(MODELS[name](), tmp_path / "model.pt")
    for seed, count in ((5, 40), (6, 8)):
        state = water_box(count, seed)
        atoms = state.to_ase()[::-1]
        atoms.wrap()
        energy, forces = by_graph(MODELS[name](), state)
        found = compute(tmp_path / "model.pt", atoms)
        assert found[0][0] == pytest.approx(energy, abs=1e-5)
        np.testing.assert_allclose(found[1][::-1], forces, atol=1e-5)
        assert compute(tmp_path / "model.pt", atoms, per_atom=True)[0].sum() == pytest.approx(energy, abs=1e-5)


def test_a_cluster_and_a_single_atom_are_computed(tmp_path: Path) -> None:
    from halocline.export.metatomic import export

    model, state = random_model("atoms"), water_box(6, 7).isolated()
    export(model, tmp_path / "model.pt")
    energy, forces = by_graph(random_model("atoms"), state)
    found = compute(tmp_path / "model.pt", state.to_ase())
    assert found[0][0] == pytest.approx(energy, abs=1e-5)
    np.testing.assert_allclose(found[1], forces, atol=1e-5)
    lone = ase.Atoms("O", [[1.0, 2.0, 3.0]])
    energy, forces = compute(tmp_path / "model.pt", lone)
    lone.calc = HaloclineCalculator(random_model("atoms"), molecules=[0])
    assert energy[0] == pytest.approx(lone.get_potential_energy(), abs=1e-5)
    np.testing.assert_array_equal(forces, 0.0)


def test_what_metatomic_cannot_run_is_refused(tmp_path: Path) -> None:
    from halocline.export.metatomic import export

    dipoles = Model("atoms", painn_model().representation, ["dipole"], None)
    for model, words in ((random_model("beads"), "model of beads"), (dipoles, "predicts dipole"), (random_model(cutoff=1.5), "bonds")):
        with pytest.raises(UserError, match=words):
            export(model, tmp_path / "model.pt")
        assert not (tmp_path / "model.pt").exists()

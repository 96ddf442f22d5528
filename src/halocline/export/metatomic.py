"""Atomistic models for the engines that metatomic serves: LAMMPS, i-PI, ASE and others (https://docs.metatensor.org/metatomic).

The file that :func:`export` writes runs without this program. It knows nothing of molecules but what it sees: they are recognised in every
configuration from distances, by the rules of ``halocline.datasets.connectivity``, whether or not they are species that the model knows.
"""
# TorchScript reads annotations as they are: they must be types, not text, and of the typing module.

import copy
import warnings
from pathlib import Path
from typing import Dict, List, Optional, Tuple, Union  # noqa: UP035

import torch
from ase.data import covalent_radii
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import AtomisticModel, ModelCapabilities, ModelMetadata, ModelOutput, NeighborListOptions, System
from torch import Tensor

from halocline.datasets.connectivity import _IONIC, BOND, HYDROGEN_BOND
from halocline.errors import UserError
from halocline.files import atomic_path
from halocline.models.base import Graph
from halocline.models.card import render, summary
from halocline.models.heads.energy import EnergyHead
from halocline.models.model import Model
from halocline.models.shipped import find_model


class SiteEnergies(torch.nn.Module):
    """(n_atoms,) energies in eV, double precision, of an atomistic model; to be traced, so that nothing may ask for ``len`` of a tensor."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        head = model.heads["energy"]
        assert isinstance(head, EnergyHead)
        self.representation, self.head, self.prior = model.representation, head, model.prior

    def forward(self, types: Tensor, pairs: Tensor, displacements: Tensor, within: Tensor) -> Tensor:
        """
        Args:
            types: (n_atoms,) atomic numbers.
            pairs: (2, n_pairs) directed pairs.
            displacements: (n_pairs, 3), Å.
            within: (n_pairs,) whether both atoms are of one molecule.
        """
        index = self.representation.type_index[types]
        # The prior calls a pair one within a molecule if its molecules are equal and its shift is zero.
        nothing = torch.zeros_like(types)
        shifts = torch.where(within, 0.0, 1.0)[:, None].to(displacements.dtype) * torch.ones_like(displacements)
        masses = torch.zeros_like(types).to(displacements.dtype)
        graph = Graph(types, displacements[:0], pairs, shifts, nothing, nothing, 1, 1, nothing[:1], masses)
        features = self.representation(types, pairs, displacements)
        energies = self.head(features, graph, index)["site_energy"].double() + self.head.shift[index]
        return energies if self.prior is None else energies + self.prior(index, graph, displacements).double()


class Exported(torch.nn.Module):
    """What metatomic calls: energies of systems or of their atoms, in eV."""

    radii: Tensor
    ionic: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        radii = torch.tensor(covalent_radii, dtype=torch.float64)
        ionic = torch.zeros(len(radii), dtype=torch.bool)
        ionic[torch.tensor(_IONIC)] = True
        self.register_buffer("radii", radii)
        self.register_buffer("ionic", ionic)
        self.bond: float = BOND
        self.hydrogen_bond: float = HYDROGEN_BOND
        self.options = NeighborListOptions(cutoff=float(model.cutoff), full_list=True, strict=True)
        self.energies = _traced(model)

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:  # noqa: UP006
        return [self.options]

    def within(self, types: Tensor, pairs: Tensor, images: Tensor, distances: Tensor) -> Tensor:
        """(n_pairs,) whether both ends belong to one molecule, and are of the same image of it."""
        i, j = pairs[0], pairs[1]
        hydrogen = types == 1
        reduced = distances / (self.radii[types[i]] + self.radii[types[j]])
        bindable = ~self.ionic[types[i]] & ~self.ionic[types[j]]
        heavy = bindable & ~hydrogen[i] & ~hydrogen[j] & (reduced < self.bond)
        to_hydrogen = hydrogen[i] & ~hydrogen[j] & bindable & (reduced < self.hydrogen_bond)
        far = torch.full_like(distances, 1e9)
        own = torch.where(to_hydrogen, reduced, far)
        nearest = torch.full([types.shape[0]], 1e9, dtype=distances.dtype, device=distances.device)
        nearest = nearest.scatter_reduce(0, i, own, reduce="amin")
        bonded = heavy | (to_hydrogen & (own <= nearest[i]))
        first = torch.cat([i[bonded], j[bonded]])
        second = torch.cat([j[bonded], i[bonded]])
        image = torch.cat([images[bonded], -images[bonded]])
        label = torch.arange(types.shape[0], device=types.device)
        offset = torch.zeros([types.shape[0], 3], dtype=images.dtype, device=types.device)
        changed = True
        while changed:
            new = label.scatter_reduce(0, second, label[first], reduce="amin")
            used = (new[second] < label[second]) & (label[first] == new[second])
            changed = bool(used.any())
            offset = offset.index_put([second[used]], offset[first[used]] + image[used])
            label = new
        return (label[i] == label[j]) & (offset[j] - offset[i] == images).all(dim=1)

    def of_system(self, system: System) -> Tensor:
        """(n_atoms,) energies, eV."""
        block = system.get_neighbor_list(self.options)
        pairs = torch.stack([block.samples.column("first_atom"), block.samples.column("second_atom")]).to(torch.long)
        names = ["cell_shift_a", "cell_shift_b", "cell_shift_c"]
        images = torch.stack([block.samples.column(name) for name in names], dim=1).to(torch.long)
        displacements = block.values[:, :, 0]
        types = system.types.to(torch.long)
        within = self.within(types, pairs, images, torch.linalg.vector_norm(displacements.detach(), dim=1))
        return self.energies(types, pairs, displacements, within)

    def forward(
        self,
        systems: List[System],  # noqa: UP006
        outputs: Dict[str, ModelOutput],  # noqa: UP006
        selected_atoms: Optional[Labels] = None,  # noqa: UP045
    ) -> Dict[str, TensorMap]:  # noqa: UP006
        results: Dict[str, TensorMap] = {}  # noqa: UP006
        if "energy" not in outputs:
            return results
        values: List[Tensor] = []  # noqa: UP006
        samples: List[Tensor] = []  # noqa: UP006
        per_atom = outputs["energy"].sample_kind == "atom"
        for number, system in enumerate(systems):
            energies = self.of_system(system)
            atoms = torch.arange(energies.shape[0], device=energies.device)
            if selected_atoms is not None:
                mine = selected_atoms.column("system") == number
                atoms = selected_atoms.column("atom")[mine].to(torch.long)
                energies = energies[atoms]
            if per_atom:
                values.append(energies[:, None])
                samples.append(torch.stack([torch.full_like(atoms, number), atoms], dim=1))
            else:
                values.append(energies.sum().reshape(1, 1))
                samples.append(torch.tensor([[number]], device=energies.device))
        names = ["system", "atom"] if per_atom else ["system"]
        block = TensorBlock(
            values=torch.cat(values).to(systems[0].positions.dtype),
            samples=Labels(names, torch.cat(samples).to(torch.int32)),
            components=torch.jit.annotate(List[Labels], []),  # noqa: UP006
            properties=Labels(["energy"], torch.tensor([[0]], device=values[0].device)),
        )
        results["energy"] = TensorMap(keys=Labels(["_"], torch.tensor([[0]], device=values[0].device)), blocks=[block])
        return results


def export(model: Union[Model, Path, str], path: Union[Path, str], name: str = "halocline") -> AtomisticModel:  # noqa: UP007
    """Write an atomistic model as a file that metatomic loads, in double precision for CPUs.

    Args:
        model: a model, the file of one, or the name of a shipped one.
        path: file to write, by convention ``.pt``.
        name: shown by the engines, beside the card.

    Raises:
        UserError: a model of beads, without energies, or with a cut-off shorter than the bonds of its elements.
    """
    loaded = Model.load(find_model(model)) if not isinstance(model, Model) else model
    if loaded.kind != "atoms" or "energy" not in loaded.heads:
        what = f"this is a model of {loaded.kind} that predicts {', '.join(loaded.heads)}"
        raise UserError(what, name, "Export an atomistic model with energies.")
    radii = [float(covalent_radii[kind]) for kind in loaded.types]
    longest = max(2 * BOND * max(radii), HYDROGEN_BOND * (max(radii) + float(covalent_radii[1])))
    if longest > loaded.cutoff:
        what = f"bonds of its elements may be {longest:.2f} A long, its cut-off is {loaded.cutoff:.2f} A"
        raise UserError(what, name, "Molecules cannot be recognised within the cut-off: use a model with a longer one.")
    energy = ModelOutput(unit="eV", sample_kind="atom", explicit_gradients=[])
    capabilities = ModelCapabilities(
        outputs={"energy": energy},
        atomic_types=loaded.types,
        interaction_range=float(loaded.representation.receptive_field),
        length_unit="angstrom",
        supported_devices=["cpu"],
        dtype="float64",
    )
    described = ModelMetadata(name=name, description=f"{summary(loaded)}\n\n{render(loaded, name)}")
    exported = AtomisticModel(Exported(loaded).eval(), described, capabilities)
    with atomic_path(Path(path)) as temporary:
        exported.save(str(temporary))
    return exported


def _traced(model: Model) -> torch.jit.ScriptModule:
    """The energies as TorchScript; numbers of atoms and pairs stay free."""
    copied = copy.deepcopy(model).convert(torch.float64).requires_grad_(False).eval()
    kind = copied.types[0]
    for_example: Tuple[Tensor, ...] = (  # noqa: UP006
        torch.tensor([kind, kind, kind]),
        torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]),
        torch.tensor([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.5, 0], [0, -1.5, 0]], dtype=torch.float64),
        torch.tensor([True, True, False, False]),
    )
    with warnings.catch_warnings():
        # Unpacking the two rows of the pairs is the one thing that the trace fixes: there are always two.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return torch.jit.trace(SiteEnergies(copied), for_example, check_trace=False)

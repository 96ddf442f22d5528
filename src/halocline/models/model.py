"""A complete model: representation, pair prior, heads, and the card that says what it is good for.

A file is one safetensors archive; everything that is not a tensor is JSON in its metadata, so that opening a model never
executes code from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from halocline import files, registry
from halocline.errors import UserError
from halocline.models.base import Graph, Representation
from halocline.models.graphs import build_bead_graph, build_graph
from halocline.models.heads.base import Head
from halocline.models.priors.pair_tables import PairTables
from halocline.models.upgrades import upgrade
from halocline.state import State

FORMAT_VERSION = 1
UNITS = {"length": "A", "energy": "eV", "force": "eV/A", "charge": "e", "dipole": "e A", "polarizability": "A^3"}


class Model(nn.Module):
    """Total energy = sum over sites of [scale * net(x_i) + shift[type_i] + prior_i], and whatever other heads predict.

    Attributes:
        kind: "atoms", or "beads" at centres of mass.
        representation: the network below the heads.
        prior: pair tables, or None.
        heads: quantity -> head.
        metadata: the model card and everything else that is kept with the weights; plain JSON types. Key ``species`` lists
            the molecular species that bead types (1 + index) stand for; ``molecular_charges`` maps species to charge.
    """

    def __init__(
        self,
        kind: str,
        representation: Representation,
        heads: Sequence[str] = ("energy",),
        prior: PairTables | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if kind not in ("atoms", "beads"):
            raise UserError(f"'{kind}' is not a kind of model", "model", "Use 'atoms' or 'beads'.")
        if prior is not None and prior.cutoff > representation.cutoff + 1e-6:
            what = f"the prior reaches {prior.cutoff:.2f} A, the network {representation.cutoff:.2f} A"
            raise UserError(what, "model", "Fit the prior within the cut-off of the network.")
        self.kind, self.representation, self.prior = kind, representation, prior
        self.heads = nn.ModuleDict({name: _make_head(name, representation) for name in heads})
        self.metadata: dict[str, Any] = dict(metadata or {})

    @property
    def types(self) -> list[int]:
        """Atomic numbers, or bead types."""
        return self.representation.types

    @property
    def cutoff(self) -> float:
        """Å."""
        return self.representation.cutoff

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return next(self.representation.parameters()).dtype

    def convert(self, dtype: torch.dtype) -> Model:
        """The same object with weights in another precision.

        Energy references and prior tables stay in double precision: ``float()`` would round energies of 1e4 eV to 1e-3 eV.
        """
        for module in (self.representation, *self.heads.values()):
            for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
                if tensor.is_floating_point() and name not in ("shift",):
                    tensor.data = tensor.data.to(dtype)
        return self

    def graph(self, states: State | Sequence[State]) -> Graph:
        """Graph of configurations with this model's cut-off, precision, kind of site and molecular charges.

        Raises:
            UserError: an element or species that the model does not know.
        """
        if self.kind == "beads":
            graph = build_bead_graph(states, self.cutoff, self.dtype, self.metadata.get("species"))
        else:
            graph = build_graph(states, self.cutoff, self.dtype, self.metadata.get("molecular_charges"))
        unknown = sorted(set(graph.types.tolist()) - set(self.types))
        if unknown:
            remedy = f"The model knows types {self.types}; train one on data that contain the others."
            raise UserError(f"sites of type {unknown} are unknown to the model", "model", remedy)
        return graph

    def forward(self, graph: Graph) -> dict[str, Tensor]:
        """Predictions of all heads; ``energy`` (n_frames,) in eV, double precision, with the prior in it."""
        return self._predict(graph, graph.displacements())

    def _predict(self, graph: Graph, displacements: Tensor) -> dict[str, Tensor]:
        features = self.representation(graph.types, graph.pairs, displacements)
        type_index = self.representation.type_index[graph.types]
        output: dict[str, Tensor] = {}
        for head in self.heads.values():
            output.update(head(features, graph, type_index))
        if "energy" in output and self.prior is not None:
            prior = self.prior(type_index, graph, displacements)
            output["site_prior"] = prior
            output["energy"] = output["energy"].index_add(0, graph.frame, prior.double())
        return output

    def energy_and_forces(self, graph: Graph, create_graph: bool = False) -> tuple[Tensor, Tensor]:
        """Energies (n_frames,) in eV and forces (n_sites, 3) in eV/Å, minus the exact gradient of the energies.

        Args:
            graph: configurations.
            create_graph: keep what is needed to differentiate the forces, for training.
        """
        energy, forces, _ = self.energy_forces_virial(graph, create_graph)
        return energy, forces

    def energy_forces_virial(self, graph: Graph, create_graph: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`energy_and_forces`, and the virials (n_frames, 3, 3), sum over r outer F, eV.

        The stress (tensile positive) is minus the virial divided by the volume.
        """
        if "energy" not in self.heads:
            raise UserError("the model predicts no energy", "model", f"It predicts {', '.join(self.heads)}.")
        with torch.enable_grad():
            displacements = graph.displacements().detach().requires_grad_(True)
            energy = self._predict(graph, displacements)["energy"]
            if len(displacements) == 0:
                zero = torch.zeros_like(graph.positions)
                return energy, zero, zero.new_zeros(graph.n_frames, 3, 3)
            (gradient,) = torch.autograd.grad(energy.sum(), displacements, create_graph=create_graph)
        i, j = graph.pairs
        forces = torch.zeros_like(graph.positions).index_add(0, i, gradient).index_add(0, j, -gradient)
        pair_virial = -displacements[:, :, None] * gradient[:, None, :]
        virial = pair_virial.new_zeros(graph.n_frames, 3, 3).index_add(0, graph.frame[i], pair_virial)
        if not create_graph:
            energy, virial = energy.detach(), virial.detach()
        return energy, forces, virial

    def save(self, path: Path | str) -> None:
        """Write weights and card to one ``.safetensors`` file, atomically."""
        path = Path(path)
        header = {
            "format_version": FORMAT_VERSION,
            "kind": self.kind,
            "representation": {"name": self.representation.name, "hyperparameters": self.representation.hyperparameters()},
            "heads": list(self.heads),
            "prior": self.prior is not None,
            "units": UNITS,
            "metadata": self.metadata,
        }
        # Cloning makes the bytes independent of views; sorting makes equal models equal files.
        tensors = {name: tensor.detach().clone().contiguous() for name, tensor in sorted(self.state_dict().items())}
        data = safetensors.torch.save(tensors, {"halocline": json.dumps(header, sort_keys=True)})
        files.write_bytes(path, data)

    @classmethod
    def load(cls, path: Path | str) -> Model:
        """Read a model written by :meth:`save`.

        Raises:
            UserError: no such file, not a model, a newer format, or a part that is not installed.
        """
        path = Path(path)
        header, tensors = _read(path)
        hyperparameters = header["representation"]["hyperparameters"]
        make = registry.get("models", header["representation"]["name"], str(path))
        prior = None
        if header["prior"]:
            parts = [tensors[f"prior.{name}"] for name in ("values", "slopes", "pair_class")]
            prior = PairTables(float(tensors["prior.start"]), float(tensors["prior.spacing"]), *parts)
        model = cls(header["kind"], make(**hyperparameters), header["heads"], prior, header["metadata"])
        dtypes = {tensor.dtype for name, tensor in tensors.items() if name.startswith("representation.") and tensor.is_floating_point()}
        if torch.float64 in dtypes:
            model.convert(torch.float64)
        model.load_state_dict(tensors)
        return model.eval()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise UserError("there is no such model file", str(path), "Train a model first, or correct the path.")
    try:
        with safetensors.safe_open(str(path), framework="pt") as archive:
            header = json.loads((archive.metadata() or {})["halocline"])
            tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        remedy = "Delete it and run `halocline train` again."
        raise UserError(f"not a readable model file ({type(error).__name__}: {error})", str(path), remedy) from error
    return upgrade(header, tensors, FORMAT_VERSION, str(path))


def make_representation(name: str, types: Sequence[int], features: int, layers: int, cutoff: float) -> Representation:
    """A new representation by the name used in study files.

    Raises:
        UserError: no such representation.
    """
    representation = registry.get("models", name)(types=list(types), features=features, layers=layers, cutoff=cutoff)
    assert isinstance(representation, Representation)
    return representation


def _make_head(name: str, representation: Representation) -> Head:
    head_class = registry.get("heads", name, "model")
    if head_class.needs_vectors and not representation.has_vectors:
        what = f"the head '{name}' needs vector features, which '{representation.name}' does not have"
        raise UserError(what, "model", "Use an equivariant representation such as painn.")
    head = head_class(representation)
    assert isinstance(head, Head)
    return head

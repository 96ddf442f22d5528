"""Which representations have a compiled kernel, and the kernel of a model."""

from __future__ import annotations

import math
from typing import Protocol

from halocline.errors import UserError
from halocline.models.base import Representation
from halocline.models.heads.energy import EnergyHead
from halocline.models.model import Model
from halocline.models.painn import PaiNN
from halocline.models.schnet import SchNet
from halocline.potentials.kernels.neighbours import PairList
from halocline.potentials.kernels.painn import PaiNNKernel
from halocline.potentials.kernels.results import KernelResult, SiteOutputs
from halocline.potentials.kernels.schnet import SchNetKernel
from halocline.topology import FloatArray, IntArray

KERNELS: dict[type[Representation], type[SchNetKernel] | type[PaiNNKernel]] = {SchNet: SchNetKernel, PaiNN: PaiNNKernel}


class Kernel(Protocol):
    """A compiled network with its energy head and pair prior."""

    def evaluate(self, pairs: PairList, types: IntArray, molecules: IntArray, weights: FloatArray | None = None) -> KernelResult:
        """Energy and forces; ``weights`` (n_sites,) of the energies of sites, or None for their plain sum."""

    def forward(self, pairs: PairList, types: IntArray, molecules: IntArray, molecule_charges: FloatArray | None = None) -> SiteOutputs:
        """What the other heads of the model say about each site."""


def has_kernel(representation: type[Representation]) -> bool:
    """Whether a representation can run dynamics. A subclass may compute something else with the same parameters: it has none."""
    return representation in KERNELS


def kernel_names() -> list[str]:
    """Words of study files for the representations that have one."""
    return [kind.name for kind in KERNELS]


def make_kernel(model: Model, force_cap: float = math.inf, n_knots: int | None = None) -> Kernel:
    """The kernel of a model that predicts energies; weights are copied.

    Args:
        model: of atoms or beads.
        force_cap: eV/Å, limit of the tabulated repulsion of one pair between molecules.
        n_knots: knots of each filter table; None for the number that the kernel was tested with.

    Raises:
        UserError: no kernel for the representation or for the energy head.
    """
    representation, head = model.representation, model.heads["energy"]
    kind = KERNELS.get(type(representation))
    if kind is None or not isinstance(head, EnergyHead):
        what = f"there is no compiled kernel for the representation '{representation.name}'"
        raise UserError(what, "kernel", f"Use the potentials of halocline.potentials.torch_model, or train: {', '.join(kernel_names())}.")
    knots = kind.default_knots if n_knots is None else n_knots
    return kind(representation, head, model.prior, force_cap, knots, model.sources)  # type: ignore[arg-type]

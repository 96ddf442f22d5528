"""Rules by which weights of molecules scale the energies of pairs, as coefficients."""

from __future__ import annotations

import numpy as np

from halocline.potentials.base import PAIR_FACTORS, BoolArray, Rule
from halocline.topology import FloatArray

RULES = PAIR_FACTORS
SLOPES: dict[Rule, tuple[float, float]] = {"site": (0.5, 0.0), "product": (0.0, 1.0), "complement": (0.0, -1.0)}
"""dE/dw_a of a pair of energy U_ab as (r[0] + r[1] w_b) U_ab."""
HALVES = (0.5, 0.0)
"""The same for energies without weights, of which each molecule owns half of each pair."""
MARGIN = 2.0
"""Å beyond the subset within which molecules are kept in the neighbour list."""


def selected_by(weights: FloatArray, rule: Rule) -> BoolArray:
    """(n_molecules,) molecules that can take part in a pair of a factor other than zero."""
    return weights > 0 if rule == "product" else np.ones(len(weights), dtype=np.bool_)

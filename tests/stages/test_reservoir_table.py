"""Which table of the iterative Boltzmann inversion becomes the reservoir."""

import numpy as np
import pytest

from halocline.mapping.structure import species_pairs
from halocline.molecules.base import build_topology
from halocline.stages._reservoir import pair_shares
from halocline.systems.packing import composition


def test_g_of_r_of_a_single_solute_does_not_choose_the_table_of_the_solvent():
    topology = build_topology(composition({"methane_ua": 1, "spce": 1000}))
    shares = dict(zip(species_pairs(topology), pair_shares(topology)))
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["methane_ua", "methane_ua"] == 0.0
    assert shares["methane_ua", "spce"] == pytest.approx(1000 / (1001 * 1000 / 2))


def test_pairs_of_a_mixture_count_by_their_number():
    topology = build_topology(composition({"lj": 400, "lj_small": 300}))
    assert np.allclose(pair_shares(topology), np.array([400 * 399 / 2, 400 * 300, 300 * 299 / 2]) / (700 * 699 / 2))

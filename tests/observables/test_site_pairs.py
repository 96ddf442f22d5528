"""Which pairs of sites a g(r) tells apart, what they are called, and which have nothing to judge."""

from dataclasses import replace

import numpy as np
import pytest
from observed import observe
from synthetic_records import EDGES, SLAB

from halocline.adress.regions import MovingSphere
from halocline.dynamics.record import Snapshot
from halocline.molecules.base import build_topology
from halocline.molecules.ideal import IDEAL
from halocline.molecules.lj import LJ
from halocline.molecules.lj_small import LJ_SMALL
from halocline.molecules.methane_ua import METHANE_UA
from halocline.molecules.water import WATER
from halocline.observables.base import Setting
from halocline.observables.rdf import RadialDistribution
from halocline.observables.site_pairs import site_pairs


def test_an_ideal_gas_has_no_peak_to_judge_and_says_so(gas, closed):
    mine, reference = (observe(RadialDistribution, record, interacts=False) for record in (gas, closed))
    assert mine.result() == []
    claims = {claim.name: claim for claim in mine.compare(reference)}
    assert "there is no peak" in claims["first peak of g_OO, height"].unjudged
    assert claims["integrated difference of g_OO"].unjudged == ""


@pytest.mark.parametrize(
    ("composition", "names"),
    [
        ([(LJ, 5)], ["g(lj, lj)"]),
        ([(LJ, 5), (LJ_SMALL, 4)], ["g(lj, lj)", "g(lj, lj_small)", "g(lj_small, lj_small)"]),
        ([(IDEAL, 5)], ["g(ideal, ideal)"]),
        ([(WATER, 5)], ["g_OO", "g_OH", "g_HH"]),
        ([(METHANE_UA, 1), (WATER, 5)], ["g(water O, water O)", "g(water O, methane_ua)", "g(water O, water H)",
                                         "g(methane_ua, water H)", "g(water H, water H)"]),
    ],
)  # fmt: skip
def test_sites_are_named_as_the_study_names_them_and_pairs_that_do_not_exist_are_left_out(composition, names):
    assert [pair.name for pair in site_pairs(build_topology(composition))] == names


def test_two_species_of_one_element_have_functions_of_their_own():
    """Pairs of species that share an element are told apart: one species clusters, the other does not."""
    twin = replace(LJ, name="twin")
    topology = build_topology([(LJ, 30), (twin, 30)])
    rdf = RadialDistribution(Setting(np.diag(EDGES), topology, SLAB, 300.0, 60 / float(np.prod(EDGES)), "full", 40))
    generator = np.random.default_rng(8)
    for _ in range(40):
        positions = generator.uniform(size=(60, 3)) * EDGES
        directions = generator.normal(size=(15, 3))
        positions[15:30] = positions[:15] + 3.0 * directions / np.linalg.norm(directions, axis=1)[:, None]
        rdf.update(Snapshot(0.0, positions, np.zeros(60, np.int8), np.ones(60, dtype=bool), np.diag(EDGES), topology, SLAB))
    near = np.abs(rdf.radius - 3.0) < 0.1
    heights = {pair.name: rdf.g(index)[near].mean() for index, pair in enumerate(rdf.pairs)}
    assert heights["g(lj, lj)"] > 10
    assert heights["g(lj, twin)"] < 3
    assert heights["g(twin, twin)"] < 3
    assert len({pair.key for pair in rdf.pairs}) == 3


def test_a_solute_that_at_follows_has_the_g_of_r_of_an_ideal_gas_about_it_equal_to_one():
    """It sits at the centre of AT: counted from both sides its neighbours would count twice."""
    topology = build_topology([(METHANE_UA, 1), (LJ, 400)])
    regions = MovingSphere((0.0, 0.0, 0.0), 6.0, 9.0, 0.5, tuple(EDGES), 0)
    rdf = RadialDistribution(Setting(np.diag(EDGES), topology, regions, 300.0, 401 / float(np.prod(EDGES)), "open", 200))
    generator = np.random.default_rng(12)
    for _ in range(200):
        positions = generator.uniform(size=(401, 3)) * EDGES
        around = regions.follow(positions)
        level = np.where(around.distance(positions) < 6.0, 0, 2).astype(np.int8)
        rdf.update(Snapshot(0.0, positions, level, level == 0, np.diag(EDGES), topology, around))
    (index,) = (index for index, pair in enumerate(rdf.pairs) if "methane_ua" in pair.name)
    mean = (rdf.g(index) * rdf.shells).sum() / rdf.shells.sum()
    expected = 200 * 400 * rdf.shells.sum() / float(np.prod(EDGES))
    assert abs(mean - 1.0) < 4.0 / np.sqrt(expected)

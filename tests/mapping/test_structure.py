"""g(r) of centres of mass: one for an ideal gas, exact counts on a lattice."""

import numpy as np

from halocline.mapping.structure import count_pairs, radial_distributions, species_pairs
from halocline.topology import Topology


def points(counts: tuple[int, ...]) -> Topology:
    total = sum(counts)
    kinds = np.repeat(np.arange(len(counts)), counts)
    names = tuple("ab"[: len(counts)])
    return Topology(names, kinds, np.arange(total + 1), np.full(total, 18), np.full(total, 40.0))


def test_an_ideal_gas_of_two_species_has_no_structure() -> None:
    topology, edges, bins = points((60, 30)), np.array([30.0, 20.0, 20.0]), np.arange(0.0, 9.51, 0.5)
    random = np.random.default_rng(4)
    counts = np.array([
        count_pairs(random.uniform(size=(90, 3)) * edges - 50.0, topology.molecule_species, 2, edges, bins) for _ in range(400)
    ])  # fmt: skip
    g, error = radial_distributions(counts, topology, float(edges.prod()), bins)
    assert species_pairs(topology) == [("a", "a"), ("a", "b"), ("b", "b")]
    far = bins[1:] > 2.0  # bins below hold too few pairs for an error from ten blocks
    deviations = (g - 1.0)[:, far] / error[:, far]
    assert np.abs(deviations).max() < 6.0
    assert np.abs(deviations).mean() < 1.3


def test_a_simple_cubic_lattice_has_six_neighbours() -> None:
    grid = 3.0 * np.stack(np.meshgrid(*[np.arange(6)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    topology, edges = points((216,)), np.full(3, 18.0)
    counts = count_pairs(grid.astype(float), topology.molecule_species, 1, edges, np.array([0.0, 2.9, 3.1, 4.1, 4.3, 5.1, 5.3]))
    np.testing.assert_array_equal(counts[0] / 216, [0, 6, 0, 12, 0, 8])

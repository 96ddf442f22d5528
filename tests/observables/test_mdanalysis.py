"""Bulk observables against those of MDAnalysis (J. Comput. Chem. 32, 2319 (2011)) on the same configurations."""

import numpy as np
import pytest
from synthetic_records import EDGES, ideal_gas_record

from halocline.config.study import Validation
from halocline.observables.base import Setting
from halocline.observables.density import Density
from halocline.observables.rdf import RadialDistribution

COUNT = 120


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    MDAnalysis = pytest.importorskip("MDAnalysis")
    from MDAnalysis.coordinates.memory import MemoryReader

    with ideal_gas_record(tmp_path_factory.mktemp("bulk") / "record.h5", COUNT, 40, "full", 3) as record:
        residues = np.repeat(np.arange(COUNT), 3)
        universe = MDAnalysis.Universe.empty(3 * COUNT, COUNT, atom_resindex=residues, trajectory=True)
        universe.add_TopologyAttr("names", ["O", "H", "H"] * COUNT)
        universe.add_TopologyAttr("masses", record.topology.masses)
        universe.add_TopologyAttr("charges", np.zeros(3 * COUNT))
        rows = np.array([snapshot.positions for snapshot in record], dtype=np.float32)
        box = np.array([*EDGES, 90.0, 90.0, 90.0], dtype=np.float32)
        universe.load_new(rows, format=MemoryReader, dimensions=np.tile(box, (len(rows), 1)))
        yield record, universe


def observe(kind, record):
    observable = kind(Setting.of(record, Validation()))
    for snapshot in record:
        observable.update(snapshot)
    return observable


def test_radial_distribution_of_oxygen_is_that_of_interrdf(both):
    from MDAnalysis.analysis.rdf import InterRDF

    record, universe = both
    rdf = observe(RadialDistribution, record)
    oxygen = universe.select_atoms("name O")
    top = float(rdf.edges[-1])
    theirs = InterRDF(oxygen, oxygen, nbins=rdf.bins, range=(0.0, top), exclusion_block=(1, 1)).run()
    counted = theirs.results.count / len(record)
    mine = rdf.series("counts")[:, 0].mean(axis=0)
    # Distances of single precision move a pair over the edge of a bin now and then: cumulative counts differ by such pairs alone.
    assert np.abs(np.cumsum(mine) - np.cumsum(counted)).max() <= 4.0 / len(record)
    # A g(r) of N atoms among themselves: MDAnalysis normalises by N^2 - N pairs, as here.
    same = np.abs(mine - counted) < 1e-12
    assert same.mean() > 0.9
    np.testing.assert_allclose(rdf.g(0)[same], theirs.results.rdf[same], rtol=1e-6, atol=1e-9)


def test_density_profile_is_that_of_lineardensity(both):
    from MDAnalysis.analysis.lineardensity import LinearDensity

    record, universe = both
    density = observe(Density, record)
    theirs = LinearDensity(universe.atoms, grouping="residues", binsize=0.5).run()
    profile = theirs.results.x.mass_density
    # Both have 96 bins over 48 A; theirs starts at the edge of the box, this one at the same place seen from its middle.
    assert len(profile) == density.bins
    mine = density.series("profile").mean(axis=0)
    # Again a molecule at the edge of a bin may fall on either side.
    assert np.isclose(mine, profile, rtol=1e-5, atol=1e-9).mean() > 0.95
    assert mine.sum() == pytest.approx(profile.sum(), rel=1e-6)

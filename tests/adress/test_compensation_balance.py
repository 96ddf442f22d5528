"""What a compensation measured on the fly leaves to the thermodynamic force: the pressure, and nothing else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad

from halocline.adress.compensation import FreeEnergyCompensation
from halocline.adress.coupling.hamiltonian import HamiltonianCoupling
from halocline.adress.regions import Resolution, Slab
from halocline.config.load import validate
from halocline.config.study import Study
from halocline.dynamics.compensation_hook import CompensationHook
from halocline.dynamics.drift_momentum import DriftMomentumHook
from halocline.files import read_arrays
from halocline.molecules.base import build_topology
from halocline.molecules.lj import LJ
from halocline.potentials.base import Zero
from halocline.potentials.pair_table import PairTable
from halocline.stages._bulk_runs import Pressures
from halocline.stages._calibration_result import expected_integral
from halocline.stages._compensation import left_over
from halocline.stages._first_force import first_error
from halocline.topology import FloatArray
from halocline.units import thermal_energy


@pytest.mark.parametrize("power", [1, 4], ids=["even knots", "knots of an ideal gas"])
def test_cores_that_vanish_beside_an_ideal_gas_give_their_integral_over_the_weight(power: int) -> None:
    """<V>_w = c w^(-3/4), DH(w) = 4 c w^(1/4), with molecules at equal distances in a steep layer, where most of them have w = 0.

    The mean over molecules of the first interval, w < 0.05, would be larger without bound the closer molecules come to its end.
    """
    c, regions = 0.01, Slab(40.0, 10.0, 12.0, 0.0, 80.0, weighting="steep")
    distance = 10.0 + 12.0 * (np.arange(200_000) + 0.5) / 200_000
    weight, slope = regions.weight(distance), regions.weight_slope(distance)
    energy = c * np.maximum(weight, 1e-300) ** -0.75
    table = FreeEnergyCompensation(("a",), np.linspace(0.0, 1.0, 21) ** power)
    hook = CompensationHook(table, 1, 1)
    simulation = SimpleNamespace(
        membership=SimpleNamespace(weight=weight, weight_gradient=slope[:, None] * [1.0, 0.0, 0.0]),
        topology=SimpleNamespace(molecule_species=np.zeros(len(weight), dtype=np.int64)),
        evaluation=SimpleNamespace(sites=energy),
        steps=1,
        take_up_tables=lambda: None,
    )
    hook(simulation)  # type: ignore[arg-type]
    np.testing.assert_allclose(table.values[0], 4 * c * table.knots**0.25, rtol=2e-3, atol=1e-5)
    left = ((energy - table.evaluate(weight)[1]) * slope).mean() * 12.0
    assert abs(left) < 0.005 * 4 * c, "the drift force and its compensation carry no momentum together"
    assert hook.history[0, 0] == pytest.approx(4 * c, rel=2e-3)
    if power == 4:
        middle = (table.knots[1:-1] + table.knots[2:]) / 2
        np.testing.assert_allclose(table.evaluate(middle)[1], c * middle**-0.75, rtol=0.35)


DEPTH, REACH, MOLECULES, EDGES = 1e-4, 6.0, 900, np.array([60.0, 20.0, 20.0])


def gas(**coupling: str) -> Study:
    return validate(
        {
            "system": {"molecules": {"lj": MOLECULES}, "density": "0.9 g/cm3", "length": "60 A", "temperature": "300 K"},
            "force_field": {"name": "classical", "cutoff": "8.5 A", "electrostatics": "none"},
            "coupling": {"name": "hamiltonian", "reservoir": "tracer", **coupling},
            "regions": {"atomistic": "8 A", "transition": "12 A", "hysteresis": "0 A", "weighting": "steep"},
        },
        "test",
    )


def needed_force(compensation: bool, file: Path) -> tuple[float, float, float]:
    """INT F_in dx that holds the density of a gas of beads flat beside tracers, its standard error, and what drift forces carry, eV.

    Beads that repel each other by a thousandth of kT are where those of an ideal gas are: the force on a layer of them is what the
    thermodynamic force must cancel, to first order in the repulsion.
    """
    topology, cell = build_topology([(LJ, MOLECULES)]), np.diag(EDGES)
    regions, generator = Slab(30.0, 8.0, 12.0, 0.0, 60.0, weighting="steep"), np.random.default_rng(1)
    coupling = HamiltonianCoupling(beads(), Zero(), "on-the-fly" if compensation else "none")
    if compensation:
        coupling.table = FreeEnergyCompensation(("lj",), np.linspace(0.0, 1.0, 21) ** 4)
    coupling.bind(topology, cell)
    hook = None if coupling.table is None else CompensationHook(coupling.table, 1, 200, memory=1)
    sums, momentum = [], DriftMomentumHook(1, 400, file)
    for step in range(1, 401):
        positions = generator.uniform(size=(MOLECULES, 3)) * EDGES
        coupling.reset()
        membership = Resolution.of(regions, topology, positions)
        evaluation = coupling.evaluate(positions, membership)
        parts = {"membership": membership, "topology": topology, "evaluation": evaluation, "steps": step, "coupling": coupling}
        place = {"regions": regions, "distance": regions.distance(positions), "initial": SimpleNamespace(cell=cell)}
        simulation: Any = SimpleNamespace(**parts, **place, take_up_tables=lambda: None)
        if hook is not None and step <= 200:
            hook(simulation)
        elif step > 200:
            momentum(simulation)
            outward = (evaluation.forces * regions.direction(positions)).sum()
            sums.append(float(outward))
    # n INT F_in dx over both borders, A each: the thermodynamic force pushes inwards what the others push out.
    area, density = 2 * EDGES[1] * EDGES[2], MOLECULES / EDGES.prod()
    values = np.array(sums) / (area * density)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), float(read_arrays(file)["mean"]) / density


def beads() -> PairTable:
    return PairTable.from_functions({("lj", "lj"): lambda r: DEPTH * (1 - r / REACH) ** 2}, 0.01, REACH)


def mean_field() -> float:
    """n INT u dr, eV: mu_ex of beads that hardly repel each other; half of it is f_ex, the other half p_ex/n."""
    integral: FloatArray = quad(lambda r: 4 * np.pi * r**2 * DEPTH * (1 - r / REACH) ** 2, 0.0, REACH)[0]
    return float(MOLECULES / EDGES.prod() * integral)


def test_stage_expects_of_a_compensated_force_the_pressure_that_a_gas_of_weak_beads_needs(tmp_path: Path) -> None:
    found, error, drift = needed_force(True, tmp_path / "drift-0-0.npz")
    study, density, ideal = gas(), MOLECULES / EDGES.prod(), MOLECULES / EDGES.prod() * thermal_energy(300.0)
    pressures = Pressures(ideal + density * mean_field() / 2, 0.0, ideal, 0.0, 100.0)
    windows: Any = SimpleNamespace(windows=[None], converged=False)
    expected, numbers, words = expected_integral(study, windows, pressures, density, None, tmp_path)
    assert expected is not None
    assert not words
    assert expected[0] == pytest.approx(mean_field() / 2 - drift)
    assert abs(drift) < 0.02 * mean_field(), "the compensation is that of the same gas"
    assert error < 0.02 * expected[0]
    assert abs(found - expected[0]) < 4 * error
    assert [number.name for number in numbers][-1] == "expected integral of the thermodynamic force"


def test_a_compensation_of_another_liquid_leaves_drift_forces_that_the_stage_counts(tmp_path: Path) -> None:
    """None at all is the extreme: the force carries all of mu_ex, p_ex/n by the pressure and f_ex = -L/n by drift forces."""
    found, error, drift = needed_force(False, tmp_path / "drift-0-0.npz")
    assert abs(found - mean_field()) < 4 * error
    assert error < 0.05 * mean_field()
    assert drift == pytest.approx(-mean_field() / 2, rel=0.03)
    density = MOLECULES / EDGES.prod()
    assert left_over(tmp_path, [0], 1, density) == pytest.approx((drift, 0.0), abs=0.01 * mean_field())


def test_balance_is_not_judged_where_nothing_is_known_of_drift_forces(tmp_path: Path) -> None:
    pressures, windows = Pressures(1e-3, 1e-5, 1e-3, 0.0, 100.0), SimpleNamespace(windows=[None], converged=False)
    for study, said in ((gas(), "not judged"), (gas(compensation="none"), "")):
        expected, numbers, words = expected_integral(study, windows, pressures, 0.02, None, tmp_path)  # type: ignore[arg-type]
        assert expected is None
        assert numbers == []
        assert said in words
    assert first_error(gas(), pressures, 0.02) == np.inf, "nothing before the first window"

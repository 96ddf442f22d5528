"""Names, sums and errors of the parts of a chemical potential, and densities that belong to one."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from halocline.adress.chemical_potential import (
    HamiltonianBalance,
    Term,
    density_at_chemical_potential,
    density_at_excess,
    pressure_per_molecule,
)
from halocline.errors import RunFailure, UserError
from halocline.units import BAR, KILOJOULE_PER_MOLE, thermal_energy

KT = thermal_energy(298.0)


def test_water_at_one_bar_has_the_pressure_term_of_any_dense_liquid_and_its_missing_part() -> None:
    """p_ex/n is -kT to a thousandth; f_ex of water is then -24.0 kJ/mol for mu_ex of -26.5 kJ/mol."""
    p = pressure_per_molecule(Term(BAR), 0.03333, 298.0)
    assert p.value == pytest.approx(-KT, rel=1e-3)
    energy = Term(-26.5 * KILOJOULE_PER_MOLE, 0.02) - p
    assert energy.value / KILOJOULE_PER_MOLE == pytest.approx(-24.0, abs=0.05)


def test_independent_errors_add_in_squares_and_nothing_is_said_without_the_reservoir() -> None:
    balance = HamiltonianBalance(Term(-0.25, 0.02), Term(-0.026, 0.01), Term(0.1, 0.02))
    assert balance.total == Term(pytest.approx(-0.176), pytest.approx(0.03))
    assert HamiltonianBalance(Term(-0.25, 0.02), Term(-0.026, 0.01), None).total is None


def test_the_sum_does_not_depend_on_how_compensation_and_force_share_it() -> None:
    helmholtz = HamiltonianBalance(Term(-0.25), Term(-0.026))
    gibbs = HamiltonianBalance(Term(-0.276), Term(0.0))
    assert helmholtz.difference.value == pytest.approx(gibbs.difference.value)


def test_density_of_an_ideal_gas_is_exact() -> None:
    solution = density_at_chemical_potential(KT * math.log(2.5), lambda n: Term(0.0), (0.005, 0.06), 298.0, 0.01)
    assert solution.density == pytest.approx(0.025, rel=1e-6)
    assert solution.slope == pytest.approx(KT)


def virial(n: float) -> float:
    """mu_ex of hard spheres of unit packing constant, Carnahan and Starling, over kT; n in 1/Å^3."""
    y = n * 20.0
    return y * (8 - 9 * y + 3 * y**2) / (1 - y) ** 3


def test_density_of_hard_spheres_is_found_with_an_honest_error() -> None:
    true, noise = 0.02, 0.02
    target = KT * (math.log(true / 0.01) + virial(true))
    rng = np.random.default_rng(1)
    deviations = []
    for _ in range(100):
        solution = density_at_chemical_potential(
            target, lambda n: Term(KT * (virial(n) + noise * rng.normal()), KT * noise), (0.012, 0.024), 298.0, 0.01
        )
        assert len(solution.evaluations) <= 12
        assert solution.error < 0.02 * true
        deviations.append((solution.density - true) / solution.error)
    assert abs(np.mean(deviations)) < 0.5
    assert 0.6 < np.std(deviations) < 1.5


def power_law(curvature: float) -> Callable[[float], float]:
    """15 kT ln(n/0.02) at the target, with d ln slope/d ln n equal to the curvature: 5 is water."""
    return lambda n: 15.0 * math.expm1(curvature * math.log(n / 0.02)) / curvature


@pytest.mark.parametrize(
    ("law", "scale"),
    [(virial, 1.0), (power_law(4.0), 1.0), (power_law(5.0), 1.0), (lambda n: -15.0 * n, 0.02)],
    ids=["hard spheres", "liquid", "water", "gas"],
)
def test_density_of_an_excess_is_not_biased_by_the_curvature_of_the_law(law: Callable[[float], float], scale: float) -> None:
    """A straight line through the ends of the bracket is 0.3 standard errors too low for hard spheres, 0.4 for water."""
    rng, true, deviations = np.random.default_rng(5), 0.02, []
    for k in range(300):
        noise, bracket = scale * (0.2, 0.4)[k % 2], ((0.018, 0.022), (0.0185, 0.0225), (0.0173, 0.0213))[k % 3]

        def function(n: float, noise: float = noise) -> Term:
            return Term(KT * (law(n) + noise * rng.normal()), KT * noise)

        try:
            solution = density_at_excess(KT * law(true), function, bracket, 0.0025)
        except (UserError, RunFailure):
            continue
        deviations.append((solution.density - true) / solution.error)
    assert len(deviations) > 290
    assert abs(np.mean(deviations)) < 0.12 + 2 / math.sqrt(len(deviations))
    assert 0.75 < np.std(deviations) < 1.2


@pytest.mark.parametrize("noise", [0.3, 0.6, 1.0, 3.0])
def test_noise_as_large_as_the_rise_over_the_bracket_gives_a_density_within_its_error_or_none(noise: float) -> None:
    """mu rises by 2.3 kT here: some seeds are refused at the ends of the bracket, others end within it, none at zero or far away."""
    bracket, target = (0.019, 0.021), KT * (math.log(0.02 / 0.01) + virial(0.02))
    refused, deviations = 0, []
    for seed in range(300):
        rng = np.random.default_rng(seed)

        def function(n: float, rng: np.random.Generator = rng) -> Term:
            return Term(KT * (virial(n) + noise * rng.normal()), KT * noise)

        try:
            solution = density_at_chemical_potential(target, function, bracket, 298.0, 0.01)
        except (UserError, RunFailure):
            refused += 1
            continue
        off = solution.error / solution.density
        assert solution.slope > 0
        assert math.log(bracket[0]) - off <= math.log(solution.density) <= math.log(bracket[1]) + off
        deviations.append((solution.density - 0.02) / solution.error)
    assert refused < 15 if noise < 0.5 else refused > 60
    assert np.mean(np.abs(deviations) < 3) > 0.9


def test_noise_that_inverts_the_ends_of_the_bracket_is_refused_and_not_solved() -> None:
    values = iter([Term(0.01, 0.02), Term(-0.01, 0.02)])
    with pytest.raises(UserError, match="mu does not rise with the density") as caught:
        density_at_chemical_potential(0.0, lambda n: next(values), (0.019, 0.021), 298.0, 0.02)
    assert "more precise" in caught.value.remedy
    with pytest.raises(RunFailure, match="is nan"):
        density_at_chemical_potential(0.0, lambda n: Term(math.nan, 0.01), (0.019, 0.021), 298.0, 0.02)


def test_exact_functions_give_the_density_to_the_tolerance() -> None:
    target = KT * (math.log(2.0) + virial(0.02))
    solution = density_at_chemical_potential(target, lambda n: Term(KT * virial(n)), (0.005, 0.03), 298.0, 0.01, 1e-5)
    assert solution.density == pytest.approx(0.02, rel=1e-4)


def test_target_outside_the_bracket_and_hopeless_noise_are_refused() -> None:
    with pytest.raises(UserError, match="wider bracket"):
        density_at_chemical_potential(1.0, lambda n: Term(0.0), (0.01, 0.02), 298.0, 0.01)

    def step(n: float) -> Term:
        return Term(math.copysign(1.0, n - 0.0161))

    with pytest.raises(RunFailure, match="no density after 4 evaluations"):
        density_at_chemical_potential(0.0, step, (0.01, 0.02), 298.0, 0.01, most_evaluations=4)


def test_density_of_an_excess_is_found_where_it_rises_and_where_it_falls() -> None:
    """Hard spheres: mu_ex rises. The virial series of attractive molecules: it falls."""
    solution = density_at_excess(KT * virial(0.02), lambda n: Term(KT * virial(n)), (0.018, 0.022), 1e-6)
    assert solution.density == pytest.approx(0.02, rel=1e-5)
    y = 0.02 * 20.0
    assert solution.slope == pytest.approx(KT * y * (8 - 2 * y) / (1 - y) ** 4, rel=0.02)
    falling = density_at_excess(-0.3 * KT, lambda n: Term(-15.0 * n * KT), (0.01, 0.03), 1e-6)
    assert falling.density == pytest.approx(0.02, rel=1e-6)
    assert falling.slope == pytest.approx(-0.3 * KT, rel=0.02)


def test_an_ideal_gas_has_no_density_that_belongs_to_an_excess() -> None:
    with pytest.raises(UserError, match="does not change with the density") as caught:
        density_at_excess(0.0, lambda n: Term(0.0), (0.01, 0.02))
    assert "ideal gas" in caught.value.remedy
    with pytest.raises(UserError, match="does not change"):
        density_at_excess(0.0, lambda n: Term(n, 1.0), (0.01, 0.02))
    with pytest.raises(UserError, match=r"the target 0\.0000 eV"):
        density_at_excess(0.0, lambda n: Term(n), (0.01, 0.02))

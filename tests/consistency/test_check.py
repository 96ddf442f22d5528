import json
import math

import numpy as np
import pytest
from scipy.signal import lfilter

from halocline.consistency.check import MIN_INDEPENDENT, Check
from halocline.observables.base import Comparison
from halocline.observables.statistics import Estimate, mean


def comparison(value, reference, tolerance=0.3, name="density", remedy="widen Δ"):
    return Comparison(name, value, reference, tolerance, "g/cm3", "target", remedy)


def decide(value, error, n_effective=100.0, reference=1.0, tolerance=0.3):
    return Check.of(comparison(Estimate(value, error, n_effective), Estimate(reference), tolerance)).verdict(10_000.0)


def test_words_follow_from_the_interval_and_the_tolerance():
    assert decide(1.05, 0.05).verdict == "consistent"
    assert decide(1.60, 0.05).verdict == "inconsistent"
    assert decide(1.25, 0.05).verdict == "undecided"
    assert decide(1.35, 0.05).verdict == "undecided"
    assert decide(1.05, 0.30).verdict == "undecided"


def test_verdict_is_symmetric_in_sign_and_in_value_and_reference():
    for shift in (0.05, 0.25, 0.6):
        assert decide(1 + shift, 0.05).verdict == decide(1 - shift, 0.05).verdict
        swapped = Check.of(comparison(Estimate(1.0), Estimate(1 + shift, 0.05, 100.0))).verdict()
        assert swapped.verdict == decide(1 + shift, 0.05).verdict


@pytest.mark.parametrize(("error", "n_effective"), [(0.0, 100.0), (math.nan, 100.0), (math.inf, 100.0), (0.01, math.nan), (0.01, math.inf)])
def test_no_verdict_from_an_error_of_zero_or_nan(error, n_effective):
    assert decide(1.0, error, n_effective).verdict == "undecided"
    assert decide(9.0, error, n_effective).verdict == "undecided"


def test_no_verdict_from_a_value_that_is_not_finite():
    assert decide(math.nan, 0.1).verdict == "undecided"
    assert Check.of(comparison(Estimate(math.nan), Estimate(0.0))).verdict().verdict == "undecided"


def test_no_verdict_from_too_few_independent_samples():
    few = decide(5.0, 0.01, MIN_INDEPENDENT - 0.1)
    assert few.verdict == "undecided"
    assert "independent samples" in few.explanation
    assert "ps" in few.needed
    assert decide(5.0, 0.01, MIN_INDEPENDENT + 0.1).verdict == "inconsistent"


def test_needed_length_follows_the_square_root_law():
    verdict = decide(1.1, 0.2, 1000.0)
    width = 1.9623 * 0.2
    factor = (width / (0.3 - 0.1)) ** 2
    assert verdict.needed.startswith(f"Run about {factor:.1f} times longer")
    assert f"{10 * factor:.3g} ps instead of 10 ps" in verdict.needed
    decided = decide(1.1, 0.2 / math.sqrt(1.1 * factor), 1000.0 * 1.1 * factor)
    assert decided.verdict == "consistent"


def test_value_at_the_tolerance_is_told_apart_from_a_short_run():
    assert "no affordable length" in decide(1.3, 0.05).needed


def test_counts_are_exact():
    assert Check.of(comparison(Estimate(0.0), Estimate(0.0), 0.0)).verdict().verdict == "consistent"
    assert Check.of(comparison(Estimate(1.0), Estimate(0.0), 0.0)).verdict().verdict == "inconsistent"


def test_inconsistent_says_what_to_do_and_consistent_says_nothing():
    assert decide(1.6, 0.05).needed == "widen Δ"
    assert decide(1.0, 0.05).needed == ""


def test_joint_claim_is_as_good_as_its_worst_part():
    def parts(*values):
        return [comparison(Estimate(v, 0.02, 100.0), Estimate(1.0), 0.3, f"density in blocks: {i} A") for i, v in enumerate(values)]

    good = Check.of(parts(1.0, 1.1, 0.9)).verdict()
    assert (good.verdict, good.name) == ("consistent", "density in blocks")
    bad = Check.of(parts(1.0, 1.5, 0.9)).verdict()
    assert (bad.verdict, bad.value) == ("inconsistent", 1.5)
    assert "1 of 3 parts" in bad.explanation
    assert "1 A" in bad.explanation
    assert Check.of(parts(1.0, 1.29, 0.9)).verdict().verdict == "undecided"


def test_joint_claim_uses_wider_intervals_per_part():
    part = comparison(Estimate(1.25, 0.024, 1000.0), Estimate(1.0))
    assert Check.of(part).verdict().verdict == "consistent"
    assert Check.of([part] * 5, "five").verdict().verdict == "undecided"


def test_verdict_is_plain_json():
    data = json.loads(json.dumps(decide(1.0, math.nan).to_json(), allow_nan=False))
    assert data["error"] is None
    assert data["verdict"] == "undecided"
    assert set(data) == {
        "name", "verdict", "value", "reference", "unit", "error", "reference_error", "tolerance", "n_effective", "explanation", "needed",
    }  # fmt: skip


@pytest.mark.parametrize(("truth", "wrong"), [(0.0, "inconsistent"), (0.3, "inconsistent"), (0.3, "consistent"), (0.5, "consistent")])
def test_wrong_verdicts_are_rare_for_correlated_data(truth, wrong):
    """At the tolerance itself each wrong word may appear in at most 2.5 % of the runs, plus what short series cost."""
    generator, phi, n = np.random.default_rng(11), math.exp(-1 / 6), 400
    count = 0
    for _ in range(300):
        noise = lfilter([1], [1, -phi], generator.normal(size=n + 120))[-n:] * math.sqrt(1 - phi**2)
        count += Check.of(comparison(mean(1.0 + truth + noise), Estimate(1.0))).verdict().verdict == wrong
    assert count / 300 <= 0.06


def test_long_runs_decide():
    generator, phi = np.random.default_rng(12), math.exp(-1 / 6)

    def word(truth):
        noise = lfilter([1], [1, -phi], generator.normal(size=5000))[200:] * math.sqrt(1 - phi**2)
        return Check.of(comparison(mean(1.0 + truth + noise), Estimate(1.0))).verdict().verdict

    assert [word(0.0), word(0.8)] == ["consistent", "inconsistent"]

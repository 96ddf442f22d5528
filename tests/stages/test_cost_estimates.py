"""Estimates of the cost count everything that a study asks for."""

from __future__ import annotations

import math

import pytest
from preflight_studies import classical

from halocline.config.study import Study
from halocline.dynamics.start import QUENCH_STEPS
from halocline.molecules.lj import LJ
from halocline.stages._classical import build_seconds, step_seconds
from halocline.stages._insertion_cost import target_seconds
from halocline.stages._solve_target import cube_of
from halocline.stages.calibrate import CalibrateStage
from halocline.stages.validate import ValidateStage


def test_the_estimate_of_the_calibration_counts_compensation_and_chemical_potential() -> None:
    """Four windows of the open system for the compensation; runs of growth for the density."""
    stage, hamiltonian = CalibrateStage(), {"name": "hamiltonian"}
    bare = stage.cost(classical(coupling={**hamiltonian, "compensation": "none"}))
    for kind in ("kirkwood", "on-the-fly"):
        more = stage.cost(classical(coupling={**hamiltonian, "compensation": kind}))
        section, step = classical().calibration, step_seconds(classical())
        assert more.cpu_seconds - bare.cpu_seconds == pytest.approx(4 * section.window / 2.0 * step)
        assert "free-energy compensation" in more.what


def test_the_estimate_of_a_compensation_with_beads_counts_their_insertion() -> None:
    """15000 steps of beads, of which a share is sampled every 20th by 1000 insertions among 1728 molecules."""
    sections: dict[str, dict[str, object]] = {"calibration": {"bulk": "30 ps", "discard": "20 %"}}
    compensated, bare = (
        CalibrateStage().cost(classical(coupling={"name": "hamiltonian", "reservoir": "table", "compensation": kind}, **sections))
        for kind in ("on-the-fly", "none")
    )
    assert "30 ps of beads with insertions" in compensated.what
    step, window = step_seconds(classical()), classical().calibration.window
    rest = compensated.cpu_seconds - bare.cpu_seconds - 4 * window / 2.0 * step
    distances = 0.8 * 15000 / 20 * 1000 * 1728
    assert 0.5 * 15000 * step + 3e-9 * distances < rest < 0.5 * 15000 * step + 1e-8 * distances


def atoms(**calibration: object) -> Study:
    """A liquid of Lennard-Jones atoms, which fit by chance."""
    system: dict[str, object] = {"molecules": {"lj": 600}, "density": "1 g/cm3"}
    return classical(system=system, calibration={"chemical_potential": "-4 kJ/mol", "insertion": "10 ps", **calibration})


def test_the_estimate_of_a_chemical_potential_counts_boxes_runs_and_insertions() -> None:
    stage, wanted = CalibrateStage(), {"chemical_potential": "-30.2 kJ/mol", "insertion": "100 ps"}
    plain = stage.cost(classical()).cpu_seconds
    solved = stage.cost(classical(calibration=wanted))
    assert "about 5 times 14 runs of 100 ps" in solved.what
    twice = stage.cost(classical(calibration={**wanted, "insertion": "200 ps"})).cpu_seconds - plain
    once = solved.cpu_seconds - plain
    assert once < twice < 2 * once, "boxes and their relaxation are needed whatever the length"
    found = stage.cost(atoms())
    assert "1000 insertions every 20 steps" in found.what
    # Five times 5000 steps with 1000 insertions every 20th, each of which meets the 80 atoms within the cut-off of 9 Å and a dense liquid.
    insertions = 5 * 5000 / 20 * 1000
    small = cube_of(atoms(), atoms().system.density / LJ.mass)
    runs = 5 * (1.2 * 5000 + QUENCH_STEPS) * step_seconds(small) + 5 * build_seconds(small)
    pairs = small.system.density / LJ.mass * 4 / 3 * math.pi * 9.0**3
    each = (target_seconds(atoms()) - runs) / insertions
    assert 1e-7 * pairs < each < 3e-7 * pairs


def test_the_estimate_of_the_validation_counts_a_box_at_the_density_of_a_chemical_potential() -> None:
    bare, solved = (ValidateStage().cost(study) for study in (atoms(chemical_potential=None), atoms()))
    assert solved.cpu_seconds - bare.cpu_seconds > build_seconds(atoms())
    assert "box at the density" in solved.what

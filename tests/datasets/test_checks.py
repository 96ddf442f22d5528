"""Every way in which labelled data is commonly wrong is found, and sound published data passes."""

from dataclasses import replace

import numpy as np
import pytest
from published import shared

from halocline.datasets.checks import Finding, bond_ratios, check_frames
from halocline.datasets.connectivity import known_molecules
from halocline.datasets.extxyz import read_extxyz
from halocline.datasets.frame import Frame
from halocline.datasets.statistics import by_kind, robust_z, summarise
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.state import State
from halocline.units import BOHR, HARTREE

LEVEL = {"engine": "toy", "method": "exact"}


def water(seed: int, trajectory: str = "a", scale: float = 1.0, **changes: object) -> Frame:
    rng = np.random.default_rng(seed)
    geometry = np.array(WATER.geometry) * 1.03
    corners = np.stack(np.meshgrid(*[np.arange(2)] * 3), axis=-1).reshape(-1, 3) * 4.0
    positions = np.concatenate([corner + geometry @ np.linalg.qr(rng.normal(size=(3, 3)))[0] for corner in corners])
    state = State(positions * scale, np.eye(3) * 8, build_topology([(WATER, 8)]))
    forces = rng.normal(size=(24, 3))
    labels = {"energy": np.array(-8 * 470.0 + rng.normal(0, 0.1)), "forces": forces - forces.mean(axis=0)}
    fields = {"state": state, "labels": labels, "trajectory": trajectory, "level": LEVEL, **changes}
    return Frame(**fields)


def sound(count: int = 12) -> list[Frame]:
    return [water(seed, f"run {seed % 3}") for seed in range(count)]


def relabel(frame: Frame, **labels: object) -> Frame:
    return replace(frame, labels={**frame.labels, **{name: np.asarray(value, dtype=float) for name, value in labels.items()}})


def errors(findings: list[Finding]) -> list[str]:
    return [finding.what for finding in findings if finding.severity == "error"]


def test_sound_data_gives_no_finding():
    assert check_frames(sound(), "boxes", ["energy", "forces"]) == []


def test_nothing_is_an_error():
    assert errors(check_frames([], "boxes")) == ["it holds no frame"]
    assert errors(check_frames(sound(), "boxes", ["stress"])) == ["no frame has stress"]
    assert "the frame has no labels" in errors(check_frames([*sound(), water(99, labels={}, level=None)], "boxes"))


def test_nan_is_an_error_that_names_the_frame():
    frames = sound()
    frames[7] = relabel(frames[7], energy=np.nan)
    finding = check_frames(frames, "boxes")[0]
    assert finding.severity == "error"
    assert finding.where == "boxes, frame 7 (run 1)"


def test_mixed_levels_of_theory_are_an_error():
    frames = sound()
    frames[3] = replace(frames[3], level={"engine": "toy", "method": "approximate"})
    (message,) = errors(check_frames(frames, "boxes"))
    assert message.startswith("labels of 2 levels of theory are mixed (11 frames at engine=toy, method=exact; 1 frames at")


def test_a_label_that_only_some_frames_have_is_an_error():
    frames = sound()
    frames[0] = relabel(frames[0], charges=np.zeros(24))
    assert errors(check_frames(frames, "boxes")) == ["only 1 of 12 boxes have 'charges'"]


@pytest.mark.parametrize(("unit", "factor"), [("Ha/bohr", BOHR / HARTREE), ("kcal/mol/A", 23.06)])
def test_forces_in_another_unit_are_recognised(unit, factor):
    frames = [relabel(frame, forces=frame.labels["forces"] * factor) for frame in sound()]
    finding = check_frames(frames, "boxes")[0]
    assert finding.severity == "error"
    assert f"They look like {unit}" in finding.remedy


def test_positions_in_bohr_are_recognised():
    finding = check_frames([water(seed, scale=1 / BOHR) for seed in range(4)], "boxes")[0]
    assert "1.8 times" in finding.what.replace("1.84", "1.8").replace("1.85", "1.8")
    assert finding.remedy == "Convert the positions from bohr to A."


def test_a_broken_molecule_and_a_net_force_are_reported_with_their_frame():
    frames = sound()
    positions = frames[5].state.positions.copy()
    positions[1] = positions[0] + [1.9, 0, 0]
    frames[5] = replace(frames[5], state=frames[5].state.with_positions(positions), key="")
    frames[6] = relabel(frames[6], forces=frames[6].labels["forces"] + 0.2)
    findings = check_frames(frames, "boxes")
    assert errors(findings) == []
    assert any("1 of 12 frames have broken molecules" in f.what and "frame 5 (run 2)" in f.where for f in findings)
    assert any("1 of 12 frames have a net force" in f.what and "frame 6 (run 0)" in f.where for f in findings)


def test_a_net_force_in_every_frame_is_an_error():
    frames = [relabel(frame, forces=frame.labels["forces"] + 0.2) for frame in sound()]
    (message,) = errors(check_frames(frames, "boxes"))
    assert message == f"12 of 12 frames have a net force above 0.01 eV/A per atom (largest {0.2 * np.sqrt(3):.3g})"


def test_duplicates_across_trajectories_leak_and_are_an_error():
    frames = sound()
    within = check_frames([*frames, frames[0]], "boxes")
    assert [finding.severity for finding in within] == ["warning"]
    across = check_frames([*frames, replace(frames[0], trajectory="run 1")], "boxes")
    assert errors(across) == ["1 configurations occur more than once, 1 of them in different trajectories"]


def test_an_outlier_among_ordinary_energies_is_found():
    frames = sound()
    frames[4] = relabel(frames[4], energy=-8 * 470.0 + 3.0)
    findings = check_frames(frames, "boxes")
    assert errors(findings) == []
    assert any("1 of 12 values of energy per molecule are outliers" in finding.what for finding in findings)
    (energy,) = [summary for summary in summarise(frames) if summary.what == "energy per molecule"]
    assert (energy.unit, energy.kind, energy.frames, energy.outliers) == ("eV", "box of 8", 12, 1)


def test_energies_that_spread_too_far_and_negative_polarizabilities_are_found():
    frames = [relabel(frame, energy=-470.0 * 8 * (1 + index % 2)) for index, frame in enumerate(sound())]
    assert any("spread by 235 eV per molecule" in finding.what for finding in check_frames(frames, "boxes"))
    frames = [relabel(frame, polarizability=np.diag([1.4, 1.5, -1.4])) for frame in sound()]
    assert errors(check_frames(frames, "boxes")) == ["12 of 12 polarizabilities are not positive definite"]


def test_robust_z_of_a_normal_sample_is_its_z_and_of_equal_numbers_zero():
    rng = np.random.default_rng(0)
    sample = rng.normal(3.0, 2.0, 20_000)
    np.testing.assert_allclose(robust_z(sample), (sample - 3) / 2, atol=0.15)
    assert robust_z([5.0] * 10).tolist() == [0.0] * 10
    energies = np.full(10, -30000.0) + np.array([0, 1] * 5) * 1e-12
    assert np.abs(robust_z(energies)).max() < 1


def test_kinds_keep_boxes_and_clusters_of_different_size_apart():
    box = sound(1)[0]
    cluster = replace(box, state=box.state.select([0, 1]).isolated(), key="")
    assert {kind: len(frames) for kind, frames in by_kind([box, cluster, box]).items()} == {"box of 8": 2, "cluster of 2": 1}
    np.testing.assert_allclose(bond_ratios(cluster, known_molecules()), 1.03 * 0.9572 / 1.012, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "quantities"),
    [
        ("water_pbe0ts_64/train.extxyz.gz", ["energy", "forces"]),
        ("water_rpbe_d3_64/train.extxyz.gz", ["energy", "forces"]),
        ("water_clusters_ccsd/train_monomer.extxyz.gz", ["energy", "dipole", "polarizability"]),
    ],
)
def test_published_data_has_no_errors(name, quantities):
    frames = read_extxyz(shared(name), {"set": name}, quantities, block=10, index=":60").frames
    assert errors(check_frames(frames, name, quantities)) == []

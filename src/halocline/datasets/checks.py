"""What can be wrong with labelled data, and what its numbers look like, before anything is trained on it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from halocline.datasets.connectivity import known_molecules
from halocline.datasets.frame import Frame, configuration_key, level_hash
from halocline.datasets.statistics import FEWEST, OUTLIER, by_kind, distributions, robust_z
from halocline.errors import HaloclineError
from halocline.molecules.base import Molecule
from halocline.topology import FloatArray
from halocline.units import BOHR, HARTREE, KILOCALORIE_PER_MOLE, KILOJOULE_PER_MOLE

FORCE_RANGE = (0.1, 3.0)
"""eV/Å; root mean square of force components in molecular liquids and clusters near room temperature."""
BOND_RANGE = (0.7, 1.6)
"""Bond lengths in units of those of the species beyond which a molecule is broken or mistaken."""
TYPICAL_BOND = (0.9, 1.15)
"""Range of the median bond, same unit."""
NET_FORCE = 0.01
"""eV/Å per atom; a larger sum of forces means that something outside acts, or that forces were rounded or lost."""
ENERGY_SPREAD = 0.5
"""eV per molecule; a larger spread within one kind of frame means different levels, compositions or broken frames."""
FORCE_UNITS = {"Ha/bohr": HARTREE / BOHR, "Ry/bohr": HARTREE / 2 / BOHR, "kcal/mol/A": KILOCALORIE_PER_MOLE,
               "kJ/mol/nm": KILOJOULE_PER_MOLE / 10}  # fmt: skip
"""What forces are often given in -> eV/Å."""
LENGTH_UNITS = {"bohr": BOHR, "nm": 10.0}


@dataclass(frozen=True)
class Finding:
    """Something wrong or odd.

    Attributes:
        severity: an error makes the data useless or misleading; a warning needs a look.
        what, where, remedy: as in every error of this program.
    """

    severity: Literal["error", "warning"]
    what: str
    where: str
    remedy: str


def check_frames(frames: Sequence[Frame], name: str, required: Sequence[str] = ()) -> list[Finding]:
    """Everything that is wrong with a set of labelled frames.

    Args:
        frames: labelled frames.
        name: of the set, for messages.
        required: quantities that at least one frame must have.

    Returns:
        Findings, errors first.
    """
    if not frames:
        remedy = "Raise dataset.frames or multipoles.clusters, and look at label_failures.json of the label stage."
        return [Finding("error", "it holds no frame", name, remedy)]
    findings = [*_validity(frames, name)]
    if not findings:  # statistics of NaN say nothing
        for check in (_levels, _completeness, _duplicates, _bonds, _forces, _net_forces, _energies, _tensors):
            findings += check(frames, name)
        findings += _outliers(frames, name)
    missing = [quantity for quantity in required if not any(quantity in frame.labels for frame in frames)]
    if missing:
        remedy = "Add them to the quantities of the study file."
        findings.append(Finding("error", f"no frame has {', '.join(missing)}", name, remedy))
    return sorted(findings, key=lambda finding: finding.severity != "error")


def bond_ratios(frame: Frame, molecules: Mapping[str, Molecule]) -> FloatArray:
    """Bond lengths of all molecules of known species, each divided by the length of the species' model."""
    topology, positions = frame.state.topology, frame.state.positions
    ratios = []
    for index, name in enumerate(topology.species):
        if name in molecules and molecules[name].bonds:
            first = topology.offsets[:-1][topology.molecule_species == index]
            for bond in molecules[name].bonds:
                ratios.append(np.linalg.norm(positions[first + bond.i] - positions[first + bond.j], axis=1) / bond.length)
    return np.concatenate(ratios) if ratios else np.zeros(0)


def _validity(frames: Sequence[Frame], name: str) -> list[Finding]:
    findings = []
    for index, frame in enumerate(frames):
        try:
            frame.check(f"{name}, frame {index} ({frame.trajectory})")
            if not frame.labels:
                findings.append(Finding("error", "the frame has no labels", f"{name}, frame {index}", "Run `halocline label`."))
        except HaloclineError as error:
            findings.append(Finding("error", error.what, error.where, error.remedy))
    return findings


def _levels(frames: Sequence[Frame], name: str) -> list[Finding]:
    counts = Counter(level_hash(frame.level or {}) for frame in frames)
    if len(counts) == 1:
        return []
    examples = {level_hash(frame.level or {}): frame.level for frame in frames}
    words = "; ".join(f"{count} frames at {_short(examples[key])}" for key, count in counts.most_common())
    remedy = "Keep one of them: energies of different levels differ by more than any model can learn."
    return [Finding("error", f"labels of {len(counts)} levels of theory are mixed ({words})", name, remedy)]


def _short(level: Mapping[str, object] | None) -> str:
    return ", ".join(f"{key}={value}" for key, value in list((level or {}).items())[:3]) or "no stated level"


def _completeness(frames: Sequence[Frame], name: str) -> list[Finding]:
    findings = []
    for periodic in (True, False):
        group = [frame for frame in frames if frame.state.periodic is periodic]
        counts = Counter(label for frame in group for label in frame.labels)
        for label, count in counts.items():
            if count < len(group):
                kind = "boxes" if periodic else "clusters"
                what = f"only {count} of {len(group)} {kind} have '{label}'"
                findings.append(Finding("error", what, name, "Label the others, or leave the quantity out for all."))
    return findings


def _duplicates(frames: Sequence[Frame], name: str) -> list[Finding]:
    places: dict[str, set[str]] = defaultdict(set)
    counts = Counter[str]()
    for frame in frames:
        key = configuration_key(frame.state)
        counts[key] += 1
        places[key].add(frame.trajectory)
    repeated = [key for key, count in counts.items() if count > 1]
    if not repeated:
        return []
    leaks = sum(len(places[key]) > 1 for key in repeated)
    what = f"{len(repeated)} configurations occur more than once"
    if leaks:
        remedy = "Remove them: a frame in two trajectories may be trained and tested on."
        return [Finding("error", f"{what}, {leaks} of them in different trajectories", name, remedy)]
    return [Finding("warning", what, name, "Remove the repetitions: they count twice in training.")]


def _bonds(frames: Sequence[Frame], name: str) -> list[Finding]:
    molecules = known_molecules()
    ratios = [bond_ratios(frame, molecules) for frame in frames]
    everything = np.concatenate(ratios)
    if everything.size == 0:
        return []
    median = float(np.median(everything))
    if not TYPICAL_BOND[0] < median < TYPICAL_BOND[1]:
        unit = _disguise(median, LENGTH_UNITS, TYPICAL_BOND)
        remedy = f"Convert the positions from {unit} to A." if unit else "Check the unit of the positions and the order of the atoms."
        return [Finding("error", f"the median bond is {median:.2f} times that of its species", name, remedy)]
    broken = [index for index, values in enumerate(ratios) if np.any((values < BOND_RANGE[0]) | (values > BOND_RANGE[1]))]
    if not broken:
        return []
    first = frames[broken[0]]
    low, high = float(everything.min()), float(everything.max())
    what = f"{len(broken)} of {len(frames)} frames have broken molecules (bonds of {low:.2f} to {high:.2f} times the usual length)"
    where = f"{name}, first: frame {broken[0]} ({first.trajectory})"
    return [Finding("warning", what, where, "Look at them; dissociated molecules belong to no species here.")]


def _forces(frames: Sequence[Frame], name: str) -> list[Finding]:
    parts = [frame.labels["forces"].ravel() for frame in frames if "forces" in frame.labels]
    if not parts:
        return []
    rms = float(np.sqrt(np.mean(np.concatenate(parts) ** 2)))
    low, high = FORCE_RANGE
    if low <= rms <= high:
        return []
    what = f"the forces have a root mean square of {rms:.3g} eV/A, outside {low} to {high}"
    unit = _disguise(rms, FORCE_UNITS, FORCE_RANGE)
    if unit:
        value = rms * FORCE_UNITS[unit]
        remedy = f"They look like {unit} (then {value:.2f} eV/A): convert them."
        return [Finding("error", what, name, remedy)]
    severity: Literal["error", "warning"] = "error" if rms > 10 * high else "warning"
    return [Finding(severity, what, name, "Check their unit, and that the configurations are those of a liquid.")]


def _disguise(value: float, units: Mapping[str, float], accepted: tuple[float, float]) -> str | None:
    """The unit in which a value would be plausible."""
    return next((unit for unit, factor in units.items() if accepted[0] < value * factor < accepted[1]), None)


def _net_forces(frames: Sequence[Frame], name: str) -> list[Finding]:
    net = [
        float(np.linalg.norm(frame.labels["forces"].sum(axis=0))) / len(frame.labels["forces"]) if "forces" in frame.labels else 0.0
        for frame in frames
    ]
    count = sum(value > NET_FORCE for value in net)
    if not count:
        return []
    worst = int(np.argmax(net))
    severity: Literal["error", "warning"] = "error" if np.median(net) > 10 * NET_FORCE else "warning"
    what = f"{count} of {len(frames)} frames have a net force above {NET_FORCE} eV/A per atom (largest {net[worst]:.3g})"
    where = f"{name}, largest in frame {worst} ({frames[worst].trajectory})"
    remedy = "Forces of an isolated system sum to zero: tighten the engine, or look for lost or mixed-up atoms."
    return [Finding(severity, what, where, remedy)]


def _energies(frames: Sequence[Frame], name: str) -> list[Finding]:
    findings = []
    for kind, group in by_kind(frames).items():
        values = [float(f.labels["energy"]) / f.state.topology.n_molecules for f in group if "energy" in f.labels]
        if len(values) > 1 and np.std(values) > ENERGY_SPREAD:
            what = f"energies of {kind} spread by {np.std(values):.3g} eV per molecule (standard deviation)"
            remedy = "Look for mixed compositions, broken frames or labels of another program."
            findings.append(Finding("warning", what, name, remedy))
    return findings


def _tensors(frames: Sequence[Frame], name: str) -> list[Finding]:
    values = [frame.labels["polarizability"] for frame in frames if "polarizability" in frame.labels]
    negative = sum(bool(np.linalg.eigvalsh((value + value.T) / 2).min() <= 0) for value in values)
    if not negative:
        return []
    what = f"{negative} of {len(values)} polarizabilities are not positive definite"
    return [Finding("error", what, name, "A ground state has a positive one: check the sign and the field of the engine.")]


def _outliers(frames: Sequence[Frame], name: str) -> list[Finding]:
    findings = []
    for kind, group in by_kind(frames).items():
        if len(group) < FEWEST:
            continue
        for what, (unit, values) in distributions(group).items():
            if np.ndim(values[0]) > 0:
                continue
            scores = np.abs(robust_z(np.array(values)))
            beyond = np.flatnonzero(scores > OUTLIER)
            if beyond.size:
                worst = int(np.argmax(scores))
                message = f"{beyond.size} of {len(values)} values of {what} are outliers, the worst {scores[worst]:.0f} deviations away"
                message += f" ({float(values[worst]):.4g} {unit}, median {float(np.median(values)):.4g})"
                where = f"{name}, {kind}, trajectory {group[worst].trajectory}"
                findings.append(Finding("warning", message, where, "Look at the configuration; remove it if it is broken."))
    return findings

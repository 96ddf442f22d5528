"""Published labelled sets that benchmarks train and test on, and one fixed way to cut each.

The sets lie in the folder of the environment variable ``HALOCLINE_DATA``, or in ``../shared/data`` beside this repository; their
licences do not let them travel with it. Whole trajectories are held back, so that no test frame has a neighbour in time
in training: in the order of the SHA-256 of their names, those of the test first, then those of validation, until each has its
share of the frames of a file. A trajectory stays in training where it is the only one left of its kind (such as a concentration), or
longer than one and a half of that share. What counts as one trajectory was judged from the positions: the frames of a file that are
most alike must fall into one part.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from halocline.datasets.cleaning import remove_net_force, without_large_forces, without_repeats
from halocline.datasets.extxyz import Origin, read_extxyz
from halocline.datasets.frame import Frame
from halocline.errors import UserError
from halocline.units import BOHR

VARIABLE = "HALOCLINE_DATA"
SHARE = 0.1
"""Share of the frames that validation and test hold back each."""
LARGEST_FORCE = 10.0
"""eV/Å; frames with a larger force component are torn configurations of active learning."""


class Parts(NamedTuple):
    """Frames of a set; ``extra_tests`` are named conditions that training never sees, or named parts of the test frames."""

    train: list[Frame]
    validation: list[Frame]
    test: list[Frame]
    extra_tests: dict[str, list[Frame]]


@dataclass(frozen=True)
class LabelledSet:
    """How one set is read and cut.

    Attributes:
        files: below the data folder.
        level: level of theory.
        quantities: labels that every frame must have.
        family: frame -> the name of what is held back together, where that is not the trajectory of the file.
        block: consecutive frames taken as one trajectory, where the file names none; 0 takes the names of the file.
        unknown, origin: see :func:`halocline.datasets.extxyz.read_extxyz`.
        kind: trajectory -> kind of which training must keep one; all trajectories are of one kind by default.
        apart: name of an extra test -> its frames, chosen from all; training, validation and test see none of them.
        views: name of an extra test -> which of the test frames belong to it.
    """

    files: tuple[str, ...]
    level: dict[str, str]
    quantities: tuple[str, ...]
    family: Callable[[Frame], str] = lambda frame: frame.trajectory
    block: int = 0
    unknown: Literal["refuse", "fragment"] = "refuse"
    origin: Origin = "coordinates"
    kind: Callable[[str], str] = lambda trajectory: ""
    apart: dict[str, Callable[[Sequence[Frame]], list[Frame]]] | None = None
    views: dict[str, Callable[[Frame], bool]] | None = None


def salt(trajectory: str) -> str:
    """Number of ion pairs in a name such as gen1_4NaCl."""
    found = re.search(r"(\d+)NaCl", trajectory)
    return found.group(1) if found else ""


def generation(frame: Frame) -> str:
    """revPBE0-D3_gen1b_4NaCl_56H2O -> gen1_4NaCl: steps a to e of the first generation continue one another at each concentration."""
    found = re.search(r"(gen\d+)[a-z]?_(\d+NaCl)", frame.trajectory)
    return "_".join(found.groups()) if found else frame.trajectory


def molecule(frame: Frame) -> str:
    """The species of a frame of one molecule: all its conformations are held back together."""
    return frame.state.topology.species[0]


def coldest(trajectory: str) -> str:
    """Marks the lowest temperature, which stays in training: leaving out an extreme is what an extra test is for."""
    return "coldest" if trajectory == "liquid_213K" else ""


def densest(frames: Sequence[Frame]) -> list[Frame]:
    """The tenth of smallest volume per molecule."""
    ordered = sorted(frames, key=lambda frame: frame.state.volume / frame.state.topology.n_molecules)
    return ordered[: round(SHARE * len(frames))]


def of_trajectory(name: str) -> Callable[[Sequence[Frame]], list[Frame]]:
    return lambda frames: [frame for frame in frames if frame.trajectory == name]


SETS: dict[str, LabelledSet] = {
    "nacl_aq_cp2k": LabelledSet(
        ("nacl_aq_cp2k/train_revpbe0d3.extxyz.gz",),
        {"engine": "CP2K", "method": "revPBE0-D3", "set": "arXiv:2311.01527"},
        ("energy", "forces"),
        family=generation,
        kind=salt,
    ),
    # Each temperature is one trajectory; cold ones barely relax within it. The hottest is the hard one to leave out: forces are
    # larger there than anywhere in training.
    "water_dcr2scan": LabelledSet(
        ("water_dcr2scan/train_liquid_256mol.extxyz.gz",),
        {"method": "DC-r2SCAN", "set": "paesanilab/Data_Repository"},
        ("energy", "forces"),
        kind=coldest,
        apart={"348 K": of_trajectory("liquid_348K")},
    ),
    # The folders iter.* descend from one configuration; none of them is alike the trajectories init_* at 300 K that the rule holds back.
    "water_scan_wannier": LabelledSet(
        ("water_scan_wannier/train.extxyz.gz",),
        {"engine": "VASP", "method": "SCAN", "set": "H2O-DPLR, doi 10.1063/5.0083669"},
        ("energy", "forces", "stress", "dipole"),
    ),
    # Interleaved trajectories: the frame most alike is 2 to 8 places away, beyond 20 places all are equally unlike.
    "water_bulk_dipole_polarizability": LabelledSet(
        ("water_bulk_dipole_polarizability/train.extxyz.gz",),
        {"method": "DFT linear response", "set": "doi 10.1103/PhysRevLett.120.036002, bulk"},
        ("dipole", "polarizability"),
        block=20,
        apart={"densest": densest},
    ),
    "water_clusters_ccsd": LabelledSet(
        ("water_clusters_ccsd/train_monomer.extxyz.gz", "water_clusters_ccsd/train_dimer.extxyz.gz"),
        {"method": "CCSD/d-aug-cc-pVTZ", "set": "doi 10.1103/PhysRevLett.120.036002, clusters"},
        ("energy", "dipole", "polarizability"),
        block=20,
        views={
            "monomer": lambda frame: frame.state.topology.n_molecules == 1,
            "dimer": lambda frame: frame.state.topology.n_molecules == 2,
        },
    ),
    # The file does not say what its quadrupoles are about. Those of its charges differ by 1.60 e A^2 about the origin of coordinates, by
    # 1.51 about the centre of mass, and by 0.61 about a point one bohr below it along each axis, which is where a fit of the point by
    # least squares ends (-0.54, -0.55 and -0.53 A, each within 0.02). The spread of the quadrupoles is 4.9.
    "spice_dipeptides_multipoles": LabelledSet(
        ("spice_dipeptides_multipoles/train.extxyz.gz",),
        {"engine": "Psi4", "method": "wB97M-D3(BJ)/def2-TZVPPD", "set": "SPICE, ChengUCB/les_fit"},
        ("energy", "forces", "charges", "dipole", "quadrupole"),
        family=molecule,
        unknown="fragment",
        origin=(-BOHR, -BOHR, -BOHR),
    ),
}


def data_folder() -> Path:
    """Where the sets lie; it may not exist."""
    return Path(os.environ.get(VARIABLE) or Path(__file__).resolve().parents[2] / "shared" / "data")


def is_present(name: str) -> bool:
    """Whether all files of a set are on this machine."""
    return all((data_folder() / file).exists() for file in SETS[name].files)


def load(name: str) -> Parts:
    """Training, validation and test frames of a set, and its extra tests.

    Raises:
        UserError: an unknown set, or its files are not on this machine.
    """
    if name not in SETS:
        raise UserError(f"there is no set '{name}'", "benchmarks/_data.py", f"Known: {', '.join(SETS)}.")
    if not is_present(name):
        remedy = f"Set {VARIABLE} to the folder that holds the published sets."
        raise UserError(f"the files of '{name}' are missing", str(data_folder()), remedy)
    chosen = SETS[name]
    files = read(name)
    extra = {word: select([frame for frames in files for frame in frames]) for word, select in (chosen.apart or {}).items()}
    taken = {frame.key for group in extra.values() for frame in group}
    cut = [split([frame for frame in frames if frame.key not in taken], chosen.kind) for frames in files]
    train, validation, test = ([frame for parts in cut for frame in parts[place]] for place in range(3))
    views = {word: [frame for frame in test if belongs(frame)] for word, belongs in (chosen.views or {}).items()}
    return Parts(train, validation, test, {**extra, **views})


def read(name: str) -> list[list[Frame]]:
    """All usable frames of each file of a set: mean force removed, torn configurations and repeated clusters left out."""
    chosen = SETS[name]
    files = []
    for file in chosen.files:
        options = {"block": chosen.block, "unknown": chosen.unknown, "origin": chosen.origin}
        imported = read_extxyz(data_folder() / file, chosen.level, chosen.quantities, **options)
        frames = without_large_forces(without_repeats(imported.frames), LARGEST_FORCE)
        files.append([replace(remove_net_force(frame), trajectory=chosen.family(frame)) for frame in frames])
    return files


def split(frames: Sequence[Frame], kind: Callable[[str], str], share: float = SHARE) -> Parts:
    """Whole trajectories for test and validation, where possible ``share`` of the frames each; see the head of this file."""
    sizes: dict[str, int] = {}
    for frame in frames:
        sizes[frame.trajectory] = sizes.get(frame.trajectory, 0) + 1
    order = sorted(sizes, key=lambda trajectory: hashlib.sha256(trajectory.encode()).hexdigest())
    held: dict[str, str] = {}
    for part in ("test", "validation"):
        for trajectory in order:
            if sum(sizes[other] for other in held if held[other] == part) >= share * len(frames):
                break
            relatives = [other for other in order if other not in held and other != trajectory and kind(other) == kind(trajectory)]
            if trajectory not in held and relatives and sizes[trajectory] <= 1.5 * share * len(frames):
                held[trajectory] = part
    groups: dict[str, list[Frame]] = {"train": [], "validation": [], "test": []}
    for frame in frames:
        groups[held.get(frame.trajectory, "train")].append(frame)
    return Parts(groups["train"], groups["validation"], groups["test"], {})

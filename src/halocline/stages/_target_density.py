"""The density of AT that belongs to ``calibration.chemical_potential``: what the calibration hands on to later stages."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from halocline.config.study import Study
from halocline.files import read_json, write_json
from halocline.results import Number, Table
from halocline.stages.base import Context
from halocline.state import State
from halocline.units import AMU_PER_CUBIC_ANGSTROM, KILOJOULE_PER_MOLE, thermal_energy

FILE = "target.json"
ROLE = "target"


@dataclass(frozen=True)
class Excess:
    """mu_ex at one density.

    Attributes:
        density: molecules/Å^3.
        value, error: eV.
        n_effective: independent samples behind the error.
        warning: what makes it doubtful, or nothing.
    """

    density: float
    value: float
    error: float
    n_effective: float
    warning: str = ""


@dataclass(frozen=True)
class TargetDensity:
    """Density at which the liquid has the wanted mu_ex.

    Attributes:
        density, error: of AT and Δ, molecules/Å^3.
        reservoir, reservoir_error: density that is left to the reservoir. box: mean of the box.
        chemical_potential: the wanted mu_ex, eV. slope: d mu_ex/d ln n, eV.
        mass: of a molecule, amu.
        evaluations: in the order in which they were made.
    """

    density: float
    error: float
    reservoir: float
    reservoir_error: float
    box: float
    chemical_potential: float
    slope: float
    mass: float
    evaluations: tuple[Excess, ...]

    def save(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> TargetDensity:
        data = read_json(path)
        return cls(**{**data, "evaluations": tuple(Excess(**item) for item in data["evaluations"])})

    def ideal_difference(self, temperature: float) -> float:
        """kT ln(n_AT/n_reservoir), eV: what the force holds between two ideal gases of these densities."""
        return thermal_energy(temperature) * math.log(self.density / self.reservoir)

    def numbers(self) -> list[Number]:
        """Wanted mu_ex, the density that has it, and what is left to the reservoir."""
        unit, kJ = self.mass / AMU_PER_CUBIC_ANGSTROM, KILOJOULE_PER_MOLE
        effective = sum(item.n_effective for item in self.evaluations)
        error = self.error * unit
        return [
            Number("target mu_ex", self.chemical_potential / kJ, "kJ/mol"),
            Number("density at the target mu_ex", self.density * unit, "g/cm3", error, effective),
            Number("density left to the reservoir", self.reservoir * unit, "g/cm3", self.reservoir_error * unit, effective),
        ]

    def table(self) -> Table:
        """Every evaluation of mu_ex."""
        unit = self.mass / AMU_PER_CUBIC_ANGSTROM
        rows = []
        for item in self.evaluations:
            value = Number("", item.value / KILOJOULE_PER_MOLE, "kJ/mol", item.error / KILOJOULE_PER_MOLE)
            rows.append((f"{item.density * unit:.5g} g/cm3", str(value), f"{item.n_effective:.0f}"))
        columns = ("density", "mu_ex", "independent samples")
        return Table("target-density", "Density at the target mu_ex", columns, rows, "A line is fitted to these by their errors.")


def target_of(context: Context) -> TargetDensity | None:
    """What the calibration found; None in a study that sets no chemical potential."""
    if not has_target(context.study):
        return None
    own = context.folder / FILE
    return TargetDensity.load(own if own.exists() else context.file("calibrate", ROLE))


def has_target(study: Study) -> bool:
    return study.calibration.chemical_potential is not None


def wanted_density(context: Context, box: State) -> float:
    """Molecules per Å^3 that AT shall have: those of the box, unless the study sets a chemical potential."""
    target = target_of(context)
    return box.topology.n_molecules / box.volume if target is None else target.density

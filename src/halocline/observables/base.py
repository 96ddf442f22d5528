"""What an observable is: a streamed estimator that knows its errors and how to be compared with a reference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from halocline.adress.regions import Regions
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.config.study import Validation
from halocline.dynamics.record import Record, Snapshot
from halocline.errors import RunFailure
from halocline.files import read_arrays, write_arrays
from halocline.observables.statistics import Estimate
from halocline.potentials.base import Potential
from halocline.results import Figure, Number, Series
from halocline.topology import FloatArray, Topology
from halocline.units import AMU_PER_CUBIC_ANGSTROM


@dataclass(frozen=True)
class Setting:
    """What is fixed for a run.

    Attributes:
        cell: (3, 3), Å. topology, regions: molecules and regions; the reference is measured with the regions of the open run.
        temperature: target, K. density: target, molecules/Å^3.
        resolution: "open", or "full" for a closed box at full atomistic resolution, where every place is equivalent.
        rows: length of the record, so that expensive observables can choose a stride. interval: fs between rows.
        tolerances: of the verdicts.
        tracers: whether the reservoir of the open run is an ideal gas.
        multipoles: trained model of molecular properties, or None where there is none.
        fine: the fine potential, for observables that evaluate it anew; bound by the one who measures.
        force: thermodynamic force of the open run.
        conserves_momentum: whether the coupling obeys Newton's third law, so that the thermodynamic force balances pressures.
        reservoir_factor: n kT kappa_T of the liquid that the reservoir is made of, from a run of its own.
        interacts: whether molecules feel each other at full resolution; without that g(r) is one and the pressure n kT.
        frictions: Langevin friction in AT and in Δ of the open run and that of the reference, 1/fs; None: all the same.
    """

    cell: FloatArray
    topology: Topology
    regions: Regions
    temperature: float
    density: float
    resolution: str = "open"
    rows: int = 0
    interval: float = 0.0
    tolerances: Validation = field(default_factory=Validation)
    tracers: bool = False
    multipoles: Path | None = None
    fine: Potential | None = None
    force: ThermodynamicForce | None = None
    reservoir_factor: Estimate | None = None
    conserves_momentum: bool = True
    interacts: bool = True
    frictions: tuple[float, float, float] | None = None

    @classmethod
    def of(
        cls,
        record: Record,
        tolerances: Validation,
        tracers: bool = False,
        multipoles: Path | None = None,
        regions: Regions | None = None,
        fine: Potential | None = None,
        force: ThermodynamicForce | None = None,
        reservoir_factor: Estimate | None = None,
        conserves_momentum: bool = True,
        interacts: bool = True,
        frictions: tuple[float, float, float] | None = None,
    ) -> Setting:
        """The setting of a record, with its own regions unless others are given."""
        times = record.column("time")
        interval = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        target = record.temperature_target
        return cls(
            record.cell, record.topology, regions or record.regions, target, record.density, record.resolution, len(record), interval,
            tolerances, tracers, multipoles, fine, force, reservoir_factor, conserves_momentum, interacts, frictions,
        )  # fmt: skip

    @property
    def edges(self) -> FloatArray:
        """(3,) Å."""
        return np.diag(self.cell)

    @property
    def volume(self) -> float:
        """Å^3."""
        return float(np.prod(self.edges))

    def place(self, snapshot: Snapshot) -> Regions:
        """The regions where they are in a configuration; in the reference they follow the same molecules as in the open run."""
        return self.regions.follow(snapshot.centres)

    @property
    def moves(self) -> bool:
        """Whether the regions follow molecules: the liquid about them is then not uniform, and the reference is the only yardstick."""
        return self.regions.follow(np.zeros((self.topology.n_molecules, 3))) is not self.regions

    @property
    def mass_density(self) -> float:
        """Target in g/cm^3."""
        return self.density * float(self.topology.molecule_masses.mean()) / AMU_PER_CUBIC_ANGSTROM

    @property
    def other_frictions(self) -> str:
        """Why dynamics across the border of AT must differ from that of the reference; "" where all frictions are the same."""
        if self.frictions is None or max(self.frictions) - min(self.frictions) <= 1e-9 * max(self.frictions):
            return ""
        core, layer, reference = (f"{1e3 * friction:g} /ps" for friction in self.frictions)
        return (
            f"the friction of the open run is {core} in AT and {layer} in the layers, that of the full-resolution run {reference}: "
            "molecules that cross the border move differently for that reason alone. Only with dynamics.friction_atomistic, "
            "friction_transition and friction_reference alike can it be judged."
        )

    @property
    def is_full(self) -> bool:
        return self.resolution == "full"


@dataclass(frozen=True)
class Comparison:
    """Two numbers that should agree, and how well they must.

    Attributes:
        name: what is compared, as shown to a person.
        value, reference: one of them may be exact; both only for counts.
        tolerance: largest accepted absolute difference, in ``unit``.
        source: what the reference is, in a few words ("target", "full-resolution run").
        remedy: what to do where they disagree.
        unjudged: why the two are shown without a verdict, as one that no run could decide or that would accuse a setting; "" judges them.
    """

    name: str
    value: Estimate
    reference: Estimate
    tolerance: float
    unit: str
    source: str
    remedy: str
    unjudged: str = ""


class Observable(ABC):
    """A quantity measured on every recorded configuration. One file of this package each.

    Subclasses store what they measure in a frame with :meth:`store` and form estimates from :meth:`series` at the end, so that
    errors see the whole time series. The order of calls is ``update`` for every snapshot, then ``read`` once.

    Attributes:
        name: word shown by ``halocline list observables``.
        summary: one sentence.
        version: raise it when the same record gives other numbers.
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    version: ClassVar[int] = 1

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._rows: dict[str, list[FloatArray]] = {}

    @abstractmethod
    def update(self, snapshot: Snapshot) -> None:
        """Measure one configuration."""

    def read(self, record: Record) -> None:  # noqa: B027 - most observables need configurations alone
        """Take what the record keeps beside the configurations, such as temperatures; nothing by default."""

    @abstractmethod
    def result(self) -> list[Number]:
        """The numbers, with errors and effective sample sizes."""

    def compare(self, reference: Observable) -> list[Comparison | list[Comparison]]:
        """Claims about this open run against the same observable of the full-resolution run.

        A list inside the list is one claim that holds only where all its parts hold. None by default.
        """
        return []

    def figures(self, reference: Observable) -> list[Figure]:
        """Plots of both runs; none by default."""
        return []

    def store(self, **values: FloatArray | float) -> None:
        """Append one row to each named series."""
        for name, value in values.items():
            self._rows.setdefault(name, []).append(np.asarray(value, dtype=np.float64))

    def series(self, name: str) -> FloatArray:
        """(n_rows, ...) everything stored under a name.

        Raises:
            RunFailure: nothing was stored.
        """
        rows = self._rows.get(name)
        if not rows:
            raise RunFailure(f"no frame gave '{name}'", f"observable '{self.name}'", "Record a longer run.")
        return np.stack(rows)

    def merge(self, other: Self) -> None:
        """Append what another instance measured on the configurations that follow."""
        for name, rows in other._rows.items():
            self._rows.setdefault(name, []).extend(rows)

    def save(self, path: Path) -> None:
        """Write everything stored, atomically."""
        write_arrays(path, **{name: np.stack(rows) for name, rows in self._rows.items()})

    def load(self, path: Path) -> None:
        """Replace everything stored by what :meth:`save` wrote.

        Raises:
            RunFailure: missing or corrupt.
        """
        self._rows = {name: list(values) for name, values in read_arrays(path).items()}


def number(name: str, estimate: Estimate, unit: str) -> Number:
    """An estimate for people."""
    return Number(name, estimate.value, unit, estimate.error, None if estimate.is_exact else estimate.n_effective)


def curve(
    label: str, x: ArrayLike, y: ArrayLike, error: ArrayLike | None = None, style: Literal["line", "points", "bars", "dashed"] = "line"
) -> Series:
    """Arrays as a series of plain numbers."""
    return Series(label, _floats(x), _floats(y), None if error is None else _floats(error), style)


def _floats(values: ArrayLike) -> list[float]:
    return [float(value) for value in np.asarray(values, dtype=np.float64)]

"""What a reference engine is, and how one fails."""

from __future__ import annotations

import importlib.metadata
import inspect
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any, ClassVar

import numpy as np
from scipy.spatial import cKDTree

from halocline import registry
from halocline.errors import RunFailure, UserError
from halocline.execute.base import Crashed, OutOfTime
from halocline.files import hash_data
from halocline.labels import QUANTITIES, Labels, check_labels
from halocline.molecules.base import Molecule
from halocline.state import State
from halocline.topology import Topology

CLOSEST = 0.3
"""Å; two nuclei nearer than this are taken for a broken configuration."""


class NotConverged(RunFailure):
    """The self-consistent field did not converge. Never a label."""


class BadInput(RunFailure):
    """The engine cannot treat this configuration: overlapping atoms, NaN, an unsupported cell or element."""


class Truncated(RunFailure):
    """The engine's output ends early or lacks a quantity."""


class ReferenceEngine(ABC):
    """Turns a State into Labels at a level of theory; one file of this package, or of a plug-in folder, each.

    Names of the constructor's arguments that are keys of the study's ``reference`` or ``multipoles`` section are taken
    from there (see :func:`make_engine`). They are kept in ``options``, by which an engine travels between processes.

    Attributes:
        name: word used in study files.
        summary: one sentence for ``halocline list engines``.
        provides: names of quantities (see :mod:`halocline.labels`).
        periodic: accepts periodic boxes.
        molecular: accepts isolated molecules and clusters.
        only_molecular: quantities that have no meaning in a periodic box, such as a dipole.
        only_periodic: quantities that have no meaning without one, such as a stress.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    provides: ClassVar[frozenset[str]]
    periodic: ClassVar[bool]
    molecular: ClassVar[bool]
    only_molecular: ClassVar[frozenset[str]] = frozenset({"dipole", "quadrupole", "polarizability"})
    only_periodic: ClassVar[frozenset[str]] = frozenset({"stress"})
    options: dict[str, Any]

    def __new__(cls, *arguments: Any, **options: Any) -> ReferenceEngine:
        engine = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind(engine, *arguments, **options)
        engine.options = dict(list(bound.arguments.items())[1:])
        return engine

    def __reduce__(self) -> tuple[Any, tuple[str, dict[str, Any]]]:
        # By name, not by module: a plug-in's module cannot be imported by name in a fresh process, but it is found again.
        return (_remake, (self.name, self.options))

    @abstractmethod
    def level(self) -> dict[str, Any]:
        """Level of theory: everything that changes the labels, with program versions; plain data."""

    @classmethod
    def missing(cls) -> str | None:
        """What to install before this engine can be used, or None when it can."""
        return None

    @abstractmethod
    def calculate(self, state: State, quantities: Collection[str]) -> Labels:
        """Labels of a configuration that has been checked; may return more than asked for.

        Raises:
            NotConverged, BadInput, Truncated: typed failures.
        """

    def compute(self, state: State, quantities: Collection[str]) -> Labels:
        """Labels of one configuration: the quantities asked for that have a meaning for it, all of them finite.

        A stress is left out for a cluster and a dipole for a periodic box, so that one list serves both.

        Raises:
            UserError: a quantity this engine does not provide, or a periodicity it does not accept.
            BadInput: NaN or overlapping atoms.
            NotConverged: no self-consistent field.
            Truncated: the program left out a quantity.
        """
        wanted = self.check_request(quantities, state.periodic)
        _check_geometry(state, self.name)
        labels = self.calculate(state, wanted)
        absent = [name for name in wanted if name not in labels]
        if absent:
            raise Truncated(f"the result lacks {', '.join(absent)}", f"engine '{self.name}'", "Look at the program's output.")
        labels = {name: np.asarray(labels[name], dtype=np.float64) for name in wanted}
        check_labels(labels, state.topology.n_atoms, f"engine '{self.name}'", state.topology.n_molecules)
        return labels

    def check_request(self, quantities: Collection[str], periodic: bool) -> list[str]:
        """The quantities that this engine will compute for such a configuration.

        Raises:
            UserError: see :meth:`compute`.
        """
        where = f"engine '{self.name}'"
        unknown = [name for name in quantities if name not in QUANTITIES]
        if unknown:
            raise UserError(f"unknown quantity {', '.join(unknown)}", where, f"Known: {', '.join(QUANTITIES)}.")
        lacking = [name for name in quantities if name not in self.provides]
        if lacking:
            raise UserError(f"it does not provide {', '.join(lacking)}", where, f"It provides: {', '.join(sorted(self.provides))}.")
        if not (self.periodic if periodic else self.molecular):
            kind = "periodic boxes" if periodic else "isolated clusters"
            raise UserError(f"it does not treat {kind}", where, "Choose another engine; `halocline list engines` shows them.")
        senseless = self.only_molecular if periodic else self.only_periodic
        return [name for name in quantities if name not in senseless]

    def level_hash(self) -> str:
        """Content hash of the level of theory."""
        return hash_data(self.level())


def make_engine(section: Any) -> ReferenceEngine:
    """The engine named by a study section (``reference`` or ``multipoles``), with that section's options.

    Raises:
        UserError: unknown engine, option that it refuses, a program that is not installed, or a quantity it lacks.
    """
    kind = registry.get("engines", section.engine, "engine")
    if kind.missing():
        raise UserError(f"engine '{section.engine}' is not installed", "study file", kind.missing())
    names = list(inspect.signature(kind).parameters)
    engine = kind(**{name: getattr(section, name) for name in names if hasattr(section, name)})
    lacking = [name for name in getattr(section, "quantities", ()) if name not in engine.provides]
    if lacking:
        provided = f"It provides: {', '.join(sorted(engine.provides))}."
        raise UserError(f"engine '{section.engine}' does not provide {', '.join(lacking)}", "study file: quantities", provided)
    return engine


def species_of(topology: Topology) -> list[Molecule]:
    """Species of each molecule of a topology, (n_molecules,)."""
    kinds = [registry.get("molecules", name, "topology") for name in topology.species]
    return [kinds[index] for index in topology.molecule_species]


def total_charge(topology: Topology) -> int:
    """Sum of the charges of all molecules, e."""
    return sum(molecule.charge for molecule in species_of(topology))


def package_version(package: str) -> str:
    """Installed version of a Python package, for :meth:`ReferenceEngine.level`."""
    return importlib.metadata.version(package)


def package_missing(package: str) -> str | None:
    """Remedy when a Python package is not installed."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return f"Install it: pip install {package}"
    return None


def _remake(name: str, options: dict[str, Any]) -> ReferenceEngine:
    return registry.get("engines", name)(**options)


def _check_geometry(state: State, engine: str) -> None:
    where = f"engine '{engine}'"
    if not np.all(np.isfinite(state.positions)) or not np.all(np.isfinite(state.cell)):
        raise BadInput("positions or cell hold NaN or infinity", where, "Remove this configuration.")
    if state.periodic and np.any(state.cell != np.diag(np.diag(state.cell))):
        raise BadInput("the cell is not orthorhombic", where, "Use a cell with right angles, edges along x, y and z.")
    if state.periodic and np.diag(state.cell).min() <= 0:
        raise BadInput(f"the box has edges {np.diag(state.cell)} A", where, "Give a box with positive edges.")
    edges = state.edges if state.periodic else None
    positions = state.positions if edges is None else np.mod(np.mod(state.positions, edges), edges)
    close = cKDTree(positions, boxsize=edges).query_pairs(CLOSEST)
    if close:
        i, j = min(close)
        raise BadInput(f"{len(close)} pairs of atoms are nearer than {CLOSEST} A (first: {i} and {j})", where, "Remove this configuration.")


__all__ = [
    "BadInput",
    "Crashed",
    "NotConverged",
    "OutOfTime",
    "ReferenceEngine",
    "Truncated",
    "make_engine",
    "package_missing",
    "package_version",
    "species_of",
    "total_charge",
]

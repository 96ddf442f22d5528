"""Where the energy of an open simulation goes.

A change of membership at fixed positions makes the potential energy jump; the thermostat exchanges energy as well. Their
books close: kinetic + potential - jumps - thermostat work stays constant up to the error of the integrator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import numpy as np

from halocline.errors import UserError
from halocline.topology import FloatArray, IntArray
from halocline.units import BOLTZMANN

_IN, _OUT, _MIXED = range(3)


def needed_friction(power: float, n_molecules_in_layer: float, rise: float) -> float:
    """Langevin friction in 1/fs that removes a heating power at a given rise of temperature.

    A friction gamma takes gamma f k (T - T0) out of f degrees of freedom; with the three of every centre of mass in the layer

        gamma > P / (3 k N dT).

    Args:
        power: of the changes of membership, eV/fs; cooling needs no friction.
        n_molecules_in_layer: N, molecules in Δ.
        rise: accepted dT, K.

    Raises:
        UserError: no molecules, no rise, or a power that is not known.
    """
    if not (n_molecules_in_layer > 0 and rise > 0 and math.isfinite(power)):
        what = f"no friction follows from {power:g} eV/fs, {n_molecules_in_layer:g} molecules in the layer and a rise of {rise:g} K"
        raise UserError(what, "needed friction", "Give a finite power, a number of molecules and a rise above zero.")
    return max(0.0, power) / (3.0 * BOLTZMANN * n_molecules_in_layer * rise)


@dataclass
class HeatLedger:
    """Sums since recording began.

    Attributes:
        start: kinetic + potential energy when recording began, eV.
        heat: (3,) sums of jumps of steps in which molecules only entered S1, only left it, or both, eV.
        squares: (3,) sums of squared jumps, eV^2.
        steps: (3,) number of such steps.
        molecules: (3,) molecules that changed in them.
        net: members gained by S1.
        thermostat: (3,) work of the thermostat on atoms of AT, Δ and reservoir, eV.
        capped: (3,) capped pairs by region; a pair between two regions counts half in each. One found by a potential that
            is evaluated every k steps stands for k.
        external: work of regions that move, of tables that change, and what the forces of a coupling without Hamiltonian leave out, eV.
        inner: jumps of steps in which molecules crossed between AT and Δ only, for couplings that treat the two differently, eV.
    """

    start: float = 0.0
    heat: FloatArray = field(default_factory=lambda: np.zeros(3))
    squares: FloatArray = field(default_factory=lambda: np.zeros(3))
    steps: IntArray = field(default_factory=lambda: np.zeros(3, dtype=np.int64))
    molecules: IntArray = field(default_factory=lambda: np.zeros(3, dtype=np.int64))
    net: int = 0
    thermostat: FloatArray = field(default_factory=lambda: np.zeros(3))
    capped: FloatArray = field(default_factory=lambda: np.zeros(3))
    external: float = 0.0
    inner: float = 0.0

    @property
    def total_heat(self) -> float:
        """Sum of all jumps, eV."""
        return float(self.heat.sum()) + self.inner

    @property
    def flips(self) -> int:
        """Changes of membership."""
        return int(self.molecules.sum())

    def book_jump(self, jump: float, entered: int, left: int, relabelled: bool = False) -> None:
        """Book one change of membership, ``jump`` in eV; without one, that of molecules ``relabelled`` between AT and Δ, or else the
        work of regions that moved."""
        if not entered and not left:
            if relabelled:
                self.inner += jump
                return
            self.external += jump
            return
        kind = _MIXED if entered and left else _IN if entered else _OUT
        self.heat[kind] += jump
        self.squares[kind] += jump**2
        self.steps[kind] += 1
        self.molecules[kind] += entered + left
        self.net += entered - left

    def heat_per_crossing(self) -> tuple[float, float]:
        """Mean heat of one molecule that enters and leaves again, and its standard error, eV.

        In the sum of both ways the energy of a molecule by itself, which the two potentials count from different zeros,
        cancels. NaN unless molecules went both ways.
        """
        ways = [_IN, _OUT]
        if (self.molecules[ways] == 0).any():
            return math.nan, math.nan
        per_molecule = self.heat[ways] / self.molecules[ways]
        spread = self.squares[ways] / self.steps[ways] - (self.heat[ways] / self.steps[ways]) ** 2
        share = self.steps[ways] / self.molecules[ways]
        errors = np.sqrt(np.maximum(spread, 0.0) / np.maximum(self.steps[ways] - 1, 1)) * share
        return float(per_molecule.sum()), float(np.hypot(*errors)) if (self.steps[ways] > 1).all() else math.inf

    def conserved(self, kinetic: float, potential: float) -> float:
        """Kinetic + potential - jumps - thermostat and external work - their start: zero up to the error of the integrator, eV."""
        return kinetic + potential - self.total_heat - float(self.thermostat.sum()) - self.external - self.start

    def to_arrays(self) -> dict[str, np.ndarray]:
        """For checkpoints."""
        return {f"ledger.{item.name}": np.array(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> HeatLedger:
        ledger = cls(float(arrays["ledger.start"]), net=int(arrays["ledger.net"]))
        ledger.external, ledger.inner = float(arrays["ledger.external"]), float(arrays["ledger.inner"])
        for name in ("heat", "squares", "steps", "molecules", "thermostat", "capped"):
            setattr(ledger, name, arrays[f"ledger.{name}"].copy())
        return ledger

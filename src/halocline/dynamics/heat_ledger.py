"""Where the energy of an open simulation goes.

A change of membership at fixed positions makes the potential energy jump; the thermostat exchanges energy as well. Their
books close: kinetic + potential - jumps - thermostat work stays constant up to the error of the integrator.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from halocline.topology import FloatArray, IntArray


@dataclass
class HeatLedger:
    """Sums since recording began.

    Attributes:
        start: kinetic + potential energy when recording began, eV.
        heat_in, heat_out, heat_mixed: sums of jumps of steps in which molecules only entered S1, only left it, or both, eV.
        entries, exits: molecules that entered and left.
        thermostat: (3,) work of the thermostat on atoms of AT, Δ and reservoir, eV.
        capped: (3,) capped pairs by region; a pair between two regions counts half in each.
    """

    start: float = 0.0
    heat_in: float = 0.0
    heat_out: float = 0.0
    heat_mixed: float = 0.0
    entries: int = 0
    exits: int = 0
    thermostat: FloatArray = field(default_factory=lambda: np.zeros(3))
    capped: FloatArray = field(default_factory=lambda: np.zeros(3))

    @property
    def heat(self) -> float:
        """Sum of all jumps, eV."""
        return self.heat_in + self.heat_out + self.heat_mixed

    @property
    def flips(self) -> int:
        """Changes of membership."""
        return self.entries + self.exits

    def book_jump(self, jump: float, entered: int, left: int) -> None:
        """Book one change of membership, ``jump`` in eV."""
        self.entries += entered
        self.exits += left
        if entered and left:
            self.heat_mixed += jump
        elif entered:
            self.heat_in += jump
        else:
            self.heat_out += jump

    def conserved(self, kinetic: float, potential: float) -> float:
        """Kinetic + potential - jumps - thermostat work - their start: zero up to the error of the integrator, eV."""
        return kinetic + potential - self.heat - float(self.thermostat.sum()) - self.start

    def to_arrays(self) -> dict[str, FloatArray | IntArray]:
        """For checkpoints."""
        return {
            "ledger": np.array([self.start, self.heat_in, self.heat_out, self.heat_mixed]),
            "crossings": np.array([self.entries, self.exits]),
            "thermostat": self.thermostat.copy(),
            "capped": self.capped.copy(),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> HeatLedger:
        start, heat_in, heat_out, heat_mixed = arrays["ledger"].tolist()
        entries, exits = arrays["crossings"].tolist()
        return cls(start, heat_in, heat_out, heat_mixed, entries, exits, arrays["thermostat"].copy(), arrays["capped"].copy())

"""What looks at a simulation while it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from halocline.dynamics.simulation import Simulation


class Hook(ABC):
    """Something that looks at a simulation every ``interval`` steps.

    What it remembers between calls goes through :meth:`state` into checkpoints.

    Attributes:
        name: unique among the hooks of a simulation.
        during_equilibration: whether it is also called before the sums start.
    """

    name: str = ""
    interval: int = 1
    during_equilibration: bool = False

    @abstractmethod
    def __call__(self, simulation: Simulation) -> None:
        """Look; called after a step whose number is a multiple of the interval."""

    def state(self) -> dict[str, np.ndarray]:
        """Arrays that a restart needs."""
        return {}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:  # noqa: B027 - many hooks remember nothing
        """Take up what :meth:`state` gave."""

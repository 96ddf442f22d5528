"""Cost of an open time step over that of its potentials: 400 waters, SchNet inside, beads and bonds outside.

    python benchmarks/adress_step.py [--quick] [--json FILE]

The networks have random weights, which cost as much as trained ones; a weak well around the starting positions keeps the
molecules where they are while the clock runs.
"""

from __future__ import annotations

import time

import _common  # noqa: F401 - sets thread counts before numerical libraries are imported
import numpy as np
from _common import finish, parse_arguments, print_table

from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.regions import Slab
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.dynamics.monitors import Monitor
from halocline.dynamics.simulation import Simulation, Thermostat
from halocline.models.model import Model
from halocline.models.schnet import SchNet
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.potentials.base import BoolArray, Evaluation, Potential
from halocline.potentials.learned import LearnedAtoms, LearnedBeads
from halocline.state import State
from halocline.topology import FloatArray, Topology


class Timed(Potential):
    """Adds up the CPU time of another potential."""

    seconds = 0.0

    def __init__(self, potential: Potential) -> None:
        self.potential, self.interaction_range = potential, potential.interaction_range
        self.additive_over_molecules = potential.additive_over_molecules

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        self.potential.bind(topology, cell)

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        start = time.process_time()
        try:
            return self.potential.evaluate(positions, subset, virial)
        finally:
            Timed.seconds += time.process_time() - start

    def reset(self) -> None:
        self.potential.reset()


def waters(n: tuple[int, int, int], edges: tuple[float, float, float]) -> State:
    """Water molecules near the points of a lattice."""
    generator = np.random.default_rng(1)
    points = np.stack(np.meshgrid(*[(np.arange(k) + 0.5) / k for k in n], indexing="ij"), axis=-1).reshape(-1, 3) * edges
    geometry = np.array(WATER.geometry)
    positions = (points[:, None] + geometry + generator.normal(scale=0.05, size=(len(points), 3, 3))).reshape(-1, 3)
    return State(positions, np.diag(edges), build_topology([(WATER, len(points))]))


def simulation(state: State) -> Simulation:
    """400 waters, AT half-width 6 Å, Δ 10 Å, as in the default study; heavy atoms of a frozen liquid."""
    atoms = Model("atoms", SchNet([1, 8], 64, 2, 5.0), ["energy"])
    beads = Model("beads", SchNet([1], 32, 2, 6.0), ["energy"], metadata={"species": ["water"]})
    coupling = SubtractiveCoupling(Timed(LearnedAtoms(atoms)), Timed(LearnedBeads(beads)))
    length = float(state.edges[0])
    regions = Slab(0.5 * length, 6.0, 10.0, 1.0, length)
    force = ThermodynamicForce(("water",), 0.5 * length, 0.5, (6.0, 20.0))
    # Random forces would tear the molecules apart at 300 K and a full step; the cost of a step knows neither.
    thermostat = Thermostat(0.01, 30.0, (0.0, 0.01, 0.01))
    return Simulation(state, coupling, regions, thermostat, force, 1, hooks=[Monitor(50, hottest=np.inf, stretch=np.inf)])


def main() -> None:
    arguments = parse_arguments(__doc__.split("\n")[0])
    run = simulation(waters((16, 5, 5), (48.0, 15.8, 15.8)))
    run.run(5)
    rounds, steps, best = (3, 10, None) if arguments.quick else (6, 40, None)
    for _ in range(rounds):
        Timed.seconds, start = 0.0, time.process_time()
        run.run(run.steps + steps)
        total, potentials = (time.process_time() - start) / steps, Timed.seconds / steps
        if best is None or total / potentials < best[0] / best[1]:
            best = (total, potentials)
    assert best is not None
    total, potentials = best
    rows = [
        ("whole step", f"{1e3 * total:.2f}", f"{total / potentials:.3f}"),
        ("its potentials", f"{1e3 * potentials:.2f}", "1.000"),
        ("everything else", f"{1e3 * (total - potentials):.2f}", f"{total / potentials - 1:.3f}"),
    ]
    atoms = run.topology.n_atoms
    print_table(f"Open time step, {run.topology.n_molecules} waters, one thread", ("", "ms (CPU)", "ratio"), rows)
    finish({"step_overhead": total / potentials, "step_us_per_atom": 1e6 * total / atoms}, arguments.json)


if __name__ == "__main__":
    main()

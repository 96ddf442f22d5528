"""Energy and forces of a SchNet and of a PaiNN in liquid water, one core: compiled kernel, eager torch, torch.compile.

512 waters, 64 features, 3 interactions, 5 Å, single precision, random weights and a random pair prior (the time does not
depend on them). All engines see the same positions along thermal free flight at 300 K in steps of 0.5 fs and take their
pairs from the same neighbour list with a skin, which is rebuilt when the motion asks for it; its time is included.
torch.compile gets its best chance: energy and gradient in one static graph with a padded number of pairs, frozen
parameters, in default mode and in max-autotune; the faster one counts.
"""

from __future__ import annotations

# isort: off
from _common import cpu_seconds, finish, parse_arguments, print_table, wall_seconds

# isort: on
from collections.abc import Callable

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from halocline.models.base import Graph, Representation
from halocline.models.heads.energy import EnergyHead
from halocline.models.model import Model
from halocline.models.painn import PaiNN
from halocline.models.priors.pair_tables import PairTables
from halocline.models.schnet import SchNet
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.potentials.agreement import compare_engines
from halocline.potentials.learned import LearnedAtoms, LearnedBeads
from halocline.potentials.torch_model import TorchAtoms
from halocline.state import State
from halocline.units import ACCELERATION, thermal_energy

FloatArray = NDArray[np.float64]


def water_box(n_molecules: int, rng: np.random.Generator) -> State:
    """Randomly turned waters on a jittered lattice at the density of the liquid."""
    edge = (n_molecules * 29.9) ** (1 / 3)
    n = int(np.ceil(n_molecules ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    centres = rng.permutation(lattice)[:n_molecules] * edge / n + rng.normal(scale=0.2, size=(n_molecules, 3))
    rotations = [np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in centres]
    positions = np.concatenate([centre + np.array(WATER.geometry) @ rotation for centre, rotation in zip(centres, rotations)])
    return State(positions, np.eye(3) * edge, build_topology([(WATER, n_molecules)]))


def free_flight(state: State, steps: int, rng: np.random.Generator) -> list[FloatArray]:
    """Positions every 0.5 fs at the thermal velocities of 300 K."""
    masses = state.topology.masses[:, None]
    velocities = np.sqrt(thermal_energy(300.0) / masses * ACCELERATION) * rng.normal(size=state.positions.shape)
    return [state.positions + 0.5 * step * velocities for step in range(steps)]


def random_model(kind: str, features: int, layers: int, cutoff: float, representation: type[Representation] = SchNet) -> Model:
    """Random weights; repulsive exponential tables between all pairs of types."""
    torch.manual_seed(0)
    types = [1, 8] if kind == "atoms" else [1]
    knots = torch.linspace(0.5, min(cutoff, 4.5), 200, dtype=torch.float64)
    taper = (1 - knots / knots[-1]) ** 2
    values = 2 * torch.exp(-2 * knots) * taper
    slopes = -2 * values - 4 * torch.exp(-2 * knots) * (1 - knots / knots[-1]) / knots[-1]
    pair_class = torch.zeros((len(types), len(types), 2), dtype=torch.long)
    prior = PairTables(float(knots[0]), float(knots[1] - knots[0]), values[None], slopes[None], pair_class)
    return Model(kind, representation(types, features, layers, cutoff), ["energy"], prior, {"species": ["water"]}).eval()


def trajectory_time(evaluate: Callable[[FloatArray], object], frames: list[FloatArray], repeat: int) -> float:
    """CPU seconds of one evaluation, averaged along a trajectory."""

    def run() -> None:
        for positions in frames:
            evaluate(positions)

    return cpu_seconds(run, repeat) / len(frames)


class CompiledTorch:
    """The same model and prior with energy and gradient in one compiled graph of fixed size."""

    def __init__(self, potential: TorchAtoms, n_pairs: int, **options: str) -> None:
        self.potential, self.n_pairs = potential, n_pairs
        model = potential.model
        representation, head, prior = model.representation, model.heads["energy"], model.prior
        assert isinstance(head, EnergyHead)
        assert prior is not None

        def energy(positions: torch.Tensor, i: torch.Tensor, j: torch.Tensor, shifts: torch.Tensor, graph: tuple[torch.Tensor, ...]):
            types, type_index, molecule = graph
            displacements = positions[j] + shifts - positions[i]
            features = representation(types, torch.stack([i, j]), displacements).scalars
            kind = prior.pair_class[type_index[i], type_index[j], (molecule[i] == molecule[j]).long()]
            pair_energy = prior.pair_energy(displacements.norm(dim=1), kind)
            return (head.scale * head.net(features)).sum() + 0.5 * pair_energy.sum()

        self._gradient = torch.compile(torch.func.grad_and_value(energy), dynamic=False, **options)

    def __call__(self, positions: FloatArray) -> torch.Tensor:
        graph = self.potential.graph(positions)
        i, j, shifts = self.pad(graph)
        constant = (graph.types, self.potential.model.representation.type_index[graph.types], graph.molecule)
        with torch.no_grad():
            gradient, _ = self._gradient(graph.positions, i, j, shifts, constant)
        return -gradient

    def pad(self, graph: Graph) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pairs of a site with itself at the cut-off, where everything is zero, fill up the arrays."""
        missing = self.n_pairs - graph.pairs.shape[1]
        i, j = torch.nn.functional.pad(graph.pairs, (0, missing))
        shifts = torch.nn.functional.pad(graph.shifts, (0, 0, 0, missing))
        shifts[self.n_pairs - missing :, 0] = self.potential.cutoff
        return i, j, shifts


def time_compile(eager: TorchAtoms, frames: list[FloatArray], expected: FloatArray, quick: bool) -> tuple[float, str]:
    """Best CPU seconds of an evaluation and the mode that gave it; NaN and the reason where nothing compiles."""
    n_pairs = 1024 * (1 + max(eager.graph(positions).pairs.shape[1] for positions in frames) // 1024)
    best, label = float("nan"), ""
    for mode in ("default",) if quick else ("default", "max-autotune-no-cudagraphs"):
        try:
            torch._dynamo.reset()
            compiled = CompiledTorch(eager, n_pairs, mode=mode)
            error = np.abs(compiled(frames[0]).double().numpy() - expected).max()
            if error > 1e-3 * np.abs(expected).max():
                raise RuntimeError(f"compiled forces are wrong by {error:.2g} eV/A")
            seconds = trajectory_time(compiled, frames[:4], 2 if quick else 4)
        except Exception as problem:
            label = label or f"failed: {str(problem).splitlines()[0][:80]}"
            continue
        if not seconds >= best:
            best, label = seconds, mode
    return best, label


def main() -> None:
    arguments = parse_arguments(__doc__ or "")
    torch.set_num_threads(1)
    most_threads = numba.config.NUMBA_NUM_THREADS
    numba.set_num_threads(1)
    rng = np.random.default_rng(1)
    state = water_box(512, rng)
    frames = free_flight(state, 20 if arguments.quick else 40, rng)
    figures = compare(SchNet, "", state, frames, arguments.quick, most_threads)
    figures |= compare(PaiNN, "painn_", state, frames, arguments.quick, most_threads)
    smaller_models(state, frames, 3 if arguments.quick else 6)
    finish(figures, arguments.json)


def compare(
    representation: type[Representation], prefix: str, state: State, frames: list[FloatArray], quick: bool, most_threads: int
) -> dict[str, float]:
    """One network, 64 features and 3 layers at 5 A, in all engines; figures with a prefix."""
    per_atom, repeat = 1e6 / state.topology.n_atoms, 3 if quick else 6
    model = random_model("atoms", 64, 3, 5.0, representation)
    kernel, eager, exact = LearnedAtoms(model), TorchAtoms(model), TorchAtoms(model, torch.float64)
    for potential in (kernel, eager, exact):
        potential.bind(state.topology, state.cell)
    reference = exact.evaluate(state.positions).forces
    # The prior, the same in both, would hide the error of the network.
    network = random_model("atoms", 64, 3, 5.0, representation)
    network.prior = None
    error = compare_engines(network, [state]).force_error

    kernel_time = trajectory_time(kernel.evaluate, frames, repeat)
    eager_time = trajectory_time(eager.evaluate, frames[: 2 if quick else 4], 3)
    compile_time, compile_label = time_compile(eager, frames, reference, quick)
    rows = [
        ["compiled kernel", f"{kernel_time * per_atom:.1f}", "1.0"],
        ["torch, eager", f"{eager_time * per_atom:.1f}", f"{eager_time / kernel_time:.1f}"],
        [f"torch.compile ({compile_label})", f"{compile_time * per_atom:.1f}", f"{compile_time / kernel_time:.1f}"],
    ]
    title = f"512 waters, {representation.name}, 64 features x 3 layers, 5 A, one thread"
    print_table(title, ["engine", "us per atom-step", "ratio"], rows)
    figures = {
        f"{prefix}kernel_us_per_atom_step": kernel_time * per_atom,
        f"{prefix}kernel_vs_eager": eager_time / kernel_time,
        f"{prefix}force_error_relative": error,
    }
    if np.isfinite(compile_time):
        figures[f"{prefix}kernel_vs_compile"] = compile_time / kernel_time
    if most_threads >= 2:
        figures[f"{prefix}two_threads_speedup"] = two_threads_speedup(kernel, state.positions, repeat)
    return figures


def two_threads_speedup(kernel: LearnedAtoms, positions: FloatArray, repeat: int) -> float:
    """Elapsed time with one thread over that with two."""
    one = wall_seconds(lambda: kernel.evaluate(positions), 5 * repeat)
    numba.set_num_threads(2)
    two = wall_seconds(lambda: kernel.evaluate(positions), 5 * repeat)
    numba.set_num_threads(1)
    return one / two


def smaller_models(state: State, frames: list[FloatArray], repeat: int) -> None:
    """The models that studies use by default."""
    rows = []
    for kind, features, layers, cutoff in (("atoms", 64, 2, 5.0), ("beads", 32, 2, 6.0)):
        potential = (LearnedAtoms if kind == "atoms" else LearnedBeads)(random_model(kind, features, layers, cutoff))
        potential.bind(state.topology, state.cell)
        n_sites = state.topology.n_atoms if kind == "atoms" else state.topology.n_molecules
        seconds = trajectory_time(potential.evaluate, frames, repeat)
        rows.append([f"{kind}, {features} features x {layers} interactions, {cutoff:g} A", f"{seconds * 1e6 / n_sites:.1f}"])
    print_table("Compiled kernel, other models", ["model", "us per site and step"], rows)


if __name__ == "__main__":
    main()

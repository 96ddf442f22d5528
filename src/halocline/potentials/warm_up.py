"""Compile every kernel that a model needs before it is needed, and measure what a step costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
import torch

from halocline.datasets.connectivity import known_molecules
from halocline.errors import UserError
from halocline.models.model import Model
from halocline.potentials.base import Potential
from halocline.potentials.kernels.kernel import has_kernel
from halocline.potentials.learned import LearnedAtoms, LearnedBeads
from halocline.potentials.torch_model import TorchAtoms, TorchBeads
from halocline.state import State
from halocline.systems.packing import cube_edges, pack
from halocline.units import AMU_PER_CUBIC_ANGSTROM

MOLECULES = 216
"""Molecules of the box of :func:`liquid_box`; more where the cut-off wants more."""
DENSITY = 0.9 * AMU_PER_CUBIC_ANGSTROM
"""Of that box, amu/Å^3: a little below that of liquids, so that everything can be packed."""


@dataclass(frozen=True)
class Warmed:
    """What :func:`warm_up` did.

    Attributes:
        way: what was called: all sites, a subset, with virial, weighted, on how many threads.
        seconds: wall time of the first call, compilation included.
    """

    way: str
    seconds: float


@dataclass(frozen=True)
class Timing:
    """Time of one evaluation of energy and forces, neighbour list included.

    Attributes:
        engine: "kernel" or "torch".
        threads: of the engine.
        microseconds: wall time per site of the model (atom or bead) and step, the median of ``repeats`` steps.
        repeats: steps measured.
    """

    engine: str
    threads: int
    microseconds: float
    repeats: int


def kernel_of(model: Model) -> LearnedAtoms | LearnedBeads | None:
    """The model on compiled kernels; None where its representation has none.

    Raises:
        UserError: the model predicts no energy.
    """
    if "energy" not in model.heads:
        remedy = f"It predicts {', '.join(model.heads)}, which is evaluated by torch."
        raise UserError("the model predicts no energy, so there is nothing to compile", "model", remedy)
    if not has_kernel(type(model.representation)):
        return None
    return LearnedAtoms(model) if model.kind == "atoms" else LearnedBeads(model)


def torch_of(model: Model) -> TorchAtoms | TorchBeads:
    """The model in torch, single precision."""
    return TorchAtoms(model, torch.float32) if model.kind == "atoms" else TorchBeads(model, torch.float32)


def warm_up(potential: Potential, state: State, threads: int) -> list[Warmed]:
    """Call a potential in every way in which a simulation calls it, on one thread and on several.

    Args:
        potential: on kernels.
        state: periodic; large enough for several threads.
        threads: most threads to use.
    """
    half = np.arange(state.topology.n_molecules) < state.topology.n_molecules // 2
    weights = np.linspace(0.0, 1.0, len(half))
    ways: dict[str, Callable[[], object]] = {
        "all sites": lambda: potential.evaluate(state.positions),
        "all sites with virial": lambda: potential.evaluate(state.positions, virial=True),
        "a subset": lambda: potential.evaluate(state.positions, half),
    }
    if "site" in potential.rules:
        ways["weighted sites"] = lambda: potential.evaluate_weighted(state.positions, weights, "site")
    potential.bind(state.topology, state.cell)
    before, done = numba.get_num_threads(), []
    try:
        for count in sorted({1, threads}):
            numba.set_num_threads(count)
            for way, call in ways.items():
                start = time.perf_counter()
                call()
                done.append(Warmed(f"{way}, {count} thread{'s' * (count > 1)}", time.perf_counter() - start))
    finally:
        numba.set_num_threads(before)
    return done


def time_step(potential: Potential, state: State, engine: str, n_sites: int, threads: int, seconds: float = 1.0) -> Timing:
    """Median time of a step in which every atom moves a little, as in dynamics.

    Args:
        potential: what to measure.
        state: periodic.
        engine: name of the result.
        n_sites: of the model in the state.
        threads: to use.
        seconds: about how long to measure; at least three steps.
    """
    potential.bind(state.topology, state.cell)
    rng, times = np.random.default_rng(0), [0.0]
    before, torch_before = numba.get_num_threads(), torch.get_num_threads()
    try:
        numba.set_num_threads(threads)
        torch.set_num_threads(threads)
        potential.evaluate(state.positions)
        times.clear()
        while len(times) < 3 or sum(times) < seconds:
            positions = state.positions + rng.normal(scale=0.01, size=state.positions.shape)
            start = time.perf_counter()
            potential.evaluate(positions)
            times.append(time.perf_counter() - start)
    finally:
        numba.set_num_threads(before)
        torch.set_num_threads(torch_before)
    return Timing(engine, threads, float(np.median(times)) / n_sites * 1e6, len(times))


def liquid_box(model: Model, where: str) -> State:
    """A packed cube of the species that a model names, at least twice as wide as its cut-off: to run kernels on, not to measure physics.

    Raises:
        UserError: no known species, or a cut-off that wants too large a box.
    """
    named, known = list(model.metadata.get("species", ())), known_molecules()
    remedy = "Compare its engines on configurations of your own: halocline.potentials.agreement.compare_engines."
    species = [known[name] for name in named if name in known]
    if not species:
        raise UserError(f"the species of its data ({', '.join(named) or 'none'}) are unknown here", where, remedy)
    for factor in (1, 2, 4, 8):
        each = [(molecule, factor * MOLECULES // len(species)) for molecule in species]
        edges = cube_edges(each, DENSITY)
        if edges.min() >= 2 * model.cutoff:
            return pack(each, edges, seed=1)
    raise UserError(f"a cut-off of {model.cutoff:g} A wants a larger box than {edges.min():.1f} A", where, remedy)

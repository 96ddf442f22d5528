"""Errors of a trained model on labelled data, with error bars, and parity plots."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from ase.data import chemical_symbols

from halocline.mapping.centre_of_mass import Beads
from halocline.models.heads.base import Head
from halocline.models.model import Model
from halocline.results import Figure, Number, Series
from halocline.topology import FloatArray, IntArray
from halocline.training.data import LabelledFrame, bead_sites, require_labels
from halocline.training.forces import prior_terms, residual_batches
from halocline.training.label_matching import LabelledGraphs, require_some_labels
from halocline.training.steps import GeneralStep
from halocline.units import BAR

RESAMPLES = 400
PARITY_POINTS = 2000


@dataclass
class Errors:
    """Errors of a model on one set of data.

    Attributes:
        numbers: for the report, each with a bootstrap error over blocks; ``n_effective`` is the number of blocks.
        figures: parity plots.
        values: name -> value in internal units.
    """

    numbers: list[Number] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    values: dict[str, float] = field(default_factory=dict)

    def add(self, key: str, name: str, estimate: tuple[float, float, int], factor: float, unit: str) -> None:
        value, error, blocks = estimate
        self.values[key] = value
        self.numbers.append(Number(name, value * factor, unit, error * factor, float(blocks)))


def evaluate_energy_forces(model: Model, frames: Sequence[LabelledFrame], seed: int = 0, key: str = "test") -> Errors:
    """Force errors (all, and by element) and energy error per atom of an atomistic model.

    Error bars come from a bootstrap over trajectories, or over frames where there are fewer than four trajectories: frames of
    one trajectory are not independent.

    Args:
        model: with an energy head.
        frames: labelled with ``energy`` and ``forces``.
        seed: of the bootstrap and of the points drawn.
        key: start of the keys of the figures.

    Raises:
        UserError: no frame, or a frame without a label.
    """
    require_labels(frames, ("energy", "forces"), "evaluation frames")
    predicted, labels, energies = [], [], []
    for frame in frames:
        energy, forces = model.energy_and_forces(model.graph(frame.state))
        predicted.append(forces.double().numpy())
        labels.append(np.asarray(frame.labels["forces"], dtype=np.float64))
        energies.append((float(energy[0]), float(frame.labels["energy"]), frame.state.topology.n_atoms))
    blocks, rng = frame_blocks(frames), np.random.default_rng(seed)
    elements = [np.asarray(frame.state.topology.atomic_numbers) for frame in frames]
    errors = _force_errors(predicted, labels, elements, blocks, rng, lambda kind: chemical_symbols[kind])
    delta = [np.array([(guess - label) / size]) for guess, label, size in energies]
    errors.add("energy_rmse", "energy error (RMSE per atom)", bootstrap(delta, blocks, rms, rng), 1000.0, "meV")
    _add_pressure_error(errors, model, frames, blocks)
    errors.figures.append(_force_parity(predicted, labels, rng, f"{key}_forces", "Forces: model against labels"))
    mean = float(np.mean([label / size for _, label, size in energies]))
    label_axis, model_axis = [label / size - mean for _, label, size in energies], [guess / size - mean for guess, _, size in energies]
    errors.figures.append(
        Figure(
            f"{key}_energies",
            "Energies: model against labels",
            "label / (eV per atom)",
            "model / (eV per atom)",
            [Series("frames", label_axis, model_axis, style="points")],
            f"{len(frames)} frames, relative to the mean label {mean:.3f} eV per atom.",
            "parity",
        )
    )
    return errors


def _add_pressure_error(errors: Errors, model: Model, frames: Sequence[LabelledFrame], blocks: IntArray) -> None:
    """Mean pressure of the model minus that of the labels, on boxes with a labelled stress.

    Forces alone do not fix the pressure: what the cut-off leaves out acts on the volume even where it cancels in the forces.
    The kinetic part is the same on both sides, so the difference is that of the virials, tr(W)/(3V).
    """
    boxes = [index for index, frame in enumerate(frames) if frame.state.periodic and "stress" in frame.labels]
    if not boxes:
        return
    differences = []
    for index in boxes:
        frame = frames[index]
        _, _, virial = model.energy_forces_virial(model.graph(frame.state))
        pressure = float(virial[0].double().trace()) / (3.0 * frame.state.volume)
        differences.append(pressure + float(np.trace(frame.labels["stress"])) / 3.0)
    groups = np.unique(blocks[boxes])
    means = np.array([np.mean(np.array(differences)[blocks[boxes] == group]) for group in groups])
    error = float(means.std(ddof=1) / math.sqrt(len(means))) if len(means) > 1 else math.nan
    errors.add("pressure", "pressure error (mean, model minus labels)", (float(np.mean(means)), error, len(means)), 1.0 / BAR, "bar")


def evaluate_beads(model: Model, beads: Sequence[Beads], seed: int = 0, key: str = "test") -> Errors:
    """Force errors of a bead model, and of its pair prior alone; most of either is noise of the labels.

    Raises:
        UserError: no configuration, or one without forces.
    """
    sites = bead_sites(beads, model.cutoff, "bead evaluation")
    step = GeneralStep(model)
    predicted, labels, prior_left = [], [], []
    terms = prior_terms(model, sites)
    for item, (_, prior), batch in zip(sites, terms, residual_batches(model, sites, terms, model.dtype)):
        residual = step.energy_and_forces(batch)[1].double().numpy()
        predicted.append(residual + prior)
        labels.append(item.forces)
        prior_left.append(item.forces - prior)
    blocks, rng = np.arange(len(sites)) * min(20, len(sites)) // len(sites), np.random.default_rng(seed)
    errors = _force_errors(predicted, labels, [item.types for item in sites], blocks, rng, lambda kind: f"bead {kind}")
    errors.add("prior_rmse", "bead force error of the pair prior alone (RMSE)", bootstrap(prior_left, blocks, rms, rng), 1000.0, "meV/A")
    errors.figures.append(_force_parity(predicted, labels, rng, f"{key}_bead_forces", "Bead forces: model against mapped labels"))
    return errors


def evaluate_multipoles(model: Model, frames: Sequence[LabelledFrame], seed: int = 0, key: str = "test") -> Errors:
    """Errors of dipoles, quadrupoles, polarizabilities and charges, absolute and relative to the spread of the labels.

    The spread is the error of the best constant: zero for dipole and quadrupole, the mean isotropic polarizability, the mean
    charge of each element. Relative errors and spreads are taken by size, as :meth:`halocline.models.heads.base.Head.per_size`
    says. A frame that lacks a label counts for the other ones alone.

    Args:
        model: with at least one head beside the energy.
        frames: labelled clusters or boxes.
        seed: of the bootstrap.
        key: start of the keys of the figures.

    Raises:
        UserError: no frame, or a quantity that no frame has.
    """
    heads = [head for name, head in model.heads.items() if name != "energy" and isinstance(head, Head)]
    require_some_labels(frames, [head.name for head in heads], "evaluation frames")
    blocks, rng, errors = frame_blocks(frames), np.random.default_rng(seed), Errors()
    for head in heads:
        known = [index for index, frame in enumerate(frames) if np.all(np.isfinite(frame.labels.get(head.name, math.nan)))]
        _add_label_errors(errors, model, head, [frames[index] for index in known], blocks[known], rng, key)
    return errors


def _add_label_errors(
    errors: Errors, model: Model, head: Head, frames: Sequence[LabelledFrame], blocks: IntArray, rng: np.random.Generator, key: str
) -> None:
    """Errors of one head on frames that have its label."""
    samples = LabelledGraphs(frames, [head.name], model.cutoff, model.metadata.get("molecular_charges", {}), model.dtype)
    guesses = []
    with torch.no_grad():
        for batch, _ in samples.batches():
            guesses.append(model(batch)[head.name].double())
    graph, labels = samples.everything()
    label, guess = labels[head.name].double(), torch.cat(guesses)
    spread = head.spread(label, graph, model.representation.type_index[graph.types])
    lengths = [len(frame.state.positions) if head.extent == "atom" else 1 for frame in frames]

    def by_frame(values: torch.Tensor) -> list[FloatArray]:
        return [part.numpy() for part in values.split(lengths)]

    absolute = bootstrap(by_frame(guess - label), blocks, rms, rng)
    errors.add(f"{head.name}_rmse", f"{head.name} error (RMSE by component)", absolute, 1.0, head.unit)
    relative = bootstrap(by_frame(head.per_size(guess - label, graph) / spread), blocks, rms, rng)
    errors.add(f"{head.name}_relative", f"{head.name} error relative to its spread", relative, 100.0, "%")
    points = Series("components", label.flatten().tolist(), guess.flatten().tolist(), style="points")
    title, unit = f"{head.name.capitalize()}: model against labels", head.unit
    about = f" about the {head.origin}" if head.origin else ""
    caption = f"{len(frames)} frames{about}; spread of the labels by size {spread:.3g} {unit}."
    errors.figures.append(Figure(f"{key}_{head.name}", title, f"label / ({unit})", f"model / ({unit})", [points], caption, "parity"))


def frame_blocks(frames: Sequence[LabelledFrame]) -> IntArray:
    """(n_frames,) number of the independent block of each frame: its trajectory, or the frame itself."""
    names = [str(getattr(frame, "trajectory", "")) for frame in frames]
    unique = sorted(set(names))
    if len(unique) < 4:
        return np.arange(len(frames))
    return np.array([unique.index(name) for name in names])


def rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def mean_absolute(values: FloatArray) -> float:
    return float(np.mean(np.abs(values)))


def bootstrap(
    deltas: Sequence[FloatArray], blocks: IntArray, estimator: Callable[[FloatArray], float], rng: np.random.Generator
) -> tuple[float, float, int]:
    """Estimate, its standard error by resampling whole blocks, and the number of blocks.

    Args:
        deltas: errors of each frame, any shape.
        blocks: (n_frames,) block of each frame.
        estimator: :func:`rms` or :func:`mean_absolute`.
        rng: generator.
    """
    value = estimator(_flat(deltas))
    unique = np.unique(blocks)
    if len(unique) < 2:
        return value, math.nan, 1
    # Both estimators are functions of a mean over components: resampling needs only sums by block.
    power = 2 if estimator is rms else 1
    place = np.searchsorted(unique, blocks)
    sums = np.bincount(place, [float((np.abs(delta) ** power).sum()) for delta in deltas])
    sizes = np.bincount(place, [float(delta.size) for delta in deltas])
    draws = rng.integers(0, len(unique), (RESAMPLES, len(unique)))
    means = sums[draws].sum(axis=1) / np.maximum(sizes[draws].sum(axis=1), 1)
    return value, float(np.std(means ** (1.0 / power), ddof=1)), len(unique)


def _force_errors(
    predicted: Sequence[FloatArray],
    labels: Sequence[FloatArray],
    kinds: Sequence[IntArray],
    blocks: IntArray,
    rng: np.random.Generator,
    name: Callable[[int], str],
) -> Errors:
    errors = Errors()
    delta = [guess - label for guess, label in zip(predicted, labels)]
    errors.add("force_rmse", "force error (RMSE by component)", bootstrap(delta, blocks, rms, rng), 1000.0, "meV/A")
    errors.add("force_mae", "force error (MAE by component)", bootstrap(delta, blocks, mean_absolute, rng), 1000.0, "meV/A")
    errors.add("force_rms", "root mean square of the labels", bootstrap(list(labels), blocks, rms, rng), 1000.0, "meV/A")
    present = sorted({int(kind) for array in kinds for kind in np.unique(array)})
    for kind in present if len(present) > 1 else []:
        part = [change[array == kind] for change, array in zip(delta, kinds)]
        errors.add(f"force_rmse_{name(kind)}", f"force error of {name(kind)} (RMSE)", bootstrap(part, blocks, rms, rng), 1000.0, "meV/A")
    return errors


def _force_parity(predicted: Sequence[FloatArray], labels: Sequence[FloatArray], rng: np.random.Generator, key: str, title: str) -> Figure:
    x, y = _flat(labels), _flat(predicted)
    chosen = rng.choice(len(x), min(PARITY_POINTS, len(x)), replace=False)
    points = Series("components", x[chosen].tolist(), y[chosen].tolist(), style="points")
    caption = f"{len(chosen)} of {len(x)} force components, drawn at random."
    return Figure(key, title, "label / (eV/A)", "model / (eV/A)", [points], caption, "parity")


def _flat(arrays: Sequence[FloatArray]) -> FloatArray:
    return np.concatenate([np.asarray(array, dtype=np.float64).reshape(-1) for array in arrays])

"""Training of the bead model by force matching after a pair prior (delta force matching).

Labels are the forces on centres of mass, an unbiased but noisy estimate of the mean force: the loss has a floor that no
model can pass, and a model is judged by the structure of the liquid that it makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from halocline.config.study import CoarseModel as CoarseSection
from halocline.errors import UserError
from halocline.mapping.centre_of_mass import Beads
from halocline.models.priors.fit import PairFitSettings, fit_pair_prior
from halocline.progress import Progress, Silent
from halocline.training.data import bead_sites, hash_inputs, require_forces
from halocline.training.energy_forces import describe_prior, new_model, shortest_distances, spread
from halocline.training.forces import ForceMatching, force_error, prior_terms, residual_batches, set_references
from halocline.training.loop import Schedule
from halocline.training.outcome import Place, TrainingOutcome, force_spread, train_objective

LEARNING_RATE = 3e-3
BATCH_BEADS = 256
"""Beads per step: noisy labels want larger batches than exact ones."""
PRIOR_FRAMES = 1000
SETTINGS = PairFitSettings(smoothing=1e-3, quantile=2e-5, wall=0.1, wall_width=0.12)


def train_beads(
    section: CoarseSection,
    beads_train: Sequence[Beads],
    beads_valid: Sequence[Beads],
    folder: Path,
    budget: float,
    seed: int,
    progress: Progress | None = None,
    name: str = "coarse",
    steps: int | None = None,
    temperature: float | None = None,
) -> TrainingOutcome:
    """Train a bead model and save it as ``folder/name.safetensors``; resumes like ``train_energy_forces``.

    Args:
        section: representation, size and cut-off.
        beads_train, beads_valid: with mapped forces, all with the same species.
        folder: where model, curve and checkpoints go.
        budget: s of wall time for the loop itself.
        seed: of weights and order.
        progress: one bar.
        name: of the files.
        steps: exact number of steps instead of a time.
        temperature: K, at which the forces were sampled: a bead model holds for one temperature.

    Raises:
        UserError: no frames, frames without forces, or different species.
        RunFailure: the training diverges, or its checkpoint is corrupt.
    """
    species = require_forces(beads_train, "bead training frames")
    if require_forces(beads_valid, "bead validation frames") != species:
        raise UserError("training and validation beads are of different species", "beads", "Map both with the same species.")
    train, valid = (bead_sites(frames, section.cutoff, "beads") for frames in (beads_train, beads_valid))
    arrays = [array for item in [*train, *valid] for array in (item.types, item.positions, item.forces)]
    place = Place(folder, name, hash_inputs(section, arrays, (len(train), len(valid)), budget, seed, steps))
    done = place.finished()
    if done is not None:
        return done
    types = list(range(1, len(species) + 1))
    fit = fit_pair_prior(spread(train, PRIOR_FRAMES), types, section.cutoff, SETTINGS)
    model = new_model("beads", section, types, fit, seed)
    of_train, of_valid = prior_terms(model, train), prior_terms(model, valid)
    set_references(model, train, of_train)
    model.metadata.update({"species": list(species), "temperature": temperature})
    batches = residual_batches(model, train, of_train), residual_batches(model, valid, of_valid)
    objective = ForceMatching(model, *batches, energy_weight=0.0)
    batch = max(1, BATCH_BEADS // max(len(item.types) for item in train))
    schedule = Schedule(budget, LEARNING_RATE, batch, seed, steps)
    card = {
        "purpose": "many-body potential of mean force of one bead per molecule, at its centre of mass",
        "data": {"training_frames": len(train), "validation_frames": len(valid), "forces": sum(len(item.types) for item in train)},
        "seed": seed,
        "prior": describe_prior(fit, SETTINGS),
        "label_spread": force_spread(model, valid),
        "domain": {"shortest_distances": shortest_distances(train, types), "temperatures": [] if temperature is None else [temperature]},
    }
    return train_objective(objective, schedule, place, progress or Silent(), f"training {name}", card, force_error(valid, of_valid))

"""What can be known to be wrong before any work starts: names, engines and geometry."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from halocline import registry
from halocline.adress.reservoir import reservoir_of
from halocline.config.study import MultipoleModel, Multipoles, Reference, Study
from halocline.datasets.split import split_trajectories
from halocline.errors import UserError
from halocline.execute.base import make_executor
from halocline.labels import QUANTITIES
from halocline.potentials.kernels.kernel import has_kernel, kernel_names
from halocline.reference.base import make_engine
from halocline.stages._preflight_calibration import check_calibration
from halocline.stages._preflight_classical import preflight_classical
from halocline.stages._preflight_reservoir import check_reservoir_kind
from halocline.stages._preflight_times import check_times
from halocline.stages._preflight_timestep import check_timestep
from halocline.stages.build import plan_trajectories
from halocline.systems.packing import study_edges
from halocline.units import format_quantity


def preflight(study: Study, stages: Collection[str] | None = None) -> list[str]:
    """Refuse a study that cannot work; return notes on what is allowed but deserves thought.

    Args:
        study: validated study.
        stages: stages that are going to run; engines are asked for only when ``label`` is among them (None: all).

    Raises:
        UserError: with the key, the numbers and a remedy.
    """
    check_species(study)
    make_executor(study.execute).check()
    if study.is_classical:
        return preflight_classical(study)
    check_splits(study)
    check_timestep(study)
    check_dynamics(study)
    check_cutoffs(study)
    check_reservoir_kind(study)
    notes = check_regions(study)
    check_calibration(study)
    registry.get("couplings", study.coupling.name, "study file: coupling.name")
    if stages is None or "train" in stages:
        check_networks(study)
        check_labels_suffice(study)
    if stages is None or "label" in stages:
        droplets = study.dataset.droplets
        kinds = [kind for kind, wanted in ((True, droplets < 1), (False, droplets > 0)) if wanted]
        check_engine(study.reference, "reference", kinds)
        check_engine(study.multipoles, "multipoles", [False])
    return notes


def check_species(study: Study) -> None:
    """Species exist and there is at least one molecule."""
    if not study.system.molecules:
        raise UserError("system.molecules is empty", "study file: system.molecules", "Give at least one species, e.g. {water: 400}.")
    for name in study.system.molecules:
        registry.get("molecules", name, f"study file: system.molecules.{name}")


def check_engine(section: Reference | Multipoles, name: str, periodic: Collection[bool]) -> None:
    """The engine exists, is installed, knows its method, and provides every requested label for boxes (True) and clusters (False)."""
    engine = registry.get("engines", section.engine, f"study file: {name}.engine")
    where = f"study file: {name}.quantities"
    unknown = [quantity for quantity in section.quantities if quantity not in QUANTITIES]
    if unknown or not section.quantities:
        what = f"unknown quantity '{unknown[0]}'" if unknown else "no quantity is asked for"
        raise UserError(what, where, f"Known: {', '.join(QUANTITIES)}.")
    lacking = [quantity for quantity in section.quantities if quantity not in engine.provides]
    if lacking:
        others = [
            entry.name for entry in registry.available("engines").values() if all(quantity in entry.value.provides for quantity in lacking)
        ]
        remedy = f"It provides: {', '.join(sorted(engine.provides))}."
        remedy += f" Engines that provide {', '.join(lacking)}: {', '.join(others)}." if others else ""
        raise UserError(f"engine '{section.engine}' does not provide {', '.join(lacking)}", where, remedy)
    missing = engine.missing()
    if missing:
        raise UserError(f"engine '{section.engine}' is not installed here", f"study file: {name}.engine", missing)
    try:
        made = make_engine(section)
        empty = [kind for kind in periodic if not made.check_request(section.quantities, kind)]
    except UserError as error:
        raise UserError(f"engine '{section.engine}': {error.what}", f"study file: {name}", error.remedy) from error
    if empty:
        frames = "periodic boxes" if empty[0] else "clusters"
        raise UserError(f"{', '.join(section.quantities)} have no meaning for {frames}", where, "Ask for energy and forces as well.")


def check_labels_suffice(study: Study) -> None:
    """Every label that training needs is asked for."""
    for quantity in ("energy", "forces"):
        if quantity not in study.reference.quantities:
            raise UserError(
                f"the atomistic model is trained on '{quantity}', which is not labelled",
                "study file: reference.quantities",
                f"Add '{quantity}' to reference.quantities.",
            )
    heads = study.multipole_model.heads
    if not heads or any(head == "energy" or head not in QUANTITIES for head in heads):
        what = f"heads [{', '.join(heads)}] cannot be trained on clusters"
        raise UserError(what, "study file: multipole_model.heads", "Name quantities of clusters, such as dipole and polarizability.")
    for quantity in heads:
        if quantity not in study.multipoles.quantities:
            raise UserError(
                f"head '{quantity}' has no label to learn from",
                "study file: multipole_model.heads",
                f"Add '{quantity}' to multipoles.quantities, or remove the head.",
            )


def check_networks(study: Study) -> None:
    """Representations and heads exist and fit each other."""
    for section in ("model", "multipole_model", "coarse_model"):
        kind = registry.get("models", getattr(study, section).name, f"study file: {section}.name")
        if section != "multipole_model" and not has_kernel(kind):
            what = f"'{kind.name}' has no compiled kernel, and {section} runs dynamics"
            raise UserError(what, f"study file: {section}.name", f"Use one of: {', '.join(kernel_names())}.")
    section_: MultipoleModel = study.multipole_model
    representation = registry.get("models", section_.name)
    for name in section_.heads:
        head = registry.get("heads", name, "study file: multipole_model.heads")
        if head.needs_vectors and not representation.has_vectors:
            able = [entry.name for entry in registry.available("models").values() if entry.value.has_vectors]
            raise UserError(
                f"head '{name}' needs vector features, which '{section_.name}' does not have",
                "study file: multipole_model.name",
                f"Use one of: {', '.join(able)}.",
            )


def check_splits(study: Study) -> None:
    """Training, validation and test each get at least one trajectory, of boxes and of clusters."""
    dataset = study.dataset
    for name in ("valid", "test"):
        if getattr(dataset, name) <= 0:
            what = f"dataset.{name} is 0 %: nothing is held back, so no error could be trusted"
            raise UserError(what, f"study file: dataset.{name}", "Hold back about 15 %.")
    if dataset.valid + dataset.test >= 1:
        raise UserError(
            f"dataset.valid {dataset.valid:.0%} and dataset.test {dataset.test:.0%} leave nothing to train on",
            "study file: dataset.valid",
            "Lower them to about 15 % each.",
        )
    if dataset.droplets >= 1:
        what = f"dataset.droplets is {dataset.droplets:.0%}: no periodic box is left"
        raise UserError(what, "study file: dataset.droplets", "The liquid is learned from boxes: choose about 20 %.")
    sizes = study.multipoles.sizes
    if not sizes or max(sizes) > dataset.molecules:
        what = f"multipoles.sizes is {sizes}, with {dataset.molecules} molecules in a box to cut clusters from"
        raise UserError(what, "study file: multipoles.sizes", "Give sizes from 1 to dataset.molecules.")
    trajectories = dataset.trajectories * len(dataset.temperatures)
    if trajectories < 3:
        raise UserError(
            f"{trajectories} trajectories cannot be divided into training, validation and test",
            "study file: dataset.trajectories",
            "Splits never cut a trajectory: ask for at least 3 over all temperatures.",
        )
    if dataset.frames < trajectories:
        raise UserError(
            f"{dataset.frames} frames from {trajectories} trajectories leave some empty",
            "study file: dataset.frames",
            f"Ask for at least {trajectories} frames, or fewer trajectories.",
        )
    # The very function that will divide them decides whether they can be divided.
    split_trajectories([str(index) for index in range(trajectories)], dataset.valid, dataset.test, study.system.seed)
    if study.multipoles.clusters < trajectories:
        raise UserError(
            f"{study.multipoles.clusters} clusters from {trajectories} trajectories leave a part of the split without any",
            "study file: multipoles.clusters",
            f"Ask for at least {trajectories} clusters, or fewer trajectories.",
        )


def check_dynamics(study: Study) -> None:
    """Times are in order: step <= record, checkpoint <= length, and runs of their own long enough."""
    check_times(study, {"active_learning.length": "timestep", "coarse_model.teacher": "timestep"})


def labelled_edge(study: Study) -> float:
    """Shortest edge of any labelled box, Å; boxes come at several densities."""
    return min(min(plan.edges) for plan in plan_trajectories(study))


def check_cutoffs(study: Study) -> None:
    """A cut-off fits into half of every box that the model runs in, so that the nearest image is the only one."""
    shortest, labelled = float(study_edges(study.system).min()), labelled_edge(study)
    wider = "raise system.molecules, or shorten system.length so that the box gets wider"
    boxes = [(section, "the production box", shortest, wider) for section in ("model", "coarse_model", "multipole_model")]
    # Active learning runs the atomistic model in boxes of the labelled size; beads only ever run in the production box.
    boxes.append(("model", "the labelled boxes", labelled, "raise dataset.molecules"))
    for section, box, edge, other in boxes:
        cutoff = getattr(study, section).cutoff
        if cutoff > edge / 2:
            raise UserError(
                f"{section}.cutoff is {cutoff:.2f} A but must stay below {edge / 2:.2f} A (half the shortest edge of {box}, {edge:.2f} A)",
                f"study file: {section}.cutoff",
                f"Lower {section}.cutoff, or {other}.",
            )


def check_regions(study: Study) -> list[str]:
    """The transition layer hides its outer surface from the atomistic region, and everything fits into the box."""
    regions, half = study.regions, study.system.length / 2
    reach = study.model.cutoff * study.model.layers
    if regions.transition < reach:
        raise UserError(
            f"regions.transition is {regions.transition:.2f} A, thinner than the interaction range {reach:.2f} A of the atomistic model "
            f"({study.model.layers} layers of {study.model.cutoff:.2f} A)",
            "study file: regions.transition",
            f"Widen it to at least {_round_up(reach, 0.1)}, or lower model.cutoff or model.layers.",
        )
    reservoir = max(reservoir_of(study).thickness(study), regions.hysteresis, study.calibration.margin)
    needed = regions.atomistic + regions.transition + reservoir
    if needed > half:
        raise UserError(
            f"the regions need {needed:.2f} A on each side of the centre (atomistic {regions.atomistic:.2f} + transition "
            f"{regions.transition:.2f} + reservoir {reservoir:.2f}) but half the box is {half:.2f} A",
            "study file: regions",
            f"Raise system.length to at least {_round_up(2 * needed, 1.0)}, or narrow the regions.",
        )
    return _region_notes(study)


def _round_up(value: float, step: float) -> str:
    return format_quantity(math.ceil(value / step - 1e-9) * step, "length")


def _region_notes(study: Study) -> list[str]:
    """What is allowed and deserves thought."""
    regions, half, notes = study.regions, study.system.length / 2, reservoir_of(study).notes(study)
    if regions.atomistic > 0.2 * half:
        reservoir = half - regions.atomistic - regions.transition
        notes.append(
            f"the atomistic region is {regions.atomistic / half:.0%} of the box and the reservoir {reservoir:.1f} A a side: the number of "
            "molecules fluctuates less than in an open system; the verdict on it takes that into account"
        )
    return notes


def label_counts(study: Study) -> list[dict[str, Any]]:
    """What will be labelled: kind of frame, count and quantities; nothing with a classical force field."""
    if study.is_classical:
        return []
    dataset = study.dataset
    droplets = int(dataset.frames * dataset.droplets)
    rounds = study.active_learning.rounds * study.active_learning.frames
    fresh = max(1, study.active_learning.frames // 2)
    boxes, clusters = list(study.reference.quantities), list(study.multipoles.quantities)
    rows = [
        {"frames": f"boxes of {dataset.molecules} molecules", "count": dataset.frames - droplets, "quantities": boxes},
        {"frames": "droplets", "count": droplets, "quantities": boxes},
        {"frames": f"active learning, {study.active_learning.rounds} rounds", "count": rounds, "quantities": boxes},
        {"frames": "fresh ones that only measure the last model", "count": fresh, "quantities": boxes},
        {
            "frames": f"clusters of {', '.join(map(str, study.multipoles.sizes))}",
            "count": study.multipoles.clusters,
            "quantities": clusters,
        },
    ]
    return [row for row in rows if row["count"]]

"""The box of the reference run where AT has another density than the box of the study: the same edges, another number of molecules."""

from __future__ import annotations

import dataclasses

import numpy as np

from halocline.datasets.frame import Frame
from halocline.datasets.store import Dataset
from halocline.results import StageResult
from halocline.stages._classical import build_box
from halocline.stages._target_density import TargetDensity
from halocline.stages.base import Context
from halocline.systems.packing import study_edges

BOX = "box.h5"


def at_target(context: Context, target: TargetDensity) -> Context:
    """The context with a box of the target density, in a folder of its own that belongs to this number of molecules.

    Raises:
        UserError: the molecules do not fit into the box.
        RunFailure: the classical dynamics that makes the box blew up.
    """
    system = context.study.system
    volume = float(np.prod(study_edges(system)))
    count, (name,) = round(target.density * volume), system.molecules
    changed = system.model_copy(update={"molecules": {name: count}, "density": count * target.mass / volume})
    study, folder = context.study.model_copy(update={"system": changed}), context.folder / f"reference-{count}"
    folder.mkdir(exist_ok=True)
    path = folder / BOX
    if not path.exists() or not len(Dataset.open(path)):
        path.unlink(missing_ok=True)
        with Dataset.create(path) as dataset:
            dataset.append(Frame(build_box(study, system.seed, context.progress), source="box at the density of the target mu_ex"))
    inputs, results = {**context.inputs, "build": folder}, {**context.results, "build": StageResult("", files={"box": BOX})}
    return dataclasses.replace(context, study=study, folder=folder, inputs=inputs, results=results)

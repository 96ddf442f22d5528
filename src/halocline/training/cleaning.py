"""Labels fit for learning: no net force, no outliers. What was changed is recorded for the model card.

A model without an external field cannot have a net force, so one in the labels (finite grids and unconverged densities leave
some meV/Å per atom) is noise that it would waste its effort on. A force of tens of eV/Å is a broken calculation or a
configuration that no simulation visits, and would dominate the squared error of a whole epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from halocline.errors import UserError
from halocline.training.data import Sites

LARGEST_FORCE = 10.0
"""eV/Å; hydrogen at 0.75 Å from its oxygen is pushed back about as hard."""


def clean_labels(sites: Sequence[Sites], largest_force: float, what: str) -> tuple[list[Sites], dict[str, Any]]:
    """Configurations without their mean force, less those with a force component above a limit.

    Args:
        sites: at least one; forces that are NaN are not known, and such configurations are kept as they are.
        largest_force: eV/Å, limit of each component after the mean was removed; infinity keeps everything.
        what: named in the error.

    Returns:
        What is kept, and a record: ``frames`` there were, indices ``dropped`` and their ``dropped_forces`` (largest component,
        eV/Å), ``largest_force`` allowed, ``mean_force_rms`` (component of the mean force per site over all frames, eV/Å).

    Raises:
        UserError: the limit is not positive, or nothing is left.
    """
    if not largest_force > 0:
        raise UserError(f"the largest force allowed is {largest_force} eV/A", what, "Use a positive limit, or infinity for none.")
    kept, dropped, means = [], {}, []
    for index, item in enumerate(sites):
        if not np.all(np.isfinite(item.forces)):
            kept.append(item)
            continue
        mean = item.forces.mean(axis=0)
        forces = item.forces - mean
        means.append(mean)
        largest = float(np.abs(forces).max())
        if largest > largest_force:
            dropped[index] = round(largest, 3)
        else:
            kept.append(replace(item, forces=forces))
    if not kept:
        smallest = min(dropped.values())
        problem = f"all {len(sites)} frames have a force component above {largest_force:g} eV/A, the smallest is {smallest:.3g}"
        raise UserError(problem, what, "Look for wrong units or labels with `halocline inspect`, or raise the limit.")
    record = {
        "frames": len(sites),
        "dropped": list(dropped),
        "dropped_forces": list(dropped.values()),
        "largest_force": largest_force if np.isfinite(largest_force) else None,
        "mean_force_rms": float(np.sqrt(np.mean(np.square(means)))) if means else 0.0,
    }
    return kept, record

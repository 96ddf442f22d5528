"""A table made elsewhere as the start of a calibration: other state point, other widths of the regions, other settings.

The profile of a thermodynamic force belongs to the border between Δ and the reservoir. It is moved so that the borders coincide,

    F(d) = F_there(d - outer + outer_there),

and nothing is stretched or scaled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from halocline.adress.regions import Regions, regions_from_json
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.errors import UserError
from halocline.files import read_json


def align(other: ThermodynamicForce, border: float, force: ThermodynamicForce, new_border: float, where: str) -> ThermodynamicForce:
    """``force`` with the tables of ``other``, moved along the distance so that the borders coincide.

    Between the bins the table is interpolated; where the window of the other table ends, the force is zero. Tables go by the
    names of the species, in whichever order.

    Args:
        border, new_border: distances of the border between Δ and the reservoir of the old and the new regions, Å.

    Raises:
        UserError: a species without a table, or a table that does not cover the new window from the border outwards and at
            least one bin inwards.
    """
    missing = [name for name in force.species if name not in other.species]
    if missing:
        what = f"{', '.join(missing)} has no thermodynamic force: the table holds {', '.join(other.species)}"
        raise UserError(what, where, "Start from a table with all species, or set calibration.start to 'pressure' or 'zero'.")
    start, stop = (edge - border for edge in other.window)
    new_stop = force.window[1] - new_border
    if start > -force.width or stop < min(new_stop, 0.0) + 1e-9 or stop < 0.5 * new_stop:
        raise UserError(
            f"the table acts from {start:+.3g} to {stop:+.3g} A about the border of the transition layer, the new one from "
            f"{force.window[0] - new_border:+.3g} to {new_stop:+.3g} A: it does not cover the border and half of the strip beyond it",
            where,
            "Start from a table with a wider window, make calibration.margin smaller, or set calibration.start to 'pressure'.",
        )
    distance = force.centres - new_border + border
    rows = [other.force(distance, other.species.index(name)) for name in force.species]
    return force.copy(np.where(force.in_window(), rows, 0.0))


def start_from_file(path: Path, force: ThermodynamicForce, regions: Regions) -> tuple[ThermodynamicForce, dict[str, Any]]:
    """First tables of a calibration from the file of another one, and where they come from.

    A start may have any settings (friction, cap, hysteresis, potentials, density): they are recorded as its origin, and the
    calibration that follows makes the table belong to its own.

    Args:
        force: gives species, bins and window.
        regions: of the new calibration.

    Raises:
        UserError: no such file, or :func:`align`.
        RunFailure: not a table of a thermodynamic force.
    """
    if not path.exists():
        remedy = "Give 'pressure', 'zero' or the path of a thermodynamic_force.json."
        raise UserError(f"there is no file '{path}'", "study file: calibration.start", remedy)
    other = ThermodynamicForce.load(path)
    data = read_json(path)
    if "regions" not in data["settings"]:
        what = "the table does not say which regions it belongs to"
        raise UserError(what, str(path), "Start from the thermodynamic_force.json of a calibration.")
    border = regions_from_json(data["settings"]["regions"]).outer
    started = align(other, border, force, regions.outer, str(path))
    origin = {
        "file": str(path),
        "settings": data["settings"],
        "border": border,
        "integral there": other.inward_integral().tolist(),
        "integral here": started.inward_integral().tolist(),
    }
    return started, origin

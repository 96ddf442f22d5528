"""Presets: how much effort a study takes. One line per key, one column per preset.

Only keys of effort and size stand here, never keys of the physics that is asked about (composition, density, temperature,
level of theory), so that a preset can be laid over any study. ``standard`` equals the defaults of the study file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from halocline.config.study import Study
from halocline.errors import UserError
from halocline.units import format_quantity, parse_quantity

NAMES = ("tiny", "standard", "production")

EFFORT: dict[str, tuple[Any, Any, Any]] = {
    # key                            tiny        standard    production
    "system.molecules":             (128,        400,        2000),  # total; shared among the species as in the file
    "system.length":                ("36 A",     "48 A",     "80 A"),
    "multipoles.clusters":          (12,         60,         400),
    "dataset.molecules":            (40,         40,         64),
    "dataset.frames":               (60,         200,        1500),
    "dataset.trajectories":         (3,          4,          8),
    "dataset.interval":             ("100 fs",   "250 fs",   "500 fs"),
    "active_learning.rounds":       (1,          1,          4),
    "active_learning.frames":       (16,         60,         300),
    "active_learning.length":       ("1 ps",     "10 ps",    "100 ps"),
    "model.features":               (32,         64,         64),
    "model.layers":                 (2,          2,          2),
    "model.cutoff":                 ("4.4 A",    "4.5 A",    "5 A"),
    "model.budget":                 ("60 s",     "4 min",    "6 h"),
    "multipole_model.features":     (24,         32,         64),
    "multipole_model.cutoff":       ("4.4 A",    "4.5 A",    "5 A"),
    "multipole_model.budget":       ("20 s",     "1 min",    "2 h"),
    "coarse_model.features":        (16,         32,         32),
    "coarse_model.layers":          (2,          2,          2),
    "coarse_model.cutoff":          ("4.4 A",    "5 A",      "5.5 A"),
    "coarse_model.teacher":         ("1.5 ps",   "8 ps",     "200 ps"),
    "coarse_model.budget":          ("20 s",     "90 s",     "1 h"),
    "regions.atomistic":            ("4 A",      "6 A",      "12 A"),
    "regions.transition":           ("9 A",      "10 A",     "12 A"),
    "dynamics.equilibration":       ("0.5 ps",   "5 ps",     "20 ps"),
    "dynamics.length":              ("2 ps",     "40 ps",    "500 ps"),
    "dynamics.record":              ("20 fs",    "50 fs",    "100 fs"),
    "dynamics.checkpoint":          ("0.25 ps",  "1 ps",     "5 ps"),
    "calibration.window":           ("0.6 ps",   "4 ps",     "20 ps"),
    "calibration.iterations":       (3,          6,          20),
    "calibration.bulk":             ("0.6 ps",   "5 ps",     "50 ps"),
    "validation.reference":         ("2 ps",     "40 ps",    "500 ps"),
}  # fmt: skip

CLASSICAL_EFFORT: dict[str, tuple[float, float, float]] = {
    # key                       tiny   standard  production
    "dynamics.equilibration":   (0.01, 1.0,      4.0),
    "dynamics.length":          (0.01, 1.0,      10.0),
    "dynamics.record":          (0.1,  1.0,      1.0),
    "dynamics.checkpoint":      (0.01, 1.0,      4.0),
    "calibration.window":       (0.01, 1.0,      4.0),
    "calibration.iterations":   (0.2,  1.0,      1.5),
    "calibration.bulk":         (0.1,  1.0,      4.0),
    "calibration.insertion":    (0.1,  1.0,      4.0),
    "coarse_table.reference":   (0.02, 1.0,      4.0),
    "coarse_table.length":      (0.02, 1.0,      4.0),
    "coarse_table.iterations":  (0.2,  1.0,      1.0),
    "validation.reference":     (0.01, 1.0,      10.0),
}  # fmt: skip
"""Factors on the lengths of the file, for studies with a classical force field: their time steps and costs differ too much for one
length to suit all, and the box belongs to the cut-off of their force field."""


def preset(name: str) -> dict[str, dict[str, Any]]:
    """Section -> key -> value of a preset; ``system.molecules`` is the total number of molecules."""
    column = NAMES.index(name)
    sections: dict[str, dict[str, Any]] = {}
    for dotted, values in EFFORT.items():
        section, key = dotted.split(".")
        sections.setdefault(section, {})[key] = values[column]
    return sections


def classical_preset(name: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value: the values of a file, or else the defaults, times the factor of the preset.

    Args:
        name: of the preset.
        keys: raw keys of the file; a value that cannot be read is left for the schema to refuse.
    """
    column = NAMES.index(name)
    values: dict[str, Any] = {}
    for dotted, factors in CLASSICAL_EFFORT.items():
        section, key = dotted.split(".")
        given = keys.get(section)
        value = given.get(key) if isinstance(given, dict) else None
        if value is None:
            value = Study.model_fields[section].get_default(call_default_factory=True).model_dump(mode="json")[key]
        factor = factors[column]
        if isinstance(value, int):
            values[dotted] = max(1, round(factor * value)) if value > 0 else value
        elif factor != 1.0:
            with contextlib.suppress(UserError):
                values[dotted] = format_quantity(factor * parse_quantity(value, "time"), "time")
    return values


def scale_composition(composition: dict[str, int], total: int) -> dict[str, int]:
    """The same composition with ``total`` molecules: largest remainders, at least one molecule of each species."""
    present = sum(composition.values())
    shares = {name: count * total / present for name, count in composition.items()}
    counts = {name: max(1, int(share)) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: shares[name] - int(shares[name]), reverse=True)
    for name in by_remainder[: max(0, total - sum(counts.values()))]:
        counts[name] += 1
    return counts

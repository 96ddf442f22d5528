"""Whether a reservoir goes with the force field of its study."""

from __future__ import annotations

from halocline import registry
from halocline.adress.reservoir import reservoir_of
from halocline.config.study import Study
from halocline.errors import UserError


def check_reservoir_kind(study: Study) -> None:
    """Refuse a reservoir that the train stage cannot prepare.

    Raises:
        UserError: with the reservoirs that suit the force field, and the force fields that suit the reservoir.
    """
    kind, force_field = reservoir_of(study), study.force_field.name
    if force_field in kind.force_fields:
        return
    able = [name for name, entry in registry.available("reservoirs").items() if force_field in entry.value.force_fields]
    raise UserError(
        f"coupling.reservoir is '{kind.name}', which a study with force_field.name: {force_field} cannot have",
        "study file: coupling.reservoir",
        f"Use coupling.reservoir: {' or '.join(able)}, or force_field.name: {' or '.join(sorted(kind.force_fields))}.",
    )

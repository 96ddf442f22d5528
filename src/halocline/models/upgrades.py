"""Old model files: one function for each step from a format to the next, applied when a file is read.

A change of the format raises ``FORMAT_VERSION`` of ``halocline.models.model`` by one, adds the function for the step here,
and leaves files of the old format in ``tests/models/files``, which must go on giving the numbers stored beside them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from halocline.errors import UserError

Contents = tuple[dict[str, Any], dict[str, Tensor]]
"""Header and tensors of a model file."""

UPGRADES: dict[int, Callable[[dict[str, Any], dict[str, Tensor], str], Contents]] = {}
"""Format n -> function of header, tensors and the name of the file that gives those of format n + 1.

It may change what it is given, writes no version, and raises UserError for a file that has no equal in the new format.
"""


def upgrade(header: Mapping[str, Any], tensors: Mapping[str, Tensor], newest: int, where: str) -> Contents:
    """Header and tensors in the newest format, step by step.

    Args:
        header, tensors: as read; they are not changed.
        newest: the format that this program writes.
        where: the file, for messages.

    Raises:
        UserError: a newer format, a version that is none, a step that is missing, or a file that a step cannot take.
    """
    contents, version = (copy.deepcopy(dict(header)), dict(tensors)), header.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise UserError(f"model format {version!r} is none that ever was", where, "Delete it and run `halocline train` again.")
    if version > newest:
        raise UserError(f"model format {version} is newer than this program's ({newest})", where, "Update halocline.")
    for step in range(version, newest):
        if step not in UPGRADES:
            what = f"model format {step} cannot be turned into format {step + 1}"
            raise UserError(what, where, "Train the model again, or load it with an older halocline.")
        contents = UPGRADES[step](*contents, where)
        contents[0]["format_version"] = step + 1
    return contents

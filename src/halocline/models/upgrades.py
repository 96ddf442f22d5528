"""Old model files: one function for each step from a format to the next, applied when a file is read.

A change of the format raises ``FORMAT_VERSION`` of ``halocline.models.model`` by one, adds the function for the step here,
and leaves files of the old format in ``tests/models/files``, which must go on giving the numbers stored beside them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from halocline.errors import UserError

Contents = tuple[dict[str, Any], dict[str, Tensor]]
"""Header and tensors of a model file."""


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


def _share_sources(header: dict[str, Any], tensors: dict[str, Tensor], where: str) -> Contents:
    """From 1 to 2: the heads ``charges`` and ``dipole`` give their weights to the sources that all multipole heads share.

    The head of polarizabilities had no terms of bonds: theirs are zero.
    """
    heads = {name for name in ("charges", "dipole") if name in header["heads"]}
    if len(heads) == 2:
        what = "the file holds two different sets of charges, of its heads 'charges' and 'dipole'"
        raise UserError(what, where, "Train the model again: both heads now share one set.")
    for head in heads:
        start = f"heads.{head}."
        for name in [name for name in tensors if name.startswith(start)]:
            tensors[f"sources.{name.removeprefix(start)}"] = tensors.pop(name)
        if head == "charges":
            _widen(tensors, len(tensors["representation.embedding.weight"]))
    if "polarizability" in header["heads"]:
        _add_bonds(tensors)
    return header, tensors


def _widen(tensors: dict[str, Tensor], n_types: int) -> None:
    """Hidden layer of the old head of charges, half as wide: zeros fill it up without changing any charge."""
    weight, bias, last = (tensors[f"sources.net.{name}"] for name in ("0.weight", "0.bias", "2.weight"))
    missing = weight.shape[1] - weight.shape[0]
    tensors["sources.net.0.weight"] = torch.cat([weight, weight.new_zeros(missing, weight.shape[1])])
    tensors["sources.net.0.bias"] = torch.cat([bias, bias.new_zeros(missing)])
    tensors["sources.net.2.weight"] = torch.cat([last, last.new_zeros(1, missing)], dim=1)
    tensors["sources.scale"] = weight.new_ones(())
    tensors["sources.type_charge"] = weight.new_zeros(n_types)


def _add_bonds(tensors: dict[str, Tensor]) -> None:
    """Bond terms of the head of polarizabilities that are zero."""
    start, radial = "heads.polarizability.", 20
    weight = tensors[f"{start}net.0.weight"]
    features = len(weight)
    for name in ("receiver", "sender"):
        tensors[f"{start}{name}.weight"] = weight.new_zeros(features, features)
        tensors[f"{start}{name}.bias"] = weight.new_zeros(features)
    tensors[f"{start}filter.weight"] = weight.new_zeros(features, radial)


UPGRADES: dict[int, Callable[[dict[str, Any], dict[str, Tensor], str], Contents]] = {1: _share_sources}
"""Format n -> function of header, tensors and the name of the file that gives those of format n + 1.

It may change what it is given, writes no version, and raises UserError for a file that has no equal in the new format.
"""

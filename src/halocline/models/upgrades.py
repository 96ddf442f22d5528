"""Old model files made readable: one function from each format to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from halocline.errors import UserError

Content = tuple[dict[str, Any], dict[str, Tensor]]
"""Header and tensors of a file."""


def upgrade(header: dict[str, Any], tensors: dict[str, Tensor], newest: int, where: str) -> Content:
    """Header and tensors in the newest format.

    Raises:
        UserError: a format that is newer than this program, or one that it can no longer read.
    """
    version = header["format_version"]
    if version > newest:
        raise UserError(f"model format {version} is newer than this program's ({newest})", where, "Update halocline.")
    for old in range(version, newest):
        header, tensors = UPGRADES[old](header, tensors, where)
        header["format_version"] = old + 1
    return header, tensors


def _share_sources(header: dict[str, Any], tensors: dict[str, Tensor], where: str) -> Content:
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


UPGRADES: dict[int, Callable[[dict[str, Any], dict[str, Tensor], str], Content]] = {1: _share_sources}
"""Format -> what makes the next one of it."""

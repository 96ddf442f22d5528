"""What a reservoir is: everything in which one kind differs from another; the stages ask it and do not go by its name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from halocline import registry
from halocline.config.study import Study
from halocline.potentials.base import Potential

THINNEST = 3.0
"""Å; one molecular layer."""


class Reservoir(ABC):
    """One value of ``coupling.reservoir``.

    Attributes:
        name, summary: as in a study file; in a few words that follow "the reservoir is".
        force_fields: values of ``force_field.name`` that it goes with.
        is_ideal: whether its molecules do not feel each other. Its pressure is then n kT, its compressibility 1/(n kT) and its mu_ex
            zero without any run, and molecules overlap as they enter.
        is_trained: whether the train stage leaves a file ``coarse`` for it.
        is_tabulated: whether that file is a table by iterative Boltzmann inversion, made as ``coarse_table`` says.
        is_pair_table: whether that table is all that acts between molecules, so that insertion of beads measures mu_ex.
        kirkwood_power: p of the path w^p of a Kirkwood integration that begins in it; 4 takes the divergence of overlaps away.
        keys: of the study file, that belong to it alone.
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    force_fields: ClassVar[frozenset[str]] = frozenset({"classical"})
    is_ideal: ClassVar[bool] = False
    is_trained: ClassVar[bool] = False
    is_tabulated: ClassVar[bool] = False
    is_pair_table: ClassVar[bool] = False
    kirkwood_power: ClassVar[int] = 1
    keys: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def between(self, study: Study, trained: Path | None) -> Potential | None:
        """What acts between its molecules; None for an ideal gas.

        Args:
            trained: the file ``coarse`` of the train stage, where there is one.
        """

    def thickness(self, study: Study) -> float:
        """Least room for it between the transition layer and half the box, Å."""
        return THINNEST

    def notes(self, study: Study) -> list[str]:
        """What is allowed with it and deserves thought."""
        return []


def reservoir_of(study: Study) -> Reservoir:
    """The reservoir of a study.

    Raises:
        UserError: there is no such kind.
    """
    kind: type[Reservoir] = registry.get("reservoirs", study.coupling.reservoir, "study file: coupling.reservoir")
    return kind()

"""Kinds of reservoir: what molecules outside S1 are."""

from halocline.adress.reservoir.base import Reservoir, reservoir_of

__all__ = ["Reservoir", "reservoir_of"]

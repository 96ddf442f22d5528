"""Radial functions shared by the representations."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def smooth_cutoff(distances: Tensor, cutoff: float) -> Tensor:
    """1 - 10 x^3 + 15 x^4 - 6 x^5 with x = r / cutoff: one at 0, zero with two vanishing derivatives at the cut-off."""
    x = (distances / cutoff).clamp(max=1.0)
    return 1 - x**3 * (10 - 15 * x + 6 * x**2)


def late_cutoff(distances: Tensor, cutoff: float) -> Tensor:
    """1 - 28 x^6 + 48 x^7 - 21 x^8, as smooth as the other but near one for longer (Gasteiger et al., arXiv:2003.03123, p = 6)."""
    x = (distances / cutoff).clamp(max=1.0)
    return 1 - x**6 * (28 - 48 * x + 21 * x**2)


class GaussianBasis(nn.Module):
    """exp(-(r - mu_k)^2 / (2 s^2)) with centres evenly spaced from 0 to the cut-off and s their spacing."""

    centres: Tensor

    def __init__(self, size: int, cutoff: float) -> None:
        super().__init__()
        self.size = size
        self.width = cutoff / (size - 1)
        self.register_buffer("centres", torch.linspace(0.0, cutoff, size), persistent=False)

    def forward(self, distances: Tensor) -> Tensor:
        """(n, size) from (n,) distances in Å."""
        return torch.exp(-0.5 * ((distances[:, None] - self.centres) / self.width) ** 2)


class BesselBasis(nn.Module):
    """sqrt(2/r_c) sin(k pi r / r_c) / r, k = 1..size (Gasteiger et al., arXiv:2003.03123)."""

    wave: Tensor

    def __init__(self, size: int, cutoff: float) -> None:
        super().__init__()
        self.size, self.cutoff = size, cutoff
        self.register_buffer("wave", math.pi / cutoff * torch.arange(1, size + 1), persistent=False)

    def forward(self, distances: Tensor) -> Tensor:
        """(n, size) from (n,) distances in Å."""
        r = distances[:, None]
        return math.sqrt(2.0 / self.cutoff) * torch.sin(self.wave * r) / r


class ShiftedSoftplus(nn.Module):
    """ln(1 + e^x) - ln 2 (Schütt et al., J. Chem. Phys. 148, 241722)."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.softplus(x) - math.log(2.0)

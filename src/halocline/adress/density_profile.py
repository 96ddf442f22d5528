"""Binned density profiles against distance: smoothing that conserves molecules, and the derivative.

A profile is a list of shells of equal width; a slab has equal volumes, a sphere growing ones. Smoothing is diffusion through the
walls between the shells for the time sigma^2/2,

    V_i dn_i/dt = A_{i-1/2} (n_{i-1} - n_i)/w + A_{i+1/2} (n_{i+1} - n_i)/w,

which is a Gaussian of standard deviation sigma in the geometry at hand: it keeps sum_i V_i n_i and constant profiles exactly, and a
small noisy shell takes the value of its large neighbours rather than the other way round.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import expm

from halocline.adress.regions import BoolArray
from halocline.topology import FloatArray


def density_gradient(density: FloatArray, width: float, mirror: bool | tuple[bool, bool] = True) -> FloatArray:
    """(..., n_bins) derivative of a binned profile by central differences, per Å.

    Args:
        density: (..., n_bins) values at the bin centres.
        width: of a bin, Å.
        mirror: whether the profile continues symmetrically beyond the inner and the outer end. n(|x|) of a slab in a periodic box
            does so at both ends, n(r) about a point only at the centre. Otherwise an end uses one-sided differences.
    """
    inner, outer = (mirror, mirror) if isinstance(mirror, bool) else mirror
    result = np.gradient(density, width, axis=-1)
    if inner:
        result[..., 0] = (density[..., 1] - density[..., 0]) / (2.0 * width)
    if outer:
        result[..., -1] = (density[..., -1] - density[..., -2]) / (2.0 * width)
    return np.asarray(result)


def smooth_density(density: FloatArray, volumes: FloatArray, width: float, sigma: float) -> FloatArray:
    """(..., n_bins) density after diffusion over ``sigma`` (Å) with closed ends; sum(volumes * density) is kept.

    Args:
        density: (..., n_bins) values.
        volumes: (n_bins,) of the shells, in any unit; shells without volume keep their value.
        width: of a shell, Å.
    """
    if sigma <= 0.0:
        return density
    volumes = np.asarray(volumes, dtype=np.float64)
    # The wall between two shells, times the width; none towards a shell without volume.
    walls = np.where((volumes[1:] > 0) & (volumes[:-1] > 0), 0.5 * (volumes[1:] + volumes[:-1]), 0.0)
    exchange = np.diag(walls, 1) + np.diag(walls, -1)
    exchange -= np.diag(exchange.sum(axis=1))
    rates = np.divide(exchange, volumes[:, None], out=np.zeros_like(exchange), where=volumes[:, None] > 0)
    kernel = expm(0.5 * (sigma / width) ** 2 * rates)
    return density @ kernel.T


def level_ends(density: FloatArray, volumes: FloatArray, inner: BoolArray, window: BoolArray, outer: BoolArray) -> FloatArray:
    """(..., n_bins) density with the mean of the inner shells everywhere before a window, and that of the outer ones after it.

    No force acts there: an update can only follow these means, and the noise of single shells would do nothing but add to it.

    Args:
        density: (..., n_bins) values.
        volumes: (n_bins,) of the shells; ends without volume keep their values.
        inner, outer: (n_bins,) shells that stand for the ends. window: (n_bins,) one run of shells.
    """
    result, inside, shells = density.copy(), np.flatnonzero(window), np.arange(len(window))
    for end, source in ((shells < inside[0], inner), (shells > inside[-1], outer)):
        weights = np.where(source, volumes, 0.0)
        if weights.sum() > 0:
            result[..., end] = (density @ weights / weights.sum())[..., None]
    return result

"""Radial distribution functions between atoms of different molecules, seen from AT.

Two normalisations are kept:

* **from AT** (default, unbiased): the first atom belongs to a molecule in AT, the second to any other molecule. The range is
  chosen so that the second one is still inside S1, hence atomistic. No surface, no correction.
* **AT only** (what the field prints): both molecules in AT. A uniform slab or sphere then holds only a fraction f(r) of the
  pairs that an infinite liquid holds (``slab_fraction``, ``sphere_fraction``; centres of mass decide membership, hence the
  offsets of atoms from them). Dividing by f makes an ideal gas give exactly 1. Unions of spheres have no such formula, and
  around a molecule that AT follows the liquid is not uniform: there this curve is left out.

From AT, g = <pairs> / (<N_a> n_b 4 pi r^2 dr) with the exact density n_b of the whole box: the number of neighbours of an atom
hardly follows the slow waves of the local density, so dividing by the latter would only add their noise. AT only, both
numbers are those found in AT. A solute that AT follows sits at its centre: atoms about it were chosen for being near it, so that pairs with
it are counted from the solute alone. Pairs within a molecule are taken out of both counts exactly. In the closed reference every
molecule counts as first: all places are equivalent there.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from halocline.adress.regions.base import BoolArray
from halocline.dynamics.record import Snapshot
from halocline.models.graphs import half_pairs
from halocline.observables.base import Comparison, Observable, Setting, curve, number
from halocline.observables.geometry import pair_fraction, two_sided
from halocline.observables.site_pairs import Pair, kind_of_atom, site_kinds, site_pairs
from halocline.observables.statistics import Estimate, column_errors, difference, function_of_means
from halocline.results import Figure, Number
from halocline.topology import FloatArray

BIN = 0.05
"""Å."""
RANGE = 8.0
"""Largest distance, Å; less where Δ is thinner or the box narrower."""
EXTENT = 1.0
"""Largest distance of an atom from the centre of mass of its molecule that keeps pairs inside S1, Å."""
PROMINENCE = 0.1
"""A maximum of g that rises less above its surroundings is noise."""
INTEGRAL_TOLERANCE = 0.03
"""Accepted integral of |g - g_ref| over that of g_ref."""
SIGNIFICANCE = 4.0
"""A maximum must rise this many standard errors of its bin above its surroundings."""
_WINDOW = 0.25
_DEGREE = 4

_REMEDY = "Widen regions.transition or regions.atomistic: the structure still feels the change of resolution."


class RadialDistribution(Observable):
    """g(r) of every pair of kinds of sites (an element of a species) between atoms of different molecules."""

    name = "rdf"
    version = 4
    summary = "radial distribution functions around molecules in AT, first peaks and their difference from the reference"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.sites, self.pairs = site_kinds(setting.topology), site_pairs(setting.topology)
        self.kinds = kind_of_atom(setting.topology, self.sites)
        counts = np.bincount(setting.topology.molecule_species, minlength=len(setting.topology.species))
        self.followed = np.array([setting.moves and counts[site.species] == 1 for site in self.sites])
        reach = min(RANGE, 0.5 * float(setting.edges.min()), setting.regions.transition - 2.0 * EXTENT)
        self.bins = max(1, math.floor(reach / BIN))
        self.edges = np.linspace(0.0, self.bins * BIN, self.bins + 1)
        self.radius = 0.5 * (self.edges[1:] + self.edges[:-1])
        self.shells = 4.0 / 3.0 * math.pi * np.diff(self.edges**3)

    def update(self, snapshot: Snapshot) -> None:
        topology, regions = snapshot.topology, self.setting.place(snapshot)
        molecule, kinds, every = topology.molecule_of_atom, self.kinds, range(len(self.sites))
        in_core = topology.atom_mask(regions.distance(snapshot.centres) < regions.atomistic)
        first = np.ones(topology.n_atoms, dtype=bool) if self.setting.is_full else in_core
        i, j, shifts = half_pairs(snapshot.positions, snapshot.cell, True, float(self.edges[-1]))
        between = (molecule[i] != molecule[j]) & (first[i] | first[j])
        i, j, shifts = i[between], j[between], shifts[between]
        distances = np.linalg.norm(snapshot.positions[j] + shifts - snapshot.positions[i], axis=1)
        bin_of_pair = np.minimum((distances / BIN).astype(np.int64), self.bins - 1)
        both = 2.0 * (in_core[i] & in_core[j])
        low, high = np.minimum(kinds[i], kinds[j]), np.maximum(kinds[i], kinds[j])
        counts, core_counts = np.zeros((len(self.pairs), self.bins)), np.zeros((len(self.pairs), self.bins))
        for index, pair in enumerate(self.pairs):
            chosen = (low == pair.first) & (high == pair.second)
            start = first & self._starts(pair)[kinds]
            counts[index] = np.bincount(bin_of_pair[chosen], start[i[chosen]].astype(np.float64) + start[j[chosen]], self.bins)
            core_counts[index] = np.bincount(bin_of_pair[chosen], both[chosen], self.bins)
        away = (snapshot.positions - snapshot.centres[molecule]) ** 2
        offsets = away[:, 0] if two_sided(regions) else away.mean(axis=1)
        self.store(
            counts=counts,
            core_counts=core_counts,
            atoms=np.array([(first & (kinds == site)).sum() for site in every]),
            core_atoms=np.array([(in_core & (kinds == site)).sum() for site in every]),
            offsets=np.array([offsets[kinds == site].mean() for site in every]),
        )

    def _starts(self, pair: Pair) -> BoolArray:
        """(n_sites,) kinds from which a pair is counted: both, or the followed solute alone."""
        kinds = np.zeros(len(self.sites), dtype=bool)
        kinds[[pair.first, pair.second]] = True
        return kinds & self.followed if (kinds & self.followed).any() else kinds

    def _columns(self, index: int) -> FloatArray:
        """(n_frames, bins + 1) pairs of each bin, then pairs per volume in a uniform box: all that a g(r) is made of."""
        pair, atoms, volume = self.pairs[index], self.series("atoms"), self.setting.volume
        total, starts = np.bincount(self.kinds, minlength=len(self.sites)), self._starts(pair)
        ways = {(pair.first, pair.second), (pair.second, pair.first)}
        uniform = np.array(sum(atoms[:, a] * total[b] for a, b in ways if starts[a])) / volume
        return np.concatenate([self.series("counts")[:, index], pair.share * uniform[:, None]], axis=1)

    def _normalise(self, means: FloatArray) -> FloatArray:
        """(bins,) g(r) from the averages of :meth:`_columns`."""
        return means[:-1] / (means[-1] * self.shells) if means[-1] > 0 else np.full(self.bins, np.nan)

    def g(self, index: int) -> FloatArray:
        """(bins,) g(r) of a pair of kinds, first atom in AT, second anywhere."""
        return self._normalise(self._columns(index).mean(axis=0))

    def g_core(self, index: int) -> FloatArray:
        """(bins,) g(r) with both molecules in AT, divided by the share of pairs that a uniform AT keeps; NaN where it is not known."""
        regions = self.setting.regions
        if self.setting.moves:
            return np.full(self.bins, np.nan)
        pair, atoms = self.pairs[index], self.series("core_atoms").mean(axis=0)
        a, b = pair.first, pair.second
        offsets = self.series("offsets").mean(axis=0)
        fraction = pair_fraction(regions, self.radius, offsets[a] + offsets[b])
        uniform = pair.directions * pair.share * atoms[a] * atoms[b] / regions.volumes(self.setting.cell)[0]
        counts = self.series("core_counts")[:, index].mean(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(fraction > 0, counts / (uniform * self.shells * fraction), np.nan)

    def errors(self, index: int) -> FloatArray:
        """(bins,) standard errors of :meth:`g`, of the pair counts alone."""
        columns = self._columns(index)
        scale = self._normalise(np.append(np.ones(self.bins), columns[:, -1].mean()))
        return np.nan_to_num(column_errors(columns[:, :-1])) * scale

    def maximum(self, index: int) -> int | None:
        """Bin of the first maximum that stands out, or None."""
        return first_maximum(self.g(index), self.errors(index))

    def peak(self, index: int, centre: int | None = None) -> tuple[Estimate, Estimate]:
        """Position (Å) and height of a maximum, from a quartic through the bins around it.

        Args:
            index: of the pair.
            centre: bin to look around; that of the first maximum if not given.
        """
        unknown = Estimate(math.nan, math.nan, 0.0)
        centre = self.maximum(index) if centre is None else centre
        half = round(_WINDOW / BIN)
        if centre is None or centre < half or centre + half >= self.bins:
            return unknown, unknown
        window = slice(centre - half, centre + half + 1)

        def locate(means: FloatArray) -> tuple[float, float]:
            return _summit(self.radius[window], self._normalise(means)[window])

        columns = self._columns(index)
        position = function_of_means(columns, lambda means: locate(means)[0])
        return position, function_of_means(columns, lambda means: locate(means)[1])

    def result(self) -> list[Number]:
        numbers = list[Number]()
        for index, pair in enumerate(self.pairs if self.setting.interacts else ()):
            position, height = self.peak(index)
            numbers += [
                number(f"first peak of {pair.name}, position", position, "A"),
                number(f"first peak of {pair.name}, height", height, ""),
            ]
        return numbers

    def compare(self, reference: Observable) -> list[Comparison | list[Comparison]]:
        assert isinstance(reference, RadialDistribution)
        source, claims = "full-resolution run", list[Comparison | list[Comparison]]()
        no_peak = "" if self.setting.interacts else "molecules that do not interact have g(r) = 1 at every distance: there is no peak."
        for index, pair in enumerate(self.pairs):
            # The same maximum in both: a weak one may stand out in one run and be passed over in the other.
            place = reference.maximum(index)
            height, expected = self.peak(index, place)[1], reference.peak(index, place)[1]
            tolerance = self.setting.tolerances.peak * expected.value
            claims.append(Comparison(f"first peak of {pair.name}, height", height, expected, tolerance, "", source, _REMEDY, no_peak))
            name = f"integrated difference of {pair.name}"
            gap = self.integrated_difference(reference, index)
            claims.append(Comparison(name, gap, Estimate(0.0), INTEGRAL_TOLERANCE, "", source, _REMEDY))
        return claims

    def integrated_difference(self, reference: RadialDistribution, index: int) -> Estimate:
        """Integral of |g - g_ref| over the integral of g_ref, without what noise alone adds to it.

        Each g is first divided by its average over the sphere of this range: density has its own checks. Noise makes the
        integral of an absolute value positive; its expectation for normal errors, sum of sqrt(2/pi) sigma, is subtracted. Half
        of it is added to the error, so that an interval of two errors still covers the uncorrected value.
        """
        mine, theirs = (_shape(rdf.g(index), self.shells) for rdf in (self, reference))
        weight = 1.0 / max(float(theirs.sum()), 1e-12)
        signs = np.sign(mine - theirs)
        noise = float(np.hypot(self.errors(index), reference.errors(index)).sum()) * math.sqrt(2.0 / math.pi) * weight

        def signed(rdf: RadialDistribution) -> Estimate:
            return function_of_means(rdf._columns(index), lambda means: float(signs @ _shape(rdf._normalise(means), self.shells)) * weight)

        gap = difference(signed(self), signed(reference))
        error = math.nan if gap.error is None else gap.error + 0.5 * noise
        return Estimate(max(gap.value - noise, 0.0), error, gap.n_effective)

    def figures(self, reference: Observable) -> list[Figure]:
        assert isinstance(reference, RadialDistribution)
        figures = []
        for index, pair in enumerate(self.pairs):
            mine, theirs = self.g(index), reference.g(index)
            error, other = self.errors(index), reference.errors(index)
            series = [
                curve("open", self.radius, mine, error),
                curve("full resolution", self.radius, theirs, other),
                curve("difference", self.radius, mine - theirs, np.hypot(error, other)),
            ]
            both = self.g_core(index)
            if np.isfinite(both).any():
                series.append(curve("open, both molecules in AT", self.radius, both, style="dashed"))
            caption = (
                "Atoms of different molecules; the first belongs to a molecule in AT, the second to any molecule of S1. Dashed: both "
                "in AT, divided by the share of pairs that a uniform region of this size keeps."
            )
            title = f"Radial distribution function {pair.name}"
            figures.append(Figure(f"rdf_{pair.key}", title, "distance (A)", pair.name, series, caption))
        return figures


def first_maximum(curve: FloatArray, errors: FloatArray) -> int | None:
    """Index of the first maximum of a g(r) that stands out from its surroundings and from the noise, or None."""
    if not np.all(np.isfinite(curve)):
        return None
    smooth = gaussian_filter1d(curve, 1.5)
    peaks, found = find_peaks(smooth, prominence=PROMINENCE, height=1.0)
    clear = peaks[found["prominences"] > SIGNIFICANCE * errors[peaks]]
    return int(clear[0]) if len(clear) else None


def _shape(curve: FloatArray, shells: FloatArray) -> FloatArray:
    """g(r) over its mean in the sphere of its range."""
    mean = float(curve @ shells) / float(shells.sum())
    return curve / mean if mean > 0 else np.full(len(curve), np.nan)


def _summit(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Position and height of the maximum of a polynomial through points around a peak."""
    middle, scale = x.mean(), 0.5 * (x[-1] - x[0])
    coefficients = np.polynomial.polynomial.polyfit((x - middle) / scale, y, _DEGREE)
    grid = np.linspace(-1.0, 1.0, 81)
    values = np.polynomial.polynomial.polyval(grid, coefficients)
    best = int(np.clip(np.argmax(values), 1, len(grid) - 2))
    left, top, right = values[best - 1 : best + 2]
    bend = left - 2.0 * top + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    place = grid[best] + shift * (grid[1] - grid[0])
    return float(middle + scale * place), float(np.polynomial.polynomial.polyval(place, coefficients))

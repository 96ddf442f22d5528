"""What the label stage shows: counts, times, and distributions of the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from halocline.datasets.frame import Frame
from halocline.labels import QUANTITIES
from halocline.results import Figure, Number, Series, StageResult, Table
from halocline.topology import FloatArray
from halocline.units import DEBYE

if TYPE_CHECKING:
    from halocline.stages.label import LabelCount


def describe(
    boxes: Sequence[Frame],
    clusters: Sequence[Frame],
    counts: Sequence[LabelCount],
    times: Sequence[Sequence[float]],
    levels: Sequence[Mapping[str, Any]],
) -> StageResult:
    """Result of the label stage, without files."""
    droplets = [frame for frame in boxes if not frame.state.periodic]
    periodic = [frame for frame in boxes if frame.state.periodic]
    failed = sum(count.failed for count in counts)
    summary = f"{len(periodic)} boxes, {len(droplets)} droplets and {len(clusters)} clusters labelled; {failed} failed."
    numbers = [
        Number("labelled boxes", len(periodic)),
        Number("labelled droplets", len(droplets)),
        Number("labelled clusters", len(clusters)),
        Number("failed labels", failed),
        *(_mean_number(f"time per label, {what}", series, "s") for what, series in zip(("boxes", "clusters"), times) if series),
    ]
    groups = {"boxes": periodic, "droplets": droplets, "clusters": clusters}
    figures = [figure for figure in (_energies(boxes), _forces(boxes), _dipoles(clusters), _polarizabilities(clusters)) if figure]
    tables = [_count_table(groups), _level_table(levels)]
    if failed:
        tables.append(_failure_table(counts))
    return StageResult(summary, numbers, figures, tables)


def histogram(label: str, values: FloatArray | Sequence[float], edges: FloatArray) -> Series:
    """Probability density of values on given bin edges."""
    density, _ = np.histogram(values, bins=edges, density=True)
    centres = (edges[1:] + edges[:-1]) / 2
    return Series(label, centres.tolist(), density.tolist())


def bins(values: FloatArray | Sequence[float]) -> FloatArray:
    """Bin edges over the bulk of the values, from the 0.2 % to the 99.8 % quantile with a margin; at most 40 bins."""
    low, high = np.quantile(values, [0.002, 0.998])
    margin = 0.1 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, min(40, max(8, int(2 * np.sqrt(np.size(values))))) + 1)


def _mean_number(name: str, values: Sequence[float], unit: str) -> Number:
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Number(name, float(np.mean(values)), unit, error, float(len(values)))


def _energies(boxes: Sequence[Frame]) -> Figure | None:
    groups: dict[str, list[float]] = {}
    for frame in boxes:
        if "energy" in frame.labels:
            temperature = frame.state.info.get("temperature")
            kind = "boxes" if frame.state.periodic else "droplets"
            name = kind if temperature is None else f"{kind}, {temperature:g} K"
            groups.setdefault(name, []).append(float(frame.labels["energy"]) / frame.state.topology.n_molecules)
    if not groups:
        return None
    everything = np.concatenate([np.array(values) for values in groups.values()])
    reference = float(np.median(everything))
    edges = bins(everything - reference)
    series = [histogram(name, np.array(values) - reference, edges) for name, values in groups.items()]
    caption = f"Zero is the median, {reference:.3f} eV per molecule. Droplets lie higher: they have a surface."
    title, x = "Energy per molecule", "energy per molecule minus median (eV)"
    return Figure("label-energy", title, x, "probability density (1/eV)", series, caption)


def _forces(boxes: Sequence[Frame]) -> Figure | None:
    series = {}
    for number, name in ((8, "oxygen"), (1, "hydrogen")):
        parts = [f.labels["forces"][f.state.topology.atomic_numbers == number].ravel() for f in boxes if "forces" in f.labels]
        values = np.concatenate(parts) if parts else np.zeros(0)
        if values.size:
            series[name] = values
    others = [f.labels["forces"][~np.isin(f.state.topology.atomic_numbers, (1, 8))].ravel() for f in boxes if "forces" in f.labels]
    if others and sum(map(len, others)):
        series["other elements"] = np.concatenate(others)
    if not series:
        return None
    edges = bins(np.concatenate(list(series.values())))
    drawn = [histogram(name, values, edges) for name, values in series.items()]
    rms = np.sqrt(np.mean(np.concatenate(list(series.values())) ** 2))
    caption = f"All Cartesian components; root mean square {rms:.3f} eV/Å."
    return Figure("label-forces", "Force components", "force component (eV/Å)", "probability density (Å/eV)", drawn, caption)


def _by_size(clusters: Sequence[Frame], quantity: str) -> dict[int, list[Frame]]:
    groups: dict[int, list[Frame]] = {}
    for frame in clusters:
        if quantity in frame.labels:
            groups.setdefault(frame.state.topology.n_molecules, []).append(frame)
    return dict(sorted(groups.items()))


def _dipoles(clusters: Sequence[Frame]) -> Figure | None:
    values = {
        size: np.array([np.linalg.norm(frame.labels["dipole"]) / DEBYE for frame in group])
        for size, group in _by_size(clusters, "dipole").items()
    }
    if not values:
        return None
    edges = bins(np.concatenate(list(values.values())))
    series = [histogram(_molecules(size), dipoles, edges) for size, dipoles in values.items()]
    caption = "Mean: " + ", ".join(f"{np.mean(dipoles):.2f} D ({_molecules(size)})" for size, dipoles in values.items())
    return Figure("label-dipole", "Dipole of the clusters", "dipole (D)", "probability density (1/D)", series, caption + ".")


def _polarizabilities(clusters: Sequence[Frame]) -> Figure | None:
    values = {
        size: np.array([np.trace(frame.labels["polarizability"]) / 3 / size for frame in group])
        for size, group in _by_size(clusters, "polarizability").items()
    }
    if not values:
        return None
    edges = bins(np.concatenate(list(values.values())))
    series = [histogram(_molecules(size), isotropic, edges) for size, isotropic in values.items()]
    caption = "Mean per molecule: " + ", ".join(f"{np.mean(a):.3f} Å³ ({_molecules(size)})" for size, a in values.items())
    title, x = "Polarizability of the clusters", "isotropic polarizability per molecule (Å³)"
    return Figure("label-polarizability", title, x, "probability density (1/Å³)", series, caption + ".")


def _molecules(size: int) -> str:
    return "1 molecule" if size == 1 else f"{size} molecules"


def _count_table(groups: Mapping[str, Sequence[Frame]]) -> Table:
    rows = []
    for name, quantity in QUANTITIES.items():
        counts = [sum(name in frame.labels for frame in frames) for frames in groups.values()]
        if any(counts):
            rows.append([name, quantity.unit, *(str(count) for count in counts)])
    return Table("label-counts", "Labels", ["quantity", "unit", *groups], rows, "Number of labelled frames.")


def _level_table(levels: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for level in levels for name in level))
    rows = [[name, *(_words(level.get(name)) for level in levels)] for name in names]
    return Table("label-level", "Level of theory", ["", "boxes and droplets", "clusters"], rows)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(item)}" for name, item in value.items())
    return "" if value is None else str(value)


def _failure_table(counts: Sequence[LabelCount]) -> Table:
    rows = [
        [what, kind, str(number)]
        for what, count in zip(("boxes and droplets", "clusters"), counts)
        for kind, number in count.failures.items()
    ]
    return Table(
        "label-failures", "Failures", ["frames", "kind", "number"], rows, "Details are in label_failures.json of the stage's folder."
    )

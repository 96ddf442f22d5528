"""Look at the labels before training on them, and divide them by trajectory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from halocline.config.study import Study
from halocline.datasets.checks import Finding, bond_ratios, check_frames
from halocline.datasets.connectivity import known_molecules
from halocline.datasets.frame import Frame
from halocline.datasets.split import PARTS, split_trajectories, strata_of
from halocline.datasets.statistics import Summary, summarise
from halocline.datasets.store import Dataset
from halocline.errors import RunFailure
from halocline.files import write_json
from halocline.results import Figure, Number, Series, StageResult, Table
from halocline.stages._label_figures import bins, histogram
from halocline.stages.base import Context, Cost, Stage

Sets = dict[str, list[Frame]]


class InspectStage(Stage):
    """Check and split the labelled frames."""

    name = "inspect"
    needs = ("label",)
    uses = ("dataset", "system")

    def run(self, context: Context) -> StageResult:
        sets: Sets = {}
        for role in ("boxes", "clusters"):
            with Dataset.open(context.file("label", role)) as dataset:
                sets[role] = list(dataset)
        required = {"boxes": ("energy", "forces"), "clusters": ()}
        findings = [finding for name, frames in sets.items() for finding in check_frames(frames, name, required[name])]
        _refuse_errors(findings, context.folder / "findings.json")
        frames = [frame for group in sets.values() for frame in group]
        section = context.study.dataset
        names = [frame.trajectory for frame in frames]
        split = split_trajectories(names, section.valid, section.test, context.study.system.seed, strata_of(sets["boxes"]))
        _refuse_empty_parts(sets, split)
        write_json(context.folder / "split.json", split)
        summaries = {name: summarise(group) for name, group in sets.items()}
        files = {"split": "split.json", "findings": "findings.json"}
        return _describe(sets, split, findings, summaries, files)

    def cost(self, study: Study) -> Cost:
        frames = study.dataset.frames + study.multipoles.clusters
        return Cost(2.0 + 0.005 * frames, f"checks of {frames} labelled frames")


def _refuse_errors(findings: Sequence[Finding], path: Path) -> None:
    """Write everything that was found, then stop at errors.

    Raises:
        RunFailure: the first error, with the number of others.
    """
    write_json(path, [vars(finding) for finding in findings])
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        first = errors[0]
        others = f" (and {len(errors) - 1} more errors, all in {path.name})" if len(errors) > 1 else ""
        raise RunFailure(first.what + others, first.where, first.remedy)


def _refuse_empty_parts(sets: Sets, split: Mapping[str, str]) -> None:
    for name, frames in sets.items():
        for part in PARTS:
            if not any(split[frame.trajectory] == part for frame in frames):
                key = "multipoles.clusters" if name == "clusters" else "dataset.frames"
                remedy = f"Raise {key}, so that every trajectory has some, or use fewer trajectories."
                raise RunFailure(f"none of {len(frames)} {name} is in the part '{part}'", "split", remedy)


def _describe(
    sets: Sets, split: Mapping[str, str], findings: Sequence[Finding], summaries: Mapping[str, Sequence[Summary]], files: dict[str, str]
) -> StageResult:
    boxes, frames = sets["boxes"], [frame for group in sets.values() for frame in group]
    forces = [frame.labels["forces"] for frame in boxes]
    molecules = known_molecules()
    bonds = np.concatenate([bond_ratios(frame, molecules) for frame in frames])
    squares = np.array([np.mean(force**2) for force in forces])
    rms = float(np.sqrt(squares.mean()))
    net = max(float(np.linalg.norm(force.sum(axis=0))) / len(force) for force in forces)
    parts = {part: sum(value == part for value in split.values()) for part in PARTS}
    error = float(squares.std(ddof=1) / np.sqrt(len(squares)) / (2 * rms)) if len(squares) > 1 else None
    numbers = [
        Number("trajectories", len(split)),
        Number("labelled frames", len(frames)),
        Number("warnings", len(findings)),
        Number("root mean square force", rms, "eV/A", error, len(squares)),
        Number("largest net force per atom", 1000 * net, "meV/A"),
    ]
    words = ", ".join(f"{count} {part}" for part, count in parts.items())
    warned = f"{len(findings)} warnings" if findings else "nothing suspicious"
    summary = f"{len(frames)} labelled frames of {len(split)} trajectories ({words}); {warned}."
    figures = [_energy_figure(boxes, split)]
    if bonds.size:
        caption = f"All bonds of all frames in units of the bond of the species' classical model; median {np.median(bonds):.3f}."
        series = [histogram("bonds", bonds, bins(bonds))]
        figures.append(Figure("inspect-bonds", "Bond lengths", "relative bond length", "probability density", series, caption))
    tables = [_split_table(sets, split), _range_table(summaries)]
    if findings:
        rows = [[finding.what, finding.where, finding.remedy] for finding in findings]
        tables.append(Table("inspect-findings", "Warnings", ["what", "where", "what to do"], rows))
    return StageResult(summary, numbers, figures, tables, files=files)


def _energy_figure(boxes: Sequence[Frame], split: Mapping[str, str]) -> Figure:
    """Energy per molecule of each box, by trajectory and part: drifts and jumps show here."""
    names = {name: index for index, name in enumerate(dict.fromkeys(frame.trajectory for frame in boxes))}
    chosen = [frame for frame in boxes if frame.state.periodic] or list(boxes)
    energies = np.array([float(frame.labels["energy"]) / frame.state.topology.n_molecules for frame in chosen])
    places = {name: [i for i, frame in enumerate(chosen) if frame.trajectory == name] for name in names}
    x = np.zeros(len(chosen))
    for name, members in places.items():
        x[members] = names[name] + 1 + np.linspace(-0.3, 0.3, len(members))
    series = []
    for part in PARTS:
        members = [i for i, frame in enumerate(chosen) if split[frame.trajectory] == part]
        if members:
            series.append(Series(part, x[members].tolist(), (energies[members] - np.median(energies)).tolist(), style="points"))
    caption = "Frames in their order within each trajectory. Trajectories: " + ", ".join(
        f"{index + 1} {name}" for name, index in list(names.items())[:12]
    )
    title, label = "Energies by trajectory", "energy per molecule minus median (eV)"
    return Figure("inspect-energy", title, "trajectory", label, series, caption + ("." if len(names) <= 12 else ", …"))


def _split_table(sets: Sets, split: Mapping[str, str]) -> Table:
    rows = []
    for part in PARTS:
        trajectories = sorted(name for name, value in split.items() if value == part)
        counts = [sum(split[frame.trajectory] == part for frame in frames) for frames in sets.values()]
        shown = ", ".join(trajectories[:6]) + (f" and {len(trajectories) - 6} more" if len(trajectories) > 6 else "")
        rows.append([part, str(len(trajectories)), *map(str, counts), shown])
    columns = ["part", "trajectories", *sets, "names"]
    return Table("inspect-split", "Split by trajectory", columns, rows, "A trajectory is never divided between parts.")


def _range_table(summaries: Mapping[str, Sequence[Summary]]) -> Table:
    rows = [
        [item.what, item.unit, item.kind, str(item.frames), *_shortened(item), str(item.outliers)]
        for group in summaries.values()
        for item in group
    ]
    columns = ["quantity", "unit", "frames of", "number", "mean", "spread", "lowest", "highest", "outliers"]
    return Table("inspect-ranges", "Ranges of the labels", columns, rows, "Spread is the standard deviation.")


def _shortened(item: Summary) -> list[str]:
    """Mean, spread, lowest and highest; a mean that is zero but for rounding is written as zero."""
    mean = 0.0 if abs(item.mean) < 1e-9 * max(abs(item.low), abs(item.high)) else item.mean
    return [f"{value:.4g}" for value in (mean, item.spread, item.low, item.high)]

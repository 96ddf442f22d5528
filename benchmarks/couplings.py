"""Heat, temperature and density of water at the border, for every coupling and reservoir.

    python benchmarks/couplings.py [--quick] [--json FILE] [--run FOLDER] [--only 'WORDS;WORDS']

One small box of SPC/E water (benchmarks/couplings.yaml), calibrated and run with each coupling; the box and the inverted beads are
shared. The same friction everywhere, so that heat shows. Runs that are finished in the folder are not repeated.
"""

from __future__ import annotations

# isort: off
from _common import finish, parse_arguments, print_table

# isort: on
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halocline.config.load import load_study
from halocline.errors import RunFailure
from halocline.results import StageResult
from halocline.stages.runner import Runner

STUDY = Path(__file__).with_name("couplings.yaml")
VARIANTS = {
    "subtractive, beads": (),
    "hamiltonian, beads": ("coupling.name=hamiltonian",),
    "site-energy, beads": ("coupling.name=site-energy",),
    "force-interpolation, beads": ("coupling.name=force-interpolation",),
    "subtractive, beads every 2 steps": ("coupling.reservoir_steps=2",),
    "subtractive, beads, no hysteresis": ("regions.hysteresis=0 A",),
    "abrupt with weight 1/2, beads": ("coupling.name=abrupt", "coupling.delta_weight=0.5"),
    "subtractive, dipole beads": ("coupling.reservoir=dipole",),
    "hamiltonian, dipole beads": ("coupling.reservoir=dipole", "coupling.name=hamiltonian"),
    "site-energy, dipole beads": ("coupling.reservoir=dipole", "coupling.name=site-energy"),
    "subtractive, tracers": ("coupling.reservoir=tracer", "regions.hysteresis=0 A"),
    "hamiltonian, tracers": ("coupling.reservoir=tracer", "coupling.name=hamiltonian", "regions.weighting=steep"),
}


Measured = tuple[float, float]
"""Value and standard error."""


@dataclass(frozen=True)
class Border:
    """What one open run shows; the heat of one crossing in and out in kJ/mol, temperatures in K, densities relative to the target."""

    heat: Measured
    power: Measured
    temperature: Measured
    hottest: Measured
    density: Measured
    wave: Measured


def measure(folder: Path, changes: tuple[str, ...], preset: str | None) -> Border:
    """Calibrate and run one variant."""
    study = load_study(STUDY, preset, list(changes))
    results = Runner(study, folder).run("simulate")
    return read(results["simulate"], study.regions.atomistic, study.regions.atomistic + study.regions.transition)


def read(result: StageResult, atomistic: float, outer: float) -> Border:
    """From the numbers and figures of the stage; waves are judged in 3 Å blocks of the layer, bins taken as independent."""
    numbers = {number.name: (number.value or 0.0, number.error or 0.0) for number in result.numbers}
    figures = {figure.key: figure for figure in result.figures}
    density, temperature = figures["open-density"].series[0], figures["open-temperature"].series[0]
    x, n, error = np.array(density.x), np.array(density.y), np.array(density.error)
    blocks = [(x >= low) & (x < low + 3.0) for low in np.arange(atomistic, outer - 2.9, 3.0)]
    worst = max(blocks, key=lambda block: abs(n[block].mean() - 1.0))
    hottest = int(np.nanargmax(temperature.y))
    return Border(
        numbers["heat of one crossing in and out"],
        numbers["heating power of crossings"],
        numbers["temperature, atomistic"],
        (float(temperature.y[hottest]), float(np.array(temperature.error)[hottest])),
        numbers["density in AT / target"],
        (100.0 * float(n[worst].mean() - 1.0), 100.0 * float(np.sqrt((error[worst] ** 2).sum()) / worst.sum())),
    )


def row_of(variant: str, found: Border) -> tuple[str, ...]:
    """One line of the table."""
    values = (found.heat, found.power, found.temperature, found.hottest, found.density, found.wave)
    return variant, *(f"{value:.{digits}f} ± {error:.{digits}f}" for (value, error), digits in zip(values, (1, 0, 1, 0, 3, 1)))


def main() -> None:
    options = {"run": ("folder of the runs; a temporary one by default", Path), "only": ("names of rows, with ; between", str)}
    arguments = parse_arguments(__doc__.split("\n")[0], **options)
    preset = "tiny" if arguments.quick else None
    rows, figures = [], {}
    with tempfile.TemporaryDirectory() as name:
        chosen = arguments.only.split(";") if arguments.only else list(VARIANTS)
        for variant, changes in ((name, VARIANTS[name]) for name in chosen):
            try:
                found = measure(arguments.run or Path(name), changes, preset)
            except RunFailure as error:
                rows.append((variant, error.what, "", "", "", "", ""))
                continue
            rows.append(row_of(variant, found))
            print("  ".join(rows[-1]), flush=True)
            key = variant.replace(",", "").replace(" ", "_").replace("-", "_").replace("/", "_")
            figures |= {f"{key}_heat": found.heat[0], f"{key}_hottest": found.hottest[0], f"{key}_wave_percent": found.wave[0]}
    columns = (
        "coupling",
        "heat in+out kJ/mol",
        "power kJ/mol/ps",
        "T of AT K",
        "hottest 0.5 A, K",
        "density in AT",
        "largest wave in the layer, %",
    )
    print_table("Water at the border", columns, rows)
    finish(figures, arguments.json)


if __name__ == "__main__":
    main()

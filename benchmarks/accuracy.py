"""Errors of models trained on published sets, on trajectories that training never saw.

    python benchmarks/accuracy.py --run FOLDER [--quick] [--json FILE] [--only 'NAME;NAME'] [--minutes 60]

Where the sets lie, and how they are cut: benchmarks/_data.py. A training that is finished in the folder is not repeated; one that was
killed continues. The model file, its learning curve and its card stay in the folder.
"""

from __future__ import annotations

# isort: off
from _common import finish, parse_arguments, print_table

# isort: on
import time
from dataclasses import dataclass
from pathlib import Path

from _data import Parts, is_present, load

from halocline.config.study import Model as ModelSection
from halocline.models.model import Model
from halocline.training.energy_forces import train_energy_forces
from halocline.training.evaluate import Errors, evaluate_energy_forces


@dataclass(frozen=True)
class Row:
    """A model of energies and forces and the bars it is held against.

    Attributes:
        section: representation, size, cut-off in Å, optimiser.
        bars: force RMSE, meV/Å; energy RMSE, meV/atom, where one is asked for.
    """

    section: dict[str, object]
    bars: tuple[float, float | None]


PAINN = {"name": "painn", "features": 64, "layers": 3, "cutoff": "4.5 A", "batch": 1, "learning_rate": 2e-3}
ROWS = {
    "nacl_aq_cp2k": Row(PAINN, (45.0, 0.6)),
    "water_dcr2scan": Row(PAINN, (50.0, None)),
    "water_scan_wannier": Row(PAINN, (55.0, None)),
}


def train(name: str, row: Row, parts: Parts, folder: Path, seconds: float) -> Path:
    """The trained model; ``seconds`` of wall time for the loop."""
    section = ModelSection.model_validate(row.section)
    return train_energy_forces(section, parts.train, parts.validation, folder, seconds, 1, name=name).model


def line_of(name: str, test: str, found: Errors, row: Row, seconds: float) -> tuple[str, ...]:
    """Errors beside their bars, with bootstrap errors over trajectories."""
    by_key = dict(zip(found.values, found.numbers))
    force, energy, label = by_key["force_rmse"], by_key["energy_rmse"], by_key["force_rms"]
    force_bar, energy_bar = row.bars
    bar = f"{force_bar:g}" if energy_bar is None else f"{force_bar:g}, {energy_bar:g}"
    return f"{name}, {test}", f"{seconds / 60:.0f}", str(force), str(energy), bar, f"{100 * force.value / label.value:.1f}"


def main() -> None:
    options = {
        "run": ("folder of the models", Path),
        "only": ("names of sets, with ; between", str),
        "minutes": ("wall time of one training; 60 by default", float),
    }
    arguments = parse_arguments(__doc__.split("\n")[0], **options)
    seconds = 60.0 * (arguments.minutes or (1.0 if arguments.quick else 60.0))
    folder = arguments.run or Path("accuracy-models")
    rows, figures = [], {}
    for name in arguments.only.split(";") if arguments.only else ROWS:
        if not is_present(name):
            print(f"{name}: not on this machine")
            continue
        parts, row, begun = load(name), ROWS[name], time.process_time()
        model = Model.load(train(name, row, parts, folder, seconds))
        spent = time.process_time() - begun
        for test, frames in {"validation": parts.validation, "test": parts.test, **parts.extra_tests}.items():
            found = evaluate_energy_forces(model, frames)
            rows.append(line_of(name, test, found, row, spent))
            print("  ".join(rows[-1]), *(str(item) for item in found.numbers[3:]), sep="  ", flush=True)
            key = f"{name}_{test}".replace(" ", "_")
            figures |= {f"{key}_force": 1000 * found.values["force_rmse"], f"{key}_energy": 1000 * found.values["energy_rmse"]}
    columns = ("set, frames", "CPU min", "force RMSE", "energy RMSE, per atom", "bars", "% of the forces")
    print_table("Errors on trajectories that training never saw", columns, rows)
    finish(figures, arguments.json)


if __name__ == "__main__":
    main()

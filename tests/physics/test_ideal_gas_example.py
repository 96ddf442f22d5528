"""The ideal gas of the examples: a binomial number of particles and a flat density, without a force."""

from pathlib import Path

import numpy as np
import pytest

from halocline.config.load import load_study
from halocline.dynamics.record import Record
from halocline.observables.base import Setting
from halocline.observables.density import Density
from halocline.observables.number import NumberInAT
from halocline.stages.runner import Runner

EXAMPLE = Path(__file__).parents[2] / "examples" / "02-ideal-gas"


@pytest.mark.slow
def test_number_is_binomial_and_density_is_uniform(tmp_path: Path) -> None:
    study = load_study(EXAMPLE, assignments=["execute.workers=1"])
    runner = Runner(study, tmp_path)
    runner.run("simulate")
    with Record.open(runner.context("simulate").folder / "record.h5") as record:
        setting = Setting.of(record, study.validation, tracers=True)
        number, density = NumberInAT(setting), Density(setting)
        for snapshot in record:
            number.update(snapshot)
            density.update(snapshot)
    assert number.ideal_gas_p_value() > 0.01
    for block in [density.atomistic(), *density.blocks()]:
        assert block.error is not None
        assert abs(block.value - setting.mass_density) < 4.0 * block.error
    results = runner.done["simulate"].result
    capped = [item.value for item in results.numbers if item.name.startswith("capped")]
    assert not np.any(capped)

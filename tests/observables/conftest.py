"""Records of an ideal gas of waters: open, and a closed box at full resolution."""

import pytest
from observed import COUNT
from synthetic_records import ideal_gas_record


@pytest.fixture(scope="module")
def gas(tmp_path_factory):
    with ideal_gas_record(tmp_path_factory.mktemp("gas") / "record.h5", COUNT, 300) as record:
        yield record


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    with ideal_gas_record(tmp_path_factory.mktemp("closed") / "reference.h5", COUNT, 300, "full", seed=2) as record:
        yield record

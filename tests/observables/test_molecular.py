import numpy as np
import pytest
import torch
from synthetic_records import SLAB, ideal_gas_record

from halocline.config.study import Validation
from halocline.models.model import Model, make_representation
from halocline.observables.base import Setting
from halocline.observables.molecular import MolecularProperties
from halocline.state import State
from halocline.units import DEBYE


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    torch.manual_seed(1)
    model = Model("atoms", make_representation("painn", [1, 8], 8, 2, 3.0), heads=("dipole", "polarizability"))
    path = tmp_path_factory.mktemp("model") / "multipoles.safetensors"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    with ideal_gas_record(tmp_path_factory.mktemp("gas") / "record.h5", 60, 12) as record:
        yield record


def observe(record, path):
    observable = MolecularProperties(Setting.of(record, Validation(), multipoles=path))
    for snapshot in record:
        observable.update(snapshot)
    return observable


def test_cut_environment_gives_what_the_whole_box_gives(record, model_path):
    observable = observe(record, model_path)
    model = Model.load(model_path)
    dipoles, polarizabilities = [], []
    for snapshot in record:
        with torch.no_grad():
            output = model(model.graph(State(snapshot.positions, snapshot.cell, snapshot.topology)))
        inside = SLAB.distance(snapshot.centres) < SLAB.atomistic
        dipoles.append(np.linalg.norm(output["molecular_dipole"].double().numpy(), axis=1)[inside] / DEBYE)
        polarizabilities.append(np.trace(output["molecular_polarizability"].double().numpy(), axis1=1, axis2=2)[inside] / 3)
    dipoles, polarizabilities = np.concatenate(dipoles), np.concatenate(polarizabilities)
    assert observable.mean("dipole").value == pytest.approx(dipoles.mean(), rel=1e-5)
    assert observable.width("dipole").value == pytest.approx(dipoles.std(), rel=1e-3)
    assert observable.mean("polarizability").value == pytest.approx(polarizabilities.mean(), rel=1e-5)


def test_run_agrees_with_itself(record, model_path):
    observable = observe(record, model_path)
    claims = observable.compare(observable)
    assert [claim.name for claim in claims] == [
        "mean dipole in AT",
        "width of the dipole distribution in AT",
        "mean isotropic polarizability in AT",
        "width of the isotropic polarizability distribution in AT",
    ]
    assert all(claim.value.value == claim.reference.value for claim in claims)
    assert len(observable.figures(observable)) == 2


def test_expensive_network_sees_a_bounded_number_of_configurations(record, model_path):
    setting = Setting.of(record, Validation(), multipoles=model_path)
    long = MolecularProperties(Setting(**{**vars(setting), "rows": 1000}))
    for snapshot in record:
        long.update(snapshot)
    assert long.stride == 17
    assert long.sampled == 1


def test_without_a_model_nothing_is_claimed(record):
    observable = observe(record, None)
    assert observable.result() == []
    assert observable.compare(observable) == []
    assert observable.figures(observable) == []

"""What every part of a kind must do, whoever wrote it: one function per kind, raised as plain assertions."""

from __future__ import annotations

import json
import math
import os
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from halocline.adress.coupling.base import Coupling
from halocline.adress.regions import Regions, Resolution, regions_from_json
from halocline.adress.reservoir import Reservoir
from halocline.config.load import validate
from halocline.config.study import RegionsSection, Validation
from halocline.dynamics.record import Record
from halocline.errors import HaloclineError, UserError
from halocline.execute.base import Crashed, Executor, OutOfTime, run_tasks
from halocline.labels import QUANTITIES, check_labels
from halocline.models.base import Features, Representation
from halocline.models.graphs import build_graph
from halocline.models.heads.base import Head
from halocline.models.painn import PaiNN
from halocline.models.schnet import SchNet
from halocline.molecules.base import Molecule, build_topology
from halocline.molecules.water import WATER
from halocline.observables.base import Observable, Setting
from halocline.potentials.lennard_jones import LennardJones
from halocline.potentials.pair_table import PairTable
from halocline.reference.base import ReferenceEngine
from halocline.state import State


def check_molecule(molecule: Molecule) -> None:
    """Lengths agree, charges add up, indices exist, no two atoms on top of each other."""
    assert molecule.name
    assert molecule.summary
    geometry = np.array(molecule.geometry)
    assert geometry.shape == (molecule.n_atoms, 3)
    assert (molecule.masses > 0).all()
    distances = np.linalg.norm(geometry[:, None] - geometry[None, :], axis=-1) + 10 * np.eye(molecule.n_atoms)
    assert distances.min() > 0.5, "atoms overlap"
    if molecule.nonbonded:
        assert len(molecule.nonbonded) == molecule.n_atoms
        assert sum(atom.charge for atom in molecule.nonbonded) == pytest.approx(molecule.charge, abs=1e-9)
    for bond in molecule.bonds:
        assert {bond.i, bond.j} <= set(range(molecule.n_atoms))
        assert distances[bond.i, bond.j] == pytest.approx(bond.length, rel=0.15)
    topology = build_topology([(molecule, 3)])
    assert topology.n_atoms == 3 * molecule.n_atoms
    assert topology.molecule_masses == pytest.approx(molecule.mass)


def check_engine(engine: ReferenceEngine, quantities: tuple[str, ...] = ("energy", "forces")) -> None:
    """Labels have the right names, shapes and units; the energy is translation invariant and its gradient is minus the force."""
    assert engine.name
    assert engine.summary
    assert engine.provides <= set(QUANTITIES)
    assert json.loads(json.dumps(engine.level())) == engine.level(), "the level of theory is plain data"
    assert pickle.loads(pickle.dumps(engine)).level_hash() == engine.level_hash(), "engines travel to other processes"
    state = _water(periodic=engine.periodic and not engine.molecular)
    wanted = [name for name in quantities if name in engine.provides]
    labels = engine.compute(state, wanted)
    assert set(labels) == set(wanted)
    check_labels(labels, state.topology.n_atoms, engine.name)
    moved = engine.compute(state.with_positions(state.positions + np.array([1.0, -2.0, 0.5])), wanted)
    assert moved["energy"] == pytest.approx(labels["energy"], abs=1e-4)
    if "forces" in wanted:
        step, energies = 0.005, []
        for sign in (1, -1):
            positions = state.positions.copy()
            positions[1, 0] += sign * step
            energies.append(float(engine.compute(state.with_positions(positions), ["energy"])["energy"]))
        assert -(energies[0] - energies[1]) / (2 * step) == pytest.approx(labels["forces"][1, 0], abs=5e-3)
    broken = state.positions.copy()
    broken[0, 0] = np.nan
    with pytest.raises(HaloclineError):
        engine.compute(state.with_positions(broken), wanted)
    absent = sorted(set(QUANTITIES) - engine.provides)
    if absent:
        with pytest.raises(UserError):
            engine.compute(state, [absent[0]])


def check_representation(kind: type[Representation]) -> None:
    """Features per site; invariant scalars, vectors that turn, no influence from beyond the receptive field."""
    assert kind.name
    assert kind.summary
    torch.manual_seed(0)
    representation = kind([1, 8], 16, 2, 4.0).double()
    assert representation.receptive_field == pytest.approx(8.0)
    state = _water(periodic=False)
    rotation = _rotation()
    here = _features(representation, state)
    turned = _features(representation, state.with_positions(state.positions @ rotation.T - 2.0))
    assert here.scalars.shape == (state.topology.n_atoms, 16)
    assert (here.vectors is not None) == kind.has_vectors
    torch.testing.assert_close(turned.scalars, here.scalars)
    if here.vectors is not None and turned.vectors is not None:
        torch.testing.assert_close(turned.vectors, torch.einsum("ab,ibf->iaf", torch.tensor(rotation), here.vectors))
    far = state.positions.copy()
    far[3:] += 20.0
    alone, apart = _features(representation, state.select([0])), _features(representation, state.with_positions(far))
    torch.testing.assert_close(apart.scalars[:3], alone.scalars)
    again = kind(**representation.hyperparameters())  # type: ignore[arg-type]
    again.load_state_dict(representation.state_dict())


def check_head(kind: type[Head]) -> None:
    """The prediction has the label's name and shape, and turns with the configuration as a tensor of that rank does."""
    assert kind.name in QUANTITIES, "a head predicts a known quantity"
    assert kind.summary
    torch.manual_seed(0)
    representation = (PaiNN if kind.needs_vectors else SchNet)([1, 8], 16, 2, 4.0).double()
    head = kind(representation).double()
    state = _water(periodic=False)
    rotation = _rotation()
    here = _predict(head, representation, [state, state])
    quantity = QUANTITIES[kind.name]
    leading = 2 * state.topology.n_atoms if quantity.extent == "atom" else 2
    assert here.shape == (leading, *quantity.shape)
    assert torch.isfinite(here).all()
    assert torch.allclose(here[: len(here) // 2], here[len(here) // 2 :]), "frames do not see each other"
    turned = _predict(head, representation, [state.with_positions(state.positions @ rotation.T + 3.0)] * 2)
    expected = here.detach().numpy()
    for axis in range(1, 1 + len(quantity.shape)):
        expected = np.moveaxis(np.tensordot(expected, rotation, axes=([axis], [1])), -1, axis)
    np.testing.assert_allclose(turned.detach().numpy(), expected, atol=1e-9)


def check_regions(kind: type[Regions]) -> None:
    """Distances are periodic, their gradient is the direction, weights fall from one to zero, shells fill, JSON reads back."""
    assert kind.name
    assert kind.summary
    edges, topology = np.array([24.0, 24.0, 24.0]), _argon(27).topology
    section = RegionsSection.model_validate({"shape": kind.name, "atomistic": "4 A", "transition": "3 A", "follow": "argon"})
    centres = np.random.default_rng(3).uniform(0.0, 24.0, (27, 3))
    regions = kind.of_section(section, edges, topology).follow(centres)
    distance = regions.distance(centres)
    np.testing.assert_allclose(regions.distance(centres + edges * [1, -2, 3]), distance, atol=1e-9)
    step, direction = 1e-6, np.random.default_rng(4).normal(size=(27, 3))
    slope = (regions.distance(centres + step * direction) - regions.distance(centres - step * direction)) / (2 * step)
    away = distance > 1e-3
    np.testing.assert_allclose(slope[away], (regions.direction(centres) * direction).sum(1)[away], atol=1e-6)
    grid = np.linspace(0.0, regions.reach, 200)
    weight = regions.weight(grid)
    assert weight[grid <= regions.atomistic] == pytest.approx(1.0)
    assert weight[grid >= regions.outer] == pytest.approx(0.0)
    assert (np.diff(weight) <= 1e-12).all()
    volumes = regions.volumes(np.diag(edges))
    assert volumes.sum() == pytest.approx(edges.prod())
    assert (volumes > 0).all()
    points = np.random.default_rng(5).uniform(0.0, 24.0, (20000, 3))
    found = np.bincount(regions.levels(regions.distance(points), regions.initial_inside(regions.distance(points))), minlength=3)
    shares = volumes / edges.prod()
    assert (np.abs(found / 20000 - shares) < 4 * np.sqrt(shares / 20000)).all()
    assert regions_from_json(json.loads(json.dumps(regions.to_json()))) == regions


def check_reservoir(kind: type[Reservoir], folder: Path) -> None:
    """Nothing acts in an ideal gas and nothing is trained for it; else forces are minus the gradient of an energy that ends somewhere."""
    assert kind.name
    assert kind.summary
    assert kind.force_fields
    reservoir, state = kind(), _water(periodic=True)
    assert reservoir.is_trained or not reservoir.is_tabulated
    assert reservoir.is_tabulated or not reservoir.is_pair_table
    study = validate({"coupling": {"reservoir": kind.name}, "coarse_table": {"cutoff": "4 A"}}, "test")
    assert reservoir.thickness(study) > 0
    assert all(study.model_dump()[section][key] is not None for section, key in (dotted.split(".") for dotted in kind.keys))
    if reservoir.is_ideal:
        assert not reservoir.is_trained
        assert reservoir.between(study, None) is None
        return
    if reservoir.is_trained and not reservoir.is_tabulated:
        return  # a learned model, whose potential has tests of its own
    table = folder / "coarse.npz"
    PairTable.from_functions({("water", "water"): lambda r: 0.01 * (4.0 - r) ** 3}, 0.5, 4.0).save(table)
    potential = reservoir.between(study, table if reservoir.is_trained else None)
    assert potential is not None
    potential.bind(state.topology, np.diag([60.0, 60.0, 60.0]))
    everyone, step = np.ones(2, dtype=bool), 1e-4
    slopes = []
    for sign in (1, -1):
        moved = state.positions.copy()
        moved[3:, 1] += sign * step
        slopes.append(sign * potential.evaluate(moved, everyone).energy / (2 * step))
    forces = potential.evaluate(state.positions, everyone).forces
    assert -sum(slopes) == pytest.approx(forces[3:, 1].sum(), abs=1e-6)
    assert abs(forces[3:, 1].sum()) > 1e-4, "molecules in contact feel each other"
    apart = state.positions.copy()
    apart[3:] += np.array([0.0, potential.interaction_range + 3.0, 0.0])
    assert potential.evaluate(apart, everyone).energy == pytest.approx(0.0, abs=1e-12)


def check_coupling(kind: type[Coupling]) -> None:
    """Fine inside, coarse outside; at fixed membership the force is minus the gradient; the booked jump is the energy's."""
    assert kind.name
    assert kind.summary
    state = _argon(27)
    fine, coarse = LennardJones(3.0, 0.02, 6.0), LennardJones(3.0, 0.01, 6.0)
    coupling = kind(fine, coarse)
    coupling.bind(state.topology, state.cell)
    every, nobody = np.ones(27, dtype=bool), np.zeros(27, dtype=bool)
    for inside, potential in ((every, LennardJones(3.0, 0.02, 6.0)), (nobody, LennardJones(3.0, 0.01, 6.0))):
        potential.bind(state.topology, state.cell)
        alone, coupled = potential.evaluate(state.positions), coupling.evaluate(state.positions, Resolution(inside))
        assert coupled.energy == pytest.approx(alone.energy, rel=1e-9)
        np.testing.assert_allclose(coupled.forces, alone.forces, atol=1e-9)
    half = np.arange(27) < 13
    before = coupling.evaluate(state.positions, Resolution(half))
    for atom in (0, 12, 13, 26):
        step, energies = 1e-4, []
        for sign in (1, -1):
            positions = state.positions.copy()
            positions[atom, 1] += sign * step
            energies.append(coupling.evaluate(positions, Resolution(half)).energy)
        assert -(energies[0] - energies[1]) / (2 * step) == pytest.approx(before.forces[atom, 1], abs=1e-6)
    before = coupling.evaluate(state.positions, Resolution(half))
    after, jump = coupling.change(state.positions, before, Resolution(np.arange(27) < 14))
    assert jump == pytest.approx(after.energy - before.energy, abs=1e-12)
    assert after.energy == pytest.approx(coupling.evaluate(state.positions, Resolution(np.arange(27) < 14)).energy, rel=1e-9)


def check_observable(kind: type[Observable], record: Record, folder: Any) -> None:
    """Parts merge to the whole, files read back, results have names and, unless exact, error bars."""
    assert kind.name
    assert kind.summary
    setting = Setting.of(record, Validation())
    whole, first, second = kind(setting), kind(setting), kind(setting)
    for row in range(len(record)):
        whole.update(record[row])
        (first if row < len(record) // 3 else second).update(record[row])
    whole.read(record)
    second.read(record)
    first.merge(second)
    assert repr(first.result()) == repr(whole.result())
    whole.save(folder / f"{kind.name}.npz")
    loaded = kind(setting)
    loaded.load(folder / f"{kind.name}.npz")
    assert repr(loaded.result()) == repr(whole.result())
    for number in whole.result():
        assert number.name
        assert number.error is None or number.n_effective is not None, f"{number.name}: an error bar needs a sample size"


def check_executor(executor: Executor) -> None:
    """Every item is answered once; an exception, a death and the end of the time are answers of their own task alone."""
    assert executor.summary
    roots = dict(run_tasks(math.sqrt, [4.0, -1.0, 9.0], executor))
    assert (roots[0], roots[2]) == (2.0, 3.0)
    assert isinstance(roots[1], ValueError)
    assert list(run_tasks(math.sqrt, [], executor)) == []
    assert isinstance(dict(run_tasks(os._exit, [3], executor))[0], Crashed)
    slow = dict(run_tasks(time.sleep, [30.0, 0.0], executor, timeout=0.3))
    assert isinstance(slow[0], OutOfTime)
    assert slow[1] is None


def _predict(head: Head, representation: Any, states: list[State]) -> torch.Tensor:
    graph = build_graph(states, representation.cutoff, torch.float64)
    features = representation(graph.types, graph.pairs, graph.displacements())
    return head(features, graph, representation.type_index[graph.types])[head.name]


def _features(representation: Representation, state: State) -> Features:
    graph = build_graph(state, representation.cutoff, torch.float64)
    return representation(graph.types, graph.pairs, graph.displacements())


def _rotation() -> np.ndarray:
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    return rotation * np.sign(np.linalg.det(rotation))


def _water(periodic: bool) -> State:
    geometry = np.array(WATER.geometry)
    second = geometry @ np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]) + np.array([0.3, 2.9, 0.4])
    cell = np.diag([9.0, 9.0, 9.0]) if periodic else np.zeros((3, 3))
    return State(np.concatenate([geometry, second]), cell, build_topology([(WATER, 2)]), periodic=periodic)


def _argon(count: int) -> State:
    generator = np.random.default_rng(3)
    argon = Molecule("argon", "noble gas", ("Ar",), ((0.0, 0.0, 0.0),))
    lattice = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:count] * 4.2 + 2.0
    positions = lattice + generator.normal(scale=0.2, size=lattice.shape)
    return State(positions, np.diag([12.6] * 3), build_topology([(argon, count)]))

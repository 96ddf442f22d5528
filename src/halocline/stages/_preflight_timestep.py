"""Whether the time step of a study can follow its fastest motion.

Three motions are known before anything runs, each a harmonic oscillation of period 2 pi sqrt(m/k):

* two atoms that collide: k = U''(r) of their Lennard-Jones energy at the distance r of thermal contact, U(r) = kT, and their reduced
  mass. Argon at T* = 1.5 gives 0.15 tau, 320 fs.
* the libration of a rigid molecule: a charged site without core (the hydrogen of water) swings about the atom that carries it, held by
  the opposite charge of a neighbour in contact with that atom. With R the distance of contact, b the length of the arm and d = R - b,
  U(theta) = -K/d(theta) has k = K R/(b d^3) per displacement of the site. SPC/E water gives 44 fs; its librational band ends at 37 fs.
* the stretching of a bond of a flexible molecule.

Beyond 1/pi of the period every step of the Verlet kind diverges. At a sixth the frequency is off by 5 %. With BAOAB averages over the
positions of a harmonic motion stay exact up to the limit (Leimkuhler and Matthews, 10.1093/amrx/abs010), those of a collision do not.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from halocline import registry
from halocline.config.study import Study
from halocline.errors import UserError
from halocline.molecules.base import Molecule
from halocline.units import ACCELERATION, COULOMB, thermal_energy

STEPS_PER_PERIOD = 6.0
"""Fewer time steps than this in the fastest oscillation are certainly wrong."""
USUAL_STEPS = 20.0
"""What people use."""


@dataclass(frozen=True)
class Motion:
    """An oscillation: what moves, and its period in fs."""

    words: str
    period: float


def check_timestep(study: Study) -> None:
    """The time step follows the fastest motion that is known beforehand.

    Raises:
        UserError: fewer than :data:`STEPS_PER_PERIOD` steps in its period.
    """
    motion, timestep = fastest_motion(study), study.dynamics.timestep
    if motion is None or timestep <= motion.period / STEPS_PER_PERIOD:
        return
    raise UserError(
        f"dynamics.timestep is {timestep:g} fs, but {motion.words} in {motion.period:.3g} fs: fewer than {STEPS_PER_PERIOD:g} steps "
        "in a period cannot follow that",
        "study file: dynamics.timestep",
        f"Lower it to {_floor(motion.period / USUAL_STEPS)} fs, a twentieth of that period; "
        f"{_floor(motion.period / STEPS_PER_PERIOD)} fs is the most that is let pass.",
    )


def fastest_motion(study: Study) -> Motion | None:
    """The shortest of all periods; None where nothing vibrates, as in an ideal gas.

    Bonds of a learned model are as stiff as those of the classical parameters, to within a few per cent.
    """
    species = [registry.get("molecules", name, f"study file: system.molecules.{name}") for name in study.system.molecules]
    motions = [motion for molecule in species if not (study.is_classical and molecule.rigid) for motion in _stretching(molecule)]
    if study.is_classical:
        energy = thermal_energy(study.system.temperature)
        geometric = study.force_field.mixing == "geometric"
        alone = {molecule.name for molecule in species if study.system.molecules[molecule.name] == 1}
        for first, second in itertools.combinations_with_replacement(species, 2):
            if first is second and first.name in alone:  # nothing of its kind to meet
                continue
            motions += _collisions(first, second, energy, geometric)
        if study.force_field.electrostatics != "none":
            for first, second in itertools.product(species, repeat=2):
                if first is second and first.name in alone:
                    continue
                motions += _librations(first, second, energy, geometric)
    return min(motions, key=lambda motion: motion.period, default=None)


def contact(sigma: float, epsilon: float, energy: float) -> float:
    """Å, distance at which the Lennard-Jones energy of two atoms equals an energy above zero (eV)."""
    return sigma * (2.0 / (1.0 + math.sqrt(1.0 + energy / epsilon))) ** (1.0 / 6.0)


def curvature(sigma: float, epsilon: float, distance: float) -> float:
    """eV/Å^2, second derivative of the Lennard-Jones energy."""
    sixth = (sigma / distance) ** 6
    return 4.0 * epsilon * (156.0 * sixth**2 - 42.0 * sixth) / distance**2


def _period(stiffness: float, mass: float) -> float:
    """fs; eV/Å^2 and amu."""
    return 2.0 * math.pi * math.sqrt(mass / (stiffness * ACCELERATION))


def _stretching(molecule: Molecule) -> list[Motion]:
    masses = molecule.masses
    return [
        Motion(
            f"the bond {molecule.symbols[bond.i]}-{molecule.symbols[bond.j]} of '{molecule.name}' vibrates",
            _period(bond.force_constant, float(masses[bond.i] * masses[bond.j] / (masses[bond.i] + masses[bond.j]))),
        )
        for bond in molecule.bonds
        if bond.force_constant > 0.0
    ]


def _mixed(first: Molecule, i: int, second: Molecule, j: int, geometric: bool) -> tuple[float, float]:
    """sigma (Å) and epsilon (eV) between two atoms."""
    a, b = first.nonbonded[i], second.nonbonded[j]
    return (math.sqrt(a.sigma * b.sigma) if geometric else 0.5 * (a.sigma + b.sigma)), math.sqrt(a.epsilon * b.epsilon)


def _cores(molecule: Molecule) -> list[int]:
    return [index for index, site in enumerate(molecule.nonbonded) if site.epsilon > 0.0]


def _moving_mass(molecule: Molecule, index: int) -> float:
    """amu that a collision moves: a rigid molecule as a whole, which is the slowest it can be."""
    return molecule.mass if molecule.rigid else float(molecule.masses[index])


def _collisions(first: Molecule, second: Molecule, energy: float, geometric: bool) -> list[Motion]:
    motions = []
    for i, j in itertools.product(_cores(first), _cores(second)):
        sigma, epsilon = _mixed(first, i, second, j, geometric)
        a, b = _moving_mass(first, i), _moving_mass(second, j)
        period = _period(curvature(sigma, epsilon, contact(sigma, epsilon, energy)), a * b / (a + b))
        pair = f"'{first.name}' and '{second.name}'" if first.name != second.name else f"two molecules '{first.name}'"
        motions.append(Motion(f"{pair} in contact oscillate", period))
    return motions


def _librations(first: Molecule, second: Molecule, energy: float, geometric: bool) -> list[Motion]:
    """Sites of rigid molecules that have a charge and no core, against opposite charges with one."""
    geometry, motions = np.array(first.geometry), []
    if not first.rigid or not _cores(first):
        return []
    for i, site in enumerate(first.nonbonded):
        if site.epsilon > 0.0 or site.charge == 0.0:
            continue
        arms = np.linalg.norm(geometry - geometry[i], axis=1)
        carrier = min(_cores(first), key=lambda core: float(arms[core]))
        arm = float(arms[carrier])
        for j in _cores(second):
            attraction = -COULOMB * site.charge * second.nonbonded[j].charge
            reach = contact(*_mixed(first, carrier, second, j, geometric), energy)
            if attraction > 0.0 and 0.0 < arm < reach:
                stiffness = attraction * reach / (arm * (reach - arm) ** 3)
                words = f"the atoms {first.symbols[i]} of '{first.name}' librate"
                motions.append(Motion(words, _period(stiffness, float(first.masses[i]))))
    return motions


def _floor(value: float) -> str:
    """Two significant digits, rounded down."""
    scale = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.floor(value / scale + 1e-9) * scale:g}"

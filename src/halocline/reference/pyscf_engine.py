"""Density-functional calculations of molecules and small clusters through PySCF: properties and their derivatives."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

import numpy as np

from halocline.errors import UserError
from halocline.labels import Labels
from halocline.reference.base import (
    BadInput,
    NotConverged,
    ReferenceEngine,
    package_missing,
    package_version,
    total_charge,
)
from halocline.reference.dispersion import d4, d4_level, damping
from halocline.state import State
from halocline.topology import FloatArray
from halocline.units import ATOMIC_POLARIZABILITY, BOHR, HARTREE

GRID_LEVEL = 2
"""PySCF's integration grid of energies; level 3 moves the dipole of a water trimer by 5e-5 e Å and forces by 1e-3 eV/Å."""
RESPONSE_GRID_LEVEL = 1
"""Grid of the response kernel; level 2 moves polarizabilities by less than 1e-4 and costs twice the time."""
SCF_TOLERANCE = 1e-9
"""hartree."""
RESPONSE_TOLERANCE = 1e-4
"""Of the orbital rotations; moves polarizabilities by less than 1e-6."""
FIELD = 0.002
"""Atomic units, of the finite-field check. Central differences err by gamma F^2/6, 1e-4 of the polarizability of water
here; a smaller field amplifies the noise of the self-consistent field, a larger one this curvature."""
FIELD_GRADIENT_TOLERANCE = 1e-7
"""hartree; keeps the noise of the dipole in a field far below its change."""
MAX_CYCLES = 100


class PyscfEngine(ReferenceEngine):
    """Restricted Kohn-Sham calculations with density fitting, plus DFT-D4 (PySCF: J. Chem. Phys. 153, 024109 (2020),
    doi 10.1063/5.0006074).

    Multipoles are taken about the centre of mass. Polarizabilities are analytic: coupled-perturbed Kohn-Sham gives the
    limit of finite fields in about half of their time (:func:`finite_field_polarizability` is the check). Density
    fitting moves dipoles by 5e-5 e Å and polarizabilities by 1e-4 in water.

    Args:
        method: density functional, in PySCF's spelling.
        basis: diffuse for polarizabilities; def2-svpd is the smallest sensible one.
        dispersion: "d4" adds DFT-D4 to energy and forces.
    """

    name = "pyscf"
    summary = "Kohn-Sham calculations of clusters: energy, forces, dipole, quadrupole, polarizability, frontier orbitals"
    provides: ClassVar[frozenset[str]] = frozenset(
        {"energy", "forces", "dipole", "quadrupole", "polarizability", "homo", "lumo", "dispersion_energy"}
    )
    periodic = False
    molecular = True

    def __init__(self, method: str = "PBE", basis: str = "def2-svpd", dispersion: str = "d4") -> None:
        self.method, self.basis, self.dispersion = method, basis, dispersion
        if dispersion not in ("d4", "none"):
            raise UserError(f"unknown dispersion '{dispersion}'", "multipoles.dispersion", "Use d4 or none.")
        if dispersion == "none":
            self.provides = self.provides - {"dispersion_energy"}  # type: ignore[misc]
        _check_method(method)
        if dispersion == "d4":
            damping(method)

    def level(self) -> dict[str, Any]:
        return {
            "engine": self.name,
            "method": self.method,
            "basis": self.basis,
            "density_fitting": True,
            "grid_level": [GRID_LEVEL, RESPONSE_GRID_LEVEL],
            "tolerance": [SCF_TOLERANCE, RESPONSE_TOLERANCE],
            "dispersion": d4_level() if self.dispersion == "d4" else "none",
            "pyscf": package_version("pyscf"),
        }

    @classmethod
    def missing(cls) -> str | None:
        return package_missing("pyscf") or package_missing("dftd4")

    def calculate(self, state: State, quantities: Collection[str]) -> Labels:
        """One self-consistent field; forces and polarizability only when asked for."""
        from pyscf import lib

        with lib.with_omp_threads(1):
            field = self.solve(state)
            labels = _properties(field, state)
            if "forces" in quantities:
                labels["forces"] = _forces(field)
            if "polarizability" in quantities:
                labels["polarizability"] = response_polarizability(field)
        if self.dispersion == "d4":
            correction = d4(state, self.method)
            labels["dispersion_energy"] = correction["dispersion_energy"]
            labels["energy"] = labels["energy"] + correction["dispersion_energy"]
            if "forces" in labels:
                labels["forces"] = labels["forces"] + correction["forces"]
        return labels

    def solve(self, state: State) -> Any:
        """Converged PySCF mean-field object of a cluster.

        Raises:
            NotConverged, BadInput: see the messages.
        """
        from pyscf import dft

        field = dft.RKS(self.molecule(state), xc=self.method).density_fit()
        field.grids.level = GRID_LEVEL
        field.conv_tol, field.max_cycle, field.chkfile = SCF_TOLERANCE, MAX_CYCLES, None
        field.kernel()
        if not field.converged:
            where = f"{self.method}/{self.basis} (PySCF)"
            raise NotConverged(f"no convergence in {MAX_CYCLES} cycles", where, "Look at the geometry; it gets no label.")
        return field

    def molecule(self, state: State) -> Any:
        """PySCF molecule of a cluster, in the frame of the positions.

        Raises:
            UserError: the basis does not exist for one of the elements.
            BadInput: an odd number of electrons.
        """
        from ase.data import chemical_symbols
        from pyscf import gto

        charge = total_charge(state.topology)
        if (int(state.topology.atomic_numbers.sum()) - charge) % 2:
            raise BadInput("an odd number of electrons", "engine 'pyscf'", "Only closed shells are treated.")
        atoms = [(chemical_symbols[number], tuple(r)) for number, r in zip(state.topology.atomic_numbers, state.positions)]
        try:
            # 200 MB of integrals are faster to keep than to make again, and workers share the machine's memory
            return gto.M(atom=atoms, basis=self.basis, charge=charge, unit="Angstrom", verbose=0, max_memory=1000)
        except (KeyError, RuntimeError, gto.basis.BasisNotFoundError) as error:
            remedy = "Use a basis that PySCF knows, such as def2-svpd or aug-cc-pvdz."
            words = " ".join(str(error).split())
            raise UserError(f"basis '{self.basis}' cannot be used ({words})", "multipoles.basis", remedy) from error


def _check_method(method: str) -> None:
    from pyscf.dft import libxc

    try:
        libxc.parse_xc(method)
    except (KeyError, ValueError) as error:
        remedy = "Use a functional that PySCF knows, such as PBE, PBE0, revPBE, B3LYP or r2SCAN."
        raise UserError(f"PySCF has no functional '{method}'", "multipoles.method", remedy) from error


def _properties(field: Any, state: State) -> Labels:
    """Energy, multipoles about the centre of mass and frontier orbitals."""
    molecule, density = field.mol, field.make_rdm1()
    masses = state.topology.masses
    centre = masses @ state.positions / masses.sum() / BOHR
    charges, r = molecule.atom_charges(), molecule.atom_coords() - centre
    with molecule.with_common_orig(centre):
        first = molecule.intor_symmetric("int1e_r", comp=3)
        second = molecule.intor_symmetric("int1e_rr", comp=9).reshape(3, 3, *density.shape)
    dipole = charges @ r - np.einsum("xij,ji->x", first, density)
    moments = (r * charges[:, None]).T @ r - np.einsum("xyij,ji->xy", second, density)
    levels, occupied = field.mo_energy, field.mo_occ > 0
    return {
        "energy": np.asarray(field.e_tot) * HARTREE,
        "dipole": dipole * BOHR,
        "quadrupole": 0.5 * (3.0 * moments - np.trace(moments) * np.eye(3)) * BOHR**2,
        "homo": np.asarray(levels[occupied].max()) * HARTREE,
        "lumo": np.asarray(levels[~occupied].min()) * HARTREE,
    }


def _forces(field: Any) -> FloatArray:
    """(n_atoms, 3), eV/Å; with the response of the grid, without which they are not the gradient of the energy."""
    gradient = field.nuc_grad_method()
    gradient.grid_response = True
    return -gradient.kernel() * HARTREE / BOHR


def response_polarizability(field: Any) -> FloatArray:
    """(3, 3) static polarizability, Å^3, by coupled-perturbed Kohn-Sham.

    Raises:
        NotConverged: the response equations.
    """
    from pyscf import dft
    from pyscf.lib import krylov

    molecule = field.mol
    occupied = field.mo_occ > 0
    filled, empty = field.mo_coeff[:, occupied], field.mo_coeff[:, ~occupied]
    gaps = field.mo_energy[~occupied, None] - field.mo_energy[occupied]
    perturbation = empty.T @ molecule.intor_symmetric("int1e_r", comp=3) @ filled
    coarse = field.copy()
    coarse.grids = dft.gen_grid.Grids(molecule)
    coarse.grids.level = RESPONSE_GRID_LEVEL
    induced_potential = coarse.gen_response(hermi=1)

    def interaction(flat: FloatArray) -> FloatArray:
        rotation = flat.reshape(-1, *gaps.shape)
        density = 2.0 * empty @ rotation @ filled.T
        potential = induced_potential(density + density.transpose(0, 2, 1))
        return (empty.T @ potential @ filled / gaps).reshape(flat.shape)

    start = (-perturbation / gaps).reshape(3, -1)
    rotation = krylov(interaction, start, tol=RESPONSE_TOLERANCE, max_cycle=30)
    residual = np.abs(rotation + interaction(rotation) - start).max()
    if not residual < 10 * RESPONSE_TOLERANCE:
        raise NotConverged(f"polarizability: residual {residual:.1e}", "engine 'pyscf'", "Look at the geometry; it gets no label.")
    tensor = -4.0 * np.einsum("xai,yai->xy", perturbation, rotation.reshape(3, *gaps.shape))
    return 0.5 * (tensor + tensor.T) * ATOMIC_POLARIZABILITY


def finite_field_polarizability(field: Any) -> FloatArray:
    """(3, 3) static polarizability, Å^3, by central differences of the dipole in fields of :data:`FIELD`, warm-started.

    Raises:
        NotConverged: one of the six calculations.
    """
    operator = field.mol.intor_symmetric("int1e_r", comp=3)
    core, density = field.get_hcore(), field.make_rdm1()
    tensor = np.zeros((3, 3))
    for axis in range(3):
        for sign in (1.0, -1.0):
            driven = field.copy()
            driven.conv_tol_grad = FIELD_GRADIENT_TOLERANCE
            hamiltonian = core + sign * FIELD * operator[axis]
            driven.get_hcore = lambda *_, hamiltonian=hamiltonian: hamiltonian
            driven.kernel(density)
            if not driven.converged:
                raise NotConverged("no convergence in a finite field", "engine 'pyscf'", "Look at the geometry; it gets no label.")
            tensor[:, axis] += sign * driven.dip_moment(unit="AU", verbose=0) / (2.0 * FIELD)
    return tensor * ATOMIC_POLARIZABILITY

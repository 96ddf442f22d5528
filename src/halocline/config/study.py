"""The study file: one section per stage, every key documented here and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, ValidationInfo

from halocline.config.quantities import (
    Compressibility,
    Density,
    Duration,
    Energy,
    Force,
    Fraction,
    InverseLength,
    Length,
    Rate,
    Temperature,
    Time,
)


def key(default: object, description: str, **limits: Any) -> Any:
    """A documented key; defaults are text with units, parsed like the file, hence untyped."""
    return Field(default, description=description, **limits)


def section(kind: type[Section], description: str) -> Any:
    """A documented group of keys with its own defaults."""
    return Field(default_factory=kind, description=description)


def _beside_study(path: Path, info: ValidationInfo) -> Path:
    """A path as written is relative to the study file; the rest of the program sees it whole."""
    return Path((info.context or {}).get("folder", "")) / path.expanduser()


BesideStudy = Annotated[Path, AfterValidator(_beside_study)]


class Section(BaseModel):
    """A group of keys; unknown keys are refused. Defaults are written as text with units, like the file."""

    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True)


class System(Section):
    """The liquid that the open simulation and its reference are about."""

    molecules: dict[str, PositiveInt] = key({"water": 400}, "Number of molecules of each species in the simulated box.")
    density: Density = key("0.997 g/cm3", "Mass density; fixes the cross-section of the box.", gt=0)
    length: Length = key("48 A", "Edge of the box along x, the direction in which the resolution changes; not used for a cube.", gt=0)
    cube: bool = key(False, "Whether the box is a cube, as spheres want it; its edge follows from the density.")
    temperature: Temperature = key("300 K", "Temperature of the simulations.", gt=0)
    seed: int = key(1, "Seed of every random number of the study.", ge=0)


class ForceField(Section):
    """What exerts forces at full resolution: the model that the study trains, or the classical parameters of its molecules."""

    name: Literal["learned", "classical"] = key("learned", "Trained model, or the parameters in the files of the molecules.")
    cutoff: Length = key("9 A", "Cut-off of Lennard-Jones and Coulomb between atoms, classical only.", gt=0)
    electrostatics: Literal["reaction-field", "damped-shifted-force", "none"] = key("reaction-field", "Coulomb beyond the cut-off.")
    dielectric: float = key(80.0, "Dielectric constant of the reaction field; .inf for a conductor.", ge=1.0)
    damping: InverseLength = key("0.2 /A", "Of the damped-shifted-force Coulomb potential.", ge=0)
    mixing: Literal["lorentz-berthelot", "geometric"] = key("lorentz-berthelot", "Lennard-Jones between unlike atoms.")


class CoarseTable(Section):
    """Tabulated pair potential of the reservoir, by iterative Boltzmann inversion of a run at full resolution."""

    cutoff: Length = key("8 A", "Cut-off between centres of mass.", gt=0)
    reference: Time = key("40 ps", "Length of the run whose g(r) is inverted.", gt=0)
    iterations: int = key(6, "Iterations after direct Boltzmann inversion.", ge=0)
    length: Time = key("10 ps", "Length of the run of one iteration.", gt=0)


class Reference(Section):
    """Electronic structure of periodic boxes: energies and forces that the models learn."""

    engine: str = key("tblite", "Reference engine; `halocline list engines`.")
    method: str = key("GFN1-xTB", "Level of theory of that engine.")
    quantities: list[str] = key(["energy", "forces", "stress", "charges"], "Labels to compute; the engine must provide them.")


class Multipoles(Section):
    """Dipoles, quadrupoles and polarizabilities of small clusters cut from the boxes."""

    engine: str = key("pyscf", "Reference engine for molecular properties.")
    method: str = key("PBE", "Density functional.")
    basis: str = key("def2-svpd", "Basis set; it must be diffuse for polarizabilities.")
    dispersion: Literal["d4", "none"] = key("d4", "Dispersion correction added to energy and forces.")
    quantities: list[str] = key(["energy", "dipole", "quadrupole", "polarizability"], "Labels to compute.")
    clusters: PositiveInt = key(60, "Number of clusters to label.")
    sizes: list[PositiveInt] = key([1, 2, 3], "Numbers of molecules per cluster, in equal shares.")


class DatasetSection(Section):
    """Which configurations are labelled, and how they are divided."""

    molecules: PositiveInt = key(40, "Molecules in a labelled box.")
    frames: PositiveInt = key(200, "Configurations labelled before the first training.")
    temperatures: list[Temperature] = key(["300 K", "370 K"], "Temperatures of the classical MD that makes configurations.")
    trajectories: PositiveInt = key(4, "Independent trajectories per temperature; splits never cut a trajectory.")
    interval: Time = key("250 fs", "Time between configurations of a trajectory.", gt=0)
    droplets: Fraction = key("20 %", "Share of frames that are droplets in vacuum, so that models know surfaces.", ge=0)
    valid: Fraction = key("15 %", "Share of trajectories held back for early stopping.", ge=0)
    test: Fraction = key("15 %", "Share of trajectories never seen in training.", ge=0)


class ActiveLearning(Section):
    """Rounds of: run the trained model, label what it visits, train again."""

    rounds: int = key(1, "Rounds after the first training.", ge=0)
    frames: PositiveInt = key(60, "Configurations labelled in a round.")
    length: Time = key("10 ps", "Length of model MD in a round, over all trajectories.", gt=0)


class Model(Section):
    """Atomistic network trained on energies and forces."""

    name: str = key("schnet", "Representation; `halocline list models`. Dynamics needs one with a kernel.")
    features: PositiveInt = key(64, "Features per atom.")
    layers: PositiveInt = key(2, "Message-passing layers; cut-off times layers is the receptive field.")
    cutoff: Length = key("4.5 A", "Cut-off of a layer.", gt=0)
    budget: Duration = key("4 min", "Wall time of the first training; a round of active learning takes half of it.", gt=0)
    learning_rate: float = key(2e-3, "Peak learning rate of the cosine schedule.", gt=0)
    batch: PositiveInt = key(2, "Frames per optimisation step.")


class MultipoleModel(Section):
    """Equivariant network for molecular dipoles and polarizabilities."""

    name: str = key("painn", "Representation; it needs vector features.")
    features: PositiveInt = key(32, "Features per atom.")
    layers: PositiveInt = key(2, "Message-passing layers.")
    cutoff: Length = key("4.5 A", "Cut-off of a layer.", gt=0)
    heads: list[str] = key(["dipole", "polarizability"], "Predicted quantities; `halocline list heads`.")
    budget: Duration = key("1 min", "Wall time of the training.", gt=0)


class CoarseModel(Section):
    """One bead per molecule: the reservoir."""

    name: str = key("schnet", "Representation of the beads.")
    features: PositiveInt = key(32, "Features per bead.")
    layers: PositiveInt = key(2, "Message-passing layers.")
    cutoff: Length = key("5 A", "Cut-off of a layer.", gt=0)
    teacher: Time = key("8 ps", "Length of atomistic model MD whose mapped forces train the beads.", gt=0)
    budget: Duration = key("90 s", "Wall time of the training.", gt=0)


class RegionsSection(Section):
    """Where the resolution changes. Widths count from the centre: half-widths of a slab, radii of a sphere."""

    shape: str = key("slab", "Geometry of the regions; `halocline list regions`.")
    follow: str | None = key(None, "Species whose molecules the region moves with, for the moving shapes.")
    atomistic: Length = key("6 A", "Half-width or radius of the atomistic region AT.", gt=0)
    transition: Length = key("10 A", "Width of each transition layer; at least the interaction range of the atomistic model.", gt=0)
    hysteresis: Length = key("1 A", "A molecule leaves this much further out than it enters.", ge=0)
    weighting: Literal["cosine", "smoothstep", "steep"] = key(
        "cosine", "Shape of the smooth weight, for couplings that use one; 'steep' where the reservoir is an ideal gas."
    )
    inner: list[Length] = key([], "Interfaces of a deeper stack; from Python only, a study has two potentials.", max_length=0)


class CouplingSection(Section):
    """How the levels are combined."""

    name: str = key("subtractive", "Coupling; `halocline list couplings`.")
    reservoir: str = key(
        "model",
        "Learned beads (model), non-interacting tracers (tracer), beads with a tabulated pair potential (table), or such beads with "
        "dipoles (dipole); `halocline list reservoirs`.",
    )
    delta_weight: float = key(1.0, "Weight of molecules in the transition layer, coupling 'abrupt' (product of weights).", ge=0, le=1)
    compensation: Literal["none", "kirkwood", "on-the-fly"] = key("on-the-fly", "Free-energy compensation of the coupling 'hamiltonian'.")
    reservoir_steps: PositiveInt = key(1, "Forces of the reservoir are evaluated every so many time steps.")


class Dynamics(Section):
    """Integrator, thermostat and recording of the open simulation and its reference."""

    timestep: Time = key("0.5 fs", "Time step of the BAOAB integrator.", gt=0)
    equilibration: Time = key("5 ps", "Part of each run that is dropped.", ge=0)
    length: Time = key("40 ps", "Length of the production run, after equilibration.", gt=0)
    friction_atomistic: Rate = key("0 /ps", "Langevin friction in AT; zero leaves it Newtonian.", ge=0)
    friction_transition: Rate = key("10 /ps", "Langevin friction in the transition layers.", ge=0)
    friction_reservoir: Rate = key("10 /ps", "Langevin friction in the reservoir.", ge=0)
    friction_reference: Rate = key("1 /ps", "Langevin friction of full-resolution runs.", ge=0)
    force_cap: Force = key("50 eV/A", "Largest force of one pair; capped pairs are counted by region.", gt=0)
    record: Time = key("50 fs", "Time between recorded configurations.", gt=0)
    checkpoint: Time = key("1 ps", "Time between checkpoints.", gt=0)
    heating: Fraction = key("5 %", "A run is stopped when a region is off its temperature by this much ...", gt=0)
    heating_time: Time = key("5 ps", "... for this long.", gt=0)


class Calibration(Section):
    """Thermodynamic force: makes the density flat."""

    window: Time = key("4 ps", "Length of one iteration.", gt=0)
    discard: Fraction = key("30 %", "First part of each window that is dropped.", ge=0)
    iterations: PositiveInt = key(6, "Budget of iterations, in windows of this length; a window doubled for its noise takes two.")
    tolerance: Fraction = key("3 %", "Largest accepted deviation of the mean density in AT and of 3 A blocks in the layer.", gt=0)
    border: Length = key("0 A", "Outermost part of the layer that is not judged: tracers leave a ripple there.", ge=0)
    bin: Length = key("0.5 A", "Bin of the density profile and the table.", gt=0)
    smoothing: Length = key("1 A", "Standard deviation of the Gaussian that smooths the profile.", ge=0)
    damping: float = key(0.8, "First fraction c0 of the full update; c_i = c0/(1 + i c0).", gt=0, le=1)
    margin: Length = key("4 A", "How far the force reaches into the reservoir beyond the transition layer.", ge=0)
    compressibility: Literal["measured"] | Compressibility = key(
        "4.5e-5 /bar", "Isothermal compressibility of AT, which scales updates; 'measured' takes it from the bulk run at full resolution."
    )
    bulk: Time = key("5 ps", "Length of the two bulk runs whose pressures start the force.", gt=0)
    start: str = key(
        "pressure",
        "First force: 'pressure' (of the bulk runs, which keeps its weight later), 'zero', or the file of a table.",
    )
    chemical_potential: Energy | None = key(
        None, "Excess chemical potential of AT; the density that has it takes the place of that of the box. Classical, one species."
    )
    insertion: Time = key("50 ps", "Length of each run, or stage of growth, that measures the excess chemical potential.", gt=0)
    replicas: PositiveInt = key(1, "Independent runs per window, side by side; their densities are merged.")


class Validation(Section):
    """Reference run and tolerances of the verdicts."""

    reference: Time = key("40 ps", "Length of the full-resolution reference run, after equilibration.", gt=0)
    density: Fraction = key("3 %", "Tolerance on the mean density in AT.", gt=0)
    peak: Fraction = key("5 %", "Tolerance on the height of the first peak of g(r).", gt=0)
    variance: Fraction = key("15 %", "Tolerance on the variance of the number of molecules in AT.", gt=0)
    dipole: Fraction = key("2 %", "Tolerance on mean molecular dipole and polarizability.", gt=0)
    temperature: Fraction = key("2 %", "Tolerance on the temperature of each region.", gt=0)
    forces: Force = key("0.15 eV/A", "Tolerance on the force error of the model on fresh labelled frames.", gt=0)


class Execute(Section):
    """Where the work runs."""

    executor: str = key("local", "Where independent tasks run (labels, trajectories, replicas); `halocline list executors`.")
    workers: PositiveInt = key(2, "Cores to use: processes of one thread each, or threads of one process.")
    parsl: BesideStudy | None = key(None, "Python file that defines config = parsl.Config(...), relative to the study file; for 'parsl'.")


class Study(Section):
    """A whole study."""

    study: str = key("water", "Name of the study.", min_length=1)
    preset: Literal["tiny", "standard", "production"] | None = key(None, "Effort; values written in the file win over it.")
    system: System = section(System, "The liquid.")
    force_field: ForceField = section(ForceField, "Forces at full resolution.")
    coarse_table: CoarseTable = section(CoarseTable, "Tabulated reservoir.")
    reference: Reference = section(Reference, "Labels of boxes.")
    multipoles: Multipoles = section(Multipoles, "Labels of clusters.")
    dataset: DatasetSection = section(DatasetSection, "Which configurations are labelled.")
    active_learning: ActiveLearning = section(ActiveLearning, "Rounds of labelling what the model visits.")
    model: Model = section(Model, "Atomistic model.")
    multipole_model: MultipoleModel = section(MultipoleModel, "Dipole and polarizability model.")
    coarse_model: CoarseModel = section(CoarseModel, "Bead model.")
    regions: RegionsSection = section(RegionsSection, "Regions.")
    coupling: CouplingSection = section(CouplingSection, "Coupling.")
    dynamics: Dynamics = section(Dynamics, "Dynamics.")
    calibration: Calibration = section(Calibration, "Thermodynamic force.")
    validation: Validation = section(Validation, "Verdicts.")
    execute: Execute = section(Execute, "Execution.")

    @property
    def is_classical(self) -> bool:
        """Whether forces at full resolution come from the classical parameters of the molecules."""
        return self.force_field.name == "classical"

"""The study file: one section per stage, every key documented here and nowhere else."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from halocline.config.quantities import Compressibility, Density, Duration, Force, Fraction, Length, Rate, Temperature, Time


class Section(BaseModel):
    """A group of keys; unknown keys are refused. Defaults are written as text with units, like the file."""

    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True)


class System(Section):
    """The liquid that the open simulation and its reference are about."""

    molecules: dict[str, PositiveInt] = Field({"water": 400}, description="Number of molecules of each species in the simulated box.")
    density: Density = Field("0.997 g/cm3", description="Mass density; fixes the cross-section of the box.")  # type: ignore[assignment]
    length: Length = Field("48 A", description="Edge of the box along x, the direction in which the resolution changes.")  # type: ignore[assignment]
    temperature: Temperature = Field("300 K", description="Temperature of the simulations.")  # type: ignore[assignment]
    seed: int = Field(1, description="Seed of every random number of the study.")


class Reference(Section):
    """Electronic structure of periodic boxes: energies and forces that the models learn."""

    engine: str = Field("tblite", description="Reference engine; `halocline list engines`.")
    method: str = Field("GFN1-xTB", description="Level of theory of that engine.")
    quantities: list[str] = Field(["energy", "forces", "stress", "charges"], description="Labels to compute; the engine must provide them.")


class Multipoles(Section):
    """Dipoles, quadrupoles and polarizabilities of small clusters cut from the boxes."""

    engine: str = Field("pyscf", description="Reference engine for molecular properties.")
    method: str = Field("PBE", description="Density functional.")
    basis: str = Field("def2-svpd", description="Basis set; it must be diffuse for polarizabilities.")
    dispersion: Literal["d4", "none"] = Field("d4", description="Dispersion correction added to energy and forces.")
    quantities: list[str] = Field(["energy", "dipole", "quadrupole", "polarizability"], description="Labels to compute.")
    clusters: PositiveInt = Field(60, description="Number of clusters to label.")
    sizes: list[PositiveInt] = Field([1, 2, 3], description="Numbers of molecules per cluster, in equal shares.")


class DatasetSection(Section):
    """Which configurations are labelled, and how they are divided."""

    molecules: PositiveInt = Field(32, description="Molecules in a labelled box.")
    frames: PositiveInt = Field(240, description="Configurations labelled before the first training.")
    temperatures: list[Temperature] = Field(["300 K", "370 K"], description="Temperatures of the classical MD that makes configurations.")  # type: ignore[assignment]
    trajectories: PositiveInt = Field(4, description="Independent trajectories per temperature; splits never cut a trajectory.")
    interval: Time = Field("250 fs", description="Time between configurations of a trajectory.")  # type: ignore[assignment]
    droplets: Fraction = Field("20 %", description="Share of frames that are droplets in vacuum, so that models know surfaces.")  # type: ignore[assignment]
    valid: Fraction = Field("15 %", description="Share of trajectories held back for early stopping.")  # type: ignore[assignment]
    test: Fraction = Field("15 %", description="Share of trajectories never seen in training.")  # type: ignore[assignment]


class ActiveLearning(Section):
    """Rounds of: run the trained model, label what it visits, train again."""

    rounds: int = Field(2, ge=0, description="Rounds after the first training.")
    frames: PositiveInt = Field(80, description="Configurations labelled in a round.")
    length: Time = Field("10 ps", description="Length of model MD in a round, over all trajectories.")  # type: ignore[assignment]


class Model(Section):
    """Atomistic network trained on energies and forces."""

    name: str = Field("schnet", description="Representation; `halocline list models`. Dynamics needs one with a kernel.")
    features: PositiveInt = Field(64, description="Features per atom.")
    layers: PositiveInt = Field(2, description="Message-passing layers; cut-off times layers is the receptive field.")
    cutoff: Length = Field("5 A", description="Cut-off of a layer.")  # type: ignore[assignment]
    budget: Duration = Field("15 min", description="Wall time of the first training; a round of active learning takes half of it.")  # type: ignore[assignment]
    learning_rate: float = Field(2e-3, gt=0, description="Peak learning rate of the cosine schedule.")
    batch: PositiveInt = Field(2, description="Frames per optimisation step.")


class MultipoleModel(Section):
    """Equivariant network for molecular dipoles and polarizabilities."""

    name: str = Field("painn", description="Representation; it needs vector features.")
    features: PositiveInt = Field(32, description="Features per atom.")
    layers: PositiveInt = Field(2, description="Message-passing layers.")
    cutoff: Length = Field("5 A", description="Cut-off of a layer.")  # type: ignore[assignment]
    heads: list[str] = Field(["dipole", "polarizability"], description="Predicted quantities; `halocline list heads`.")
    budget: Duration = Field("6 min", description="Wall time of the training.")  # type: ignore[assignment]


class CoarseModel(Section):
    """One bead per molecule: the reservoir."""

    name: str = Field("schnet", description="Representation of the beads.")
    features: PositiveInt = Field(32, description="Features per bead.")
    layers: PositiveInt = Field(2, description="Message-passing layers.")
    cutoff: Length = Field("6 A", description="Cut-off of a layer.")  # type: ignore[assignment]
    teacher: Time = Field("20 ps", description="Length of atomistic model MD whose mapped forces train the beads.")  # type: ignore[assignment]
    budget: Duration = Field("6 min", description="Wall time of the training.")  # type: ignore[assignment]


class RegionsSection(Section):
    """Where the resolution changes. Widths are half-widths about the centre of the slab."""

    shape: Literal["slab"] = Field("slab", description="Geometry of the regions.")
    atomistic: Length = Field("6 A", description="Half-width of the atomistic region AT.")  # type: ignore[assignment]
    transition: Length = Field("10 A", description="Width of each transition layer; at least the interaction range of the atomistic model.")  # type: ignore[assignment]
    hysteresis: Length = Field("1 A", description="A molecule leaves this much further out than it enters.")  # type: ignore[assignment]


class CouplingSection(Section):
    """How the levels are combined."""

    name: str = Field("subtractive", description="Coupling; `halocline list couplings`.")
    reservoir: Literal["model", "tracer"] = Field("model", description="Learned beads, or non-interacting tracers.")


class Dynamics(Section):
    """Integrator, thermostat and recording of the open simulation and its reference."""

    timestep: Time = Field("0.5 fs", description="Time step of the BAOAB integrator.")  # type: ignore[assignment]
    equilibration: Time = Field("5 ps", description="Part of each run that is dropped.")  # type: ignore[assignment]
    length: Time = Field("60 ps", description="Length of the production run, after equilibration.")  # type: ignore[assignment]
    friction_atomistic: Rate = Field("0 /ps", description="Langevin friction in AT; zero leaves it Newtonian.")  # type: ignore[assignment]
    friction_transition: Rate = Field("10 /ps", description="Langevin friction in the transition layers.")  # type: ignore[assignment]
    friction_reservoir: Rate = Field("10 /ps", description="Langevin friction in the reservoir.")  # type: ignore[assignment]
    friction_reference: Rate = Field("1 /ps", description="Langevin friction of full-resolution runs.")  # type: ignore[assignment]
    force_cap: Force = Field("50 eV/A", description="Largest force of one pair; capped pairs are counted by region.")  # type: ignore[assignment]
    record: Time = Field("50 fs", description="Time between recorded configurations.")  # type: ignore[assignment]
    checkpoint: Time = Field("1 ps", description="Time between checkpoints.")  # type: ignore[assignment]


class Calibration(Section):
    """Thermodynamic force: makes the density flat."""

    window: Time = Field("5 ps", description="Length of one iteration.")  # type: ignore[assignment]
    discard: Fraction = Field("30 %", description="First part of each window that is dropped.")  # type: ignore[assignment]
    iterations: PositiveInt = Field(8, description="Largest number of iterations.")
    tolerance: Fraction = Field(
        "3 %", description="Largest accepted deviation of the density in AT and of 3 A block means in the transition layer."
    )  # type: ignore[assignment]
    bin: Length = Field("0.5 A", description="Bin of the density profile and the table.")  # type: ignore[assignment]
    smoothing: Length = Field("1 A", description="Standard deviation of the Gaussian that smooths the profile.")  # type: ignore[assignment]
    damping: float = Field(0.2, gt=0, le=1, description="First fraction c0 of the full update; c_i = c0/(1 + i/4).")
    margin: Length = Field("4 A", description="How far the force reaches into the reservoir beyond the transition layer.")  # type: ignore[assignment]
    compressibility: Compressibility = Field("4.5e-5 /bar", description="Isothermal compressibility used to scale updates.")  # type: ignore[assignment]
    bulk: Time = Field("10 ps", description="Length of the two bulk runs whose pressures start the force.")  # type: ignore[assignment]


class Validation(Section):
    """Reference run and tolerances of the verdicts."""

    reference: Time = Field("60 ps", description="Length of the full-resolution reference run, after equilibration.")  # type: ignore[assignment]
    density: Fraction = Field("3 %", description="Tolerance on the mean density in AT.")  # type: ignore[assignment]
    peak: Fraction = Field("5 %", description="Tolerance on the height of the first peak of g(r).")  # type: ignore[assignment]
    variance: Fraction = Field("15 %", description="Tolerance on the variance of the number of molecules in AT.")  # type: ignore[assignment]
    dipole: Fraction = Field("2 %", description="Tolerance on mean molecular dipole and polarizability.")  # type: ignore[assignment]
    temperature: Fraction = Field("2 %", description="Tolerance on the temperature of each region.")  # type: ignore[assignment]
    forces: Force = Field("0.15 eV/A", description="Tolerance on the force error of the model on fresh labelled frames.")  # type: ignore[assignment]


class Execute(Section):
    """Where the work runs."""

    workers: PositiveInt = Field(2, description="Processes, one thread each.")


class Study(Section):
    """A whole study."""

    study: str = Field("water", min_length=1, description="Name of the study.")
    preset: Literal["tiny", "standard", "production"] | None = Field(None, description="Effort; values written in the file win over it.")
    system: System = Field(default_factory=System, description="The liquid.")
    reference: Reference = Field(default_factory=Reference, description="Labels of boxes.")
    multipoles: Multipoles = Field(default_factory=Multipoles, description="Labels of clusters.")
    dataset: DatasetSection = Field(default_factory=DatasetSection, description="Which configurations are labelled.")
    active_learning: ActiveLearning = Field(default_factory=ActiveLearning, description="Rounds of labelling what the model visits.")
    model: Model = Field(default_factory=Model, description="Atomistic model.")
    multipole_model: MultipoleModel = Field(default_factory=MultipoleModel, description="Dipole and polarizability model.")
    coarse_model: CoarseModel = Field(default_factory=CoarseModel, description="Bead model.")
    regions: RegionsSection = Field(default_factory=RegionsSection, description="Regions.")
    coupling: CouplingSection = Field(default_factory=CouplingSection, description="Coupling.")
    dynamics: Dynamics = Field(default_factory=Dynamics, description="Dynamics.")
    calibration: Calibration = Field(default_factory=Calibration, description="Thermodynamic force.")
    validation: Validation = Field(default_factory=Validation, description="Verdicts.")
    execute: Execute = Field(default_factory=Execute, description="Execution.")

"""Stage results of a water study that never ran: realistic in shape and size, made from closed forms and a fixed seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from halocline.results import Figure, Number, Series, StageResult, Table

STAGES = ("build", "label", "inspect", "train", "calibrate", "simulate", "validate")


def _rdf(r: np.ndarray, height: float) -> np.ndarray:
    shells = height * np.exp(-(((r - 2.78) / 0.16) ** 2)) + 0.16 * np.exp(-(((r - 4.5) / 0.6) ** 2))
    return 1 / (1 + np.exp(-(r - 2.62) / 0.05)) * (1 + shells - 0.22 * np.exp(-(((r - 3.45) / 0.35) ** 2)))


def build() -> StageResult:
    return StageResult(
        "400 water molecules in 48.0 × 15.8 × 15.8 Å at 0.997 g/cm³, and 240 configurations of 32 molecules at 300 and 370 K.",
        [Number("molecules", 400), Number("density", 0.997, "g/cm³"), Number("smallest distance between molecules", 1.61, "Å")],
        files={"box": "box.h5", "configurations": "configurations.h5"},
    )


def label() -> StageResult:
    random = np.random.default_rng(5)
    energies = np.sort(random.normal(0, 0.012, 238))
    return StageResult(
        "238 of 240 boxes labelled with GFN1-xTB (periodic), 60 of 60 clusters with PBE-D4/def2-svpd.",
        [Number("boxes labelled", 238), Number("boxes failed", 2), Number("clusters labelled", 60), Number("processor time", 402.5, "s")],
        [
            Figure(
                "energies", "Energies of the labelled boxes", "frame, by energy", "energy − mean (eV/atom)",
                [Series("boxes", list(range(238)), energies, style="points")], "Relative to the mean of all boxes.",
            )
        ],
        [
            Table(
                "failures", "Calculations that failed", ("Frame", "Kind", "Message"),
                [("9f31c2", "NotConverged", "SCF not converged after 250 cycles"), ("77ab01", "NotConverged", "SCF not converged <250>")],
                "Skipped and counted; never replaced by a guess.",
            )
        ],
        files={"boxes": "boxes.h5", "clusters": "clusters.h5"},
    )  # fmt: skip


def inspect() -> StageResult:
    rows = [
        ("energy", "eV", "238", "−11 036.42", "−11 031.07", "0"),
        ("forces", "eV/Å", "238", "−6.31", "6.55", "0"),
        ("stress", "eV/Å³", "238", "−0.021", "0.034", "0"),
        ("dipole", "e Å", "60", "−0.71", "0.74", "0"),
        ("polarizability", "Å³", "60", "1.31", "1.62", "0"),
    ]
    return StageResult(
        "All labels finite; no duplicate frames; split by trajectory into 166 / 36 / 36 frames.",
        [Number("largest net force", 3.1e-7, "eV/Å"), Number("duplicates", 0)],
        [
            Figure(
                "forces", "Distribution of force components", "force (eV/Å)", "frames",
                [Series("boxes", list(np.linspace(-5, 5, 41)), list(1e4 * np.exp(-np.linspace(-5, 5, 41) ** 2 / 1.6)), style="bars")],
            )
        ],
        [Table("ranges", "Labels", ("Label", "Unit", "Frames", "Lowest", "Highest", "Outliers"), rows, "Outliers: more than eight MADs.")],
        files={"split": "split.json"},
    )  # fmt: skip


def train() -> StageResult:
    random = np.random.default_rng(11)
    epochs = np.arange(1, 2001)
    decay = 0.9 * epochs**-0.42
    noise = np.exp(random.normal(0, 0.06, (2, len(epochs))))
    forces = random.normal(0, 1.1, 60000)
    alpha = random.normal(1.46, 0.05, 240)
    return StageResult(
        "Forces on unseen trajectories to 0.083 eV/Å; the kernel agrees with torch to 4 × 10⁻⁶.",
        [
            Number("force error, test (RMSE)", 0.0831, "eV/Å", 0.0012, 36),
            Number("energy error, test (RMSE)", 0.00112, "eV/atom", 0.00009, 36),
            Number("dipole error, test (RMSE)", 0.0123, "e Å", 0.0008, 12),
            Number("kernel against torch", 4.1e-6),
            Number("parameters of the atomistic model", 58241),
        ],
        [
            Figure(
                "curve-atomistic", "Learning curve of the atomistic model", "epoch", "force error (eV/Å)",
                [Series("training", epochs, decay * noise[0]), Series("validation", epochs, (decay + 0.012) * noise[1])],
                "Root mean square over components.", log_y=True,
            ),
            Figure(
                "parity-forces", "Forces on the test set", "reference (eV/Å)", "model (eV/Å)",
                [Series("test", forces, forces + random.normal(0, 0.083, len(forces)), style="points")],
                "Every component of every atom; dotted: perfect agreement.", kind="parity",
            ),
            Figure(
                "parity-polarizability", "Mean polarizability of molecules in clusters", "reference (Å³)", "model (Å³)",
                [
                    Series("one molecule", alpha[:80], alpha[:80] + random.normal(0, 0.006, 80), style="points"),
                    Series("two molecules", alpha[80:160], alpha[80:160] + random.normal(0, 0.01, 80), style="points"),
                    Series("three molecules", alpha[160:], alpha[160:] + random.normal(0, 0.012, 80), style="points"),
                ],
                kind="parity",
            ),
        ],
        files={"atomistic": "atomistic.safetensors", "multipoles": "multipoles.safetensors", "coarse": "coarse.safetensors"},
    )  # fmt: skip


def calibrate() -> StageResult:
    x = np.linspace(-24, 24, 193)
    force = -0.031 * np.sign(x) * np.exp(-(((np.abs(x) - 15) / 3.2) ** 2))
    iterations = np.arange(1, 9)
    deviation = 0.09 * np.exp(-0.45 * iterations) + 0.014
    profiles = [
        Series(f"iteration {i}", x, 1 + deviation[i - 1] * np.cos(x / 2.6) * np.exp(-(((np.abs(x) - 14) / 6) ** 2))) for i in (1, 3, 8)
    ]
    return StageResult(
        "Converged after 8 iterations: density in AT within 1.9 ± 0.8 % of the target.",
        [
            Number("largest block deviation", 1.9, "%", 0.8, 41),
            Number("pressure difference per molecule", -0.0249, "eV", 0.0011, 24),
            Number("thermodynamic force at the start", float("nan"), "eV/Å"),
        ],
        [
            Figure(
                "force", "Thermodynamic force", "x − centre (Å)", "force (eV/Å)",
                [Series("force on a molecule", x, force, [0.0018] * len(x)), Series("bulk-pressure start", x, 0.8 * force, style="dashed")],
                "Positive pushes towards larger x; the band is one standard error.",
            ),
            Figure(
                "convergence", "Convergence", "iteration", "largest deviation of the density (%)",
                [
                    Series("transition layer", iterations, 100 * deviation, list(100 * deviation * 0.18), "points"),
                    Series("tolerance", [1, 8], [3, 3], style="dashed"),
                ],
            ),
            Figure("profiles", "Density during the iteration", "x − centre (Å)", "density / target", profiles),
        ],
        files={"force": "thermodynamic_force.json", "state": "state.h5"},
    )  # fmt: skip


def simulate() -> StageResult:
    time = np.linspace(0, 60, 1200)
    random = np.random.default_rng(2)
    temperatures = [
        Series(name, time, 300 + shift + random.normal(0, 7, len(time))) for name, shift in (("AT", 1.2), ("Δ", 4.0), ("reservoir", 0.2))
    ]
    return StageResult(
        "60 ps of open dynamics; 38 molecules change level per ps; no capped pair in AT.",
        [
            Number("temperature, AT", 301.2, "K", 1.9, 61),
            Number("temperature, Δ", 304.1, "K", 1.2, 140),
            Number("temperature, reservoir", 300.2, "K", 0.9, 210),
            Number("capped pairs, AT", 0),
            Number("capped pairs, Δ", 12871),
            Number("heat of resolution changes", -1.93, "eV/ps", 0.11, 58),
            Number("imbalance of the heat ledger", 2.2e-5, "eV/ps", 4e-6, 58),
        ],
        [Figure("temperature", "Temperature by region", "time (ps)", "temperature (K)", temperatures, "Every recorded configuration.")],
        files={"record": "record.h5", "trajectory": "open.xtc"},
    )


def validate() -> StageResult:
    dipole = np.linspace(0.4, 0.7, 31)
    x, r, n = np.linspace(-24, 24, 97), np.linspace(2, 7, 220), np.arange(60, 141, 2)
    profile = 1 + 0.012 * np.cos(x / 2.2)
    count = np.exp(-(((n - 100.4) / 9.1) ** 2) / 2)
    fields = (
        "name",
        "verdict",
        "value",
        "reference",
        "unit",
        "error",
        "reference_error",
        "tolerance",
        "n_effective",
        "explanation",
        "needed",
    )
    verdicts: list[tuple[Any, ...]] = [
        ("density in AT", "consistent", 0.03341, 0.03333, "Å⁻³", 0.00016, None, 0.001, 52.3,
         "differs by +8e-05 ± 0.00033 Å⁻³ from the target, inside the tolerance of 0.001", ""),
        ("g(r) O–O, height of the first peak", "consistent", 2.702, 2.741, "", 0.021, 0.014, 0.137, 88.0,
         "differs by −0.039 ± 0.05 from the reference run, inside the tolerance of 0.137", ""),
        ("g(r) O–H, height of the second peak", "undecided", 1.512, 1.561, "", 0.034, 0.021, 0.078, 41.0,
         "differs by −0.049 ± 0.08 from the reference run; the tolerance of 0.078 lies within the error",
         "Run about 7.6 times longer (457 ps instead of 60 ps)."),
        ("variance of the number of molecules in AT", "undecided", 61.0, 54.2, "", 14.0, None, 8.1, 6.2,
         "only 6.2 independent samples, 8 are the least that an error bar can rest on",
         "Run about 1.5 times longer (93 ps instead of 60 ps)."),
        ("temperature in Δ", "inconsistent", 318.1, 300.0, "K", 1.2, None, 6.0, 140.0,
         "differs by +18.1 ± 2.4 K from the thermostat, outside the tolerance of 6",
         "Raise dynamics.friction_transition or lower the force cap."),
        ("molecular dipole", "consistent", 0.5531, 0.5528, "e Å", 0.0009, 0.0007, 0.0111, 212.0,
         "differs by +0.0003 ± 0.0023 e Å from the reference run, inside the tolerance of 0.0111", ""),
        ("capped pairs in AT", "consistent", 0, 0, "", None, None, 0, None, "0 against 0 allowed", ""),
        ("polarizability", "undecided", None, 1.46, "Å³", None, 0.01, 0.029, 0.0,
         "the run gives no error bar for it (too short, or the quantity never changed)", "Run about 4.0 times longer."),
    ]  # fmt: skip
    return StageResult(
        "8 checks: 4 consistent, 1 inconsistent, 3 undecided.",
        [Number("length of the reference run", 60, "ps")],
        [
            Figure(
                "density", "Density profile", "x − centre (Å)", "density / target",
                [Series("open simulation", x, profile, [0.011] * len(x)), Series("target", [-24, 24], [1, 1], style="dashed")],
            ),
            Figure(
                "rdf-oo", "g(r) between oxygen atoms in AT", "r (Å)", "g(r)",
                [
                    Series("open simulation", r, _rdf(r, 1.71), list(0.02 + 0 * r)),
                    Series("full resolution", r, _rdf(r, 1.75), list(0.014 + 0 * r), "dashed"),
                ],
                "Both from the same region of the box.",
            ),
            Figure(
                "number", "Number of molecules in AT", "N", "P(N)",
                [
                    Series("open simulation", n, 0.087 * count, list(0.004 + 0.02 * count), "bars"),
                    Series("prediction for this reservoir", n, 0.092 * np.exp(-(((n - 100) / 8.6) ** 2) / 2)),
                ],
            ),
            Figure(
                "dipole", "Molecular dipole", "dipole (e Å)", "probability density",
                [
                    Series("open simulation", dipole, np.exp(-(((dipole - 0.553) / 0.04) ** 2)), style="bars"),
                    Series("full resolution", dipole, np.exp(-(((dipole - 0.551) / 0.041) ** 2)), style="bars"),
                ],
            ),
            Figure("polarizability", "Polarizability", "α (Å³)", "probability density", [Series("open simulation", [], [])]),
        ],
        verdicts=[dict(zip(fields, item)) for item in verdicts],
        files={"reference": "reference.h5"},
    )  # fmt: skip


def results() -> dict[str, StageResult]:
    makers = (build, label, inspect, train, calibrate, simulate, validate)
    # Through JSON, as the runner hands them over: values that are not finite come back as None.
    return {name: StageResult.from_json(make().to_json()) for name, make in zip(STAGES, makers)}

"""What is installed on this machine, and the one-line remedy for what is not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True)
class Finding:
    """One line of the table; a missing part that is not required leaves the machine usable."""

    name: str
    found: str
    ok: bool
    remedy: str
    required: bool = True


REQUIRED = {
    "numba": "pip install numba",
    "tblite": "pip install tblite",
    "pyscf": "pip install pyscf",
    "dftd4": "pip install dftd4",
    "openmm": "pip install openmm",
}


LAYER_NAMES = {"omp": "OpenMP", "tbb": "TBB", "workqueue": "a work queue"}
_OPENMP = "Install the OpenMP of the compiler (libgomp, on macOS libomp), and import halocline before other code that uses numba."


def examine() -> list[Finding]:
    """Every part that a study may need."""
    findings = [_python(), _torch(), _threads(), _kernel_threads()]
    findings += [_package(name, remedy) for name, remedy in REQUIRED.items()]
    findings += [_packmol(), _cp2k(), _slurm(), _parsl()]
    return findings


def _python() -> Finding:
    version = sys.version_info
    ok = version >= (3, 11)
    return Finding("python", f"{version.major}.{version.minor}.{version.micro}", ok, "Install Python 3.11 or newer.")


def _torch() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("torch", f"not usable ({error})", False, "pip install torch")
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU only, which is enough"
    return Finding("torch", f"{torch.__version__}, {device}", True, "")


def _threads() -> Finding:
    from halocline.provenance import usable_cores

    try:
        import torch
    except ImportError:
        return Finding("threads", f"{usable_cores()} cores usable", True, "")
    return Finding("threads", f"{usable_cores()} cores usable, torch takes {torch.get_num_threads()}", True, "")


def _kernel_threads() -> Finding:
    """What compiled loops run on; starting its threads is the only way to know."""
    try:
        import numba

        from halocline.compilation import LAYERS, threading_layer
    except ImportError as error:
        return Finding("kernel threads", f"unknown ({error})", False, "pip install numba", required=False)
    asked = str(numba.config.THREADING_LAYER)  # type: ignore[attr-defined]
    try:
        layer = threading_layer()
    except ValueError as error:
        reason = str(error).splitlines()[0]
        return Finding("kernel threads", f"'{asked}' does not load ({reason})", False, "Unset NUMBA_THREADING_LAYER.", required=False)
    count = numba.get_num_threads()
    found = f"{count} of {LAYER_NAMES[layer]}"
    if asked != "default":
        found += f", as NUMBA_THREADING_LAYER={asked} asks"
    elif layer != LAYERS[0]:
        found += f", because {LAYER_NAMES[LAYERS[0]]} did not load, or other code started the threads first"
    if layer != "workqueue" or count == 1:
        return Finding("kernel threads", found, layer == LAYERS[0] or asked != "default", _OPENMP, required=False)
    remedy = "Unset NUMBA_THREADING_LAYER, unless the machine is shared." if asked != "default" else _OPENMP
    return Finding("kernel threads", f"{found}; slower than OpenMP: its threads sleep between calls", False, remedy, required=False)


def _package(name: str, remedy: str) -> Finding:
    """Import rather than ask for the version: a library that does not load is as good as absent."""
    try:
        __import__(name)
        return Finding(name, metadata.version(name), True, "")
    except Exception as error:
        return Finding(name, f"missing ({type(error).__name__}: {error})", False, remedy)


def _packmol() -> Finding:
    """The program that ``build`` starts is the one inside the package, not one on the path."""
    try:
        from packmol.cli import get_binary_path

        return Finding("packmol", _version("packmol") or str(get_binary_path()), get_binary_path().exists(), "pip install packmol")
    except (ImportError, OSError) as error:
        return Finding("packmol", f"missing ({error})", False, "pip install packmol")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _cp2k() -> Finding:
    for name in ("cp2k", "cp2k.psmp", "cp2k.popt", "cp2k.ssmp"):
        path = shutil.which(name)
        if path:
            return Finding("cp2k", f"yes, {_first_line([path, '--version'])}", True, "", required=False)
    return Finding("cp2k", "no", False, "Only for production labels: install CP2K, e.g. the Debian package cp2k.", required=False)


def _slurm() -> Finding:
    if shutil.which("sbatch"):
        return Finding("SLURM", f"yes, {_first_line(['sbatch', '--version'])}", True, "", required=False)
    return Finding("SLURM", "no", False, "Only on clusters; nothing to do on a workstation.", required=False)


def _parsl() -> Finding:
    version = _version("parsl")
    return Finding("parsl", version or "no", bool(version), "Only for clusters: pip install 'halocline[clusters]'.", required=False)


def _first_line(command: list[str]) -> str:
    run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run
    try:
        lines = run(command, capture_output=True, text=True, timeout=20).stdout.strip().splitlines()
    except (OSError, subprocess.SubprocessError):
        return "version unknown"
    return lines[0].strip() if lines else "version unknown"

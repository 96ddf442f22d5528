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


def examine() -> list[Finding]:
    """Every part that a study may need."""
    findings = [_python(), _torch(), _threads()]
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

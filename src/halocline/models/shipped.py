"""Trained models that come with the program."""

from __future__ import annotations

from pathlib import Path

from halocline.errors import UserError

FOLDER = Path(__file__).parents[1] / "shipped"
"""Where their files lie."""


def shipped_models() -> dict[str, Path]:
    """File of every shipped model by its name, in alphabetical order."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.safetensors"))}


def find_model(name: Path | str) -> Path:
    """A model file: the path itself, or the shipped model of that name.

    Raises:
        UserError: neither.
    """
    path, shipped = Path(name), shipped_models()
    if path.is_file():
        return path
    if str(name) in shipped:
        return shipped[str(name)]
    ours = f"Shipped models: {', '.join(shipped)}." if shipped else "No models are shipped with this version."
    raise UserError("there is no such model", str(name), f"Give the path of a .safetensors file. {ours}")

"""``halocline evaluate``: errors of the trained models on held-out labels, and agreement of kernels and torch."""

from __future__ import annotations

from pathlib import Path

from halocline.cli.output import Output
from halocline.config.study import Study


def evaluate_run(study: Study, folder: Path, output: Output) -> None:
    raise NotImplementedError

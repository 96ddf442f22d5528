"""``halocline models`` and ``halocline compile``: what a trained model is, and how fast it runs here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from halocline.cli.options import AsJson
from halocline.cli.output import Output

if TYPE_CHECKING:
    from halocline.models.model import Model

Name = Annotated[Optional[str], typer.Argument(help="A shipped model, or a model file; the list of shipped ones without.")]  # noqa: UP045
ModelName = Annotated[str, typer.Argument(help="A model file, or a shipped model.", metavar="MODEL")]
Copy = Annotated[Optional[Path], typer.Option("--copy", help="Also copy the model to this file; it must not exist.")]  # noqa: UP045
Threads = Annotated[int, typer.Option("--threads", min=0, help="Most threads to compile for; 0: as many as there are.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(name="models", help="Shipped models; the card of one, or of any model file.")(models)
    app.command(name="compile", help="Compile the kernels of a model, compare them with torch, and time them.")(compile_model)


def models(name: Name = None, copy: Copy = None, json: AsJson = False) -> None:
    from halocline.errors import UserError
    from halocline.models.card import failures, render
    from halocline.models.model import Model
    from halocline.models.shipped import find_model

    output = Output(json)
    if name is None:
        if copy is not None:
            raise UserError("no model is named to copy", "command line", "Name one: halocline models NAME --copy FILE.")
        _list(output)
        return
    path = find_model(name)
    model = Model.load(path)
    title = path.stem
    if copy is not None:
        _copy(path, copy)
    output.emit(
        {"name": title, "file": str(path), "copied": None if copy is None else str(copy), "fails": failures(model), **_description(model)}
    )
    output.text(render(model, title).rstrip())
    if copy is not None:
        output.text(f"\nCopied to {copy}")


def _list(output: Output) -> None:
    from halocline.models.card import summary
    from halocline.models.model import Model
    from halocline.models.shipped import shipped_models

    found = {name: Model.load(path) for name, path in shipped_models().items()}
    output.emit({"models": [{"name": name, **_description(model)} for name, model in found.items()]})
    if not found:
        output.text("No models are shipped with this version. The card of any model file: halocline models FILE.")
        return
    output.table("Shipped models", ["name", "what"], [[name, summary(model)] for name, model in found.items()])
    output.text("Its card: halocline models NAME")


def _description(model: Model) -> dict[str, Any]:
    shape = model.representation
    return {
        "kind": model.kind,
        "representation": shape.name,
        "heads": list(model.heads),
        "types": model.types,
        "cutoff": model.cutoff,
        "receptive_field": shape.receptive_field,
        "card": model.metadata.get("card", {}),
    }


def _copy(source: Path, target: Path) -> None:
    from halocline import files
    from halocline.errors import UserError

    if target.exists():
        raise UserError("this file exists and is not touched", str(target), "Name another file, or remove this one.")
    if not target.parent.is_dir():
        raise UserError(f"there is no folder '{target.parent}'", str(target), "Make it, or name another.")
    files.write_bytes(target, source.read_bytes())


def compile_model(model: ModelName, threads: Threads = 0, json: AsJson = False) -> None:
    import numba

    from halocline.models.model import Model
    from halocline.models.shipped import find_model
    from halocline.potentials.agreement import TOLERANCE, compare_engines
    from halocline.potentials.warm_up import kernel_of, liquid_box, time_step, torch_of, warm_up

    output, path = Output(json), find_model(model)
    loaded = Model.load(path)
    kernel, most = kernel_of(loaded), min(threads or numba.get_num_threads(), numba.get_num_threads())
    state = liquid_box(loaded, str(path))
    n_sites = state.topology.n_atoms if loaded.kind == "atoms" else state.topology.n_molecules
    warmed, agreement = [], None
    if kernel is not None:
        warmed = warm_up(kernel, state, most)
        agreement = compare_engines(loaded, [state])
    timings = [time_step(kernel, state, "kernel", n_sites, count) for count in sorted({1, most})] if kernel is not None else []
    timings.append(time_step(torch_of(loaded), state, "torch", n_sites, 1))
    found = None if agreement is None else {**vars(agreement), "agrees": agreement.agrees}
    output.emit(
        {"model": str(path), "kernel": kernel is not None, "sites": n_sites, "compiled": [vars(item) for item in warmed],
         "agreement": found, "timings": [vars(item) for item in timings]}
    )  # fmt: skip
    if kernel is None:
        output.text(f"The representation '{loaded.representation.name}' has no kernel: there is nothing to compile, torch evaluates it.")
    else:
        output.table("Compiled", ["way", "first call"], [[item.way, f"{item.seconds:.2f} s"] for item in warmed])
    site = "atom" if loaded.kind == "atoms" else "bead"
    rows = [[item.engine, str(item.threads), f"{item.microseconds:.3g} us"] for item in timings]
    output.table(f"Energy and forces of {n_sites} {site}s", ["engine", "threads", f"time per {site} and step"], rows)
    if agreement is not None:
        verdict = f"{'' if agreement.agrees else 'NOT '}within {TOLERANCE:.0e}"
        output.text(f"Kernel against torch in double precision: relative force error {agreement.force_error:.1e}, {verdict}.")
        if not agreement.agrees:
            raise typer.Exit(1)

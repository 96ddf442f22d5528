"""``halocline export-force``: a thermodynamic force for another program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from halocline.cli.options import AsJson
from halocline.cli.output import Output

Table = Annotated[Path, typer.Argument(help="thermodynamic_force.json of a calibration.")]
Target = Annotated[Path, typer.Argument(help="File to write.")]
Format = Annotated[Literal["gromacs", "espressopp", "mrmd"], typer.Option("--format", help="Program that reads it.")]
Species = Annotated[Optional[str], typer.Option("--species", help="Which table, if there are several.")]  # noqa: UP045
LengthUnit = Annotated[float, typer.Option("--length-unit", help="Å per unit of length; not for gromacs.")]
EnergyUnit = Annotated[float, typer.Option("--energy-unit", help="eV per unit of energy; not for gromacs.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="export-force", help="Write a thermodynamic force in the format of GROMACS, ESPResSo++ or MRMD.")(export)


def export(
    table: Table,
    target: Target,
    format: Format = "gromacs",
    species: Species = None,
    length_unit: LengthUnit = 0.0,
    energy_unit: EnergyUnit = 0.0,
    json: AsJson = False,
) -> None:
    from halocline.adress.table_formats import write_espressopp, write_gromacs, write_mrmd
    from halocline.adress.thermodynamic_force import ThermodynamicForce
    from halocline.errors import UserError

    if not table.is_file():
        remedy = "Give the thermodynamic_force.json in the folder of the calibrate stage."
        raise UserError(f"there is no file '{table}'", "command line", remedy)
    force = ThermodynamicForce.load(table)
    if format == "gromacs":
        write_gromacs(force, target, species)
    else:
        if length_unit <= 0 or energy_unit <= 0:
            what = f"the units of {format} are not stated ({length_unit:g} A and {energy_unit:g} eV)"
            remedy = "Give --length-unit in A (10 for nm) and --energy-unit in eV (0.0103643 for kJ/mol), or sigma and epsilon."
            raise UserError(what, "command line", remedy)
        {"espressopp": write_espressopp, "mrmd": write_mrmd}[format](force, target, length_unit, energy_unit, species)
    output = Output(json)
    output.emit({"table": str(table), "format": format, "written": str(target)})
    output.text(
        f"{target}: {species or force.species[0]}, {format} format, force positive outwards" + (" on the right half" * (format == "mrmd"))
    )

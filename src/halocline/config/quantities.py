"""Pydantic types for quantities written with a unit."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from halocline.errors import UserError
from halocline.units import DISPLAY_UNIT, format_quantity, parse_quantity


class _Internal(float):
    """A number that is in internal units already, such as a default."""


def _quantity(dimension: str) -> tuple[Any, ...]:
    def parse(value: Any) -> float:
        if isinstance(value, _Internal):
            return float(value)
        try:
            return parse_quantity(value, dimension)
        except UserError as error:
            raise ValueError(f"{error.what}. {error.remedy}") from error

    def write(value: float) -> str:
        return format_quantity(value, dimension)

    schema = WithJsonSchema({"type": "string", "description": f"quantity of {dimension}, e.g. '1 {DISPLAY_UNIT[dimension]}'"})
    return BeforeValidator(parse), PlainSerializer(write), schema


Length = Annotated[float, *_quantity("length")]
Time = Annotated[float, *_quantity("time")]
Duration = Annotated[float, *_quantity("duration")]
Temperature = Annotated[float, *_quantity("temperature")]
Density = Annotated[float, *_quantity("density")]
Rate = Annotated[float, *_quantity("rate")]
Fraction = Annotated[float, *_quantity("fraction")]
Energy = Annotated[float, *_quantity("energy")]
Force = Annotated[float, *_quantity("force")]
Compressibility = Annotated[float, *_quantity("compressibility")]
InverseLength = Annotated[float, *_quantity("inverse length")]

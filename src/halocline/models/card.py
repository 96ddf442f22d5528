"""The card of a model as text: what it is for, what it learned from, how wrong it is, and where it must not be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ase.data import chemical_symbols

from halocline.labels import QUANTITIES
from halocline.models.model import Model

CURVE_ROWS = 10
"""Points of the learning curve that are shown."""
_SHOWN = {"eV/A": (1e3, "meV/A"), "eV": (1e3, "meV"), "": (100.0, "%")}
"""Unit in a file -> factor, unit shown."""


def summary(model: Model) -> str:
    """One line: purpose, architecture and receptive field."""
    purpose = str(_card(model).get("purpose") or f"{', '.join(model.heads)} of {model.kind}")
    return f"{purpose} ({model.representation.name}, {model.representation.receptive_field:g} A)"


def render(model: Model, name: str) -> str:
    """The card as markdown.

    Args:
        model: with the card in ``metadata["card"]``; what it does not hold is said to be unknown.
        name: title.
    """
    card = _card(model)
    parts = [
        f"# {name}\n\n{_sentence(str(card.get('purpose') or 'of unknown purpose: the file holds no card'))}",
        _section("Model", _table(["", ""], _architecture(model))),
        _section("Data", _data(card, model)),
        _section("Errors on frames held back", _errors(card)),
        _section("Learning curve", _curve(card)),
        _section("Where it fails", "\n".join(f"- {sentence}" for sentence in failures(model))),
        _section("How it was made", _table(["", ""], _making(card))),
    ]
    return "\n\n".join(parts) + "\n"


def failures(model: Model) -> list[str]:
    """What is known of the limits of a model, from its card and from its architecture; one sentence each."""
    card, shape = _card(model), model.representation
    domain = card.get("domain", {})
    sentences = [str(sentence) for sentence in card.get("fails", [])]
    sentences.append(f"What is further than {shape.receptive_field:g} A from a site does not change what the model says of it.")
    known = [_type_name(kind, model) for kind in model.types]
    sentences.append(f"It knows {', '.join(known)} only and refuses anything else.")
    if model.kind == "beads":
        sentences.append("A bead model holds for the temperature and density that it was made at, and has no forces within molecules.")
    temperatures = domain.get("temperatures", [])
    if temperatures:
        span = f"{temperatures[0]:g} K" if len(temperatures) == 1 else f"{temperatures[0]:g} to {temperatures[-1]:g} K"
        sentences.append(f"Its data are of {span}.")
    elif "energy" in model.heads:
        sentences.append("The temperatures of its data are not recorded.")
    sizes = card.get("molecules_per_frame")
    if sizes:
        sentences.append(f"Its frames held {sizes[0]} to {sizes[-1]} molecules; surroundings that are denser are guesses.")
    closest = [_distance(row, model) for row in domain.get("shortest_distances", [])]
    if closest:
        wall = "the pair prior alone keeps atoms apart" if model.prior is not None else "nothing is known"
        sentences.append(f"Below the shortest distances of the data {wall}: {'; '.join(closest)}.")
    if "largest_force" in domain:
        sentences.append(f"No force above {domain['largest_force']:.3g} eV/A was in its data.")
    return sentences


def _card(model: Model) -> Mapping[str, Any]:
    return model.metadata.get("card", {}) or {}


def _architecture(model: Model) -> list[list[str]]:
    shape = model.representation
    rows = [
        ["sites", "atoms" if model.kind == "atoms" else "one bead per molecule, at its centre of mass"],
        ["representation", f"{shape.name}, {shape.layers} layers of {shape.features} features"],
        ["cut-off of a layer", f"{shape.cutoff:g} A"],
        ["receptive field", f"{shape.receptive_field:g} A"],
        ["pair prior", "none" if model.prior is None else f"tables to {model.prior.cutoff:g} A"],
        ["predicts", ", ".join(_quantity(head) for head in model.heads)],
        ["parameters", f"{sum(parameter.numel() for parameter in model.parameters())}, {str(model.dtype).split('.')[-1]}"],
    ]
    species = model.metadata.get("species")
    return [*rows, ["species of its data", ", ".join(species)]] if species else rows


def _quantity(head: str) -> str:
    quantity = QUANTITIES.get(head)
    if quantity is None:
        return head
    return f"{head} in {quantity.unit}" + (f" about the {quantity.origin}" if quantity.origin else "")


def _data(card: Mapping[str, Any], model: Model) -> str:
    level = card.get("level_of_theory")
    rows = [["level of theory", _words(level) if level else "forces of another model" if model.kind == "beads" else "unknown"]]
    rows += [[name.replace("_", " "), _words(value)] for name, value in card.get("data", {}).items()]
    return _table(["", ""], rows)


def _errors(card: Mapping[str, Any]) -> str:
    rows = []
    for row in card.get("errors", []):
        unit, spread, relative = row["unit"], row.get("spread"), row.get("relative")
        shown = [_number(row["error"], unit), "" if spread is None else _number(spread, unit)]
        rows.append([row["quantity"], *shown, "" if relative is None else f"{relative:.1%}"])
    if not rows:
        return "Unknown: none are stored."
    note = "These frames chose which weights were kept, which flatters the errors a little."
    return _table(["quantity", "error (RMSE)", "spread of the labels", "error / spread"], rows) + f"\n\n{note}"


def _curve(card: Mapping[str, Any]) -> str:
    curve = card.get("learning_curve", [])
    if not curve:
        return "Unknown: none is stored."
    names = [name for name in curve[-1] if name not in ("step", "seconds")]
    rows = [[f"{row['step']:.0f}", f"{row['seconds']:.0f}", *(f"{row[name]:.3g}" if name in row else "" for name in names)]
            for row in evenly(curve, CURVE_ROWS)]  # fmt: skip
    units = [f"{name} error{_curve_unit(name)}" for name in names]
    return _table(["step", "s", *units], rows)


def _curve_unit(name: str) -> str:
    return {"force": " / (eV/A)", "energy": " / (eV per site)"}.get(name, " / spread")


def _making(card: Mapping[str, Any]) -> list[list[str]]:
    training = card.get("training", {})
    rows = [[name.replace("_", " "), _words(value)] for name, value in training.items() if value is not None]
    if card.get("loss"):
        rows.append(["loss", _words(card["loss"])])
    if card.get("cleaning"):
        rows.append(["cleaning of labels", _words(card["cleaning"])])
    if "seed" in card and "seed" not in training:
        rows.append(["seed", str(card["seed"])])
    rows += [[f"version of {name}", str(version)] for name, version in card.get("versions", {}).items()]
    return rows or [["unknown", ""]]


def _distance(row: Mapping[str, Any], model: Model) -> str:
    pair = "-".join(_type_name(kind, model) for kind in row["types"])
    return f"{pair} {'within' if row['within'] else 'between'} molecules {row['shortest']:g} A"


def _type_name(kind: int, model: Model) -> str:
    if model.kind == "atoms":
        return str(chemical_symbols[kind])
    species = model.metadata.get("species", [])
    return f"beads of {species[kind - 1]}" if kind <= len(species) else f"bead {kind}"


def _number(value: float, unit: str) -> str:
    factor, shown = _SHOWN.get(unit, (1.0, unit))
    return f"{value * factor:.3g} {shown}"


def evenly(rows: Sequence[Any], count: int) -> list[Any]:
    """At most ``count`` of the rows, evenly spaced, the last one among them."""
    if len(rows) <= count:
        return list(rows)
    return [rows[round(index * (len(rows) - 1) / (count - 1))] for index in range(count)]


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(item)}" for name, item in value.items() if item is not None)
    if isinstance(value, (list, tuple)):
        return ", ".join(_words(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(columns), ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)

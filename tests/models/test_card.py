"""The card as text says what is known of a model, and that the rest is not known."""

from halocline.models.card import evenly, failures, render, summary
from halocline.models.model import Model, make_representation

CARD = {
    "purpose": "potential energy and forces of the atoms",
    "level_of_theory": {"engine": "tblite", "method": "GFN2-xTB"},
    "data": {"training_frames": 400, "validation_frames": 40},
    "domain": {
        "shortest_distances": [{"types": [1, 8], "within": False, "shortest": 1.52}, {"types": [1, 8], "within": True, "shortest": 0.88}],
        "largest_force": 7.13,
        "temperatures": [280.0, 300.0, 350.0],
    },
    "errors": [
        {"quantity": "forces", "unit": "eV/A", "error": 0.0414, "spread": 1.38, "relative": 0.03},
        {"quantity": "energy per site", "unit": "eV", "error": 0.0004, "spread": None, "relative": None},
        {"quantity": "dipole", "unit": "e A", "error": 0.02, "spread": 0.4, "relative": 0.05},
    ],
    "learning_curve": [{"step": 10.0 * n, "seconds": 2.0 * n, "force": 1.0 / n} for n in range(1, 21)],
    "training": {"learning_rate": 0.002, "steps": 200},
    "fails": ["In vapour it has no data."],
    "versions": {"halocline": "0.1.0"},
    "seed": 7,
}


def model(card: dict | None = None, kind: str = "atoms") -> Model:
    metadata: dict = {"species": ["water"]}
    if card is not None:
        metadata["card"] = card
    return Model(kind, make_representation("schnet", [1, 8] if kind == "atoms" else [1], 16, 3, 4.5), ["energy"], None, metadata)


def rows(text: str, title: str) -> list[list[str]]:
    """Cells of the table below a title, without its head."""
    part = text.split(f"## {title}\n\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()[2:]]


def test_errors_are_shown_against_the_spread_of_the_quantity() -> None:
    assert rows(render(model(CARD), "m"), "Errors on frames held back") == [
        ["forces", "41.4 meV/A", "1.38e+03 meV/A", "3.0%"],
        ["energy per site", "0.4 meV", "", ""],
        ["dipole", "0.02 e A", "0.4 e A", "5.0%"],
    ]


def test_the_receptive_field_is_cutoff_times_layers() -> None:
    assert ["receptive field", "13.5 A"] in rows(render(model(CARD), "m"), "Model")
    assert summary(model(CARD)) == "potential energy and forces of the atoms (schnet, 13.5 A)"
    assert any("13.5 A" in sentence for sentence in failures(model(CARD)))


def test_data_level_and_hyperparameters_are_shown() -> None:
    text = render(model(CARD), "m")
    assert text.startswith("# m\n\nPotential energy and forces of the atoms.\n")
    assert ["level of theory", "engine tblite, method GFN2-xTB"] in rows(text, "Data")
    assert ["training frames", "400"] in rows(text, "Data")
    made = rows(text, "How it was made")
    assert ["learning rate", "0.002"] in made
    assert ["seed", "7"] in made
    assert ["version of halocline", "0.1.0"] in made


def test_the_learning_curve_begins_and_ends_where_it_did() -> None:
    shown = rows(render(model(CARD), "m"), "Learning curve")
    assert len(shown) == 10
    assert shown[0] == ["10", "2", "1"]
    assert shown[-1] == ["200", "40", "0.05"]
    assert evenly([1, 2, 3], 5) == [1, 2, 3]


def test_where_it_fails_names_distances_temperatures_elements_and_what_was_found_by_hand() -> None:
    sentences = " ".join(failures(model(CARD)))
    for words in ("In vapour", "280 to 350 K", "H, O only", "H-O between molecules 1.52 A", "H-O within molecules 0.88 A", "7.13 eV/A"):
        assert words in sentences
    assert "temperature and density" in " ".join(failures(model(CARD, "beads")))
    assert "beads of water only" in " ".join(failures(model({}, "beads")))


def test_a_model_without_card_says_so() -> None:
    for card in (None, {}):
        text = render(model(card), "m")
        assert text.count("nknown") >= 4
        assert "not recorded" in text

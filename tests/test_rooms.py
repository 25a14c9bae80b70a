"""The rooms of the package: imports point downwards only, and nothing imports the studies."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "openmova"
# From the lowest to the highest; rooms of one line do not import each other.
ROOMS = (
    "errors",
    "runtime",
    "images, routing",
    "experts",
    "model",
    "checkpoints",
    "inference, data",
    "train",
    "annotate, evaluate",
    "analysis",
    "serve",
    "cli",
)
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms.split(", ")}
AT_THE_TOP = {"__init__.py", "__main__.py", "errors.py", "py.typed"}


def imports(file: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_the_top_of_the_package_holds_rooms() -> None:
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert files == AT_THE_TOP
    assert rooms == set(LEVEL) - {"errors"}


def test_imports_point_downwards() -> None:
    wrong = []
    for file in PACKAGE.glob("*/**/*.py"):
        room = file.relative_to(PACKAGE).parts[0]
        for module in imports(file):
            package, _, rest = module.partition(".")
            other = rest.partition(".")[0]
            if package == "openmova" and other not in ("", room) and LEVEL[other] >= LEVEL[room]:
                wrong.append(f"{file.relative_to(PACKAGE)} imports {module}")
    assert wrong == []


def test_the_library_does_not_import_the_studies() -> None:
    found = [f.name for f in PACKAGE.rglob("*.py") if any("studies" in m for m in imports(f))]
    assert found == []


LIGHT = """
import sys, openmova
assert not {"torch", "transformers"} & sys.modules.keys()
import openmova.cli
assert "torch" not in sys.modules
import openmova.routing
assert not {"transformers", "openmova.experts"} & sys.modules.keys()
sys.modules |= dict.fromkeys(("onnx", "onnxruntime", "transformers"))  # as if they were not there
import openmova.experts, openmova.experts.onnx
"""


def test_imports_bring_nothing_along_that_is_not_needed() -> None:
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    subprocess.run([sys.executable, "-c", LIGHT], check=True, env=environment)

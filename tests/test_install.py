"""What a stranger does: install the wheel by one line into an empty environment, and ask."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch

ROOT = Path(__file__).parents[1]
LIMIT = 60e6


def run(*command: object, folder: Path) -> str:
    """What a program prints, in a folder outside the clone and without the clone's modules."""
    outside = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env=outside, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


BROUGHT = {
    "anyio": "fastapi",
    "google": "onnx",
    "h11": "uvicorn",
    "loguru": "lmms-eval",
    "pydantic": "fastapi",
    "starlette": "fastapi",
}
"""Modules of packages that another one always depends on."""


def test_every_import_of_the_package_is_declared() -> None:
    """Not only installed here by chance: huggingface_hub 2 no longer brought httpx."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    needs = [*project["dependencies"], *(x for k, v in extras.items() if k != "dev" for x in v)]
    declared = {re.split(r"[^\w.-]", need)[0].lower().replace("_", "-") for need in needs}
    names = packages_distributions()
    missing = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            for module in {module.split(".")[0] for module in modules}:
                packages = [BROUGHT.get(module, module), *names.get(module, [])]
                known = {package.lower().replace("_", "-") for package in packages}
                if module not in {*sys.stdlib_module_names, "openmova"} and not known & declared:
                    missing.add(f"{module} ({file.relative_to(ROOT)})")
    assert not missing


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", folder, ROOT, folder=folder)
    (built,) = folder.glob("openmova-*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_carries_what_the_package_needs_and_no_more(wheel: Path) -> None:
    assert wheel.stat().st_size < LIMIT
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"openmova"}
    for folder in ("models/nano", "examples", "recipes"):
        listed = ["git", "ls-files", folder]
        files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        assert {f"openmova/_data/{file}" for file in files.split()} <= set(names)


@pytest.mark.slow
def test_one_line_installs_it_and_the_first_question_is_answered(
    wheel: Path, tmp_path: Path
) -> None:
    """The version of torch is given, so that it is the one that is here."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    given = tmp_path / "torch.txt"
    given.write_text(f"torch=={torch.__version__.partition('+')[0]}\n")
    pip = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--constraint", given]
    run(*pip, f"{wheel}[nano]", folder=tmp_path)
    cat = ROOT / "examples" / "cat.jpg"
    ask = [python, "-m", "openmova", "ask", cat, "What animal is this?"]
    assert run(*ask, folder=tmp_path) == "cat\n"
    read = "from pathlib import Path; from openmova.train.training_recipe import load_recipe; "
    program = f"{read}print(load_recipe(Path('recipes/smoke.yaml')).model)"
    assert run(python, "-c", program, folder=tmp_path) == "tiny\n"

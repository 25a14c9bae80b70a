"""The tutorials run from top to bottom, here on a tiny model with few samples and steps."""

from __future__ import annotations

import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from checkpoints import public
from commands import output

TUTORIALS = sorted((Path(__file__).parents[1] / "examples" / "tutorials").glob("*.py"))
FAST = {"add_an_expert": ["2"], "teach_nano": ["5"], "train_a_router": ["4", "2"]}
"""Arguments after the model."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return public.save_tiny_mova(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.parametrize("script", TUTORIALS, ids=lambda script: script.stem)
def test_tutorial(
    script: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    run = subprocess.run

    def run_here(command: Any, **options: Any) -> Any:
        """Commands of openmova in this process, which has all imports."""
        if command[:3] == [sys.executable, "-m", "openmova"]:
            return output(*command[3:])
        return run(command, **options)

    if script.stem == "add_an_expert":
        pytest.importorskip("zxingcpp")
    if script.stem in ("add_an_expert", "teach_nano"):
        model = public.save_tiny_mova_with_names(tmp_path / "names")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", run_here)
    monkeypatch.setattr(sys, "argv", [script.name, str(model), *FAST.get(script.stem, [])])
    runpy.run_path(str(script))

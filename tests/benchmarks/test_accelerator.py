"""Every part that an accelerator is asked runs on a processor too, at a tiny shape and without the
packages that a bare machine lacks. So ten minutes of a card are not lost to a mistake."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DOCS = ("performance.md", "scale.md")
# Finders that hide packages, from the start of every process.
BARE = """
import sys

HIDDEN = {"datasets", "gguf", "matplotlib", "rich", "typer"}

class Bare:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Bare, sys.meta_path)
"""
SCRIPT = """
mkdir -p "$1/final" "$1/checkpoint-1"
"$PYTHON" - "$1" <<'PY'
import sys, numpy
from safetensors.numpy import save_file
weight = numpy.arange(5_000_000, dtype=numpy.float32)
save_file({"weight": weight}, sys.argv[1] + "/final/model.safetensors")
PY
cp "$1/final/model.safetensors" "$1/checkpoint-1/optimizer.safetensors"
"""


# Commands one after the other in one process: imports take longer than tiny shapes.
PROGRAM = """
import json, sys
import accelerator

for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    accelerator.main()
"""


def run_commands(commands: list[list[str]], bare: Path) -> None:
    bare.mkdir()
    (bare / "sitecustomize.py").write_text(BARE)
    paths = os.pathsep.join(map(str, (ROOT / "src", ROOT / "benchmarks", bare)))
    command = [sys.executable, "-c", PROGRAM, json.dumps(commands)]
    alone = {"PYTHONPATH": paths, "OPENMOVA_CACHE": str(bare / "cache"), "PIP_NO_INDEX": "1"}
    done = subprocess.run(command, env={**os.environ, **alone}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def figures(part: str, folder: Path) -> dict[str, Any]:
    """Of a part; every number is finite."""
    found = json.loads((folder / "out" / f"{part}.json").read_text())
    for table in found["tables"].values():
        for row in table.values():
            for cell in row.values():
                numbers = (cell["least"], cell["value"], cell["most"])
                assert all(map(math.isfinite, numbers)) and list(numbers) == sorted(numbers)
    return found


def values(found: dict[str, Any], table: str, column: str) -> dict[str, float]:
    """Of every row that has the column."""
    rows = found["tables"][table].items()
    return {name: row[column]["value"] for name, row in rows if column in row}


def bare_notes(found: dict[str, Any]) -> list[str]:
    """What was not measured, but for 4 bits without bitsandbytes, or with its kernel for processors
    that have avx512_bf16, which has no layers as narrow as these."""
    allowed = ("bitsandbytes is not installed", "4 bits: not measured, RuntimeError: shape")
    return [note for note in found["notes"] if not any(reason in note for reason in allowed)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all parts were run, and reported twice."""
    folder = tmp_path_factory.mktemp("accelerator")
    script, docs, out = folder / "script.sh", folder / "docs", str(folder / "out")
    script.write_text(SCRIPT)
    docs.mkdir()
    for name in DOCS:
        shutil.copy(ROOT / "docs" / name, docs)
    options = ["--shape", "tiny", "--device", "cpu", "--repeats", "1", "--output", out]
    options += ["--script", str(script), "--seconds", "3000"]  # also where other work is done
    parts = [[part, *options] for part in ("tests", "inference", "training", "nano")]
    run_commands([*parts, *[["report", out, "--docs", str(docs)]] * 2], folder / "bare")
    return folder


def test_the_tests_part_counts_what_passed(folder: Path) -> None:
    found = figures("tests", folder)
    runs = {"parity, float32", "parity, bfloat16", "fast tests"}
    assert values(found, "tests", "passed").keys() == runs
    assert min(values(found, "tests", "passed").values()) > 0
    assert set(values(found, "tests", "failed").values()) == {0}


def test_the_inference_part_has_every_figure(folder: Path) -> None:
    found = figures("inference", folder)
    assert not bare_notes(found)
    whole = [
        *values(found, "answer", "first token, s").values(),
        *values(found, "answer", "questions a second").values(),
        *values(found, "batches", "GiB").values(),
        *values(found, "stages, batch 1", "s").values(),
        *values(found, "memory of one question", "GiB").values(),
    ]
    assert min(whole) > 0
    assert values(found, "answer", "first token, s").keys() == {"ours", "released"}
    assert len(values(found, "batches", "questions a second")) == 2
    assert len(values(found, "stages, batch 1", "% of the peak")) == 7
    over = values(found, "experts, given, batch 1", "over two")
    assert over["two"] == 1 and over["all of 7"] > 0


def test_the_training_part_has_every_figure(folder: Path) -> None:
    found = figures("training", folder)
    assert not found["notes"]
    for way in ("3 of 7 experts", "all experts"):
        for column in ("samples", "s", "tokens/s", "MFU, %", "GiB"):
            rows = values(found, f"a training step, {way}", column)
            assert len(rows) == 8 and min(rows.values()) > 0
            assert sum("compiled" in name for name in rows) == 4


def test_checkpoints_come_back_in_pieces_that_join(folder: Path) -> None:
    assert not figures("nano", folder)["notes"]
    pieces = sorted((folder / "out").glob("nano.tar.*"))
    assert len(pieces) == 2 and all(piece.stat().st_size <= 16 * 2**20 for piece in pieces)
    joined = folder / "joined"
    joined.mkdir()
    subprocess.run(f"cat {folder}/out/nano.tar.? | tar x -C {joined}", shell=True, check=True)
    assert [f.name for f in joined.rglob("*") if f.is_file()] == ["model.safetensors"]
    assert (joined / "final" / "model.safetensors").stat().st_size > 20_000_000


def test_the_report_fills_the_docs(folder: Path) -> None:
    before = [(ROOT / "docs" / name).read_text() for name in DOCS]
    after = [(folder / "docs" / name).read_text() for name in DOCS]
    for old, new in zip(before, after, strict=True):
        markers = re.findall(r"<!-- .+? -->", old)
        assert markers and re.findall(r"<!-- .+? -->", new) == markers
        assert "**processor**" in new and "**processor**" not in old
    assert "| batch 4, mixed routings |" in after[0]
    assert "| a 64th, pretrain, compiled |" in after[1]

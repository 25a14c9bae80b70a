"""A converted folder is compared with its source, tensor by tensor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from openmova.checkpoints.plan import Plan, Take, plan_names
from openmova.checkpoints.tensors import Tensors, open_tensors
from openmova.checkpoints.verify import verify_checkpoint
from openmova.checkpoints.writer import write_checkpoint
from openmova.errors import UserError

STATE = {"a": torch.randn(3, 4), "b": torch.randn(5), "c": torch.randn(2)}
EXPERT = Path("experts") / "sam.safetensors"


@pytest.fixture
def conversion(tmp_path: Path) -> tuple[Plan, Tensors, Path]:
    torch.save(STATE, tmp_path / "source.bin")
    tensors = open_tensors(tmp_path / "source.bin")
    fates = {"a": Take(place="model.a"), "b": Take(place="model.b")}
    fates["c"] = Take(place="experts/sam/c")
    expected = {"model.a": (3, 4), "model.b": (5,), "experts/sam/c": (2,)}
    plan = plan_names(tensors.names(), fates, expected)
    target = tmp_path / "out"
    halves = plan_names(tensors.names(), fates, expected, dtype="bfloat16")
    write_checkpoint(halves, tensors, target, last=("config.json", "{}"), about={})
    return plan, tensors, target


def test_the_dtype_is_that_of_the_report(conversion: tuple[Plan, Tensors, Path]) -> None:
    assert verify_checkpoint(*conversion) == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.update({"model.b": s["model.b"] + 1}), "model.b differs from b of source.bin"),
        (lambda s: s.update({"model.b": s["model.b"].float()}), "model.b is float32"),
        (lambda s: s.update({"model.b": s["model.b"][1:].clone()}), r"model.b is bfloat16 \[4\]"),
        (lambda s: s.pop("model.b"), "model.b is missing, the source has"),
        (lambda s: s.update(more=torch.ones(1)), "holds more, which the source has not"),
    ],
)
def test_what_differs_is_named(
    conversion: tuple[Plan, Tensors, Path],
    change: Callable[[dict[str, Tensor]], object],
    told: str,
) -> None:
    file = conversion[2] / "model.safetensors"
    state = load_file(file)
    change(state)
    save_file(state, file)
    with pytest.raises(UserError, match=rf"model\.safetensors.*{told}"):
        verify_checkpoint(*conversion)


def test_a_lost_file_and_a_changed_report_are_named(
    conversion: tuple[Plan, Tensors, Path],
) -> None:
    folder = conversion[2]
    report = json.loads((folder / "conversion.json").read_text())
    own = report["tensors"].pop("experts/sam/c")
    (folder / "conversion.json").write_text(json.dumps(report))
    with pytest.raises(UserError, match="the report of out lacks experts/sam/c"):
        verify_checkpoint(*conversion)
    report["tensors"]["experts/sam/c"] = own | {"sha256": "0"}
    (folder / "conversion.json").write_text(json.dumps(report))
    with pytest.raises(UserError, match=r"sam\.safetensors: c has not the checksum"):
        verify_checkpoint(*conversion)
    (folder / EXPERT).unlink()
    with pytest.raises(UserError, match=r"out lacks experts/sam\.safetensors"):
        verify_checkpoint(*conversion)

"""The sets beside the tests are the whole ones, also where a file leaves weights out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from .golden import FOLDER, GoldenSet

pytestmark = pytest.mark.parity

OWN = Path(__file__).parents[1] / "golden"


def golden(file: Path) -> GoldenSet:
    return GoldenSet(file, json.loads(file.read_text(encoding="utf-8")))


SHORT = [file for file in sorted(OWN.glob("*.json")) if "weights_left_out" in file.read_text()]


def test_three_sets_leave_their_weights_out() -> None:
    assert [file.stem[:2] for file in SHORT] == ["03", "05", "11"]


@pytest.mark.parametrize("file", SHORT, ids=lambda file: file.stem)
def test_weights_drawn_again_are_those_of_the_whole_set(file: Path) -> None:
    if FOLDER == OWN:
        pytest.skip("OPENMOVA_PARITY names no folder of whole sets")
    ours, whole = golden(file).tensors, golden(FOLDER / file.name).tensors
    assert ours.keys() == whole.keys()
    assert all(torch.equal(ours[name], whole[name]) for name in whole)

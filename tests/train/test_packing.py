"""Packed training: the steps of unpacked training, in fewer places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from transformers import LlamaModel, masking_utils

from openmova.errors import UserError
from openmova.model.packing import Packing
from openmova.train import preparation
from openmova.train.preparation import prepare
from openmova.train.training_recipe import load_recipe
from train.runs import (
    SMOKE,
    assert_close,
    assert_same_log,
    run,
)

# The gate's text encoder has dropout.
STILL = ["batch=4", "steps=4", "learning_rates.gate_text=0", "max_tokens=512"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Questions about pictures by some experts or none, text alone, routing instructions."""
    folder = tmp_path_factory.mktemp("data")
    Image.new("RGB", (40, 30), "red").save(folder / "red.png")
    records: list[dict[str, Any]] = []
    for i in range(24):
        turns = [{"from": "human", "value": "what? " * (1 + i % 7)}]
        record = {
            "id": str(i),
            "conversations": [*turns, {"from": "gpt", "value": "A" * (i % 5 + 1)}],
        }
        if i % 4:
            record |= {"image": "red.png", "experts": [[], ["text"], ["chart", "text"]][i % 3]}
        if i % 4 == 3:
            record |= {"routing": True}
        records.append(record)
    (folder / "data.json").write_text(json.dumps(records))
    return f"data=[{{path: {folder / 'data.json'}}}]"


def test_packed_steps_learn_what_unpacked_ones_do(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, int]] = []
    original = Packing.__init__

    def noted(self: Packing, *args: Any) -> None:
        original(self, *args)
        shapes.append(self.shape)

    monkeypatch.setattr(Packing, "__init__", noted)
    run(tmp_path / "padded", *STILL, data)
    assert shapes == []
    run(tmp_path / "packed", *STILL, data, "pack=1024")
    assert [rows for rows, _ in shapes[1:]] == [1] * 4  # of four samples; the first is a trial
    assert_close(tmp_path / "padded", tmp_path / "packed")
    assert_same_log(tmp_path / "padded", tmp_path / "packed")


def test_a_decoder_that_does_not_part_samples_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking_utils, "find_packed_sequence_indices", lambda positions: None)
    with pytest.raises(UserError, match="would see others in LlamaModel"):
        prepare(load_recipe(SMOKE, ["pack=2048"]))


def test_flash_attention_is_taken_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[str] = []
    monkeypatch.setattr(preparation, "is_flash_attn_2_available", lambda: True)
    monkeypatch.setattr(LlamaModel, "set_attn_implementation", lambda _, name: chosen.append(name))
    for precision in ("float32", "bfloat16"):
        prepare(load_recipe(SMOKE, ["pack=2048", f"precision={precision}"]))
    assert chosen[-1] == "flash_attention_2"
    assert chosen.count("flash_attention_2") == 1  # it has no float32


def test_rows_hold_any_sample() -> None:
    with pytest.raises(UserError, match="pack is 1024 tokens a row, but a sample may have max_to"):
        load_recipe(SMOKE, ["pack=1024"])

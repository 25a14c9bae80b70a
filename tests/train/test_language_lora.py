"""LoRA: only its matrices learn in the language model, and the end has them merged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from openmova.checkpoints.tiny import tiny_mova
from openmova.errors import UserError
from openmova.train.language_lora import Lora, LoraSettings, lora_matrices
from train.runs import run, weights

pytest.importorskip("peft")


def test_a_fresh_lora_changes_nothing_and_merging_keeps_what_it_says() -> None:
    model, _ = tiny_mova()
    names = model.state_dict().keys()
    ids = torch.arange(5, 15)[None]
    before = model.eval()(input_ids=ids).logits
    lora = Lora(model, LoraSettings(rank=4))
    assert torch.equal(model(input_ids=ids).logits, before)
    for module in lora_matrices(model):
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    learned = model(input_ids=ids).logits
    assert not torch.allclose(learned, before, atol=1e-3)
    lora.merge()
    assert model.state_dict().keys() == names
    torch.testing.assert_close(model(input_ids=ids).logits, learned, atol=1e-5, rtol=1e-4)


def test_a_run_leaves_a_plain_model_in_which_the_targets_changed(tmp_path: Path) -> None:
    run(tmp_path, "stage=lora", "learning_rates={}", "lora.rank=4", "steps=2")
    before, _ = tiny_mova()
    start = before.state_dict()
    changed = {n for n, t in weights(tmp_path).items() if not torch.equal(t, start[n])}
    language = {name for name in changed if "adapter" not in name}
    assert {name.split(".")[-2] for name in language} == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert all(name.startswith("model.language_model.") for name in language)


def test_layers_that_are_not_there_are_told() -> None:
    model, _ = tiny_mova()
    with pytest.raises(UserError, match="no layer called query: give its names"):
        Lora(model, LoraSettings(targets=("query",)))

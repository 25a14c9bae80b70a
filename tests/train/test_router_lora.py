"""The stage router-lora: nothing else changes, a stopped run goes on, and the result loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from openmova.checkpoints.tiny import tiny_mova
from openmova.errors import UserError
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.train.language_lora import Lora, LoraSettings, give_router_lora
from train.runs import assert_close, finish, run, start, weights


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of the recipe: every third batch is a question, the others are routing instructions."""
    file = tmp_path_factory.mktemp("data") / "routing.json"
    records = [
        {
            "id": str(i),
            "routing": i % 3 != 0,
            "conversations": [
                {"from": "human", "value": f"which model, {i}?"},
                {"from": "gpt", "value": "AB"[i % 2]},
            ],
        }
        for i in range(24)
    ]
    file.write_text(json.dumps(records))
    changes = ["stage=router-lora", "learning_rates={}", "learning_rate=1e-2", "lora.rank=4"]
    return [*changes, "batch=1", f"data=[{{path: {file}}}]"]


@pytest.fixture(scope="module")
def whole(changes: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not stopped."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder, *changes)
    return folder


def test_only_the_router_s_lora_is_new_and_it_is_loaded_without_peft(whole: Path) -> None:
    start = tiny_mova()[0].state_dict()
    found = weights(whole)
    new = {name for name in found if name not in start}
    assert len(new) == 2 * 4 * 2  # two matrices, four targets, two layers
    assert all(name.startswith("model.router_lora.layers.") for name in new)
    assert all(found[name].count_nonzero() for name in new)
    for name in found.keys() - new:
        assert torch.equal(found[name], start[name]), name
    model = MovaForConditionalGeneration.from_pretrained(whole / "final")
    assert model.config.routing.lora.rank == 4


def test_it_goes_on_learning_in_its_stage(changes: list[str], whole: Path, tmp_path: Path) -> None:
    on = [*changes, f"model={whole / 'final'}", "steps=4"]
    run(tmp_path / "second", *on)
    run(tmp_path / "third", *on, "stage=finetune", "learning_rate=1e-3")
    first, second, third = map(weights, (whole, tmp_path / "second", tmp_path / "third"))
    changed = {name for name, tensor in first.items() if not torch.equal(tensor, second[name])}
    assert changed == {name for name in first if "router_lora" in name}
    assert all(torch.equal(third[name], first[name]) for name in changed)
    assert not all(torch.equal(third[name], tensor) for name, tensor in first.items())


@pytest.mark.slow
def test_sharded_processes_learn_as_one_process(changes: list[str], tmp_path: Path) -> None:
    changes = [*changes, "steps=3", "batch=2"]
    finish(start(tmp_path / "two", [*changes, "sharding=fsdp"], processes=2))
    run(tmp_path / "one", *changes, "accumulation=2")
    assert_close(tmp_path / "one", tmp_path / "two")


@torch.no_grad()
def test_it_stays_on_its_layers_while_another_lora_comes_and_goes() -> None:
    pytest.importorskip("peft")
    model, _ = tiny_mova()
    give_router_lora(model, LoraSettings(rank=4))
    for parameter in model.model.router_lora.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ids, pooled = torch.arange(5, 15)[None], torch.ones(1).bool()
    lora = Lora(model, LoraSettings())  # before any pass
    expected = model.eval()(input_ids=ids, pooled=pooled).logits
    assert not torch.allclose(expected, model(input_ids=ids).logits, atol=1e-3)
    lora.merge()
    torch.testing.assert_close(model(input_ids=ids, pooled=pooled).logits, expected)


def test_other_sizes_than_the_model_s_are_refused() -> None:
    model, _ = tiny_mova()
    give_router_lora(model, LoraSettings(rank=4))
    give_router_lora(model, LoraSettings(rank=4))
    with pytest.raises(UserError, match="has a router's LoRA of rank 4, alpha 32 on q_proj"):
        give_router_lora(model, LoraSettings(rank=8))

"""An estimate counts what a step really computes and holds, and says what it could not look at."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from openmova.checkpoints.mova_specs import mova_8b
from openmova.checkpoints.recipe import Recipe
from openmova.checkpoints.sizes import planned_config
from openmova.checkpoints.tiny import tiny_mova
from openmova.data.synthetic import SyntheticSamples
from openmova.model.configuration_mova import MovaConfig
from openmova.runtime.fake_run import COUNTS, PeakMemory
from openmova.train.answer_loss import answer_positions
from openmova.train.collator import Collator
from openmova.train.devices import find_device, measure_device
from openmova.train.dry_step import QUESTION, DryStep, PartOperations
from openmova.train.estimate import Estimate, estimate
from openmova.train.stages import set_stage
from openmova.train.training_recipe import load_recipe
from train.runs import SMOKE

RECIPES = SMOKE.parent
LORA = ("stage=lora", "learning_rates={}")


def estimated(*changes: str, **assumed: Any) -> Estimate:
    return estimate(load_recipe(SMOKE, list(changes)), **assumed)


@pytest.fixture
def uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only what is reckoned around a step is looked at: counting one takes seconds."""
    parts = [PartOperations(name=name, forward=10, backward=20) for name in ("base", "text")]
    monkeypatch.setattr(DryStep, "operations", lambda self, **_: parts)
    monkeypatch.setattr(DryStep, "activations", lambda self, **_: 0)


def test_operations_and_memory_are_those_of_a_real_step() -> None:
    found = estimated("stage=finetune", "experts=all", "batch=2", "max_tokens=64")
    model, processor = tiny_mova()
    trainable = set_stage(model, "finetune", learning_rate=1, learning_rates={})
    model.train()
    trainable.eval_frozen()
    collator = Collator(processor, model.config.expert_names, chosen="all", max_tokens=64)
    rows = [collator.row(SyntheticSamples(2, seed=0)[i].open()) for i in (0, 1)]
    batch = collator(rows)
    del batch["names"]
    question = torch.ones(2, QUESTION, dtype=torch.long)
    batch |= {"question_input_ids": question, "question_attention_mask": question}
    # As many tokens as the estimate was made for.
    tokens, answered = found.average.tokens, found.average.answered
    batch["input_ids"] = batch["input_ids"][:, :tokens]
    assert batch["input_ids"].shape[1] == tokens
    batch["attention_mask"] = torch.ones(2, tokens, dtype=torch.long)
    labels = torch.full((2, tokens), -100)
    labels[:, -answered:] = 5
    batch["labels"], batch["logits_to_keep"] = labels, answer_positions(labels)
    with FlopCounterMode(display=False, custom_mapping=COUNTS) as counter:
        model(**batch).loss.backward()
    assert counter.get_total_flops() / 2 == pytest.approx(found.operations_a_sample(), rel=0.01)

    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    with PeakMemory([*model.parameters(), *model.buffers(), *gradients]) as memory:
        model(**batch).loss.backward()
    assert found.bytes["activations"] == pytest.approx(memory.peak, rel=0.1)


@pytest.mark.usefixtures("uncounted")
def test_what_learns_has_a_gradient_and_two_averages() -> None:
    found = estimated(*LORA)
    model, _ = tiny_mova()
    adapter = sum(p.numel() for p in model.model.adapter.parameters())
    matrices = 2 * 4 * 16 * (32 + 32)  # two layers, four projections of rank 16
    assert found.parameters_that_learn == adapter + matrices
    assert found.bytes["weights that learn"] == 4 * (adapter + matrices)
    assert found.bytes["optimizer"] == 2 * found.bytes["gradients"] == 8 * (adapter + matrices)
    assert "gradients on their way" not in found.bytes
    assert "gradients on their way" in estimated(*LORA, devices=2).bytes


@pytest.mark.usefixtures("uncounted")
def test_a_quantised_language_model_takes_less_and_only_it() -> None:
    whole, small = (estimated(*LORA, *more).bytes for more in ([], ["lora.quantize=4bit"]))
    linear = 2 * 32 * (4 * 32 + 3 * 64)  # two layers: four projections, and an MLP of three
    assert 0 < whole["frozen weights"] - small["frozen weights"] < 4 * linear
    assert small["put together"] == 4 * 32 * 64
    assert small["weights that learn"] == whole["weights that learn"]


@pytest.mark.usefixtures("uncounted")
def test_sharding_divides_what_is_held_between_the_devices() -> None:
    whole = estimated("sharding=fsdp").bytes
    share = estimated("sharding=fsdp", devices=4).bytes
    for part in ("weights that learn", "frozen weights", "gradients", "optimizer"):
        assert share[part] == whole[part] // 4
    assert share["experts"] == whole["experts"]
    assert share["put together"] > 0 and "put together" not in whole


@pytest.mark.usefixtures("uncounted")
def test_experts_count_for_the_samples_that_they_see() -> None:
    annotated, all_, none = (estimated(f"experts={who}") for who in ("annotated", "all", "none"))
    assert none.operations_a_sample() < annotated.operations_a_sample()
    assert annotated.operations_a_sample() < all_.operations_a_sample()
    assert set(all_.shares.values()) == {1.0} and none.bytes["experts"] == 0
    half = estimated("experts=none", "random_experts=1.0")
    assert set(half.shares.values()) == {0.5}


@pytest.mark.usefixtures("uncounted")
def test_the_time_is_operations_by_what_the_devices_do_a_second() -> None:
    found = estimated("steps=null", "epochs=2", devices=4)
    assert (found.samples_a_step, found.steps, found.samples) == (16, 8, 128)
    h100 = find_device("h100")
    speed = found.samples_a_second(h100, devices=4, utilisation=0.5)
    assert speed == pytest.approx(4 * 0.5 * 989e12 / found.operations_a_sample())


def test_this_machine_s_device_is_measured() -> None:
    device = measure_device("float32")
    assert "float32" in device.title and f"{device.operations / 1e12:.3g} TFLOP/s" in device.title
    assert 1e9 < device.operations < 1e16
    assert device.memory > 2**28


@pytest.mark.usefixtures("uncounted")
def test_data_that_is_not_there_leaves_an_assumption() -> None:
    changes = ("data.0.path=nowhere.json", "data.0.samples=null", "steps=null")
    found = estimated(*changes, samples=100, text_tokens=40)
    assert "no data" in str(found.sources[0].fault)
    assert not found.measured and found.average.tokens == 16 + 40
    assert (found.steps, found.samples) == (25, 100)


def test_the_sizes_of_the_paper_s_models_are_known_without_their_parts() -> None:
    planned = planned_config(Recipe.load(RECIPES / "mova-8b.yaml")).to_dict()
    known = MovaConfig(**mova_8b()).to_dict()
    for part in ("base", "experts", "adapter", "gate_text_config"):
        assert planned[part] == known[part]
    same = ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")
    assert all(planned["text_config"][key] == known["text_config"][key] for key in same)

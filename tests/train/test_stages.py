"""A stage says what learns; the experts never do."""

from __future__ import annotations

import pytest

from openmova.checkpoints.tiny import tiny_mova
from openmova.train.language_lora import Lora, LoraSettings, give_router_lora
from openmova.train.stages import PARTS, STAGES, set_stage

MODULES = {
    "adapter": "model.adapter.",
    "gate": "model.adapter.",
    "base": "model.base.",
    "gate_text": "model.gate_text_encoder.",
    "language_model": ("model.language_model.", "lm_head."),
    "router_lora": "model.router_lora.",
    "extractor": tuple(f"model.adapter.blocks.{block}.extractors.2." for block in (0, 1)),
    "gate_column": tuple(f"model.adapter.blocks.{block}.gate.score." for block in (0, 1)),
}


@pytest.mark.parametrize("stage", STAGES)
def test_exactly_the_stage_s_parts_learn(stage: str) -> None:
    model, _ = tiny_mova()
    give_router_lora(model, LoraSettings(rank=2))
    if stage == "lora":
        pytest.importorskip("peft")
        Lora(model, LoraSettings())
    set_stage(model, stage, learning_rate=1e-3, learning_rates={})
    for name, parameter in model.named_parameters():
        learns = any(
            "lora_" in name if part == "lora" else name.startswith(MODULES[part])
            for part in STAGES[stage]
        )
        assert parameter.requires_grad == learns, name


def test_a_part_has_its_own_learning_rate_and_zero_freezes_it() -> None:
    model, _ = tiny_mova()
    rates = {"base": 1e-4, "gate_text": 0.0}
    options = {"learning_rate": 1e-3, "learning_rates": rates, "weight_decay": 0.1}
    trainable = set_stage(model, "finetune", **options)
    grouped = [p for group in trainable.groups for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {p for p in model.parameters() if p.requires_grad}
    for group in trainable.groups:
        assert group["lr"] == {"base": 1e-4, "gate": 1e-4}.get(group["part"], 1e-3)
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] == 0.1}
    assert not any(p.requires_grad for p in model.model.gate_text_encoder.parameters())


@pytest.mark.parametrize(
    ("rates", "gate", "rest"),
    [
        ({}, 1e-4, 1e-3),
        ({"adapter": 1e-4}, 1e-5, 1e-4),
        ({"gate": 1e-4}, 1e-4, 1e-3),
        ({"gate": 0.0}, None, 1e-3),
        ({"adapter": 0.0}, None, None),
        ({"adapter": 0.0, "gate": 1e-4}, 1e-4, None),
    ],
)
def test_the_gate_learns_at_a_tenth_of_the_adapter_s_rate_unless_it_is_named(
    rates: dict[str, float], gate: float | None, rest: float | None
) -> None:
    model, _ = tiny_mova()
    trainable = set_stage(model, "pretrain", learning_rate=1e-3, learning_rates=rates)
    rate_of = {p: group["lr"] for group in trainable.groups for p in group["params"]}
    assert len(rate_of) == sum(len(group["params"]) for group in trainable.groups)
    for name, parameter in model.model.adapter.named_parameters():
        wanted = gate if ".gate." in name else rest
        assert rate_of.get(parameter) == pytest.approx(wanted), name
        assert parameter.requires_grad == (wanted is not None), name


def test_what_is_frozen_stays_in_evaluation_mode() -> None:
    model, _ = tiny_mova()
    trainable = set_stage(model, "pretrain", learning_rate=1e-3, learning_rates={})
    model.train()
    trainable.eval_frozen()
    kinds = {part: modules(model)[0] for part, modules in PARTS.items() if "lora" not in part}
    assert len(kinds) == 5
    assert {part for part, module in kinds.items() if module.training} == {
        "adapter",
        "gate",
        "base",
    }
    assert not model.model.experts.training

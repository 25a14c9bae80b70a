"""The trainer: the annotated experts only, resume from what is whole, a stop before NaN spoils."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from openmova.checkpoints.tiny import tiny_mova
from openmova.data.bad_samples import BadSample, BadSamples
from openmova.data.synthetic import SyntheticSamples
from openmova.errors import UserError
from openmova.experts.vit import VitEncoder
from openmova.model.processing_mova import IGNORED
from openmova.train import preparation
from openmova.train.answer_loss import answer_loss
from openmova.train.interrupt import Interrupt
from openmova.train.loop import TrainingLoop, accelerator_of
from openmova.train.preparation import prepare
from openmova.train.run_folder import RunFolder
from openmova.train.training import save_model
from openmova.train.training_recipe import load_recipe
from train.runs import (
    FAST,
    SMOKE,
    assert_close,
    assert_same,
    assert_same_log,
    entries,
    run,
    stopped_after,
    weights,
)


def test_only_what_is_annotated_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: dict[str, int] = {"text": 0, "chart": 0, "location": 0}
    original = VitEncoder.forward

    def forward(self: VitEncoder, view: torch.Tensor) -> torch.Tensor:
        rows[self.name] += len(view)
        return original(self, view)

    monkeypatch.setattr(VitEncoder, "forward", forward)
    recipe = load_recipe(SMOKE, FAST)
    mixture = prepare(recipe).mixture
    seen = [mixture.sample(0, i, BadSamples()) for i in range(8 * 2)]
    run(tmp_path)
    assert rows == {name: sum(name in (s.experts or ()) for s in seen) for name in rows}


def test_a_stopped_run_ends_as_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    *told, _ = run(whole, "log_steps=3", "save_steps=2")
    assert [line.split("  ")[0] for line in told] == [f"step {n}/8" for n in (2, 3, 4, 6, 8)]
    with stopped_after(7, monkeypatch):
        run(broken, "log_steps=3", "save_steps=2")
    assert [entry["step"] for entry in entries(broken)] == [2, 3, 4, 6]  # as the run goes
    share = broken / "checkpoint-6" / "share-0.safetensors"
    share.write_bytes(share.read_bytes()[:-100])
    log = broken / "log.jsonl"
    log.write_text(log.read_text() + '{"step": 7, "lo')  # where it was killed
    torn, going_on, *_ = run(broken, "log_steps=3", "save_steps=2")
    assert torn == "checkpoint-6 is torn: taking the one before"
    assert going_on == "going on from checkpoint-4"
    assert_same(whole, broken)
    assert [entry["step"] for entry in entries(broken)] == [2, 3, 4, 6, 8]
    assert_same_log(whole, broken)


def test_a_sample_s_weight_is_that_of_its_loss(tmp_path: Path) -> None:
    prepared = prepare(load_recipe(SMOKE, FAST))
    loop = TrainingLoop(
        prepared,
        accelerator_of(prepared.recipe),
        RunFolder(tmp_path),
        BadSamples(),
        interrupt=Interrupt(print),
    )
    batch = prepared.collator([loop.dataset[0], loop.dataset[1]])
    with torch.no_grad():
        each = answer_loss(prepared.model, batch).losses.sum(dim=1)
        found = loop.compute_loss({**batch, "weights": [1.0, 0.25]})
    torch.testing.assert_close(found, each[0] + 0.25 * each[1])


def test_the_same_weight_for_all_is_none(tmp_path: Path) -> None:
    """No sample has a dependency: what is unknown is 0."""
    run(tmp_path / "uniform", "steps=2")
    run(tmp_path / "unknown", "steps=2", "dependency=0.75")
    assert_close(tmp_path / "uniform", tmp_path / "unknown")


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_nan_names_the_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    original = TrainingLoop.compute_loss

    def compute_loss(self: TrainingLoop, batch: Any) -> torch.Tensor:
        loss = original(self, batch)
        if self.step == 3 and what == "gradient":
            loss.register_hook(lambda gradient: gradient * float("nan"))
        return loss * (float("nan") if self.step == 3 and what == "loss" else 1)

    monkeypatch.setattr(TrainingLoop, "compute_loss", compute_loss)
    told = rf"the {what} of step 4 is nan, with the samples synthetic:\d+, s"
    with pytest.raises(UserError, match=told):
        run(tmp_path, "steps=4")
    assert [p.name for p in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]
    monkeypatch.undo()
    assert "going on from checkpoint-2" in run(tmp_path, "steps=4")


def test_bad_samples_are_replaced_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = SyntheticSamples.record

    def record(self: SyntheticSamples, index: int) -> Any:
        if index == 3:
            raise BadSample("the picture is gone")
        return {**original(self, index), **({} if index % 2 else {"experts": None})}

    monkeypatch.setattr(SyntheticSamples, "record", record)
    said = run(tmp_path, "steps=4", "data.0.samples=8")
    (warning,) = [line for line in said if line.startswith("warning")]
    assert "such as synthetic:" in warning and "with no expert" in warning
    assert "1 of 9 samples were bad, 4 had no experts list" in said[-1]
    (listed,) = (tmp_path / "bad.jsonl").read_text().splitlines()
    expected = {"source": "synthetic", "id": "3", "reason": "the picture is gone"}
    assert json.loads(listed) == expected


def test_checkpoints_of_others_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stopped_after(3, monkeypatch):
        run(tmp_path)

    def other(recipe: Any) -> Any:
        model, processor = tiny_mova()
        model.model.adapter.register_parameter("extra", torch.nn.Parameter(torch.zeros(1)))
        return model, processor

    monkeypatch.setattr(preparation, "load_start", other)
    with pytest.raises(UserError, match=r"of another model \(model.adapter.extra\)"):
        run(tmp_path)
    with RunFolder(tmp_path).new_checkpoint(4, keep=1, processes=1) as unfinished:
        (unfinished / "optimizer.pt").touch()
    with pytest.raises(UserError, match=r"has no share-0\.safetensors, so another version"):
        run(tmp_path)


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_gradient_checkpointing_changes_nothing(tmp_path: Path, stage: str) -> None:
    # The gate's text collator has dropout, whose chances would differ.
    rates = "learning_rates={}" if stage == "pretrain" else "learning_rates.gate_text=0"
    changes = [f"stage={stage}", "steps=2", rates]
    run(tmp_path / "plain", *changes)
    run(tmp_path / "saving", *changes, "gradient_checkpointing=true")
    assert_close(tmp_path / "plain", tmp_path / "saving", atol=1e-5)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_frozen_layers_that_gradients_go_through_are_checkpointed(checkpointing: bool) -> None:
    prepared = prepare(load_recipe(SMOKE, ["stage=pretrain"]))
    model, trainable = prepared.model, prepared.trainable
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    trainable.eval_frozen()
    runs: Counter[nn.Module] = Counter()
    # What is inside of a layer runs again when a checkpointed layer is needed for a gradient.
    inside = [
        model.model.language_model.layers[0].mlp,
        model.model.base.get_submodule("encoder.layers.0.mlp"),
    ]
    for module in inside:
        module.register_forward_pre_hook(lambda ran, _: runs.update([ran]))
    rows = [prepared.collator.row(SyntheticSamples(2, seed=0)[i].open()) for i in range(2)]
    batch = prepared.collator(rows)
    del batch["names"]
    model(**batch).loss.backward()
    assert runs == dict.fromkeys(inside, 2 if checkpointing else 1)
    assert not inside[0].training


def test_the_head_runs_only_on_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[torch.Size] = []
    answers: list[int] = []
    original = TrainingLoop.compute_loss

    def watched(self: TrainingLoop, batch: Any) -> torch.Tensor:
        answers.append(int((batch["labels"] != IGNORED).sum()))
        head = self.model.lm_head
        with head.register_forward_hook(lambda _, __, out: widths.append(out.shape)):
            return original(self, batch)

    monkeypatch.setattr(TrainingLoop, "compute_loss", watched)
    run(tmp_path, "steps=2")
    assert [shape[:-1] for shape in widths] == [(count,) for count in answers]


def test_a_bfloat16_model_keeps_what_is_frozen_to_the_bit(tmp_path: Path) -> None:
    model, processor = tiny_mova()
    model.to(torch.bfloat16)
    save_model(model, processor, tmp_path / "start")
    changes = [f"model={tmp_path / 'start'}", "precision=bfloat16", "stage=pretrain"]
    assert "trained" in run(tmp_path / "run", *changes)[-1]
    before = load_file(tmp_path / "start" / "model.safetensors")
    after = weights(tmp_path / "run")
    assert {t.dtype for t in after.values()} == {torch.bfloat16}
    changed = {name.split(".")[1] for name, t in after.items() if not torch.equal(t, before[name])}
    assert changed == {"adapter", "base"}
    for name in ("text", "chart", "location"):
        expert = f"experts/{name}.safetensors"
        was, is_ = (load_file(tmp_path / f / expert) for f in ("start", "run/final"))
        assert all(torch.equal(is_[key], tensor) for key, tensor in was.items())

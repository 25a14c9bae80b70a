"""The trainer: the annotated experts only, resume from what is whole, a stop before NaN spoils."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from openmova.checkpoints.tiny import tiny_mova
from openmova.data.bad_samples import BadSample, BadSamples
from openmova.data.mixture import Mixture
from openmova.data.synthetic import SyntheticSamples
from openmova.errors import UserError
from openmova.experts.base import Expert
from openmova.experts.vit import VitEncoder
from openmova.model.processing_mova import IGNORED
from openmova.train import preparation
from openmova.train.dataset import TrainDataset
from openmova.train.loop import TrainingLoop
from openmova.train.preparation import prepare
from openmova.train.run_folder import RunFolder
from openmova.train.training import save_model
from openmova.train.training_recipe import load_recipe
from train.runs import (
    FAST,
    SMOKE,
    assert_same,
    assert_same_log,
    entries,
    run,
    stopped_after,
    weights,
)


def test_what_is_annotated_is_run_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: dict[str, int] = {"text": 0, "chart": 0, "location": 0}

    def counted(kind: type[Expert]) -> None:
        original = kind.forward

        def forward(self: Any, view: torch.Tensor) -> torch.Tensor:
            rows[self.name] += len(view)
            return original(self, view)

        monkeypatch.setattr(kind, "forward", forward)

    counted(VitEncoder)
    recipe = load_recipe(SMOKE, FAST)
    mixture = prepare(recipe).mixture
    seen = [mixture.sample(0, i, BadSamples()) for i in range(8 * 2)]
    run(tmp_path)
    assert rows == {name: sum(name in (s.experts or ()) for s in seen) for name in rows}


def test_a_run_goes_on_from_its_last_whole_checkpoint_to_the_same_weights_and_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(whole, "log_steps=3", "save_steps=2")
    with stopped_after(7, monkeypatch):
        run(broken, "log_steps=3", "save_steps=2")
    assert [entry["step"] for entry in entries(broken)] == [2, 3, 4, 6]  # as the run goes
    share = broken / "checkpoint-6" / "share-0.safetensors"
    share.write_bytes(share.read_bytes()[:-100])
    log = broken / "log.jsonl"
    log.write_text(log.read_text() + '{"step": 7, "lo')  # where it was killed
    said = run(broken, "log_steps=3", "save_steps=2")
    assert said[:2] == [
        "checkpoint-6 is torn: taking the one before",
        "going on from checkpoint-4",
    ]
    assert_same(whole, broken)
    assert [entry["step"] for entry in entries(broken)] == [2, 3, 4, 6, 8]
    assert_same_log(whole, broken)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_number_that_is_none_stops_the_run_and_names_the_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    original = TrainingLoop.compute_loss

    def compute_loss(self: TrainingLoop, batch: Any) -> torch.Tensor:
        loss = original(self, batch)
        if self.step == 3 and what == "gradient":
            loss.register_hook(lambda gradient: gradient * float("nan"))
        return loss * (float("nan") if self.step == 3 and what == "loss" else 1)

    monkeypatch.setattr(TrainingLoop, "compute_loss", compute_loss)
    with pytest.raises(
        UserError, match=rf"the {what} of step 4 is nan, with the samples synthetic:\d+, s"
    ):
        run(tmp_path, "steps=4")
    assert [p.name for p in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]
    monkeypatch.undo()
    assert "going on from checkpoint-2" in run(tmp_path, "steps=4")


def test_a_bad_sample_is_replaced_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = SyntheticSamples.record

    def record(self: SyntheticSamples, index: int) -> Any:
        if index == 3:
            raise BadSample("the picture is gone")
        return original(self, index)

    monkeypatch.setattr(SyntheticSamples, "record", record)
    said = run(tmp_path, "steps=4", "data.0.samples=8")
    assert "1 of 9 samples were bad" in said[-1]
    (listed,) = (tmp_path / "bad.jsonl").read_text().splitlines()
    assert json.loads(listed) == {
        "source": "synthetic",
        "id": "3",
        "reason": "the picture is gone",
    }


def test_samples_without_an_experts_list_are_warned_of_once_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = SyntheticSamples.record

    def record(self: SyntheticSamples, index: int) -> Any:
        return {**original(self, index), **({} if index % 2 else {"experts": None})}

    monkeypatch.setattr(SyntheticSamples, "record", record)
    said = run(tmp_path, "steps=4", "data.0.samples=8")
    (warning,) = [line for line in said if line.startswith("warning")]
    assert "such as synthetic:" in warning and "with no expert" in warning
    assert said[-1].endswith("0 of 8 samples were bad, 4 had no experts list")


def test_epochs_and_not_processes_decide_which_samples_come(tmp_path: Path) -> None:
    prepared = prepare(load_recipe(SMOKE, ["steps=null", "epochs=2", "batch=4"]))
    assert prepared.steps == 2 * 64 // 4
    dataset = TrainDataset(prepared.mixture, prepared.collator, BadSamples())
    first = [dataset[i].name for i in range(64)]
    assert sorted(first) == sorted(f"synthetic:{i}" for i in range(64))
    assert [dataset[64 + i].name for i in range(64)] != first


def test_the_order_is_a_function_of_the_seed() -> None:
    def order(seed: int) -> list[tuple[int, int]]:
        mixture: Mixture = prepare(load_recipe(SMOKE, [f"seed={seed}"])).mixture
        return [mixture.place(0, i) for i in range(64)]

    assert order(0) == order(0) != order(1)


def test_a_checkpoint_of_another_model_or_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    changes = [f"stage={stage}", "steps=2"]
    if stage == "finetune":  # the gate's text collator has dropout, whose chances would differ
        changes.append("learning_rates.gate_text=0")
    run(tmp_path / "plain", *changes)
    run(tmp_path / "saving", *changes, "gradient_checkpointing=true")
    expected, found = weights(tmp_path / "plain"), weights(tmp_path / "saving")
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_layers_that_gradients_go_through_are_checkpointed_though_they_are_frozen(
    checkpointing: bool,
) -> None:
    prepared = prepare(load_recipe(SMOKE, ["stage=pretrain"]))
    model, trainable = prepared.model, prepared.trainable
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    trainable.eval_frozen()
    runs = {"language_model": 0, "base": 0}

    def count(part: str) -> Any:
        def hook(*_: Any) -> None:
            runs[part] += 1

        return hook

    # What is inside of a layer runs again when a checkpointed layer is needed for a gradient.
    model.model.language_model.layers[0].mlp.register_forward_pre_hook(count("language_model"))
    model.model.base.get_submodule("encoder.layers.0.mlp").register_forward_pre_hook(count("base"))
    rows = [prepared.collator.row(SyntheticSamples(2, seed=0)[i].open()) for i in range(2)]
    batch = prepared.collator(rows)
    del batch["names"]
    model(**batch).loss.backward()
    assert runs == dict.fromkeys(runs, 2 if checkpointing else 1)
    assert not model.model.language_model.layers[0].mlp.training


def test_the_head_runs_only_where_an_answer_is_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_workers_prepare_the_same_samples(tmp_path: Path) -> None:
    run(tmp_path / "none", "steps=2")
    run(tmp_path / "two", "steps=2", "workers=2")
    assert_same(tmp_path / "none", tmp_path / "two")


def test_a_bfloat16_model_keeps_what_is_frozen_to_the_bit(tmp_path: Path) -> None:
    model, processor = tiny_mova()
    model.to(torch.bfloat16)
    save_model(model, processor, tmp_path / "start")
    said = run(
        tmp_path / "run", f"model={tmp_path / 'start'}", "precision=bfloat16", "stage=pretrain"
    )
    assert "trained" in said[-1]
    before = load_file(tmp_path / "start" / "model.safetensors")
    after = weights(tmp_path / "run")
    assert {t.dtype for t in after.values()} == {torch.bfloat16}
    changed = {name.split(".")[1] for name, t in after.items() if not torch.equal(t, before[name])}
    assert changed == {"adapter", "base"}
    for name in ("text", "chart", "location"):
        expert = f"experts/{name}.safetensors"
        was, is_ = (load_file(tmp_path / f / expert) for f in ("start", "run/final"))
        assert all(torch.equal(is_[key], tensor) for key, tensor in was.items())

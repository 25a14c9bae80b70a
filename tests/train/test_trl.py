"""TRL's trainers as they come: a saved folder, `images` and `messages`, nothing of ours between."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from openmova import Mova, MovaForConditionalGeneration
from openmova.checkpoints.tiny import tiny_mova
from openmova.data.sample import Sample, Turn
from openmova.model.processing_mova import IGNORED
from openmova.model.vision_mova import MovaVision
from openmova.train.answer_loss import answer_loss
from openmova.train.collator import Collator
from openmova.train.training import save_model
from tiny import pictures

QUESTIONS = ["what?", "how many dogs are there?", "why is it?", "say red"]
ANSWERS = ["a cat", "two", "so", "red"]
LORA = LoraConfig(r=4, target_modules=["q_proj", "v_proj"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose router chooses: it may write nothing but letters, or "none"."""
    model, processor = tiny_mova()
    rules = replace(model.config.routing, instruction="Who?", max_new_tokens=4, constrained=True)
    model.config.routing, processor.instruction = rules, rules.instruction
    processor.descriptions = ["text", "chart", "place"]
    for spec, description in zip(model.config.experts, processor.descriptions, strict=True):
        spec["descriptions"] = [description]
    folder = tmp_path_factory.mktemp("tiny")
    save_model(model, processor, folder)
    return folder


def said(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def rows(**columns: list[Any]) -> Dataset:
    """Questions, all but the last one about a picture."""
    images = [[picture] for picture in pictures(3)] + [[]]
    return Dataset.from_dict({"images": images, **columns})


PROMPTS = [said("user", question) for question in QUESTIONS]
COMPLETIONS = [said("assistant", answer) for answer in ANSWERS]
CHATS = rows(messages=[p + c for p, c in zip(PROMPTS, COMPLETIONS, strict=True)])


def options(output: Path, **changes: Any) -> dict[str, Any]:
    return {
        "output_dir": str(output),
        "use_cpu": True,
        "bf16": False,  # True is TRL's default
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_steps": 1,
        "learning_rate": 5e-3,
        "lr_scheduler_type": "constant",
        "per_device_train_batch_size": 4,
        "max_steps": 2,
        **changes,
    }


def logged(trainer: Any, name: str) -> list[float]:
    """What a training run logged at each step."""
    trainer.train()
    return [step[name] for step in trainer.state.log_history if name in step]


def sft(folder: Path, output: Path, data: Dataset = CHATS, **changes: Any) -> SFTTrainer:
    given = {name: changes.pop(name, None) for name in ("peft_config", "data_collator")}
    return SFTTrainer(
        str(folder), SFTConfig(**options(output, **changes)), train_dataset=data, **given
    )


@pytest.mark.parametrize("peft_config", [None, LORA])
def test_sft_learns_from_rows_with_and_without_picture(
    folder: Path, tmp_path: Path, peft_config: LoraConfig | None
) -> None:
    trainer = sft(folder, tmp_path, peft_config=peft_config)
    losses = logged(trainer, "loss")
    assert losses[-1] < losses[0] < 2 * math.log(261)
    if peft_config is None:
        trainer.save_model(str(tmp_path))
        trained = Mova.from_pretrained(tmp_path)
        assert trained.ask(pictures(1)[0], QUESTIONS[0], max_new_tokens=2)
        assert torch.equal(trained.model.lm_head.weight, trainer.model.lm_head.weight)


def test_experts_that_the_data_names_are_those_that_run(folder: Path, tmp_path: Path) -> None:
    """docs/trl.md has the collator."""
    data = CHATS.add_column("experts", [["text"], [], ["chart", "text"], []])
    trainer = sft(folder, tmp_path, data, remove_unused_columns=False)
    names, collate = trainer.model.config.expert_names, trainer.data_collator

    def with_experts(rows: list[dict[str, Any]]) -> dict[str, Any]:
        chosen = [[name in row["experts"] for name in names] for row in rows]
        return {**collate(rows), "routing": torch.tensor(chosen)}

    trainer = sft(folder, tmp_path, data, remove_unused_columns=False, data_collator=with_experts)
    gates = trainer.model(**trainer.data_collator(list(data))).gates
    assert (gates != 0).any(dim=1).tolist() == [
        [name in chosen for name in names] for chosen in data["experts"]
    ]


def test_image_tokens_and_padding_are_no_labels(folder: Path, tmp_path: Path) -> None:
    trainer = sft(folder, tmp_path)
    batch = next(iter(trainer.get_train_dataloader()))
    image = trainer.processing_class.image_token_id
    counts = (batch["input_ids"] == image).sum(dim=1)
    assert sorted(counts.tolist()) == [0, 16, 16, 16]
    text = batch["attention_mask"].bool() & (batch["input_ids"] != image)
    assert torch.equal(batch["labels"] != IGNORED, text)


def test_the_loss_is_that_of_openmova_train_whatever_the_padding(
    folder: Path, tmp_path: Path
) -> None:
    """Of a batch with padding, and of its rows one by one without."""
    data = rows(prompt=PROMPTS, completion=COMPLETIONS).select(range(3))
    trainer = sft(folder, tmp_path, data, model_init_kwargs={"default_routing": "all"})
    model = trainer.model.eval()
    collator = Collator(trainer.processing_class, model.config.expert_names, chosen="all")
    turns = [
        (Turn(role="user", text=question), Turn(role="assistant", text=answer))
        for question, answer in zip(QUESTIONS, ANSWERS, strict=True)
    ]
    samples = [Sample(id="", image=p, turns=t) for p, t in zip(pictures(3), turns, strict=False)]
    with torch.no_grad():
        loss = trainer.compute_loss(model, dict(trainer.data_collator(list(data))))
        ours = [answer_loss(model, collator([collator.row(sample)])) for sample in samples]
    total = sum(one.losses.sum() for one in ours) / sum(one.answered.sum() for one in ours)
    torch.testing.assert_close(loss, total, atol=1e-5, rtol=1e-5)


def test_packed_texts_do_not_see_each_other(folder: Path, tmp_path: Path) -> None:
    data = CHATS.remove_columns("images")
    padded, packed = (
        sft(folder, tmp_path, data, packing=packing, max_length=200) for packing in (False, True)
    )
    model = padded.model.eval()
    (one,), (other,) = padded.get_train_dataloader(), packed.get_train_dataloader()
    assert other["input_ids"].shape[0] == 1 and "attention_mask" not in other
    with torch.no_grad():
        expected, found = (padded.compute_loss(model, dict(batch)) for batch in (one, other))
        blurred = padded.compute_loss(
            model, {**other, "position_ids": torch.arange(other["input_ids"].shape[1])[None]}
        )
    assert found == pytest.approx(float(expected), abs=1e-6)
    assert blurred != pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("reference", ["loaded", "given", "adapter off"])
def test_dpo_prefers_from_where_its_reference_stands(
    folder: Path, tmp_path: Path, reference: str
) -> None:
    data = rows(prompt=PROMPTS, chosen=COMPLETIONS, rejected=COMPLETIONS[1:] + COMPLETIONS[:1])
    trainer = DPOTrainer(
        str(folder),
        MovaForConditionalGeneration.from_pretrained(folder) if reference == "given" else None,
        DPOConfig(**options(tmp_path)),
        train_dataset=data,
        peft_config=LORA if reference == "adapter off" else None,
    )
    losses = logged(trainer, "loss")
    assert losses[0] == pytest.approx(math.log(2), abs=1e-4)
    assert losses[-1] < losses[0]


def first_token(completion_ids: list[list[int]], **_: Any) -> list[float]:
    return [float(ids[0] % 2) for ids in completion_ids]


@pytest.mark.parametrize(
    ("beta", "peft_config"), [(0.0, None), (0.1, None), (0.1, LORA)], ids=["alone", "full", "lora"]
)
def test_grpo_scores_answers_under_the_experts_that_they_were_sampled_with(
    folder: Path,
    tmp_path: Path,
    beta: float,
    peft_config: LoraConfig | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sampling is given all that the processor makes, the log-probabilities only the prompts."""
    seen: list[set[tuple[Any, ...]]] = []
    fuse = MovaVision.fuse

    def noted(self: MovaVision, base_map: Any, maps: Any, routing: Any, *question: Any) -> Any:
        if question:
            ids = [[i for i in row if i] for row in question[0].tolist()]
            pairs = zip(ids, routing.tolist(), base_map, strict=True)
            seen.append({(*ids, *chosen) for ids, chosen, _ in pairs if any(chosen)})
        return fuse(self, base_map, maps, routing, *question)

    monkeypatch.setattr(MovaVision, "fuse", noted)
    changes = {"per_device_train_batch_size": 8, "max_steps": 1, "beta": beta}
    sampling = {"num_generations": 2, "max_completion_length": 4, "num_iterations": 2}
    trainer = GRPOTrainer(
        str(folder),
        first_token,
        GRPOConfig(**options(tmp_path, **changes, **sampling)),
        rows(prompt=PROMPTS),
        peft_config=peft_config,
    )
    before = {name: p.clone() for name, p in trainer.model.named_parameters() if p.requires_grad}
    (loss,) = logged(trainer, "loss")
    assert math.isfinite(loss)
    if beta:
        assert trainer.state.log_history[0]["kl"] == pytest.approx(0, abs=1e-6)
    sampled, *scored = seen
    assert len(scored) == (3 if beta else 2)  # before, by the reference, and in the step
    assert len(sampled) >= 3
    assert all(one <= sampled and len(one) == 3 for one in scored)
    after = dict(trainer.model.named_parameters())
    assert any(not torch.equal(p, after[name]) for name, p in before.items())

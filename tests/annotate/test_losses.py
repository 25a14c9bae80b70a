"""A sample's loss is that of its answer alone, whatever stands beside it in the batch."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from openmova.annotate.losses import probe_losses
from openmova.checkpoints.tiny import tiny_mova
from openmova.data.bad_samples import BadSamples
from openmova.data.sources import RecordList
from openmova.train.answer_loss import answer_loss
from openmova.train.collator import Collator
from serve.sparse import sparse_mova

MODEL, PROCESSOR = tiny_mova()
MODEL.eval()  # the text collator of the gate has dropout
with torch.no_grad(), torch.random.fork_rng():
    torch.manual_seed(0)
    for weight in MODEL.model.adapter.parameters():  # untrained, it ignores the experts
        weight.normal_(0, 0.2)
NAMES = tuple(MODEL.config.expert_names)


def record(number: int, **changes: Any) -> dict[str, Any]:
    picture = io.BytesIO()
    Image.effect_noise((20 + number, 30), 50).save(picture, "PNG")
    turns = [
        {"role": "user", "content": "What is it?" * (1 + number % 3)},
        {"role": "assistant", "content": "red square" * (1 + number % 2)},
    ]
    return {"id": f"id {number}", "messages": turns, "images": [picture.getvalue()], **changes}


SAMPLES = RecordList("data", [record(number) for number in range(5)], Path())


def losses_of(
    *experts: str, batch: int = 8, samples: RecordList = SAMPLES, blind: bool = False
) -> list[float]:
    collator = Collator(PROCESSOR, NAMES, chosen=experts)
    rows, bad = range(5), BadSamples()
    return probe_losses(MODEL, collator, samples, rows, bad=bad, batch=batch, blind=blind)


def test_it_is_the_loss_of_training() -> None:
    collator = Collator(PROCESSOR, NAMES, chosen=NAMES)
    for index, found in enumerate(losses_of(*NAMES)):
        batch = collator([collator.row(SAMPLES[index].open())])
        inputs = {name: value for name, value in batch.items() if isinstance(value, torch.Tensor)}
        with torch.no_grad():
            assert found == pytest.approx(MODEL(**inputs).loss.item(), abs=1e-5)


def test_the_experts_change_the_loss_of_a_sample_and_its_batch_does_not() -> None:
    assert losses_of("text", batch=1) == pytest.approx(losses_of("text", batch=3), abs=1e-5)
    found = {tuple(losses_of(*experts)) for experts in ((), NAMES[:1], NAMES[1:2], NAMES)}
    assert len(found) == 4


def test_the_blind_probe_sees_the_text_alone() -> None:
    texts = RecordList("texts", [record(number, images=[]) for number in range(5)], Path())
    blind = losses_of(blind=True)
    assert blind == pytest.approx(losses_of(samples=texts), abs=1e-6)
    assert blind != pytest.approx(losses_of(), abs=1e-3)


def test_empty_image_tokens_are_not_computed_and_change_no_loss() -> None:
    sparse = sparse_mova()
    names = sparse.model.config.expert_names
    collator = Collator(sparse.processor, names, chosen=names)
    read: list[int] = []
    decoder = sparse.model.model.language_model
    hook = decoder.register_forward_pre_hook(
        lambda _, args, kwargs: read.append(kwargs["inputs_embeds"][..., 0].numel()),
        with_kwargs=True,
    )
    found = probe_losses(sparse.model, collator, SAMPLES, range(5), bad=BadSamples(), batch=5)
    hook.remove()
    batch = collator([collator.row(SAMPLES[index].open()) for index in range(5)])
    assert read[-1] < batch["input_ids"].numel()
    with torch.no_grad():
        padded = answer_loss(sparse.model, batch)
    expected = padded.losses.sum(dim=1) / padded.answered.sum(dim=1)
    assert found == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_bad_sample_has_no_loss_and_is_listed_once(tmp_path: Path) -> None:
    damaged = record(1, images=[b"no picture"])
    samples = RecordList("data", [record(0), damaged, {"id": 7}, record(3)], Path())
    bad = BadSamples(tmp_path / "bad.jsonl", share=1.0)
    collator = Collator(PROCESSOR, NAMES, chosen=())
    first = probe_losses(MODEL, collator, samples, range(4), bad=bad, batch=2)
    assert [math.isnan(loss) for loss in first] == [False, True, True, False]
    assert len((tmp_path / "bad.jsonl").read_text().splitlines()) == bad.bad == 2

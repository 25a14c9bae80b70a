"""Packed rows change where the decoder has its tokens, and nothing else."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from torch import Tensor

from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.packing import SAMPLE_ATTENTION, Packing, samples_of_rows
from openmova.routing import RouterLoraConfig
from tests.tiny import (
    MORE_TEXT_CONFIGS,
    TEXT_CONFIGS,
    image_inputs,
    rows_of,
    tiny_config,
    tiny_model,
)

IMAGE, WORD = 4, 9
IGNORED = -100
LENGTHS = (15, 9, 7, 12, 1)  # of the samples below
POOLED = torch.tensor([False, False, True, False, False])
ROUTING = torch.tensor([[1, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]]).bool()


def batch() -> dict[str, Tensor]:
    """Two questions about one picture, of other experts; text alone, of which one token too; and a
    routing instruction."""
    torch.manual_seed(0)
    ids = torch.zeros(5, max(LENGTHS), dtype=torch.long)
    for row, length in zip(ids, LENGTHS, strict=True):
        row[:length] = torch.randint(5, 20, (length,))
    ids[0, 1:5] = ids[3, 2:6] = IMAGE
    ids[2, 1:3] = IMAGE
    mask = torch.arange(ids.shape[1]) < torch.tensor(LENGTHS)[:, None]
    labels = ids.masked_fill(~mask | (ids == IMAGE), IGNORED)
    labels[:, :7] = IGNORED
    labels[2, 5:7] = ids[2, 5:7]
    pictures = image_inputs(5)
    for value in pictures.values():
        value[3] = value[0]
    question = torch.tensor([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]])[[0, 0, 0, 1, 1]]
    return {
        "input_ids": ids,
        "attention_mask": mask.long(),
        "labels": labels,
        "question_input_ids": question,
        "question_attention_mask": (question != 0).long(),
        "routing": ROUTING,
        "pooled": POOLED,
        **pictures,
    }


def learn(model: MovaForConditionalGeneration, inputs: dict[str, Tensor], pack: int) -> Any:
    """The output, with its gradients in the model."""
    model.zero_grad()
    output = model(**inputs, pack=pack)
    output.loss.backward()
    return output


def assert_packed_as_unpacked(model: MovaForConditionalGeneration, pack: int) -> None:
    """Loss, logits, gates and all gradients."""
    inputs = batch()
    expected = learn(model, inputs, 0)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    with rows_of(model) as shapes:
        found = learn(model, inputs, pack)
    assert shapes == [{23: (2, 22), 44: (1, 44)}[pack]]
    tolerance = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(found.loss, expected.loss, **tolerance)
    seen = inputs["attention_mask"].bool()
    torch.testing.assert_close(found.logits[seen], expected.logits[seen], **tolerance)
    torch.testing.assert_close(found.gates, expected.gates, **tolerance)
    packed = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert packed.keys() == gradients.keys()
    torch.testing.assert_close(packed, gradients, **tolerance)


@pytest.mark.parametrize("pack", [23, 44])
@pytest.mark.parametrize("text", [*TEXT_CONFIGS, *MORE_TEXT_CONFIGS])
def test_loss_and_gradients_are_those_of_an_unpacked_batch(text: str, pack: int) -> None:
    assert_packed_as_unpacked(tiny_model(text), pack)


@pytest.mark.parametrize("pack", [23, 44])
@pytest.mark.parametrize("text", ["llama", "gemma3_text"])
@pytest.mark.parametrize("attention", ["eager", SAMPLE_ATTENTION])
def test_they_are_in_other_attention(attention: str, text: str, pack: int) -> None:
    model = tiny_model(text)
    model.model.language_model.set_attn_implementation(attention)
    assert_packed_as_unpacked(model, pack)


def test_attention_in_samples_makes_no_mask_of_a_row() -> None:
    model, masks = tiny_model(), []
    model.model.language_model.set_attn_implementation(SAMPLE_ATTENTION)
    layer = model.model.language_model.layers[0].self_attn

    def note(_: Any, args: Any, kwargs: Any) -> None:
        masks.append(kwargs["attention_mask"])

    with layer.register_forward_pre_hook(note, with_kwargs=True):
        model(**batch(), pack=44)
    assert masks == [None]


def test_flash_attention_is_told_where_samples_and_padding_begin() -> None:
    packing = Packing(torch.arange(5) < torch.tensor([3, 5, 1])[:, None], 5)
    inputs = packing.decoder_inputs(torch.arange(5).expand(3, 5))
    assert inputs["cu_seq_lens_q"].tolist() == [0, 5, 8, 9, 10]
    assert inputs["cu_seq_lens_k"] is inputs["cu_seq_lens_q"]
    assert inputs["max_length_q"] == inputs["max_length_k"] == 5


def test_a_router_s_lora_is_seen_by_the_tokens_of_routing_instructions_alone() -> None:
    model = tiny_model()
    without = model(**batch(), pack=44).logits
    model.model.add_router_lora(RouterLoraConfig(rank=2, alpha=4, targets=("q_proj", "down_proj")))
    assert model.model.router_lora is not None
    for matrix in model.model.router_lora.parameters():
        matrix.data.normal_()
    assert_packed_as_unpacked(model, 44)
    found = model(**batch(), pack=44).logits
    changed = [not torch.equal(*rows) for rows in zip(found, without, strict=True)]
    assert changed == POOLED.tolist()


def test_a_window_of_attention_is_a_sample_s_own() -> None:
    text = {**tiny_config("mistral").text_config.to_dict(), "sliding_window": 4}
    assert_packed_as_unpacked(tiny_model("mistral", text_config=text), 44)


def test_checkpointed_layers_are_computed_again_on_the_same_rows() -> None:
    model = tiny_model().train()
    model.model.gate_text_encoder.eval()  # its dropout
    model.gradient_checkpointing_enable({"use_reentrant": False})
    assert_packed_as_unpacked(model, 44)


@pytest.mark.parametrize("sample", range(4))
def test_no_sample_attends_to_another(sample: int) -> None:
    model, inputs = tiny_model(), batch()
    changed = {**inputs, "input_ids": inputs["input_ids"].clone()}
    words = changed["input_ids"][sample]
    words[(words != IMAGE) & (words != 0)] = WORD
    with torch.no_grad(), rows_of(model) as shapes:
        before, after = (model(**i, pack=44).logits for i in (inputs, changed))
    assert shapes == [(1, 44)] * 2  # all in one row
    differing = [not torch.equal(*rows) for rows in zip(before, after, strict=True)]
    assert differing == [i == sample for i in range(5)]


def test_an_expert_runs_once_on_the_pictures_of_the_pack_that_chose_it() -> None:
    model = tiny_model()
    with rows_of(model) as shapes:
        model(**batch(), pack=44)
    assert shapes == [(1, 44)]
    experts: Any = model.model.experts
    assert [experts.get(j).batches for j in (0, 1)] == [[2], [1]]
    assert "2" not in experts._modules  # that nobody chose is not even built


def llava_lengths(random: random.Random) -> int:
    """Of a sample as in LLaVA-1.5's mix: 576 image tokens and 50 to 1000 of text, or text alone."""
    text_only = random.random() < 0.06
    least, most = (64, 2048) if text_only else (50, 1000)
    text = math.exp(random.uniform(math.log(least), math.log(most)))
    return int(text) if text_only else 576 + int(text)


@pytest.mark.parametrize("samples", [8, 16, 32])
def test_rows_are_full_on_a_mix_as_of_llava(samples: int) -> None:
    rng = random.Random(0)
    tokens = places = padded = 0
    for _ in range(100):
        lengths = [llava_lengths(rng) for _ in range(samples)]
        rows = samples_of_rows(lengths, 4096)
        assert sorted(i for row in rows for i in row) == list(range(samples))
        of_rows = [sum(lengths[i] for i in row) for row in rows]
        assert max(of_rows) <= 4096
        tokens += sum(lengths)
        places += len(rows) * max(of_rows)
        padded += samples * max(lengths)
    assert tokens / places >= 0.97
    assert padded / places >= 1.5


def test_a_sample_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="a sample has 5 tokens, but a packed row 4"):
        samples_of_rows([2, 5], 4)

"""Several questions behind one prefix: each is the sequence that it would be alone."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

pytest.importorskip("peft", reason="the training extra is not installed")

from openmova.train.nano.instruct import Pack, collate


@torch.no_grad()
def test_a_branch_is_what_it_would_be_alone() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    model = LlamaForCausalLM(config).eval()
    embeddings = model.get_input_embeddings()
    prefix = torch.randn(5, 16)
    branches = [([7, 8, 9], 1), ([3, 4, 5, 6], 2)]
    packs = [Pack(prefix=prefix, branches=branches), Pack(prefix=prefix[:2], branches=branches[:1])]
    batch = collate(packs, embeddings)
    packed = model(
        inputs_embeds=batch["embeds"],
        attention_mask=batch["mask"],
        position_ids=batch["positions"],
    ).logits
    at = len(prefix)
    for ids, _ in branches:
        alone = model(inputs_embeds=torch.cat([prefix, embeddings(torch.tensor(ids))])[None]).logits
        torch.testing.assert_close(packed[0, at : at + len(ids)], alone[0, len(prefix) :])
        at += len(ids)


def test_only_answers_have_labels() -> None:
    embeddings = torch.nn.Embedding(50, 16)
    pack = Pack(prefix=torch.zeros(2, 16), branches=[([7, 8, 9], 1), ([3, 4, 5, 6], 2)])
    labels = collate([pack], embeddings)["labels"][0].tolist()
    #                 prefix      7     8  9     3     4  5  6
    assert labels == [-100, -100, -100, 9, -100, -100, 5, 6, -100]

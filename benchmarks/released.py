"""The released flow, over our weights: what the released code does with one question.

It prepares every encoder's view, runs the gate's text encoder and the adapter in both passes,
attends without a fused kernel in encoders and adapter, and takes one question at a time. Where the
released code depends on its accelerator (the language model's attention), ours is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import torch
from sizes import Script
from torch import Tensor

from openmova.experts.pool import expert_map
from openmova.inference.limits import GenerationLimits
from openmova.inference.mova import Mova
from openmova.inference.session import Picture, user_turn
from openmova.model.adapter import ExpertMap
from openmova.routing.selection import ExpertSelection

VIEW_OF = {0: 0, 1: 1, 2: 1, 3: 3, 4: 3, 6: 1}
"""Whose view an expert shares: DINOv2's, that of the encoders of 1024 pixels, and Pix2Struct's;
these are prepared for every question. BiomedCLIP takes the base's."""


def plain_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
    **others: Any,
) -> Tensor:
    """Two products and a softmax between them, in the numbers that are given."""
    assert not (others.get("is_causal") or others.get("dropout_p"))  # no encoder asks for these
    width: int = query.shape[-1]
    scores = query * (width**-0.5 if scale is None else scale) @ key.mT
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, torch.finfo(scores.dtype).min)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(dim=-1) @ value


def unfused() -> AbstractContextManager[Any]:
    """Encoders and adapter attend so meanwhile."""
    return patch.object(torch.nn.functional, "scaled_dot_product_attention", plain_attention)


@torch.no_grad()
def released(mova: Mova, script: Script, picture: Any, question: str, words: int) -> str:
    """The answer to one question, of at most so many tokens."""
    model, core = mova.model, mova.model.model
    turn = user_turn(question, [Picture.of(picture, mova.processor)])
    inputs = mova.prepare([[turn]], [ExpertSelection()], GenerationLimits())
    pictures = (inputs["pixel_values"], inputs["image_sizes"])
    asking = (inputs["question_input_ids"], inputs["question_attention_mask"])
    routing = torch.zeros(1, len(mova.experts), dtype=torch.bool, device=model.device)

    def adapted(maps: Mapping[int, ExpertMap]) -> Tensor:
        with unfused():
            return core.fuse(base_map, maps, routing, *asking)[0]

    def written(prompt: str, tokens: Tensor, new: int, **options: Any) -> str:
        ids = inputs[f"{prompt}input_ids"]
        said: Any = super(type(model), model).generate(
            ids,
            attention_mask=inputs[f"{prompt}attention_mask"],
            image_tokens=tokens,
            max_new_tokens=new,
            do_sample=False,
            **options,
        )
        decoded = mova.processor.tokenizer.decode(said[0, ids.shape[1] :], skip_special_tokens=True)
        return str(decoded).strip()

    with unfused():
        base_map = core.encode_base(*pictures)
    with script.writing():
        pooled = torch.ones(1, dtype=torch.bool, device=model.device)
        letters = written("routing_", adapted({}), 16, pooled=pooled)
    maps = {}
    for j, letter in enumerate("ABCDEFG"):
        if letter in letters:
            routing[0, j] = True
            with unfused():
                features = expert_map(core.experts.get(j), *pictures)
            maps[j] = ExpertMap(torch.tensor([0], device=model.device), features)
    for j in set(VIEW_OF.values()) - {VIEW_OF.get(j) for j in maps}:  # of nobody who was chosen
        core.experts.get(j).view(*pictures)
    return written("", adapted(maps), words)

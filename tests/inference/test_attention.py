"""The attention that is shown is the attention that ran."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import openmova.model.adapter
from openmova.inference.attention import watched
from tiny import GRID, image_inputs, tiny_model

ROUTING = torch.tensor([[True, False, True], [False, False, True]])


def question() -> dict[str, Tensor]:
    return {"question_input_ids": torch.tensor([[2, 5, 6], [2, 7, 3]])}


def test_what_is_noted_is_what_the_adapter_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    fused = openmova.model.adapter.F.scaled_dot_product_attention
    ran: list[Tensor] = []

    def explicit(q: Tensor, k: Tensor, v: Tensor, **others: Any) -> Tensor:
        if others:  # the text encoder's
            return fused(q, k, v, **others)
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(dim=-1)  # [b, heads, N, N]
        out = weights @ v
        torch.testing.assert_close(out, fused(q, k, v))
        ran.append(weights.mean(dim=(1, 2)).unflatten(1, GRID))
        return out

    with watched(model.model.adapter) as found:
        seen = model.model.image_tokens(**image_inputs(2), routing=ROUTING, **question())
    # A block runs its chosen experts in order, then its self-attention.
    monkeypatch.setattr(openmova.model.adapter.F, "scaled_dot_product_attention", explicit)
    again = model.model.image_tokens(**image_inputs(2), routing=ROUTING, **question())
    torch.testing.assert_close(seen, again)
    blocks = len(model.model.adapter.blocks)
    places = [(block, expert) for block in range(blocks) for expert in (0, 2)]
    assert len(ran) == 3 * blocks
    crossed = [weights for number, weights in enumerate(ran) if number % 3 < 2]
    assert list(found) == places
    for place, weights in zip(places, crossed, strict=True):
        assert found[place].shape == (int(ROUTING[:, place[1]].sum()), *GRID)
        torch.testing.assert_close(found[place], weights)
        torch.testing.assert_close(found[place].sum(dim=(1, 2)), torch.ones(len(found[place])))


def test_it_changes_nothing_and_leaves_nothing_behind() -> None:
    model = tiny_model()
    inputs: dict[str, Any] = {**image_inputs(2), "routing": ROUTING, **question()}
    before = model.model.image_tokens(**inputs)
    with watched(model.model.adapter) as found:
        during = model.model.image_tokens(**inputs)
    noted = dict(found)
    model.model.image_tokens(**{**inputs, "routing": ~ROUTING})
    assert found == noted
    for a, b in zip(before, during, strict=True):
        assert torch.equal(a, b)
    assert not any(module._forward_hooks for module in model.model.adapter.modules())

"""Nano's own experts."""

from __future__ import annotations

import torch

from openmova.experts.cell import CellExpert, Context


def test_the_map_has_stride_eight() -> None:
    expert = CellExpert(name="text", descriptions=["text"], size=64, channels=16, blocks=2).freeze()
    images = torch.randint(0, 256, (2, 3, 50, 50), dtype=torch.uint8)
    sizes = torch.tensor([[50, 50], [30, 50]])
    assert expert(expert.view(images, sizes)).shape == (2, 16, 8, 8)


def test_context_carries_along_rows_and_columns_and_over_the_map() -> None:
    torch.manual_seed(0)
    context = Context(4)
    x = torch.zeros(1, 4, 6, 6, requires_grad=True)
    context(x)[0, :, 2, 3].sum().backward()
    assert x.grad is not None
    assert (x.grad[0].abs().sum(0) > 0).all()

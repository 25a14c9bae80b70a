"""Where the adapter looks in an expert's map: its cross-attention, block by block (eq. 2).

The adapter computes its attention fused and keeps no weights, and it is not changed for this: what
goes into each cross-attention is caught on its way in, and the weights are computed once more.

Shapes: b pictures that chose an expert, N = H * W cells of the base map's grid, C width of the
adapter, c channels of the expert.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from openmova.model.adapter import MoVAdapter
from openmova.model.layers import RotaryAttention, RotaryGrid

Attention = dict[tuple[int, int], Tensor]
"""(block, expert), both from 0 -> float32 [b, H, W]: the share of the attention that each cell of
the expert's map gets, as the mean over the base map's cells and over the heads; sums to 1."""


@contextmanager
def watched(adapter: MoVAdapter) -> Iterator[Attention]:
    """While this is open, each pass through the adapter notes its cross-attention, on the CPU.

    What an earlier pass noted for the same block and expert is replaced.
    """
    found: Attention = {}

    def note(place: tuple[int, int], module: nn.Module, given: tuple[Any, ...], _: Tensor) -> None:
        assert isinstance(module, RotaryAttention)
        x, value, rotary, _cells = given
        received = attention_received(module, x, value, rotary)
        found[place] = received.unflatten(1, rotary.grid).cpu()

    blocks: Any = adapter.blocks
    hooks = [
        extractor.attention.register_forward_hook(partial(note, (i, j)))
        for i, block in enumerate(blocks)
        for j, extractor in enumerate(block.extractors)
    ]
    before, adapter.every_cell = adapter.every_cell, True
    try:
        yield found
    finally:
        adapter.every_cell = before
        for hook in hooks:
            hook.remove()


def of_rows(
    found: Attention, chosen: Sequence[Sequence[str]], pool: Sequence[str]
) -> list[dict[str, list[Tensor]]]:
    """For each row of the batch that was watched: of each chosen expert, [H, W] of each block."""
    blocks = sorted({i for i, _ in found})
    rows: list[dict[str, list[Tensor]]] = [{} for _ in chosen]
    for j, name in enumerate(pool):
        choosers = (row for row, names in zip(rows, chosen, strict=True) if name in names)
        for b, row in enumerate(choosers):
            row[name] = [found[i, j][b] for i in blocks]
    return rows


@torch.no_grad()
def attention_received(
    attention: RotaryAttention, x: Tensor, value: Tensor, rotary: RotaryGrid
) -> Tensor:
    """What the cells of `value` [b, N, c] get of the attention of x [b, N, C], as the mean over x
    and the heads: float32 [b, N]. Never more than one head's [b, N, N] is in memory."""
    q, k = (
        rotary(projected.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)).float()
        for projected in (attention.q_proj(x), attention.k_proj(value))
    )  # [b, heads, N, head_dim]
    scale = attention.head_dim**-0.5
    heads = [
        (scale * q_h @ k_h.mT).softmax(dim=-1).mean(dim=1)
        for q_h, k_h in zip(q.unbind(1), k.unbind(1), strict=True)
    ]
    return torch.stack(heads).mean(dim=0)

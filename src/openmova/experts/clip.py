"""CLIP's vision transformer (arXiv 2103.00020): the paper's base encoder, ViT-L/14 at 672 pixels.

Parameters have the names of the public checkpoint without "vision_model.". Layers after the
selected hidden state, and the last norm, are not built.

Shapes: B batch, N tokens (class token first), C width, n the grid's side.
"""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.activations import ACT2FN

from openmova.errors import UserError
from openmova.experts.base import tokens_to_map
from openmova.experts.transformer import (
    Block,
    SplitAttention,
    check_sizes,
    count_layers,
    make_mlp,
    prepend_class_token,
    resize_grid,
)
from openmova.experts.views import CLIP_MEAN, CLIP_STD, PictureExpert

NORM_EPS = 1e-5


class Embeddings(nn.Module):
    """Patches, the class token before them, and a learned position for each."""

    def __init__(self, width: int, patch: int, grid: int) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(0.02 * torch.randn(width))
        self.patch_embedding = nn.Conv2d(3, width, patch, patch, bias=False)
        self.position_embedding = nn.Embedding(1 + grid * grid, width)

    def forward(self, view: Tensor) -> Tensor:
        tokens = prepend_class_token(self.class_embedding, self.patch_embedding(view))
        return tokens + self.position_embedding.weight  # [B, 1 + n * n, C]


class ClipEncoder(PictureExpert):
    """CLIP's vision transformer, up to the hidden state `select_layer`, which is the map."""

    on_meta = True
    own_mean, own_std = CLIP_MEAN, CLIP_STD

    def __init__(
        self,
        *,
        width: int = 1024,
        layers: int = 24,
        heads: int = 16,
        mlp: int = 4096,
        patch: int = 14,
        size: int = 672,
        select_layer: int = -2,
        **picture: Any,
    ) -> None:
        super().__init__(channels=width, view_size=size, **picture)
        check_sizes(self.name, width=width, heads=heads, size=size, patch=patch)
        self.grid = size // patch
        count = count_layers(self.name, layers, select_layer)
        self.embeddings = Embeddings(width, patch, self.grid)
        self.pre_layrnorm = nn.LayerNorm(width, eps=NORM_EPS)
        norm = partial(nn.LayerNorm, width, eps=NORM_EPS)
        blocks = (
            Block(
                norm,
                SplitAttention(width, heads, ("q_proj", "k_proj", "v_proj", "out_proj")),
                make_mlp(width, mlp, activation=ACT2FN["quick_gelu"]),
                ("layer_norm1", "self_attn", "layer_norm2", "mlp"),
            )
            for _ in range(count)
        )
        self.encoder = nn.ModuleDict({"layers": nn.Sequential(*blocks)})
        # The two names under which transformers switches checkpointing on, where it learns as base.
        self.gradient_checkpointing = False
        self._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)

    def forward(self, view: Tensor) -> Tensor:
        """[B, 3, size, size] -> the selected hidden state as a map [B, width, n, n]."""
        x = self.pre_layrnorm(self.embeddings(view))  # [B, 1 + n * n, C]
        for layer in self.encoder["layers"].children():
            if self.gradient_checkpointing and self.training:
                x = self._gradient_checkpointing_func(layer.__call__, x)
            else:
                x = layer(x)
        return tokens_to_map(x, (self.grid, self.grid))


def resize_positions(table: Tensor, grid: int) -> Tensor:
    """A position table [1 + n * n, C] for a grid of another side: [1 + grid * grid, C].

    The class token's row is kept, the others are resized.
    """
    side = math.isqrt(max(len(table) - 1, 0))
    if side < 1 or side * side != len(table) - 1:
        raise UserError(
            f"a position table of {len(table)} rows is no class token and a square grid; "
            "give a checkpoint whose pictures are square"
        )
    return torch.cat([table[:1], resize_grid(table[1:], grid)])

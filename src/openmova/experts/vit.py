"""The plain vision transformer (arXiv 2010.11929) in BiomedCLIP: the paper's expert for medicine.

Parameters have timm's names, as in BiomedCLIP's checkpoint without "visual.trunk.".

Shapes: B batch, N tokens (class token first), C width, n the grid's side.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from openmova.experts.base import tokens_to_map
from openmova.experts.transformer import (
    LAYER_NORM_EPS,
    Attention,
    Block,
    check_sizes,
    make_mlp,
    prepend_class_token,
    resize_map,
)
from openmova.experts.views import CLIP_MEAN, CLIP_STD, PictureExpert


class VitEncoder(PictureExpert):
    """The vision transformer with its last norm, without its head; views are resized to `size`."""

    on_meta = True
    own_mean, own_std = CLIP_MEAN, CLIP_STD

    def __init__(
        self,
        *,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        mlp: int = 3072,
        patch: int = 16,
        size: int = 224,
        view_size: int = 672,
        **picture: Any,
    ) -> None:
        super().__init__(channels=width, view_size=view_size, **picture)
        check_sizes(self.name, width=width, heads=heads, size=size, patch=patch)
        self.size, self.grid = size, size // patch
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + self.grid**2, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        norm = partial(nn.LayerNorm, width, eps=LAYER_NORM_EPS)
        self.blocks = nn.Sequential(
            *(Block(norm, Attention(width, heads), make_mlp(width, mlp)) for _ in range(layers))
        )
        self.norm = norm()

    def forward(self, view: Tensor) -> Tensor:
        """[B, 3, view_size, view_size] -> [B, width, n, n] of the tokens after the class token."""
        patches = self.patch_embed["proj"](resize_map(view, (self.size, self.size)))
        x = prepend_class_token(self.cls_token, patches) + self.pos_embed  # [B, 1 + n * n, C]
        x = self.norm(self.blocks(x))
        return tokens_to_map(x, (self.grid, self.grid))

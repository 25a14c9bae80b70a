"""SAM's image encoder (arXiv 2304.02643): the expert for segmentation, and, with one more
convolution, Vary's expert for documents (arXiv 2312.06109).

A ViT with windowed attention, four global layers, and decomposed relative positions: what a query
adds to a key's logit is the sum of a term for the distance in rows and one for that in columns,
each a product of the query with a learned vector. Parameter names are those of SAM's public
checkpoint without `image_encoder.`; Vary's last convolution is `net_2`.

Shapes: B batch, b pictures or windows, h w a grid of patches, N = h * w, n heads, D head width,
C channels.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from openmova.experts.transformer import (
    LAYER_NORM_EPS,
    Attention,
    Block,
    check_sizes,
    make_mlp,
    make_neck,
)
from openmova.experts.views import PictureExpert


class GridAttention(Attention):
    """Self-attention on a square grid, with decomposed relative positions."""

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__(width, heads)
        self.side = side
        distances = (2 * side - 1, width // heads)
        self.rel_pos_h = nn.Parameter(torch.zeros(distances))
        self.rel_pos_w = nn.Parameter(torch.zeros(distances))

    def bias(self, q: Tensor) -> Tensor:
        q = q.unflatten(2, (self.side, self.side))  # [b, n, h, w, D]
        steps = torch.arange(self.side, device=q.device)
        distance = steps[:, None] - steps + self.side - 1  # [query, key]
        rows = torch.einsum("bnhwd,hkd->bnhwk", q, self.rel_pos_h[distance]).contiguous()
        columns = torch.einsum("bnhwd,wkd->bnhwk", q, self.rel_pos_w[distance]).contiguous()
        # The sum takes its layout from them; in another one, flattening it would copy it.
        return (rows[..., :, None] + columns[..., None, :]).flatten(4).flatten(2, 3)


class GlobalAttention(GridAttention):
    """One picture at a time: the positions of a 64x64 grid take 0.5 GB in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([super(GlobalAttention, self).forward(picture) for picture in x.split(1)])


class SamEncoder(PictureExpert):
    """SAM's image encoder; the defaults are SAM-huge's.

    window: side of a window in patches, but of global_layers; neck: channels of the map;
    downsample: those of Vary's last convolution, which halves the map, None for SAM.
    """

    on_meta = True

    def __init__(
        self,
        *,
        width: int = 1280,
        layers: int = 32,
        heads: int = 16,
        mlp: int = 5120,
        patch: int = 16,
        size: int = 1024,
        window: int = 14,
        global_layers: Sequence[int] = (7, 15, 23, 31),
        neck: int = 256,
        downsample: int | None = None,
        **picture: Any,
    ) -> None:
        super().__init__(channels=downsample or neck, view_size=size, **picture)
        check_sizes(self.name, width=width, heads=heads, size=size, patch=patch)
        grid = size // patch
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, width))
        norm = partial(nn.LayerNorm, width, eps=LAYER_NORM_EPS)
        blocks = []
        for layer in range(layers):
            whole = layer in global_layers
            attention = GlobalAttention if whole else GridAttention
            attn = attention(width, heads, grid if whole else window)
            mlp_ = make_mlp(width, mlp, ("lin1", "lin2"))
            blocks.append(Block(norm, attn, mlp_, window=None if whole else window))
        self.blocks = nn.Sequential(*blocks)
        self.neck = make_neck(width, neck)
        self.net_2: nn.Module = nn.Identity()
        if downsample is not None:
            self.net_2 = nn.Conv2d(neck, downsample, 3, stride=2, padding=1, bias=False)

    def forward(self, view: Tensor) -> Tensor:
        """[B, 3, size, size] -> [B, channels, h, w], with h = size / patch, or half of it."""
        patches = self.patch_embed["proj"](view).permute(0, 2, 3, 1)  # [B, h, w, C]
        x = self.blocks(patches + self.pos_embed)
        return self.net_2(self.neck(x.permute(0, 3, 1, 2)))

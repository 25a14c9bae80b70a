"""Co-DETR's backbone (arXiv 2211.12860): the expert for objects in images.

A ViT in the style of EVA-02: windowed attention except in a few global layers, rotary positions, a
gated MLP with a norm inside. The release enlarges its input, and shrinks its map, in its own way:
see `forward`. Parameter names are the release's; its rotary tables are computed, not stored.

Shapes: B batch, b pictures or windows, h w a grid of patches, N = h * w, n heads, D head width,
C channels.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.errors import UserError
from openmova.experts.transformer import (
    LAYER_NORM_EPS,
    Block,
    attend,
    check_sizes,
    make_neck,
    resize_grid,
    resize_map,
    rotary_angles,
    split_heads,
    turned,
)
from openmova.experts.views import PictureExpert

OUT_NORM_EPS = 1e-5
ROTARY_SPAN = 16
"""Positions go from 0 to this, however many patches there are."""
ROTARY_THETA = 10000.0


class Rotary:
    """The 2-D rotary table of a square grid, see `rotary_angles`."""

    def __init__(self, side: int, head_dim: int, device: torch.device) -> None:
        positions = torch.arange(side, dtype=torch.float32, device=device) / side * ROTARY_SPAN
        angles = rotary_angles(positions, positions, head_dim, ROTARY_THETA)
        self.cos, self.sin = angles.cos(), angles.sin()

    def __call__(self, x: Tensor) -> Tensor:
        """Turn x [b, n, N, D], in float32; its dtype is kept."""
        wide = x.float()
        return (wide * self.cos + turned(wide) * self.sin).to(x.dtype)


class Attention(nn.Module):
    """Self-attention with rotary positions; queries and values have a bias, keys have none."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, rotary: Rotary) -> Tensor:
        """[b, h, w, C] -> the same."""
        tokens = x.flatten(1, 2)
        q = split_heads(self.q_proj(tokens) + self.q_bias, self.heads)
        k = split_heads(self.k_proj(tokens), self.heads)
        v = split_heads(self.v_proj(tokens) + self.v_bias, self.heads)
        return self.proj(attend(rotary(q), rotary(k), v).view(x.shape))


class SwiGlu(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, hidden)
        self.w2 = nn.Linear(width, hidden)
        self.ffn_ln = nn.LayerNorm(hidden, eps=LAYER_NORM_EPS)
        self.w3 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.w3(self.ffn_ln(F.silu(self.w1(x)) * self.w2(x)))


class CoDetrEncoder(PictureExpert):
    """Co-DETR's backbone with a neck; the defaults are the release's.

    size: side of the picture that the layers see; table: side of the table of positions, which is
    resized for another grid; window: side of a window in patches, but of global_layers; neck:
    channels of the map; output_grid: its side.
    """

    on_meta = True

    def __init__(
        self,
        *,
        width: int = 1024,
        layers: int = 24,
        heads: int = 16,
        mlp: int = 2730,
        patch: int = 16,
        size: int = 1280,
        table: int = 80,
        view_size: int = 1024,
        window: int = 16,
        global_layers: Sequence[int] = (5, 11, 17, 23),
        neck: int = 256,
        output_grid: int = 37,
        **picture: Any,
    ) -> None:
        super().__init__(channels=neck, view_size=view_size, **picture)
        self.size, self.window, self.output_grid = size, window, output_grid
        check_sizes(self.name, width=width, heads=heads, size=size, patch=patch)
        self.grid, self.head_dim = size // patch, width // heads
        if self.head_dim % 4:
            raise UserError(
                f"the expert {self.name!r} has heads of {self.head_dim} channels, which must be a "
                "multiple of 4: change its width or heads"
            )
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + table**2, width))  # a class token's first
        norm = partial(nn.LayerNorm, width, eps=LAYER_NORM_EPS)
        self.blocks = nn.ModuleList(
            Block(
                norm,
                Attention(width, heads),
                SwiGlu(width, mlp),
                window=None if layer in global_layers else window,
            )
            for layer in range(layers)
        )
        self.out_norm = nn.LayerNorm(width, eps=OUT_NORM_EPS)
        self.neck = make_neck(width, neck, nn.GELU())

    def positions(self) -> Tensor:
        """The learned positions on the grid of the layers [1, h, w, C]."""
        return resize_grid(self.pos_embed[0, 1:], self.grid).unflatten(0, (self.grid, -1))[None]

    def forward(self, view: Tensor) -> Tensor:
        """[B, 3, any, any] -> [B, neck, output_grid, output_grid].

        The view is enlarged to `size` by repeating pixels (nearest), and the map resized
        bilinearly without antialiasing.
        """
        enlarged = F.interpolate(view.float(), (self.size, self.size), mode="nearest")
        patches = self.patch_embed["proj"](enlarged.to(view.dtype))
        x = patches.permute(0, 2, 3, 1) + self.positions()
        of_window = Rotary(self.window, self.head_dim, x.device)
        of_grid = Rotary(self.grid, self.head_dim, x.device)
        for block in self.blocks:
            x = block(x, of_grid if block.window is None else of_window)
        x = self.neck(self.out_norm(x).permute(0, 3, 1, 2))
        return resize_map(x, (self.output_grid, self.output_grid))

"""DINOv2's vision transformer (arXiv 2304.07193): the paper's expert for natural images, giant.

Parameters have the names of the public checkpoint. Layers after the selected hidden state, the
last norm and the mask token are not built.

Shapes: B batch, N tokens (class token first), C width, n the grid's side, h the MLP's width.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.experts.base import tokens_to_map
from openmova.experts.transformer import (
    LAYER_NORM_EPS,
    attend,
    check_sizes,
    count_layers,
    prepend_class_token,
    resize_grid,
    resize_map,
    split_heads,
)
from openmova.experts.views import PictureExpert


class Embeddings(nn.Module):
    """Patches, the class token before them, and a learned position for each.

    The position table is of a square grid of side `table`; for another grid it is resized.
    """

    def __init__(self, width: int, patch: int, table: int) -> None:
        super().__init__()
        self.table = table
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.position_embeddings = nn.Parameter(0.02 * torch.randn(1, 1 + table * table, width))
        self.patch_embeddings = nn.ModuleDict({"projection": nn.Conv2d(3, width, patch, patch)})

    def forward(self, view: Tensor) -> Tensor:
        patches = self.patch_embeddings["projection"](view)  # [B, C, n, n]
        tokens = prepend_class_token(self.cls_token, patches)  # [B, 1 + n * n, C]
        return tokens + self.positions(patches.shape[-1])

    def positions(self, grid: int) -> Tensor:
        """[1, 1 + grid * grid, C], resized by a scale that is a tenth of a cell over.

        The released code takes this scale, and not the grid, for the places that it reads.
        """
        whole = self.position_embeddings
        if grid == self.table:
            return whole
        resized = resize_grid(whole[0, 1:], grid, (grid + 0.1) / self.table)
        return torch.cat([whole[:, :1], resized[None]], dim=1)


class SelfAttention(nn.Module):
    """The public checkpoint has the projections one module deeper than the output."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention = nn.ModuleDict(
            {part: nn.Linear(width, width) for part in ("query", "key", "value")}
        )
        self.output = nn.ModuleDict({"dense": nn.Linear(width, width)})

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split_heads(layer(x), self.heads) for layer in self.attention.values())
        return self.output["dense"](attend(q, k, v))


def layer_scale(width: int) -> nn.ParameterDict:
    """One learned factor per channel."""
    return nn.ParameterDict({"lambda1": torch.ones(width)})


class SwiGlu(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.weights_in = nn.Linear(width, 2 * hidden)
        self.weights_out = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.weights_in(x).chunk(2, dim=-1)  # [B, N, h] each
        return self.weights_out(F.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attention = SelfAttention(width, heads)
        self.layer_scale1 = layer_scale(width)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = SwiGlu(width, mlp)
        self.layer_scale2 = layer_scale(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.layer_scale1["lambda1"] * self.attention(self.norm1(x))
        return x + self.layer_scale2["lambda1"] * self.mlp(self.norm2(x))


class Dinov2Encoder(PictureExpert):
    """DINOv2's vision transformer without its last norm.

    mlp: the width inside its SwiGLU; size: the largest side that it looks at, a larger view is made
    smaller; table: side of the grid that the position table is for.
    """

    on_meta = True

    def __init__(
        self,
        *,
        width: int = 1536,
        layers: int = 40,
        heads: int = 24,
        mlp: int = 4096,
        patch: int = 14,
        size: int = 518,
        table: int = 37,
        view_size: int = 672,
        select_layer: int = -2,
        **picture: Any,
    ) -> None:
        super().__init__(channels=width, view_size=view_size, **picture)
        check_sizes(self.name, width=width, heads=heads, size=min(size, view_size), patch=patch)
        self.size, self.patch = size, patch
        count = count_layers(self.name, layers, select_layer)
        self.embeddings = Embeddings(width, patch, table)
        self.encoder = nn.ModuleDict(
            {"layer": nn.Sequential(*(Layer(width, heads, mlp) for _ in range(count)))}
        )

    def forward(self, view: Tensor) -> Tensor:
        """[B, 3, view_size, view_size] -> the selected hidden state as a map [B, width, n, n]."""
        side = min(view.shape[-1], self.size)
        view, grid = resize_map(view, (side, side)), side // self.patch
        return tokens_to_map(self.encoder["layer"](self.embeddings(view)), (grid, grid))

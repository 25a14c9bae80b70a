"""Pix2Struct's encoder (arXiv 2210.03347): the experts for text in pictures and, as Deplot
(arXiv 2212.10505), for charts.

A ViT over rows of patches that carry their own place: row number, column number, then the pixels.
It has no biases but one, norms without mean, attention without scaling, and a gated MLP. Parameter
names are those of transformers' Pix2StructVisionModel.

Shapes: B batch, P rows of patches, n heads, D head width, C channels.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.errors import UserError
from openmova.experts.base import Expert
from openmova.experts.transformer import Block, SplitAttention
from openmova.experts.views import check_choice, flattened_patches

RMS_NORM_EPS = 1e-6
PatchFrame = Literal["pad", "none"]


class Embeddings(nn.Module):
    """A row of patches becomes a token: its pixels, projected, and its two numbers, looked up."""

    def __init__(self, width: int, patch: int, positions: int) -> None:
        super().__init__()
        self.patch_projection = nn.Linear(3 * patch * patch, width)
        self.row_embedder = nn.Embedding(positions, width)
        self.column_embedder = nn.Embedding(positions, width)

    def forward(self, view: Tensor) -> Tensor:
        """[B, P, 2 + 3 * patch * patch] -> [B, P, C]."""
        rows, columns = view[..., 0].long(), view[..., 1].long()
        tokens = self.patch_projection(view[..., 2:])
        return tokens + self.row_embedder(rows) + self.column_embedder(columns)


class GatedMlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.wi_0 = nn.Linear(width, hidden, bias=False)
        self.wi_1 = nn.Linear(width, hidden, bias=False)
        self.wo = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.wo(F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x))


class Pix2StructEncoder(Expert):
    """Pix2Struct's encoder; the defaults are Pix2Struct-large's, Deplot has the base size.

    positions: how many row and column numbers have a vector, 0 marks a row that is empty;
    max_patches: rows of the view, which the map reads as a square; fill: colour that the frame
    "pad" fills the picture's square with. With "none" a map of a picture that isn't square is not
    laid out as the picture is (nor is the release's).
    """

    on_meta = True

    def __init__(
        self,
        *,
        name: str,
        descriptions: Sequence[str],
        width: int = 1536,
        layers: int = 18,
        heads: int = 24,
        head_dim: int = 64,
        mlp: int = 3968,
        positions: int = 4096,
        patch: int = 16,
        max_patches: int = 2025,
        fill: Sequence[int] = (122, 116, 104),
        frame: PatchFrame = "pad",
    ) -> None:
        super().__init__(name=name, descriptions=descriptions, channels=width)
        check_choice(name, "frame", frame, get_args(PatchFrame))
        side = math.isqrt(max(max_patches, 0))
        if side == 0 or side**2 != max_patches:
            raise UserError(
                f"the expert {name!r} has max_patches {max_patches}, which is no square number: "
                f"use {max(side, 1) ** 2} or {(side + 1) ** 2}"
            )
        self.patch, self.max_patches, self.fill = patch, max_patches, tuple(fill)
        self.frame: PatchFrame = frame
        self.side = side
        self.embeddings = Embeddings(width, patch, positions)
        norm = partial(nn.RMSNorm, width, eps=RMS_NORM_EPS)
        names, inner = ("query", "key", "value", "output"), heads * head_dim
        blocks = (
            Block(
                norm,
                SplitAttention(width, heads, names, inner=inner, bias=False, scale=1.0),
                GatedMlp(width, mlp),
                ("pre_attention_layer_norm", "attention", "pre_mlp_layer_norm", "mlp"),
            )
            for _ in range(layers)
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(blocks)})
        self.layernorm = norm()

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """See Expert.view. Returns float32 [B, max_patches, 2 + 3 * patch * patch]."""
        return flattened_patches(
            images,
            sizes,
            patch=self.patch,
            max_patches=self.max_patches,
            frame=self.frame,
            fill=self.fill,
        )

    def tokens(self, view: Tensor) -> Tensor:
        """[B, P, 2 + 3 * patch * patch] -> [B, P, C]; empty rows too, though no row looks at them.

        A row is empty if its values sum to exactly 0.
        """
        empty = view.float().sum(-1) == 0
        x = self.embeddings(view)
        mask = torch.zeros_like(empty, dtype=x.dtype).masked_fill(empty, torch.finfo(x.dtype).min)
        for layer in self.encoder["layer"].children():
            x = layer(x, mask[:, None, None])
        return self.layernorm(x)

    def forward(self, view: Tensor) -> Tensor:
        """[B, max_patches, 2 + 3 * patch * patch] -> [B, width, g, g], g * g = max_patches."""
        return self.tokens(view).mT.unflatten(2, (self.side, self.side))

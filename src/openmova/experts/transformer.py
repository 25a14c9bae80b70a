"""What the vision transformers share: patches, attention, MLP, blocks, and the windows and the
convolutional neck of SAM and Co-DETR (ViTDet, arXiv 2203.16527).

Shapes: B batch, N tokens, C width, n heads, D head width, h w the grid of patches, s the side of a
window.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.errors import UserError

LAYER_NORM_EPS = 1e-6


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, N, C] -> [B, n, N, D]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
    """Attention of heads [B, n, N, D] -> [B, N, C]; options: of scaled_dot_product_attention."""
    return F.scaled_dot_product_attention(query, key, value, **options).transpose(1, 2).flatten(2)


def rotary_angles(rows: Tensor, columns: Tensor, head_dim: int, theta: float) -> Tensor:
    """Of 2-D rotary positions [h] and [w]: the first half of a head turns with the row, the second
    with the column, each in adjacent pairs at frequencies theta^(-4i / D). [h * w, D]."""
    pairs = torch.arange(head_dim // 4, dtype=torch.float32, device=rows.device)
    frequencies = theta ** (-pairs / (head_dim // 4))  # [D / 4]
    of_rows, of_columns = (torch.outer(places, frequencies) for places in (rows, columns))
    of_rows = of_rows[:, None].expand(-1, len(columns), -1)
    of_columns = of_columns[None].expand(len(rows), -1, -1)
    return torch.cat([of_rows, of_columns], dim=-1).flatten(0, 1).repeat_interleave(2, dim=-1)


def turned(x: Tensor) -> Tensor:
    """Every adjacent pair (a, b) of [..., D] as (-b, a)."""
    return torch.stack([-x[..., 1::2], x[..., 0::2]], dim=-1).flatten(-2)


class Attention(nn.Module):
    """Self-attention that projects queries, keys and values together."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, ..., C] -> the same."""
        parts = self.qkv(x.flatten(1, -2)).chunk(3, dim=-1)  # [B, N, C] each
        q, k, v = (split_heads(part, self.heads) for part in parts)
        return self.proj(attend(q, k, v, attn_mask=self.bias(q)).view(x.shape))

    def bias(self, q: Tensor) -> Tensor | None:
        """What the unscaled queries [B, n, N, D] add to the logits of all keys: [B, n, N, N]."""
        return None


class SplitAttention(nn.Module):
    """Self-attention that projects queries, keys and values one by one.

    names: of these layers and of the output's in the checkpoint; inner: of all heads together,
    default the width; scale: of the logits, default that of their width.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        names: Sequence[str],
        *,
        inner: int | None = None,
        bias: bool = True,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.heads, self.scale = heads, scale
        for name in names[:3]:
            self.add_module(name, nn.Linear(width, inner or width, bias=bias))
        self.add_module(names[3], nn.Linear(inner or width, width, bias=bias))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x [B, N, C], mask additive, as of the logits [B, n, N, N] -> [B, N, C]."""
        *layers, output = self.children()
        q, k, v = (split_heads(layer(x), self.heads) for layer in layers)
        return output(attend(q, k, v, attn_mask=mask, scale=self.scale))


def make_mlp(
    width: int,
    hidden: int,
    names: tuple[str, str] = ("fc1", "fc2"),
    activation: nn.Module | None = None,
) -> nn.Sequential:
    """Two linear layers with these names and an activation between them, which is GELU."""
    layers = (nn.Linear(width, hidden), activation or nn.GELU(), nn.Linear(hidden, width))
    return nn.Sequential(OrderedDict(zip((names[0], "activation", names[1]), layers, strict=True)))


def prepend_class_token(token: Tensor, patches: Tensor) -> Tensor:
    """A learned token [..., C] before a map of patches [B, C, h, w]: [B, 1 + h * w, C]."""
    tokens = patches.flatten(2).transpose(1, 2)
    return torch.cat([token.expand(len(tokens), 1, -1), tokens], dim=1)


def resize_grid(table: Tensor, grid: int, scale: float | None = None) -> Tensor:
    """Positions of a square grid [m * m, C] for one of another side [grid * grid, C].

    Bicubic in float32, without antialiasing; the dtype is kept. scale: by which places are read,
    where it is not that of the two sides.
    """
    side = math.isqrt(len(table))
    places = table.float().T.unflatten(1, (side, side))[None]  # [1, C, m, m]
    size: dict[str, Any] = {"size": grid} if scale is None else {"scale_factor": scale}
    resized = F.interpolate(places, **size, mode="bicubic", align_corners=False)
    return resized[0].flatten(1).T.to(table.dtype)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of a map [B, C, h, w]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """One layer: attention and MLP, each behind a norm and beside a residual path.

    norm: makes one; names: of norm, attention, norm and MLP in the checkpoint. Attention takes
    tokens, or [b, h, w, C] of windows or pictures, and what `forward` is given beside x. window:
    its side; None lets every patch of a picture see every other.
    """

    def __init__(
        self,
        norm: Callable[[], nn.Module],
        attention: nn.Module,
        mlp: nn.Module,
        names: Sequence[str] = ("norm1", "attn", "norm2", "mlp"),
        window: int | None = None,
    ) -> None:
        super().__init__()
        self.window = window
        for name, part in zip(names, (norm(), attention, norm(), mlp), strict=True):
            self.add_module(name, part)

    def forward(self, x: Tensor, *beside: Any) -> Tensor:
        """[B, N, C] or [B, h, w, C] -> the same."""
        attention_norm, attention, mlp_norm, mlp = self.children()
        y = attention_norm(x)
        if self.window is None:
            y = attention(y, *beside)
        else:
            _, h, w, _ = y.shape
            y = out_of_windows(attention(into_windows(y, self.window), *beside), (h, w))
        x = x + y
        return x + mlp(mlp_norm(x))


def make_neck(inputs: int, outputs: int, activation: nn.Module | None = None) -> nn.Sequential:
    """1x1 and 3x3 convolution, each with a norm, an activation between them where given.

    The places in the sequence are the names of the public checkpoints.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=False),
        ChannelNorm(outputs, eps=LAYER_NORM_EPS),
        *([] if activation is None else [activation]),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        ChannelNorm(outputs, eps=LAYER_NORM_EPS),
    )


def into_windows(x: Tensor, side: int) -> Tensor:
    """Cut a grid [B, h, w, C] into windows [B * windows, s, s, C], row by row.

    Zeros at the bottom and on the right fill it to a multiple of the side.
    """
    _, h, w, _ = x.shape
    x = F.pad(x, (0, 0, 0, -w % side, 0, -h % side))
    x = x.unflatten(2, (-1, side)).unflatten(1, (-1, side))  # [B, rows, s, columns, s, C]
    return x.transpose(2, 3).flatten(0, 2)


def out_of_windows(windows: Tensor, grid: tuple[int, int]) -> Tensor:
    """Put windows [B * windows, s, s, C] together again, without their filling: [B, h, w, C]."""
    side = windows.shape[1]
    h, w = grid
    rows, columns = -(-h // side), -(-w // side)
    x = windows.unflatten(0, (-1, rows, columns)).transpose(2, 3)  # [B, rows, s, columns, s, C]
    return x.flatten(3, 4).flatten(1, 2)[:, :h, :w]


def count_layers(name: str, layers: int, select_layer: int) -> int:
    """How many of an encoder's layers its map needs.

    select_layer: the map's index in the list of hidden states, where 0 is the first layer's input
    and -1 the last layer's output.
    """
    if not -layers - 1 <= select_layer <= layers:
        raise UserError(
            f"the expert {name!r} has select_layer {select_layer} in its spec, but {layers} layers "
            f"have the hidden states {-layers - 1} to {layers}"
        )
    return select_layer % (layers + 1)


def check_sizes(name: str, *, width: int, heads: int, size: int, patch: int) -> None:
    """Raises UserError if the heads don't divide the width, or the patches the picture."""
    for whole, value, part, by in (
        ("width", width, "heads", heads),
        ("size", size, "patch", patch),
    ):
        if min(value, by) < 1 or value % by:
            raise UserError(
                f"the expert {name!r} has {whole} {value} and {part} {by} in its spec; "
                f"{whole} must be a multiple of {part}"
            )


def resize_map(features: Tensor, grid: tuple[int, int]) -> Tensor:
    """Bilinear resize [B, C, h', w'] -> [B, C, *grid] in float32, without antialiasing; the dtype
    is kept."""
    if tuple(features.shape[-2:]) == tuple(grid):
        return features
    resized = F.interpolate(features.float(), size=grid, mode="bilinear", align_corners=False)
    return resized.to(features.dtype)

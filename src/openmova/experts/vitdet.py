"""What ViTs of the layout norm, attention, norm, MLP share; and the windows and the convolutional
neck of SAM and Co-DETR (ViTDet, arXiv 2203.16527).

Shapes: B batch, h w the grid of patches, C channels, s the side of a window.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

LAYER_NORM_EPS = 1e-6


class PatchEmbedding(nn.Module):
    """The picture cut into patches, channels last."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch, stride=patch)

    def forward(self, view: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, h, w, C]."""
        return self.proj(view).permute(0, 2, 3, 1)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of a map [B, C, h, w]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ViTBlock(nn.Module):
    """One layer; window None lets every patch of a picture see every other.

    attention takes [b, h, w, C] of windows or pictures, and what `forward` is given beside x.
    """

    def __init__(self, width: int, attention: nn.Module, mlp: nn.Module, window: int | None):
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attn = attention
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = mlp

    def forward(self, x: Tensor, *beside: Any) -> Tensor:
        """[B, h, w, C] -> the same."""
        y = self.norm1(x)
        if self.window is None:
            y = self.attn(y, *beside)
        else:
            _, h, w, _ = y.shape
            y = out_of_windows(self.attn(into_windows(y, self.window), *beside), (h, w))
        x = x + y
        return x + self.mlp(self.norm2(x))


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

"""Nano's own experts: small convolutional encoders, trained to say what each cell shows.

A stem of stride 8, then residual convolutions, every second one with context: what the whole map,
the cell's column and the cell's row hold, so that one cell can know of another (the tallest bar,
how many stars).

Shapes: B batch, C channels, h w the map (size / 8).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.experts.base import Expert, square_view


class Context(nn.Module):
    """Adds to every cell what the map, its column and its row hold (mean and maximum)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.whole = nn.Linear(2 * channels, channels)
        self.column = nn.Conv2d(2 * channels, channels, 1)
        self.row = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        def pooled(*dims: int) -> Tensor:
            return torch.cat([x.mean(dims, keepdim=True), x.amax(dims, keepdim=True)], 1)

        whole = self.whole(pooled(2, 3).flatten(1))[:, :, None, None]  # [B, C, 1, 1]
        return x + whole + self.column(pooled(2)) + self.row(pooled(3))


class Block(nn.Module):
    """Residual 3x3 convolution with batch norm; optionally with context."""

    def __init__(self, channels: int, context: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.context = Context(channels) if context else None

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.conv(F.relu(self.norm(x)))
        return x if self.context is None else self.context(x)


class CellExpert(Expert):
    """A small encoder of stride 8.

    Args:
        size: side of the square view in pixels.
        channels: width of the map.
        blocks: number of residual convolutions.
    """

    on_meta = True

    def __init__(
        self,
        *,
        name: str,
        descriptions: Sequence[str],
        size: int = 224,
        channels: int = 128,
        blocks: int = 6,
    ) -> None:
        super().__init__(name=name, descriptions=descriptions, channels=channels)
        self.size = size
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels // 2, 4, 4),
            nn.BatchNorm2d(channels // 2),
            nn.ReLU(),
            nn.Conv2d(channels // 2, channels, 3, 2, 1),
        )
        self.blocks = nn.ModuleList(
            Block(channels, context=index % 2 == 1) for index in range(blocks)
        )
        self.norm = nn.BatchNorm2d(channels)

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """See Expert.view. Returns float32 [B, 3, size, size]."""
        half = (0.5, 0.5, 0.5)
        side = (self.size, self.size)
        return square_view(images, sizes, size=side, mean=half, std=half, mode="bilinear")

    def forward(self, view: Tensor) -> Tensor:
        """[B, 3, size, size] -> [B, channels, size/8, size/8]."""
        x = self.stem(view.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

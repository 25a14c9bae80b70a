"""Where the marks of a chart are: a head on frozen features of EfficientNet-Lite2.

CenterNet's (arXiv 1904.07850): a map of heat for each kind of mark, whose peaks are the marks, and
the offset from a cell's middle. Shapes: B batch, C features, K kinds, h w the map.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VIEW, STRIDE = 448, 8
STAGES = (3, 4, 5)
"""Of EfficientNet-Lite2, side by side at the grid of the first."""
KINDS = ("top", "end", "point")
"""The top of an upright bar, the end of a lying one, a point of a line."""
WIDTH = 64
REACHES = (1, 2, 4, 8)
"""Dilations: a bar may be a third of the picture wide."""


class Mark(NamedTuple):
    """A mark of a chart; x, y in pixels."""

    kind: int
    x: float
    y: float
    score: float


class ChartHead(nn.Module):
    """Six convolutions: [B, C, h, w] -> [B, K + 2, h, w], logits of heat, then offsets x and y in
    cells."""

    shift: Tensor
    scale: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.squeeze = nn.Conv2d(inputs, WIDTH, 1)
        self.around = nn.ModuleList(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=reach, dilation=reach) for reach in REACHES
        )
        self.out = nn.Conv2d(WIDTH, len(KINDS) + 2, 1)
        assert self.out.bias is not None
        nn.init.constant_(self.out.bias[: len(KINDS)], -4.0)  # marks are rare

    @torch.no_grad()
    def fit_scale(self, features: Tensor) -> None:
        """Bring every channel of features [N, C, h, w] to mean 0 and variance 1."""
        self.shift.copy_(features.mean((0, 2, 3)))
        self.scale.copy_(1 / features.std((0, 2, 3)).clamp(min=1e-3))

    def forward(self, features: Tensor) -> Tensor:
        x = (features - self.shift[:, None, None]) * self.scale[:, None, None]
        x = F.relu(self.squeeze(x))
        for layer in self.around:
            x = x + F.relu(layer(x))
        return self.out(x)


def find_marks(output: Tensor, threshold: float) -> list[Mark]:
    """The marks of one picture: peaks of the heat in the head's output [K + 2, h, w], in pixels of
    the view, the surest first."""
    best, kinds = output[: len(KINDS)].sigmoid().max(0)
    peaks = (best == F.max_pool2d(best[None], 3, 1, 1)[0]) & (best >= threshold)
    marks = []
    for row, column in peaks.nonzero().tolist():
        dx, dy = output[len(KINDS) :, row, column].tolist()
        marks.append(
            Mark(
                kind=int(kinds[row, column]),
                x=(column + 0.5 + dx) * STRIDE,
                y=(row + 0.5 + dy) * STRIDE,
                score=float(best[row, column]),
            )
        )
    return sorted(marks, key=lambda mark: -mark.score)

"""From a one-stage detector's outputs to boxes: NanoDet, PicoDet and others with such heads.

At each place of a grid: a score per class, and per side of the box a distribution over distances,
whose mean counts in strides (generalised focal loss, arXiv 2006.04388, section 3.2).

Shapes: P = h * w places of a grid, K classes, N boxes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

OVERLAP = 0.5
"""Intersection over union from which the weaker of two boxes of one class is dropped."""


class Found(NamedTuple):
    """A thing in a picture: its class, score, and left, top, right, bottom in pixels."""

    label: int
    score: float
    box: tuple[float, float, float, float]


def decode_boxes(distances: Tensor, width: int, stride: int) -> Tensor:
    """float [P, 4 * bins] of a grid with `width` columns -> boxes [P, 4] in pixels."""
    chances = distances.unflatten(-1, (4, -1)).softmax(-1)
    sides = chances @ torch.arange(chances.shape[-1], dtype=chances.dtype) * stride
    place = torch.arange(len(distances))
    centre = (torch.stack([place % width, place // width], -1) + 0.5) * stride
    return torch.cat([centre - sides[:, :2], centre + sides[:, 2:]], -1)


def find_things(levels: Iterable[tuple[Tensor, Tensor, int, int]], threshold: float) -> list[Found]:
    """What a detector sees, by falling score; of overlapping boxes of a class the surest.

    levels: scores [P, K], distances [P, 4 * bins], width and stride of each grid.
    """
    scores, boxes = [], []
    for score, distances, width, stride in levels:
        sure = score.amax(1) > threshold
        scores.append(score[sure])
        boxes.append(decode_boxes(distances, width, stride)[sure])
    score, label = torch.cat(scores).max(1)
    order = score.argsort(descending=True, stable=True)
    score, label, box = score[order], label[order], torch.cat(boxes)[order]
    same = label[:, None] == label
    doubles = (same & (overlaps(box, box) > OVERLAP)).tolist()
    kept: list[int] = []
    for i, row in enumerate(doubles):
        if not any(row[j] for j in kept):
            kept.append(i)
    return [
        Found(int(label[i]), float(score[i]), (*map(float, box[i]),))  # type: ignore[arg-type]
        for i in kept
    ]


def overlaps(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes [N, 4] and [M, 4]: [N, M]."""
    corner = torch.maximum(a[:, None, :2], b[:, :2])
    opposite = torch.minimum(a[:, None, 2:], b[:, 2:])
    shared = (opposite - corner).clamp(min=0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (a, b)]
    return shared / (areas[0][:, None] + areas[1] - shared)

"""A pie chart's slices: a disc on a plain ground, cut where its colour changes.

Ours; plain geometry, nothing is learnt. Rings are read as pies are.

Shapes: [3, h, w] a picture; angles are turns from the right, clockwise as y grows downwards.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from openmova.experts.chart_axis import number
from openmova.experts.chart_ink import Recogniser, specks
from openmova.experts.chart_legend import read_legend
from openmova.experts.chart_text import Chart
from openmova.experts.text_lines import Box, Line, components

SIDE = 96
"""The disc is sought in the picture's mask at this size."""
GROUND = 30.0
"""Distance of a colour from the ground's from which a pixel is drawn; of 255 in each channel."""
ROUND = (0.84, 1.19)
"""Width over height of a disc."""
LEAST_SIDE = 0.25
"""Of a disc, of the picture's shorter side."""
RINGS = (0.7, 0.76, 0.82, 0.88, 0.93)
"""Radii at which the colour is sampled, of the disc's."""
FILLED = 0.93
"""Share of the samples that are drawn."""
OUTSIDE, EMPTY = 1.2, 0.4
"""Radius in the corners around a disc, and share of the samples there that are drawn at most."""
STEPS = 720
"""Angles that are sampled."""
CHANGE = 24.0
"""Distance of two colours from which they are two slices'."""
THINNEST = 0.008
"""Of the whole; less is a line between slices, or the edge of a text."""
MOST = 14
EDGE, NEAR = 0.97, 1.4
"""How far from the centre the nearest point of a label beside a slice is, in radii."""
PERCENT = re.compile(r"(\d+(?:[.,]\d+)?)\s*%")


class Slice(NamedTuple):
    """From where to where, in turns, and its colour, float [3]."""

    start: float
    share: float
    colour: Tensor

    def holds(self, turn: float) -> bool:
        """Whether a direction from the centre goes through it."""
        return (turn - self.start) % 1 < self.share


class Pie(NamedTuple):
    """Centre and radius in pixels, and slices."""

    x: float
    y: float
    radius: float
    slices: tuple[Slice, ...]


def find_pie(picture: Tensor) -> Pie | None:
    """The pie in a picture uint8 [3, h, w]; None where there is none."""
    height, width = picture.shape[1:]
    pixels = picture.float()
    border = torch.cat([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], dim=1)
    ground = border.median(1).values
    if ((border.T - ground).norm(dim=1) < GROUND).float().mean() < 0.8:
        return None
    drawn = ((pixels - ground[:, None, None]).norm(dim=0) > GROUND).float()
    box = _disc(drawn)
    if box is None:
        return None
    left, top, right, bottom = box
    x, y, radius = (left + right) / 2, (top + bottom) / 2, (right - left + bottom - top) / 4
    turns = (torch.arange(STEPS) + 0.5) / STEPS * 2 * math.pi
    rings = torch.tensor(RINGS)[:, None] * radius
    columns = (x + rings * turns.cos()).round().long().clamp(0, width - 1)
    rows = (y + rings * turns.sin()).round().long().clamp(0, height - 1)
    corners = (turns.cos().abs() - turns.sin().abs()).abs() < 0.3
    far_x = (x + OUTSIDE * radius * turns.cos()[corners]).round().long().clamp(0, width - 1)
    far_y = (y + OUTSIDE * radius * turns.sin()[corners]).round().long().clamp(0, height - 1)
    if drawn[rows, columns].mean() < FILLED or drawn[far_y, far_x].mean() > EMPTY:
        return None
    slices = _slices(pixels[:, rows, columns].median(1).values.T)
    return Pie(x, y, radius, slices) if 2 <= len(slices) <= MOST else None


def read_pie(
    picture: Tensor, pie: Pie, lines: Sequence[Line], recognise: Recogniser
) -> Chart | None:
    """Labels and values of the slices, in their order; None where hardly one has a label.

    recognise: reads what `lines` lack. A slice's label stands beside it or in it, or in a legend.
    Values are per cent as measured; what is written goes before that, in per cent, or numbers if
    each slice has one.
    """
    named = _beside(pie, lines)
    if len(named) < len(pie.slices):
        reach = NEAR * pie.radius
        region = (pie.x - reach, pie.y - reach, pie.x + reach, pie.y + reach)
        boxes = [box for box in specks(picture, lines, region) if _away(pie, box) > EDGE]
        lines = [*lines, *recognise(picture, boxes)]
        named = _beside(pie, lines)
    if len(named) < 0.8 * len(pie.slices):
        named = read_legend(picture, lines, [one.colour for one in pie.slices])
    written = _written(
        pie, [(line, match[1]) for line in lines if (match := PERCENT.search(line.text))]
    )
    inside = [line for line in lines if _away(pie, line.box) < EDGE]
    plain = _written(pie, [(line, line.text) for line in inside])
    if len(plain) == len(pie.slices):
        written = plain
    kept = [i for i in range(len(pie.slices)) if i in named]
    if len(kept) < 2:
        return None
    values = tuple(written[i][0] if i in written else 100 * pie.slices[i].share for i in kept)
    digits = max((digits for _, digits in written.values()), default=0)
    return Chart(tuple(named[i] for i in kept), (), (values,), 10.0 ** (2 - digits))


def _written(pie: Pie, texts: Sequence[tuple[Line, str]]) -> dict[int, tuple[float, int]]:
    """The number that stands at each slice, and its digits behind the point."""
    found: dict[int, tuple[float, int]] = {}
    for line, text in texts:
        value, place = number(text.strip()), _place(pie, line.box)
        if value is not None and place is not None:
            decimals = re.search(r"[.,](\d{1,2})$", text.strip())
            found.setdefault(place, (value, len(decimals[1]) if decimals else 0))
    return found


def _beside(pie: Pie, lines: Sequence[Line]) -> dict[int, str]:
    """What stands beside each slice, or else in it: a number in it is no name."""
    named: dict[int, str] = {}
    for line in sorted(lines, key=lambda line: abs(_away(pie, line.box) - 1.1)):
        text = PERCENT.sub("", line.text).strip(" ()-:,;|")
        is_name = any(letter.isalpha() for letter in text)
        if _away(pie, line.box) > EDGE:
            is_name |= any(letter.isdigit() for letter in text)
        place = _place(pie, line.box)
        if is_name and place is not None:
            named.setdefault(place, text)
    return named


def _place(pie: Pie, box: Box) -> int | None:
    """The slice in whose direction a text stands; None for one that is too far away."""
    turn = math.atan2(box.y - pie.y, box.x - pie.x) / (2 * math.pi)
    near = _away(pie, box) < NEAR
    return next((i for i, one in enumerate(pie.slices) if near and one.holds(turn)), None)


def _disc(drawn: Tensor) -> tuple[float, float, float, float] | None:
    """Bounds in pixels of the largest round part of a mask float [h, w]."""
    height, width = drawn.shape
    scale = max(height, width) / SIDE
    size = (max(1, round(height / scale)), max(1, round(width / scale)))
    small = F.adaptive_avg_pool2d(drawn[None, None], size)[0, 0] > 0.6
    if not small.any():
        return None
    rows, starts, ends, labels = components(small.numpy())
    pixels = np.bincount(labels, ends - starts)
    own = labels == pixels.argmax()
    left, right = int(starts[own].min()), int(ends[own].max())
    top, bottom = int(rows[own].min()), int(rows[own].max()) + 1
    ratio = (right - left) / (bottom - top)
    if not ROUND[0] < ratio < ROUND[1] or min(right - left, bottom - top) < LEAST_SIDE * min(size):
        return None
    return left * scale, top * scale, right * scale, bottom * scale


def _slices(colours: Tensor) -> tuple[Slice, ...]:
    """Runs of one colour in colours [STEPS, 3] around a circle; thin ones are lines, left out."""
    runs: list[list[int]] = [[0]]
    for step in range(1, len(colours)):
        mean = colours[runs[-1][-8:]].mean(0)
        if (colours[step] - mean).norm() > CHANGE:
            runs.append([])
        runs[-1].append(step)
    means = [colours[run].median(0).values for run in runs]
    if len(runs) > 1 and (means[0] - means[-1]).norm() < CHANGE:
        runs[0] = [*(step - STEPS for step in runs.pop()), *runs[0]]
    kept = [run for run in runs if len(run) >= THINNEST * STEPS]
    whole = sum(len(run) for run in kept)
    return tuple(
        Slice(run[0] / STEPS, len(run) / whole, colours[run].median(0).values) for run in kept
    )


def _away(pie: Pie, box: Box) -> float:
    """Distance from the centre to the nearest point of a text, in radii."""
    left, top, right, bottom = box.bounds
    across = max(left - pie.x, pie.x - right, 0.0)
    down = max(top - pie.y, pie.y - bottom, 0.0)
    return math.hypot(across, down) / pie.radius

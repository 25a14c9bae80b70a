"""A dot plot: one dot in each row, right of the row's name, over an axis of numbers.

Ours; plain geometry, nothing is learnt. A dot is where a row is thickest, also over the line or box
of an interval. Coordinates are pixels of the picture, y downwards.

Shapes: [3, h, w] a picture; C columns of a row.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from openmova.experts.chart_axis import fit_axis, is_tilted, number, spacing
from openmova.experts.chart_text import Chart
from openmova.experts.text_lines import Line

ROWS, TICKS = 3, 3
"""At least."""
INK = 40.0
"""Distance of a colour from the paper's from which a pixel is drawn; of 255 in each channel."""
BAND = 0.45
"""How far from a row's middle it reaches, of the distance of two rows."""
SMALLEST = 5
"""Pixels across a dot."""
THICK = 0.8
"""A dot's columns are so thick, of the thickest in the row."""
ROUND = (0.3, 1.2)
"""Width of these columns over the thickest."""
MOST = 0.8
"""Share of the rows that have one dot."""


def read_dots(picture: Tensor, lines: Sequence[Line]) -> Chart | None:
    """The names of the rows and where their dots are, of a picture uint8 [3, h, w] with its texts;
    None where hardly a row has one dot."""
    axis = fit_axis(lines, upwards=False)
    if axis is None or len(axis.ticks) < TICKS:
        return None
    ticks = [lines[i].box for i in axis.ticks]
    left, height = min(box.bounds[0] for box in ticks), ticks[0].height
    top = min(box.bounds[1] for box in ticks)
    names = sorted(
        (
            line
            for line in lines
            if line.box.bounds[2] < left + height
            and line.box.bounds[3] < top
            and number(line.text) is None
            and not is_tilted(line)
        ),
        key=lambda line: line.box.y,
    )
    if len(names) < ROWS or any(b.box.y - a.box.y < height / 2 for a, b in pairwise(names)):
        return None
    paper = picture[:, ::4, ::4].float().flatten(1).median(1).values
    first = int(max(line.box.bounds[2] for line in names) + height / 2)
    plot = picture[:, : int(top), first:].float()
    is_ink = (plot - paper[:, None, None]).norm(dim=0) > INK
    reach = int(BAND * spacing([line.box.y for line in names]))
    found = [(line.text, _dot(is_ink, round(line.box.y), reach)) for line in names]
    dots = [(text, axis.value(first + x)) for text, x in found if x is not None]
    if len(dots) < max(ROWS, MOST * len(names)):
        return None
    labels, values = zip(*dots, strict=True)
    return Chart(labels, (), (values,), axis.high - axis.low)


def _dot(is_ink: Tensor, y: int, reach: int) -> float | None:
    """The x of the only dot in a row of a plot bool [h, w]."""
    above, below = is_ink[max(y - reach, 0) : y + 1].flip(0), is_ink[y : y + reach + 1]
    if min(len(above), len(below)) <= SMALLEST / 2:
        return None
    up, down = (part.long().cumprod(0).sum(0) for part in (above, below))
    thick = up + down - 1
    thick[(up == len(above)) & (down == len(below))] = 0  # a line across all rows
    most = int(thick.max())
    if most < SMALLEST:
        return None
    columns = torch.nonzero(thick >= THICK * most).flatten().numpy()
    parts = np.split(columns, np.flatnonzero(np.diff(columns) > 2) + 1)
    dots = [part for part in parts if ROUND[0] * most <= len(part) <= ROUND[1] * most]
    return float(dots[0].mean()) + 0.5 if len(dots) == 1 else None

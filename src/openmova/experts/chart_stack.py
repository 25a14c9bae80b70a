"""Bars that stand on each other: their parts, by the colours along the middle of each bar.

Shapes: [3, h, w] a picture; coordinates are its pixels, y downwards.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

from openmova.experts.chart_axis import Axis, Label, is_tilted
from openmova.experts.chart_curve import ALIKE
from openmova.experts.chart_head import Mark
from openmova.experts.chart_legend import read_legend
from openmova.experts.chart_text import Chart
from openmova.experts.text_lines import Line

STACKED, MOST = 0.1, 0.5
"""So near each other, of the distance of two labels, are the marks of one bar; so many labels have
several."""
MOST_SERIES = 5
TOTAL = "total"
"""The series of whole bars."""
THINNEST, GAP = 3, 4
"""Pixels of a part, and of a line between two."""


class Part(NamedTuple):
    """A run of one colour, float [3], from one place on the value axis to another."""

    colour: Tensor
    start: float
    end: float


def is_stacked(groups: Sequence[Sequence[Mark]], apart: float, *, upwards: bool) -> bool:
    """Whether the marks of most labels, which are so far apart, stand over each other."""
    several = [[mark.x if upwards else mark.y for mark in one] for one in groups if len(one) > 1]
    near = [one for one in several if max(one) - min(one) < STACKED * apart]
    return len(near) > max(MOST * len(groups), 0.8 * len(several))


def read_stacks(
    picture: Tensor,
    lines: Sequence[Line],
    labels: Sequence[Label],
    groups: Sequence[Sequence[Mark]],
    axis: Axis,
    *,
    upwards: bool,
) -> Chart | None:
    """The value of each part of the bars in a picture uint8 [3, h, w], and of the whole as one
    series more; groups: the marks at each label. None if the colours are one or too many.

    lines: the texts in which the legend is.
    """
    pairs = [(label, group) for label, group in zip(labels, groups, strict=True) if group]
    bars = [_parts(picture, group, axis, upwards=upwards) for _, group in pairs]
    colours = _colours(bars)
    if not 1 < len(colours) <= MOST_SERIES:
        return None
    texts = tuple(label.text for label, _ in pairs)
    free = [line for line in lines if line.text not in texts and not is_tilted(line)]
    named = read_legend(picture, free, colours)
    names = (*(named.get(k, f"series {k + 1}") for k in range(len(colours))), TOTAL)
    values = _values(bars, colours, axis)
    return Chart(texts, names, values, axis.high - axis.low, main=len(values) - 1)


def _parts(picture: Tensor, group: Sequence[Mark], axis: Axis, *, upwards: bool) -> list[Part]:
    """The parts of the bar of these marks, from zero on."""
    paper = picture[:, ::4, ::4].float().flatten(1).median(1).values
    plane = picture.float() if upwards else picture.float().transpose(1, 2)
    column = int(median(mark.x if upwards else mark.y for mark in group))
    column = min(max(column, 0), plane.shape[2] - 1)
    zero = round(axis.pixel(0.0))
    along = plane[:, : zero + 1, column].flip(1) if upwards else plane[:, zero:, column]
    runs: list[tuple[Tensor, int, int]] = []
    missing = 0
    for place, colour in enumerate(along.unbind(1)):
        missing = missing + 1 if (colour - paper).norm() < ALIKE else 0
        if missing > GAP:
            break
        if missing:
            continue
        if runs and (runs[-1][0] - colour).norm() < ALIKE:
            runs[-1] = (runs[-1][0], runs[-1][1], place + 1)
        else:
            runs.append((colour, place, place + 1))
    runs = [run for run in runs if run[2] - run[1] >= THINNEST]
    sign = -1 if upwards else 1
    # Of a line between two parts each has half.
    ends = [(a[2] + b[1]) / 2 for a, b in pairwise(runs)]
    ends = [0.0, *ends, *(float(end) for *_, end in runs[-1:])]
    return [
        Part(colour, zero + sign * start, zero + sign * end)
        for (colour, _, _), (start, end) in zip(runs, pairwise(ends), strict=True)
    ]


def _colours(bars: Sequence[Sequence[Part]]) -> list[Tensor]:
    """The colours float [3] of the series, in the order in which their parts stand."""
    found: list[list[tuple[float, Tensor]]] = []
    for bar in bars:
        for place, part in enumerate(bar):
            seen = (place / len(bar), part.colour)
            own = next((one for one in found if (one[0][1] - part.colour).norm() < ALIKE), None)
            if own is None:
                found.append([seen])
            else:
                own.append(seen)
    kept = [one for one in found if len(one) > max(1, 0.1 * len(bars))]
    kept.sort(key=lambda one: median(place for place, _ in one))
    return [torch.stack([colour for _, colour in one]).median(0).values for one in kept]


def _values(
    bars: Sequence[Sequence[Part]], colours: Sequence[Tensor], axis: Axis
) -> tuple[tuple[float | None, ...], ...]:
    """Of each series, and then of whole bars, the value at each label; None where there is none."""

    def value(parts: Sequence[Part]) -> float | None:
        sizes = [axis.value(part.end) - axis.value(part.start) for part in parts]
        return sum(sizes) if sizes else None

    rows = [
        tuple(value([p for p in bar if (p.colour - one).norm() < ALIKE]) for bar in bars)
        for one in colours
    ]
    return (*rows, tuple(value(bar) for bar in bars))

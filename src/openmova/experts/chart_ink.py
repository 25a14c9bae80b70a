"""Small texts that a detector of lines passes over, such as a single digit at a tick.

They are found as specks of ink of a text's height. Coordinates are pixels of the picture.
"""

import math
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from openmova.experts.chart_axis import spacing
from openmova.experts.text_lines import LEVEL, TURNED, Box, Line, components

INK = 50.0
"""So much darker than the paper around it is a stroke's grey, of 255."""
DARK = 100.0
"""Below this grey the paper is dark and its ink light."""
INKY = 0.6
"""How high the ink of a line is, of its box."""
LOWEST, HIGHEST, LONGEST = 0.5, 1.5, 8
"""A speck's height and length, of the usual height of ink."""
THIN = 0.3
"""At its right end a speck is cut where its ink is lower than this: there is a tick."""
BETWEEN = 0.35
"""Between two letters, of that height; more parts two texts."""
GROWTH = 0.8
"""By how much of that height a box is larger than its ink."""
TALLEST = 0.1
"""Of the region's height: what is higher is no text of a chart."""
MOST = 40


Region = tuple[float, float, float, float]
"""Left, top, right, bottom."""
Recogniser = Callable[[Tensor, Sequence[Box]], Sequence[Line]]
"""Reads what is written in boxes of a picture uint8 [3, h, w]."""


def specks(picture: Tensor, lines: Sequence[Line], region: Region) -> list[Box]:
    """Boxes of what may be a text in a region of a picture uint8 [3, h, w], and is in no line."""
    upright = [line.box for line in lines if line.box.tilt < LEVEL]
    if not upright:
        return []
    high = INKY * median(box.height for box in upright)
    if high > TALLEST * (region[3] - region[1]):
        return []
    ink, x0, y0 = _ink(picture, region, high)
    _blank(ink, x0, y0, lines)
    reach = max(round(BETWEEN * high), 1)
    if ink.numel() == 0:
        return []
    wide = F.max_pool2d(ink[None], (1, 2 * reach + 1), 1, (0, reach))[0].numpy() > 0
    rows, starts, ends, labels = components(wide)
    found = []
    for label in np.unique(labels):
        own = labels == label
        left, right = starts[own].min() + reach, ends[own].max() - reach
        top, bottom = rows[own].min(), rows[own].max() + 1
        thick = ink[top:bottom, left:right].sum(0) > THIN * high
        right = left + int(thick.nonzero()[-1]) + 1 if thick.any() else left
        if LOWEST * high < bottom - top < HIGHEST * high and right - left < LONGEST * high:
            found.append(_box(x0 + left, y0 + top, x0 + right, y0 + bottom, GROWTH * high))
    return found[:MOST]


def unread(
    picture: Tensor, row: Sequence[Line], marks: Sequence[float], bottom: float
) -> list[Box]:
    """Boxes of the labels that a row of them lacks below groups of marks at these x.

    They are level, or turned by 90 degrees, as those of the row are; none is found in a row that is
    tilted otherwise. What reaches below a level row is a title or the next row.
    """
    tilts = [line.box.tilt for line in row]
    if not row or len(marks) < 2 or not (max(tilts) < LEVEL or min(tilts) > TURNED):
        return []
    is_turned = tilts[0] > TURNED
    high = INKY * median(line.box.height for line in row)
    half = 0.45 * spacing(marks)
    top = max(bottom, min(line.box.bounds[1] for line in row))
    end = max(line.box.bounds[3] for line in row) + (high if is_turned else 0)
    found = []
    for mark in marks:
        if any(line.box.bounds[0] < mark < line.box.bounds[2] for line in row):
            continue
        reach = min(half, high) if is_turned else half
        ink, x0, y0 = _ink(picture, (mark - reach, top, mark + reach, end), high)
        _blank(ink, x0, y0, row)
        rows, across = ink.nonzero().unbind(1)
        if len(rows):
            left, right = x0 + int(across.min()), x0 + int(across.max()) + 1
            box = _box(left, y0 + int(rows.min()), right, y0 + int(rows.max()) + 1, GROWTH * high)
            if is_turned:
                box = Box(box.x, box.y, box.height, box.width, -math.pi / 2)
            if not any(line.box.bounds[0] < box.x < line.box.bounds[2] for line in row):
                found.append(box)
    return found


def _box(left: float, top: float, right: float, bottom: float, grown: float) -> Box:
    return Box(
        x=float(left + right) / 2,
        y=float(top + bottom) / 2,
        width=float(right - left) + grown,
        height=float(bottom - top) + grown,
        angle=0.0,
    )


def _ink(picture: Tensor, region: Region, high: float) -> tuple[Tensor, int, int]:
    """Where strokes are in a region, 0 or 1 [h, w], without long lines, and its corner."""
    x0, y0 = (max(int(edge), 0) for edge in region[:2])
    part = picture[:, y0 : max(int(region[3]), 0), x0 : max(int(region[2]), 0)].float().mean(0)
    if part.numel() == 0:
        return part, x0, y0
    if part.median() < DARK:
        part = 255 - part
    ink = ((_closing(part, max(round(high / 2), 1)) - part) > INK).float()
    length = 2 * round(high) + 1
    ink = ink - _opening(ink, (length, 1))  # axes and grid lines
    ink = ink - _opening(ink, (1, length))
    return ink, x0, y0


def _blank(ink: Tensor, x0: int, y0: int, lines: Sequence[Line]) -> None:
    """Take the ink of lines away from a region with this corner."""
    for line in lines:
        left, top, right, bottom = (round(edge) for edge in line.box.bounds)
        ink[max(top - y0, 0) : max(bottom - y0, 0), max(left - x0, 0) : max(right - x0, 0)] = 0


def _closing(grey: Tensor, reach: int) -> Tensor:
    """A picture [h, w] without dark strokes thinner than twice the reach: the grey of the paper."""
    return -_lightest(-_lightest(grey, reach), reach)


def _lightest(grey: Tensor, reach: int) -> Tensor:
    """The largest value of the square about each pixel of [h, w]; rows, then columns."""
    side = 2 * reach + 1
    of_rows = F.max_pool2d(grey[None], (1, side), 1, (0, reach))
    return F.max_pool2d(of_rows, (side, 1), 1, (reach, 0))[0]


def _opening(ink: Tensor, side: tuple[int, int]) -> Tensor:
    """Of ink 0 or 1 [h, w], h and w at least 1: what a rectangle of this size fits into."""
    reach = (side[0] // 2, side[1] // 2)
    eaten = -F.max_pool2d(-ink[None], side, 1, reach)
    return F.max_pool2d(eaten, side, 1, reach)[0]

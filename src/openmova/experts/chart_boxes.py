"""A box plot: quartiles, median and whiskers of each box.

Ours; plain geometry, nothing is learnt. A box with its whiskers is one piece of ink. Beside its
middle, where no whisker is, it has an edge, the median and an edge again.

Shapes: [3, h, w] a picture; coordinates are its pixels, y downwards. Of lying boxes the picture is
transposed, so that they stand, and values grow downwards.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from openmova.experts.chart_axis import (
    Label,
    fit_axis,
    label_row,
    labels_beside,
    labels_of,
    spacing,
)
from openmova.experts.chart_ink import Recogniser, unread
from openmova.experts.chart_text import Chart
from openmova.experts.text_lines import Line, components

LEAST = 2
"""Boxes of a plot."""
INK = 40.0
"""Distance of a colour from the paper's, or the box's, from which a pixel is drawn; of 255 in each
channel."""
NARROWEST, WIDEST = 0.02, 0.4
"""Across a box, of the picture's width."""
TALLEST = 0.1
"""The tallest one with its whiskers at least, of the picture's height."""
ALIKE = 0.15
"""So much the widths of boxes differ, of the tallest's."""
STRIP = (0.08, 0.2)
"""Where across a box its lines are looked for: beside whiskers and their ends."""
FULL = 0.8
"""Share of the half of a box's width that a whisker's end covers."""
WHISKERS = 0.6
"""Share of the boxes that have one."""
NAMES = ("median", "lower quartile", "upper quartile", "lower whisker", "upper whisker")


Places = tuple[float, float, float, float, float]


class BoxMark(NamedTuple):
    """The middle of a box across its axis, and places along it: whisker, edge, median, edge,
    whisker."""

    middle: float
    places: Places

    @property
    def length(self) -> float:
        """From whisker to whisker."""
        return self.places[4] - self.places[0]


def read_boxes(picture: Tensor, lines: Sequence[Line], recognise: Recogniser) -> Chart | None:
    """The boxes of a picture uint8 [3, h, w] with its texts; None where it is no box plot."""
    for upwards in (True, False):
        axis = fit_axis(lines, upwards=upwards)
        if axis is None:
            continue
        boxes = find_boxes(picture if upwards else picture.transpose(1, 2))
        if len(boxes) < LEAST:
            continue
        rest = [line for i, line in enumerate(lines) if i not in axis.ticks]
        middles = [box.middle for box in boxes]
        if upwards:
            bottom = max(box.places[-1] for box in boxes)
            row = label_row(rest, middles, bottom)
            row += recognise(picture, unread(picture, row, middles, bottom))
            labels = labels_of(row, middles)
        else:
            labels = labels_beside(rest, middles, min(box.places[0] for box in boxes))
        reach = spacing(middles) / 2
        names = [_name(middle, labels, reach) or str(i) for i, middle in enumerate(middles, 1)]
        values = [[axis.value(place) for place in box.places] for box in boxes]
        if upwards:
            values = [one[::-1] for one in values]
        rows = tuple(tuple(one[i] for one in values) for i in (2, 1, 3, 0, 4))
        return Chart(tuple(names), NAMES, rows, axis.high - axis.low, main=0)
    return None


def find_boxes(picture: Tensor) -> list[BoxMark]:
    """The standing boxes of a picture uint8 [3, h, w], from the left; [] if they are too unlike."""
    paper = picture[:, ::4, ::4].float().flatten(1).median(1).values
    plane = picture.float()
    is_ink = ((plane - paper[:, None, None]).norm(dim=0) > INK).numpy()
    rows, starts, ends, labels = components(is_ink)
    count = int(labels.max(initial=-1)) + 1
    left, right = np.full(count, is_ink.shape[1]), np.zeros(count, dtype=np.int64)
    top, bottom = np.full(count, is_ink.shape[0]), np.zeros(count, dtype=np.int64)
    np.minimum.at(left, labels, starts)
    np.maximum.at(right, labels, ends)
    np.minimum.at(top, labels, rows)
    np.maximum.at(bottom, labels, rows + 1)
    wide, high = right - left, bottom - top
    narrowest, widest = (share * is_ink.shape[1] for share in (NARROWEST, WIDEST))
    may_be = (wide > narrowest) & (wide < widest) & (high > narrowest)
    found = []
    for i in np.flatnonzero(may_be):
        part = slice(top[i], bottom[i]), slice(left[i], right[i])
        box = _box(plane[:, *part], is_ink[part], paper)
        if box is not None:
            start = float(top[i])
            a, b, c, d, e = (start + place for place in box)
            found.append((int(wide[i]), BoxMark((left[i] + right[i]) / 2, (a, b, c, d, e))))
    if not found:
        return []
    usual, tallest = max(found, key=lambda one: one[1].length)
    if tallest.length < TALLEST * is_ink.shape[0]:  # these are letters
        return []
    boxes = [box for width, box in found if abs(width - usual) <= max(ALIKE * usual, 2)]
    boxes.sort(key=lambda box: box.middle)
    apart = [b.middle - a.middle for a, b in pairwise(boxes)]
    with_whisker = [p[1] - p[0] > 2 or p[4] - p[3] > 2 for _, p in boxes]
    if sum(with_whisker) < WHISKERS * len(boxes) or any(off < usual for off in apart):
        return []
    return boxes


def _box(part: Tensor, is_ink: NDArray[np.bool_], paper: Tensor) -> Places | None:
    """Whisker, edge, median, edge and whisker of a piece of ink, from its top; None for no box."""
    width = is_ink.shape[1]
    first = round(STRIP[0] * width)
    last = max(round(STRIP[1] * width), first + 1)
    ways = []
    for strip in (slice(first, last), slice(width - last, width - first)):
        colours = part[:, :, strip].median(2).values.T
        drawn = (colours - paper).norm(dim=1) > INK
        if not drawn.any():
            return None
        top, bottom = (int(drawn.nonzero()[i]) for i in (0, -1))
        inside = colours[top : bottom + 1]
        lines = (inside - inside.median(0).values).norm(dim=1) > INK
        ways.append((top, bottom, _runs(lines)))
    (top, bottom, runs), other = ways
    if abs(other[0] - top) > 2 or abs(other[1] - bottom) > 2 or bottom - top < 4 or not runs:
        return None
    sides = is_ink[top : bottom + 1, [*range(3), *range(width - 3, width)]]
    if not (sides[:, :3].any(1) & sides[:, 3:].any(1)).mean() > 0.9:
        return None
    inner = [run for run in runs if run[0] > 0 and run[1] < bottom - top]
    if len(inner) > 1 or len(runs) > 3:
        return None
    if not inner:  # the median lies at an edge, which is thicker for it
        inner = [max(runs, key=lambda run: run[1] - run[0])]
    upper, lower = _whisker(is_ink[:top][::-1]), _whisker(is_ink[bottom + 1 :])
    places = (top - upper, top, top + sum(inner[0]) / 2, bottom, bottom + lower)
    first, edge, middle, end, last = (place + 0.5 for place in places)
    return first, edge, middle, end, last


def _whisker(is_ink: NDArray[np.bool_]) -> int:
    """How many rows a whisker goes on in rows [N, w] from a box's edge on: to its end across it, if
    it has one. Outliers may stand behind it."""
    half = is_ink.shape[1] // 2
    quarter = half // 2
    is_line = is_ink[:, half - 2 : half + 3].any(1)
    length = int(np.argmin(np.append(is_line, False)))
    across = _runs(torch.from_numpy(is_ink[3:length, quarter : 3 * quarter].mean(1) > FULL))
    return across[0][1] + 4 if across else length


def _runs(mask: Tensor) -> list[tuple[int, int]]:
    """First and last of each run in a mask [N]."""
    edges = torch.diff(torch.nn.functional.pad(mask.int(), (1, 1)))
    starts, ends = (edges == 1).nonzero().flatten(), (edges == -1).nonzero().flatten() - 1
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _name(middle: float, labels: Sequence[Label], reach: float) -> str | None:
    """The label nearest to a box, if it is so near."""
    near = min(labels, key=lambda label: abs(label.place - middle), default=None)
    return near.text if near is not None and abs(near.place - middle) < reach else None

"""Lines of text in a picture: found by a probability map, cut out upright, parted where a table's
cells are, put in reading order.

Coordinates are pixels of the picture; x grows to the right, y downwards, as does the angle of a
line. Differentiable binarization (arXiv 1911.08947, section 3.4) says how a map becomes boxes.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

TEXT, LINE = 0.3, 0.6
"""Probability from which a pixel is text, and mean of a line's pixels from which it is a line."""
GROWTH = 1.6
"""The network sees lines shrunken: a box grows on every side by this times its area / girth."""
MIN_SIDE = 3
"""Of a shrunken line, in pixels of the probability map."""
FALLING = -0.3
"""Angle of the narrow side below which a line that is higher than wide falls to the right."""
TILT_GAIN = 1.1
"""How much smaller a tilted box must be than the upright one to be taken."""
LEVEL, TURNED = 0.2, 0.9
"""Of `Box.tilt`, up to which a line is level, and from which it is turned by 90 degrees."""
CELL, PITCHES = 0.9, 2.2
"""A gap, of the line's height, from which on two words are cells of a table; and how many times
the line's pitch it is."""
SPACE = 0.6
"""A gap from which on there is a space that was not read."""
PITCH = 0.35
"""From one character to the next, where a line does not show it."""


class Box(NamedTuple):
    """A rectangle that may be tilted: centre, length along the line, height, angle in radians."""

    x: float
    y: float
    width: float
    height: float
    angle: float

    @property
    def tilt(self) -> float:
        """The sine of the angle to the level, 0 to 1."""
        return abs(math.sin(self.angle))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the upright rectangle around it."""
        cos, sin = abs(math.cos(self.angle)), self.tilt
        across = (self.width * cos + self.height * sin) / 2
        down = (self.width * sin + self.height * cos) / 2
        return self.x - across, self.y - down, self.x + across, self.y + down

    @property
    def upright(self) -> "Box":
        """The same place as a level line; of a box that is turned by 90 degrees."""
        return Box(self.x, self.y, self.height, self.width, 0.0)

    def scaled(self, across: float, down: float) -> "Box":
        """The same box in a picture of another size; of nearly the same proportions."""
        x, y, width, height, angle = self
        return Box(x * across, y * down, width * across, height * down, angle)


class Line(NamedTuple):
    """What was read in one box; score is the mean probability of its characters."""

    text: str
    score: float
    box: Box


def find_boxes(probability: NDArray[np.float32]) -> list[Box]:
    """The boxes of the lines in a map of text probabilities [h, w], in its own pixels."""
    rows, starts, ends, labels = components(probability > TEXT)
    if len(rows) == 0:
        return []
    sums = np.pad(probability.cumsum(1, dtype=np.float64), ((0, 0), (1, 0)))
    sums = np.bincount(labels, sums[rows, ends] - sums[rows, starts])
    score = sums / np.bincount(labels, ends - starts)
    order = np.argsort(labels, kind="stable")
    boxes = []
    for runs in np.split(order, np.cumsum(np.bincount(labels))[:-1]):
        if score[labels[runs[0]]] < LINE:
            continue
        x = np.concatenate([starts[runs], ends[runs]] * 2)
        y = np.concatenate([rows[runs]] * 2 + [rows[runs] + 1] * 2)
        box = _smallest_box(x.astype(np.float64), y.astype(np.float64))
        if min(box.width, box.height) >= MIN_SIDE:
            grown = GROWTH * box.width * box.height / (box.width + box.height)
            boxes.append(box._replace(width=box.width + grown, height=box.height + grown))
    return boxes


def cut_out(picture: Tensor, box: Box, height: int, width: int) -> Tensor:
    """The inside of a box, upright, resized with antialiasing: [3, h, w] -> [3, height, width]."""
    w, h = max(round(box.width), 1), max(round(box.height), 1)
    along = torch.linspace(0.5 - w / 2, w / 2 - 0.5, w, device=picture.device)
    down = torch.linspace(0.5 - h / 2, h / 2 - 0.5, h, device=picture.device)[:, None]
    cos, sin = math.cos(box.angle), math.sin(box.angle)
    x = round(box.x - w / 2) + w / 2 if box.angle == 0 else box.x  # pixels as they are, if upright
    y = round(box.y - h / 2) + h / 2 if box.angle == 0 else box.y
    places = torch.stack([x + along * cos - down * sin, y + along * sin + down * cos], -1)
    sides = places.new_tensor([picture.shape[2], picture.shape[1]])
    grid = (places / sides * 2 - 1)[None]
    crop = F.grid_sample(picture[None], grid, padding_mode="border", align_corners=False)
    crop = F.interpolate(crop, (height, width), mode="bicubic", antialias=True, align_corners=False)
    return crop[0].clamp(0, 255)


Runs = NDArray[np.int64]


def components(mask: NDArray[np.bool_]) -> tuple[Runs, Runs, Runs, Runs]:
    """The runs of pixels in the rows of a mask [h, w], and which of them touch, corners too.

    Row, first pixel, pixel behind the last, and number of its component, of each run.
    """
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    _, ends = np.nonzero(edges == -1)  # in the order of the starts
    span = mask.shape[1] + 2
    first = np.searchsorted(rows * span + ends, (rows + 1) * span + starts)
    behind = np.searchsorted(rows * span + starts, (rows + 1) * span + ends, side="right")
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for i, (start, end) in enumerate(zip(first.tolist(), behind.tolist(), strict=True)):
        for j in range(start, end):
            parent[root(j)] = root(i)
    roots = np.array([root(i) for i in range(len(rows))], dtype=np.int64)
    return rows, starts, ends, np.unique(roots, return_inverse=True)[1]


def _smallest_box(x: NDArray[np.float64], y: NDArray[np.float64]) -> Box:
    """The smallest rectangle around points; an upright one where a tilted one gains little."""
    upright = _box_at(x, y, np.zeros(1))
    degrees = _box_at(x, y, np.radians(np.arange(-45.0, 45.0)))
    tilted = _box_at(x, y, degrees.angle + np.radians(np.linspace(-1, 1, 21)))
    area = tilted.width * tilted.height
    box = upright if upright.width * upright.height <= TILT_GAIN * area else tilted
    if box.height > 1.5 * box.width:  # written upwards or downwards: read as if upwards
        # but not upside down: a line that falls by more than a few degrees is read downwards
        turn = math.pi / 2 if box.angle < FALLING else -math.pi / 2
        box = box._replace(width=box.height, height=box.width, angle=box.angle + turn)
    return box


def _box_at(x: NDArray[np.float64], y: NDArray[np.float64], angles: NDArray[np.float64]) -> Box:
    """The smallest of the rectangles around points that have one of these angles."""
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    along, down = x * cos + y * sin, y * cos - x * sin  # [angles, points]
    left, right = along.min(1), along.max(1)
    top, bottom = down.min(1), down.max(1)
    best = int(np.argmin((right - left) * (bottom - top)))
    u, v = (left + right)[best] / 2, (top + bottom)[best] / 2
    c, s = float(cos[best, 0]), float(sin[best, 0])
    return Box(
        x=float(u * c - v * s),
        y=float(u * s + v * c),
        width=float((right - left)[best]),
        height=float((bottom - top)[best]),
        angle=float(angles[best]),
    )


def pieces(line: Line, places: Sequence[float]) -> list[Line]:
    """The cells of a line that was read as one, left to right: its characters stand far apart.

    places: of each character, which the recogniser knows, as a part of the box's length.
    """
    text, _, box = line
    size = box.width / box.height
    inked = [i for i, character in enumerate(text) if character != " "]
    steps = [size * (places[j] - places[i]) for i, j in pairwise(inked)]
    beside = [step for step, (i, j) in zip(steps, pairwise(inked), strict=True) if j == i + 1]
    pitch = median(beside) if beside else PITCH
    words, cells = text[inked[0]] if inked else "", []
    start = 0.0

    def cell(end: float) -> Line:
        """What lies between two parts of the box's length."""
        off = ((start + end) / 2 - 0.5) * box.width
        x, y = box.x + off * math.cos(box.angle), box.y + off * math.sin(box.angle)
        return line._replace(
            text=words, box=box._replace(x=x, y=y, width=(end - start) * box.width)
        )

    for step, (i, j) in zip(steps, pairwise(inked), strict=True):
        gap = 0.0 if text[i] == text[j] == "." else step - pitch  # dots that lead to a number
        if gap > max(CELL, PITCHES * pitch) and box.tilt < LEVEL:
            cells.append(cell(places[i] + pitch / 2 / size))
            words, start = "", places[j] - pitch / 2 / size
        elif gap > SPACE or j > i + 1:
            words += " "
        words += text[j]
    return [*cells, cell(1.0)] if words else []


def reading_order(boxes: Sequence[Box]) -> list[list[int]]:
    """Rows of indices, top to bottom, left to right: columns of a page one after the other.

    A gap parts columns if few lines cross it, and either most lines beside it are long, as those of
    running text are, or the lines on one side don't stand beside those on the other. The cells of a
    table are short and side by side, so they stay rows. A line that crosses the gap (a title, a
    page's number) comes between what is above and what is below it.
    """
    return _ordered(list(range(len(boxes))), boxes)


PROSE, COLUMN = 8, 4
"""A line of running text is at least so many times as long as it is high; so many make a column."""
LOOSE, APART, BESIDE = 8, 0.75, 0.1
"""Lines that a column of others has at least; how many of them, at most, stand beside one of the
other column, which is said of two whose middles differ by less than this part of their height."""
CROSSING = 0.25
"""Of all lines, how many may cross the gap between columns."""
MORE = 2
"""So many more may cross its middle, as a title and a page's number do, than cross its edge."""
ROWS_BACK = 4
"""A line joins one of so many rows above it."""


def _ordered(lines: list[int], boxes: Sequence[Box]) -> list[list[int]]:
    gap = _column_gap([boxes[i].bounds for i in lines])
    if gap is None:
        return _rows(lines, boxes)
    rows: list[list[int]] = []
    rest = set(lines)
    crossing = [i for i in lines if boxes[i].bounds[0] < gap < boxes[i].bounds[2]]
    for row in [*_rows(crossing, boxes), []]:
        end = boxes[row[0]].y if row else math.inf
        above = [i for i in sorted(rest - set(crossing)) if boxes[i].y < end]
        rows += _ordered([i for i in above if boxes[i].x < gap], boxes)
        rows += _ordered([i for i in above if boxes[i].x >= gap], boxes)
        rows += [row] if row else []
        rest -= set(above)
    return rows


def _column_gap(bounds: Sequence[tuple[float, float, float, float]]) -> float | None:
    """The x between two columns, if there are two; the middle of where few lines cross it."""
    if len(bounds) < 2 * COLUMN:
        return None
    left, top, right, bottom = np.array(bounds).T
    prose = right - left >= PROSE * (bottom - top)
    middle, height = (top + bottom) / 2, bottom - top

    def parts(place: float) -> bool:
        before, after = right <= place, left >= place
        few, many = sorted([before, after], key=np.count_nonzero)
        if all((side & prose).sum() >= max(COLUMN, side.sum() / 2) for side in (few, many)):
            return True
        if few.sum() < LOOSE or few.sum() + many.sum() < len(bounds):
            return False
        differences = middle[few][:, None] - middle[many]
        nearest = np.abs(differences).argmin(1)
        apart = differences[np.arange(len(nearest)), nearest]
        apart = np.abs(apart - np.median(apart))  # a page may lie askew
        return bool((apart < BESIDE * height[few]).mean() < APART)

    places = np.linspace(left.min(), right.max(), 101)[1:-1]
    crossing = ((left < places[:, None]) & (right > places[:, None])).sum(1)
    fits = np.array(
        [n <= CROSSING * len(bounds) and parts(x) for x, n in zip(places, crossing, strict=True)]
    )
    if not fits.any():
        return None
    least = crossing[fits].min()
    (good,) = np.nonzero(crossing <= least + MORE)
    best = np.flatnonzero(fits & (crossing == least))[0]
    run = next(r for r in np.split(good, np.flatnonzero(np.diff(good) > 1) + 1) if best in r)
    return float(places[run[len(run) // 2]])


def _rows(lines: list[int], boxes: Sequence[Box]) -> list[list[int]]:
    """Lines that stand side by side make a row."""
    rows: list[list[int]] = []
    for i in sorted(lines, key=lambda i: boxes[i].y):
        for row in reversed(rows[-ROWS_BACK:]):
            if _fits(boxes[i], [boxes[j] for j in row]):
                row.append(i)
                break
        else:
            rows.append([i])
    return [sorted(row, key=lambda i: boxes[i].x) for row in rows]


def _fits(box: Box, row: Sequence[Box]) -> bool:
    """Whether a line is as high up as the nearest one of a row, and stands over none of them."""
    left, top, right, bottom = box.bounds
    nearest = min(row, key=lambda other: abs(other.x - box.x)).bounds
    overlap = min(bottom, nearest[3]) - max(top, nearest[1])
    if overlap <= 0.5 * min(bottom - top, nearest[3] - nearest[1]):
        return False
    shared = min(right, nearest[2]) - max(left, nearest[0])
    return shared < 0.5 * min(right - left, nearest[2] - nearest[0])

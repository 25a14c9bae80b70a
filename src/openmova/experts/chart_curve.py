"""Lines and touching bars over an axis of numbers: their heights at its ticks, by their colour.

The marks of such a chart don't stand at its labels, so its colours are followed column by column.
Coordinates are pixels of the picture, y downwards.

Shapes: [3, h, w] a picture; C columns of a region of it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from openmova.experts.chart_axis import Axis, Label, fit_axis, number, numbers_of
from openmova.experts.chart_text import number as written
from openmova.experts.chart_text import precision
from openmova.experts.text_lines import Box, Line

LEAST, SHARE = 3, 0.6
"""An axis of numbers has so many of them, and they are so many of its labels."""
MOST = 24
"""Ticks at most."""
PARTS = (1, 2, 5)
"""Marks may stand at such parts of the distance of two ticks."""
ON_TICK, FITTING = 0.15, 0.8
"""So far from a tick, of the distance of two, is a mark that belongs to it; so many marks do."""
ALIKE = 40.0
"""Distance of two colours up to which they are the same; of 255 in each of three channels."""
COLOURED = 50.0
"""Difference of a colour's channels from which it is no grey."""
PALE = 128.0
"""From which on a grey is pale."""
THIN = 0.5
"""How much of its colour a pixel of a line has at least, the rest is the paper's."""
THICK = 3
"""Pixels of a bar's colour, one over the other, that are a bar."""
WHOLE, TOUCHING = 0.5, 0.93
"""Share of the columns in which a curve is seen at least, and bars that touch."""
SPANS = 3
"""A place on the axis is told to a hundredth of so many of its spans."""
JUMP = 3
"""So many pixels may lie between a curve's places in neighbouring columns."""
NEAR = 0.1
"""So far beside a tick, of the distance of two, a curve is looked for: it may be dashed."""
BESIDE, BEYOND, SHORT = (3, 4), 3, 0.25
"""Columns so far beside an error bar show the line alone; it goes so many pixels beyond them up and
down, and they are so short, of its length."""
SAMPLE = 4
"""So many times as long as a text is high, at most, is the sample of a legend beside it."""


class Scale(NamedTuple):
    """An axis of numbers below a plot; ticks: its values, at equal distances; texts: of some."""

    axis: Axis
    ticks: tuple[float, ...]
    texts: tuple[tuple[float, str], ...]

    @property
    def step(self) -> float:
        """From one tick to the next."""
        return self.ticks[1] - self.ticks[0]

    @property
    def spacing(self) -> float:
        """The same in pixels."""
        return self.step / self.axis.slope

    def finer(self, marks: Sequence[float]) -> "Scale | None":
        """The scale with the fewest ticks on which most of the marks stand at these x; it reaches
        as far as they do."""
        for part in PARTS if len(marks) > LEAST else PARTS[:1]:
            steps = self._steps(marks, part)
            off = [abs(n - round(n)) for n in steps]
            if sum(d < ON_TICK for d in off) >= FITTING * len(off):
                finer = self.reaching(marks, part)
                if len(finer.ticks) <= MOST:
                    return finer
        return None

    def reaching(self, marks: Sequence[float], part: int = 1) -> "Scale":
        """The scale with so many ticks in the place of one, as far as there are marks."""
        steps = [round(step) for step in self._steps(marks, part)]
        last = max(part * (len(self.ticks) - 1), *steps)
        step = self.step / part
        ticks = [self.ticks[0] + n * step for n in range(min(0, *steps), last + 1)]
        return self._replace(ticks=tuple(ticks))

    def _steps(self, marks: Sequence[float], part: int) -> list[float]:
        """How many steps of the scale, parted so, marks are right of the first tick."""
        return [(self.axis.value(mark) - self.ticks[0]) / self.step * part for mark in marks]

    def has_marks(self, marks: Sequence[float]) -> bool:
        """Whether most ticks between the outer marks have one."""
        steps = {round((self.axis.value(mark) - self.ticks[0]) / self.step) for mark in marks}
        return len(steps) >= SHARE * (max(steps) - min(steps) + 1)

    def labels(self) -> list[Label]:
        return [self.label(tick) for tick in self.ticks]

    def label(self, value: float) -> Label:
        """A value's label as it stands there, or as precise as the axis can be read."""
        digits = max(precision(SPANS * (self.ticks[-1] - self.ticks[0])), _digits(self.step))
        texts = [text for tick, text in self.texts if abs(tick - value) < 0.01 * self.step]
        return Label(texts[0] if texts else written(value, digits), self.axis.pixel(value))


def find_scale(row: Sequence[Line], lines: Sequence[Line]) -> Scale | None:
    """The axis that a row of labels is with what stands beside them, if most are numbers at equal
    distances. A tick between two others has its value, even where it was misread.
    """
    row = [
        part
        for line in lines
        if any(abs(line.box.y - label.box.y) < 0.5 * label.box.height for label in row)
        for part in numbers_of(line)
    ]
    axis = fit_axis(row, upwards=False)
    if axis is None or axis.is_log or len(axis.ticks) < max(LEAST, SHARE * len(row)):
        return None
    values = sorted({value for i in axis.ticks if (value := number(row[i].text)) is not None})
    step = min(b - a for a, b in pairwise(values))
    steps = [(value - values[0]) / step for value in values]
    if any(abs(n - round(n)) > ON_TICK for n in steps) or steps[-1] >= MOST:
        return None
    ticks = tuple(values[0] + n * step for n in range(round(steps[-1]) + 1))
    texts = [(number(row[i].text), row[i].text) for i in axis.ticks]
    return Scale(axis, ticks, tuple((value, text) for value, text in texts if value is not None))


def _digits(step: float) -> int:
    """Behind the point, of numbers at this distance."""
    return next((n for n in range(6) if abs(round(step, n) - step) < 0.01 * step), 6)


def is_grey(colour: Tensor) -> bool:
    """Whether a colour is that of axes and texts; the edges of steep lines are pale."""
    return float(colour.max() - colour.min()) < COLOURED and float(colour.max()) < PALE


class Curve(NamedTuple):
    """Where a line or the tops of bars are: x of columns that show it, and its edges there."""

    columns: NDArray[np.float64]
    tops: NDArray[np.float64]
    bottoms: NDArray[np.float64]
    is_bar: bool

    def height(self, x: float, reach: float) -> float | None:
        """The y at the column next to a place; None if none is so near."""
        i = int(np.abs(self.columns - x).argmin())
        if abs(self.columns[i] - x) > max(reach, 1.0):
            return None
        return float(self.tops[i] if self.is_bar else (self.tops[i] + self.bottoms[i]) / 2)

    def extremes(self) -> list[tuple[float, float]]:
        """x and y of the highest place, and of a line of the lowest."""
        thick = 0.0 if self.is_bar else float(np.percentile(self.bottoms - self.tops, 20))
        highest = np.flatnonzero(self.tops == self.tops.min())
        lowest = np.flatnonzero(self.bottoms == self.bottoms.max())
        up, down = highest[len(highest) // 2], lowest[len(lowest) // 2]
        found = [(float(self.columns[up]), float(self.tops[up]) + thick / 2)]
        if not self.is_bar:
            found.append((float(self.columns[down]), float(self.bottoms[down]) - thick / 2))
        return found


def follow(
    picture: Tensor,
    colour: Tensor,
    region: tuple[float, float, float, float],
    hidden: Sequence[Box],
    *,
    is_bar: bool,
    least: float,
) -> Curve | None:
    """The line or bars of a colour float [3] in a region, without the samples beside these texts.

    None where less than this share of the columns shows it.
    """
    left, top, right, bottom = (max(int(edge), 0) for edge in region)
    part = picture[:, top:bottom, left:right].float()
    if part.numel() == 0:
        return None
    ground = part.flatten(1).median(1).values
    ink = colour - ground
    share = ((part - ground[:, None, None]) * ink[:, None, None]).sum(0) / ink.square().sum()
    off = (part - ground[:, None, None] - share * ink[:, None, None]).norm(dim=0)
    mask = ((share > THIN) & (share < 2 - THIN) & (off < ALIKE)).numpy()
    if is_bar:
        mask = ((part - colour[:, None, None]).norm(dim=0) < ALIKE).numpy()
    for box in hidden:
        x0, y0, x1, y1 = box.bounds
        beside = SAMPLE * box.height
        rows = slice(max(int(y0) - top, 0), max(int(y1) - top, 0))
        mask[rows, max(int(x0 - beside) - left, 0) : max(int(x1 + beside) - left, 0)] = False
    columns, tops, bottoms = _runs(mask, THICK if is_bar else 1, first=is_bar)
    if len(columns) < 2:
        return None
    jumps = np.maximum(tops[1:], tops[:-1]) - np.minimum(bottoms[1:], bottoms[:-1])
    joined = jumps <= JUMP * np.diff(columns)
    kept = np.append(joined, False) | np.insert(joined, 0, False)
    columns, tops, bottoms = columns[kept], tops[kept], bottoms[kept]
    if len(columns) < 2 or len(columns) < least * (columns[-1] - columns[0] + 1):
        return None
    if not is_bar:
        tops, bottoms = _without_error_bars(columns, tops, bottoms)
    return Curve(columns + left + 0.5, tops + float(top), bottoms + float(top), is_bar)


def _without_error_bars(
    columns: NDArray[np.float64], tops: NDArray[np.float64], bottoms: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The edges of a line, which where an error bar crosses it are those beside."""
    apart = np.abs(columns[:, None] - columns)
    beside = (apart >= BESIDE[0]) & (apart <= BESIDE[1])
    upper = np.where(beside, tops, np.inf).min(1)
    lower = np.where(beside, bottoms, -np.inf).max(1)
    longest = np.where(beside, bottoms - tops, 0).max(1)
    is_crossed = (tops < upper - BEYOND) & (bottoms > lower + BEYOND)
    is_crossed &= beside.any(1) & (longest < SHORT * (bottoms - tops))
    near = beside / np.maximum(beside.sum(1), 1)[:, None]
    return np.where(is_crossed, near @ tops, tops), np.where(is_crossed, near @ bottoms, bottoms)


def _runs(
    mask: NDArray[np.bool_], least: int, *, first: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of each column of a mask [h, C] the longest run of so many pixels or more, or the first: the
    columns that have one, its first row and the one behind its last."""
    edges = np.diff(np.pad(mask, ((1, 1), (0, 0))).astype(np.int8), axis=0).T
    columns, starts = np.nonzero(edges == 1)
    _, ends = np.nonzero(edges == -1)
    best: dict[int, tuple[int, int]] = {}
    for column, start, end in zip(columns.tolist(), starts.tolist(), ends.tolist(), strict=True):
        top, bottom = best.get(column, (0, 0))
        if end - start >= least and (top == bottom or (end - start > bottom - top and not first)):
            best[column] = start, end
    runs = np.array([(column, *run) for column, run in sorted(best.items())], dtype=np.float64)
    left, upper, lower = runs.reshape(-1, 3).T
    return left, upper, lower

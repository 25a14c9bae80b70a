"""A chart's axes from the texts that were read: numbers at ticks, and labels beside the marks.

Coordinates are pixels of the picture, y downwards.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import combinations, pairwise
from statistics import median
from typing import NamedTuple

import numpy as np

from openmova.experts.text import Line

_NUMBER = re.compile(r"([-+]?)(\d[\d,.]*|\.\d+)(?:[eE]([-+]?\d+))?(%|k|K|M|bn|B|m)?")
_FACTORS = {"k": 1e3, "K": 1e3, "M": 1e6, "m": 1e6, "bn": 1e9, "B": 1e9}
_DASHES = str.maketrans("–—−", "---", " $€£¥'’")
_MISREAD = str.maketrans("OolI", "0011")
UPRIGHT = 0.2
"""Sine of the angle up to which a text is not tilted."""
LOOSE = 0.5
"""So many text heights a tick's number may be off the line through the others."""

CENTRED, ONE_EACH = 0.35, 0.8
"""So far from its mark, of the distance of two marks, is the middle of a label at most; and where
there are as many words as marks."""

TOGETHER = 0.75
"""So near, of the distance of two groups, are the bars of one group at most."""


class Axis(NamedTuple):
    """value = slope * pixel + origin, of which the power of ten if is_log."""

    slope: float
    origin: float
    is_log: bool
    ticks: tuple[int, ...]
    """Which of the lines are its numbers."""
    low: float
    high: float
    """The smallest and the largest number."""

    def value(self, pixel: float) -> float:
        plain = self.slope * pixel + self.origin
        return float(10**plain) if self.is_log else plain

    def pixel(self, value: float) -> float:
        return ((math.log10(value) if self.is_log else value) - self.origin) / self.slope


class Label(NamedTuple):
    """A text beside an axis and where it belongs on it."""

    text: str
    place: float


def number(text: str) -> float | None:
    """The number that a text is: "1,000", "10k", "-5", "20%", "$ 0.5", "1e3"; None for others."""
    plain = text.translate(_DASHES).rstrip("-_.|")  # a tick may stand beside it
    if any(c.isdigit() for c in plain) or plain in ("O", "o"):
        plain = plain.translate(_MISREAD) if _NUMBER.fullmatch(plain) is None else plain
    found = _NUMBER.fullmatch(plain)
    if found is None:
        return None
    sign, digits, power, unit = found.groups()
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d*)?", digits):
        digits = digits.replace(",", "")
    elif re.fullmatch(r"\d{1,3}(\.\d{3}){2,}", digits):
        digits = digits.replace(".", "")
    try:
        value = float(digits.replace(",", ".")) * 10 ** int(power or 0)
    except (ValueError, OverflowError):
        return None
    return (-value if sign == "-" else value) * _FACTORS.get(unit or "", 1)


def fit_axis(lines: Sequence[Line], *, upwards: bool) -> Axis | None:
    """The value axis: numbers in a column, growing upwards, or in a row, growing to the right, on
    most of which a straight line agrees (or one of their logarithms). None: there is none.
    """
    found = []
    for i, line in enumerate(lines):
        value = number(line.text)
        if value is not None:
            box, (left, top, right, bottom) = line.box, line.box.bounds
            edges = (left, right, box.x) if upwards else (box.y, top, bottom)
            found.append((i, value, box.y if upwards else box.x, edges, box.height))
    best: tuple[tuple[float, ...], Axis] | None = None
    for one, two in combinations(found, 2):
        if not _beside(one, two):
            continue
        size = (one[4] + two[4]) / 2
        column = [other for other in found if _beside(one, other)]
        for is_log in (False, True):
            if is_log:
                column = [other for other in column if other[1] > 0]
            if abs(one[2] - two[2]) < size or one not in column or two not in column:
                continue
            scaled = {o[0]: math.log10(o[1]) if is_log else o[1] for o in column}
            slope = (scaled[two[0]] - scaled[one[0]]) / (two[2] - one[2])
            if slope == 0 or (slope < 0) != upwards:
                continue
            origin = scaled[one[0]] - slope * one[2]
            off = {o[0]: abs((scaled[o[0]] - origin) / slope - o[2]) for o in column}
            ticks = [o for o in column if off[o[0]] < LOOSE * size]
            score = (len(ticks), not is_log, -sum(off[o[0]] for o in ticks))
            if len(ticks) > (2 if is_log else 1) and (best is None or score > best[0]):
                pixels, values = [o[2] for o in ticks], [scaled[o[0]] for o in ticks]
                slope, origin = (float(v) for v in np.polyfit(pixels, values, 1))
                plain = [o[1] for o in ticks]
                names = tuple(o[0] for o in ticks)
                best = score, Axis(slope, origin, is_log, names, min(plain), max(plain))
    return None if best is None else best[1]


_Number = tuple[int, float, float, tuple[float, float, float], float]


def _beside(one: _Number, two: _Number) -> bool:
    """Whether two numbers stand in one column, or row: one of their edges agrees."""
    return any(abs(a - b) < 0.4 * min(one[4], two[4]) for a, b in zip(one[3], two[3], strict=True))


def columns(places: Sequence[float]) -> list[float]:
    """The middles of places that stand together, such as the bars of one label."""
    ordered = sorted(places)
    gaps = [b - a for a, b in pairwise(ordered)]
    if not gaps:
        return ordered
    *_, second, largest = [0.0, *sorted(gaps)]
    apart = TOGETHER * (second if second > 0.3 * largest else largest)  # where a mark is missing
    parts = [[ordered[0]]]
    for gap, place in zip(gaps, ordered[1:], strict=True):
        if gap >= apart:
            parts.append([])
        parts[-1].append(place)
    return [(part[0] + part[-1]) / 2 for part in parts]


def label_row(lines: Sequence[Line], marks: Sequence[float], bottom: float) -> list[Line]:
    """The row of texts below a plot that names most of the groups of marks, which stand at these x;
    of equal ones the upper."""
    spacing = _spacing(marks)
    left, right = min(marks) - 0.5 * spacing, max(marks) + 0.5 * spacing
    below = [
        line
        for line in lines
        if line.box.bounds[1] > bottom - 0.4 * line.box.height
        and line.box.bounds[2] > left
        and line.box.bounds[0] < right
    ]
    rows = [
        [
            line
            for line in below
            if 0 <= line.box.bounds[1] - first.box.bounds[1] < 0.8 * first.box.height
            and is_tilted(line) == is_tilted(first)
        ]
        for first in below
    ]

    def fit(row: Sequence[Line]) -> tuple[int, float]:
        labels = labels_of(row, marks)
        named = sum(any(abs(x.place - m) < 0.5 * spacing for x in labels) for m in marks)
        return named, -min(line.box.bounds[1] for line in row)

    return max(rows, key=fit, default=[])


def labels_of(row: Sequence[Line], marks: Sequence[float]) -> list[Label]:
    """The labels in a row; a tilted text belongs to the x of its middle or of an end, whichever
    fits the groups of marks better."""
    if not any(is_tilted(line) for line in row):
        return [label for line in row for label in _parts(line, marks)]
    ways = []
    for shift in (0.0, 0.5, -0.5):  # the middle, the right end, the left end
        places = [line.box.x + shift * line.box.width * math.cos(line.box.angle) for line in row]
        ways.append((sum(min(abs(p - m) for m in marks) for p in places), places))
    places = min(ways, key=lambda way: way[0])[1]
    return [Label(line.text, place) for line, place in zip(row, places, strict=True)]


def labels_beside(lines: Sequence[Line], marks: Sequence[float], right: float) -> list[Label]:
    """The texts left of a plot whose groups of bars lie at these y, each row as one."""
    spacing = _spacing(marks)
    beside = [
        line
        for line in lines
        if line.box.bounds[2] < right + 0.5 * line.box.height
        and any(abs(line.box.y - mark) < 0.5 * spacing for mark in marks)
    ]
    flat = [line for line in beside if not is_tilted(line)]
    if not flat and beside:  # turned by 90 degrees: those next to the plot
        edge = max(line.box.bounds[2] for line in beside)
        flat = [line for line in beside if line.box.bounds[2] > edge - line.box.height]
    rows: list[list[Line]] = []
    for line in sorted(flat, key=lambda line: line.box.x):
        for row in rows:
            if abs(row[0].box.y - line.box.y) < 0.5 * line.box.height:
                row.append(line)
                break
        else:
            rows.append([line])
    return [
        Label(_tidy(" ".join(line.text for line in row)), median(line.box.y for line in row))
        for row in rows
    ]


def _tidy(text: str) -> str:
    """Without what was read of a tick beside it."""
    return text.rstrip(' -–—_|"') or text


def _parts(line: Line, marks: Sequence[float]) -> list[Label]:
    """A text that was read as one, cut where its words stand below different marks."""
    left, _, right, _ = line.box.bounds
    under = [mark for mark in marks if left < mark < right]
    words = line.text.split()
    if len(under) < 2 or len(words) < len(under):
        return [Label(line.text, line.box.x)]
    parts: dict[float, list[str]] = {}
    ends: dict[float, tuple[float, float]] = {}
    start, pixels = 0, (right - left) / len(line.text)
    for word in words:
        begin, end = left + start * pixels, left + (start + len(word)) * pixels
        mark = min(under, key=lambda mark: abs(mark - (begin + end) / 2))
        parts.setdefault(mark, []).append(word)
        ends[mark] = (ends.get(mark, (begin, end))[0], end)
        start += len(word) + 1
    off = [abs((begin + end) / 2 - mark) for mark, (begin, end) in ends.items()]
    most = _spacing(under) * (CENTRED if len(words) > len(under) else ONE_EACH)
    if len(parts) < len(under) or max(off) > most:
        return [Label(line.text, line.box.x)]
    return [Label(" ".join(part), place) for place, part in parts.items()]


def is_tilted(line: Line) -> bool:
    """Whether a text is not level."""
    return abs(math.sin(line.box.angle)) > UPRIGHT


def _spacing(places: Sequence[float]) -> float:
    """The usual distance of neighbours."""
    ordered = sorted(places)
    return median(b - a for a, b in pairwise(ordered)) if len(ordered) > 1 else math.inf

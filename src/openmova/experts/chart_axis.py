"""A chart's axes from the texts that were read: numbers at ticks, and labels beside the marks.

Coordinates are pixels of the picture, y downwards.
"""

import math
import re
from collections.abc import Sequence
from itertools import combinations, pairwise
from statistics import median
from typing import NamedTuple

import numpy as np

from openmova.experts.text_lines import LEVEL, TURNED, Line

_NUMBER = re.compile(r"([-+]?)(\d[\d,.]*|\.\d+)(?:[eE]([-+]?\d+))?(%|k|K|M|bn|B|m)?")
_FACTORS = {"k": 1e3, "K": 1e3, "M": 1e6, "m": 1e6, "bn": 1e9, "B": 1e9}
_DASHES = str.maketrans("–—−", "---", "$€£¥'’")
_MISREAD = str.maketrans("OolI", "0011")
LOOSE = 0.5
"""So many text heights a tick's number may be off the line through the others."""

CENTRED, ONE_EACH = 0.35, 0.8
"""So far from its mark, of the distance of two marks, is the middle of a label at most; and where
there are as many words as marks."""

LETTER = 0.4
"""How wide a digit is, of a line's height."""
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
    plain = text.translate(_DASHES).strip().rstrip("-_.| ")  # a tick may stand beside it
    if re.fullmatch(r"-?\d{1,3}( \d{3})+(\D.*)?|\S+ [%kKMmB]|- \S+", plain):
        plain = plain.replace(" ", "")
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
        for part in [line] if upwards else numbers_of(line):
            value = number(part.text)
            if value is not None:
                box, (left, top, right, bottom) = part.box, part.box.bounds
                edges = (left, right, box.x) if upwards else (box.y, top, bottom)
                place = box.y if upwards else box.x
                found.append(_Tick(i, value, place, edges, box.height))
    best: tuple[tuple[float, ...], bool, list[_Tick]] = (), False, []
    for one, two in combinations(found, 2):
        apart = two.place - one.place
        if not _beside(one, two) or abs(apart) < one.size:
            continue
        column = [other for other in found if _beside(one, other)]
        for is_log in (False, True):
            if is_log and min(one.value, two.value) <= 0:
                continue
            some = [tick for tick in column if tick.value > 0] if is_log else column
            slope = (two.scaled(is_log) - one.scaled(is_log)) / apart
            if slope == 0 or (slope < 0) != upwards:
                continue
            origin = one.scaled(is_log) - slope * one.place
            off = [abs((tick.scaled(is_log) - origin) / slope - tick.place) for tick in some]
            most = LOOSE * one.size
            ticks = [tick for tick, d in zip(some, off, strict=True) if d < most]
            score = (len(ticks), not is_log, -sum(d for d in off if d < most))
            if len(ticks) > (2 if is_log else 1) and score > best[0]:
                best = score, is_log, ticks
    _, is_log, ticks = best
    if not ticks:
        return None
    places, values = [tick.place for tick in ticks], [tick.value for tick in ticks]
    slope, origin = np.polyfit(places, [tick.scaled(is_log) for tick in ticks], 1).tolist()
    own = tuple(dict.fromkeys(tick.line for tick in ticks))
    return Axis(slope, origin, is_log, own, min(values), max(values))


class _Tick(NamedTuple):
    """A number that may stand at a tick."""

    line: int
    value: float
    place: float
    edges: tuple[float, float, float]
    """Across the axis: sides and middle."""
    size: float
    """Height of its text."""

    def scaled(self, is_log: bool) -> float:
        return math.log10(self.value) if is_log else self.value


def numbers_of(line: Line) -> list[Line]:
    """A row of ticks that was read as one line, number by number; they stand at equal distances."""
    words = line.text.split()
    if len(words) < 2 or any(number(word) is None for word in words):
        return [line]
    left, _, right, _ = line.box.bounds
    first, last = (LETTER * line.box.height * len(words[end]) / 2 for end in (0, -1))
    places = np.linspace(left + first, right - last, len(words))
    return [
        Line(word, line.score, line.box._replace(x=float(place), width=2 * first))
        for word, place in zip(words, places, strict=True)
    ]


def _beside(one: _Tick, two: _Tick) -> bool:
    """Whether two numbers stand in one column, or row: one of their edges agrees."""
    most = 0.4 * min(one.size, two.size)
    return any(abs(a - b) < most for a, b in zip(one.edges, two.edges, strict=True))


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
    apart = spacing(marks)
    left, right = min(marks) - 0.5 * apart, max(marks) + 0.5 * apart
    lines = _stacks(lines)
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
            if 0 <= line.box.bounds[1] - first.box.bounds[1] < 0.5 * first.box.height
            and is_tilted(line) == is_tilted(first)
        ]
        for first in below
    ]

    def fit(row: Sequence[Line]) -> tuple[int, float]:
        labels = labels_of(row, marks)
        named = sum(any(abs(x.place - m) < 0.5 * apart for x in labels) for m in marks)
        return named, -min(line.box.bounds[1] for line in row)

    return max(rows, key=fit, default=[])


def _stacks(lines: Sequence[Line]) -> list[Line]:
    """Lines, of which those that go on upwards are one if they are turned by 90 degrees."""
    stacks: list[Line] = []
    for line in sorted(lines, key=lambda line: -line.box.y):
        _, top, _, bottom = line.box.bounds
        for i, lower in enumerate(stacks):
            near = lower.box.bounds
            if (
                math.sin(lower.box.angle) < -TURNED
                and (math.sin(line.box.angle) < -TURNED or len(line.text) < 3)
                and near[0] < line.box.x < near[2]
                and abs(near[1] - bottom) < lower.box.height
            ):
                end = min(top, near[1])
                box = lower.box._replace(y=(end + near[3]) / 2, width=near[3] - end)
                stacks[i] = Line(f"{lower.text} {line.text}", lower.score, box)
                break
        else:
            stacks.append(line)
    return stacks


def labels_of(row: Sequence[Line], marks: Sequence[float]) -> list[Label]:
    """The labels in a row; a tilted text belongs to the x of its middle or of its upper end,
    whichever fits the groups of marks better."""
    if not any(is_tilted(line) for line in row):
        return [label for line in row for label in _parts(line, marks)]
    boxes = [line.box for line in row]
    middles = [box.x for box in boxes]
    ends = [box.x - math.copysign(math.cos(box.angle), box.angle) * box.width / 2 for box in boxes]
    ways = [(sum(min(abs(p - m) for m in marks) for p in some), some) for some in (middles, ends)]
    places = min(ways, key=lambda way: way[0])[1]
    return [Label(line.text, place) for line, place in zip(row, places, strict=True)]


def labels_beside(lines: Sequence[Line], marks: Sequence[float], right: float) -> list[Label]:
    """The texts left of a plot whose groups of bars lie at these y, each row as one."""
    apart = spacing(marks)
    first, last = min(marks) - 0.5 * apart, max(marks) + 0.5 * apart
    beside = [
        line
        for line in lines
        if line.box.bounds[2] < right + 0.5 * line.box.height and first < line.box.y < last
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
    labels = []
    for row in rows:
        row = _last_words(row)
        text = " ".join(line.text for line in row)
        text = text.rstrip(' -–—_|"') or text  # a tick may stand beside it
        labels.append(Label(text, median(line.box.y for line in row)))
    return labels


def _last_words(row: list[Line]) -> list[Line]:
    """Of a row of texts those next to the plot: further left stands the axis's title."""
    for i in range(len(row) - 1, 0, -1):
        if row[i].box.bounds[0] - row[i - 1].box.bounds[2] > row[i].box.height:
            return row[i:]
    return row


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
    most = spacing(under) * (CENTRED if len(words) > len(under) else ONE_EACH)
    if len(parts) < len(under) or max(off) > most:
        return [Label(line.text, line.box.x)]
    return [Label(" ".join(part), place) for place, part in parts.items()]


def is_tilted(line: Line) -> bool:
    """Whether a text is not level."""
    return line.box.tilt > LEVEL


def spacing(places: Sequence[float]) -> float:
    """The usual distance of neighbours."""
    ordered = sorted(places)
    return median(b - a for a, b in pairwise(ordered)) if len(ordered) > 1 else math.inf

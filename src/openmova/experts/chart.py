"""What a chart shows, in words: marks by a head on frozen features, labels and ticks as read.

The head (openmova.experts.chart_head) finds tops of bars and points of lines; the text expert's
reader finds the texts, of which the value axis, the labels and the legend are made. A name in the
legend goes to the marks that have the colour beside it. Pies are told in per cent
(openmova.experts.chart_pie). What is written besides comes last, so that a question about a chart
needs no other reader.

Shapes: B batch, S side of the reader's view, K kinds of marks.
"""

from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from openmova.experts.chart_axis import (
    Axis,
    Label,
    columns,
    fit_axis,
    is_tilted,
    label_row,
    labels_beside,
    labels_of,
    number,
    spacing,
)
from openmova.experts.chart_boxes import read_boxes
from openmova.experts.chart_curve import (
    ALIKE,
    NEAR,
    TOUCHING,
    WHOLE,
    Scale,
    find_scale,
    follow,
    is_grey,
)
from openmova.experts.chart_dots import read_dots
from openmova.experts.chart_head import KINDS, STAGES, VIEW, ChartHead, Mark, find_marks
from openmova.experts.chart_ink import Recogniser, specks, unread
from openmova.experts.chart_legend import pixels, read_legend
from openmova.experts.chart_pie import find_pie, read_pie
from openmova.experts.chart_stack import MOST_SERIES, is_stacked, read_stacks
from openmova.experts.chart_text import Chart
from openmova.experts.chart_titles import read_titles
from openmova.experts.lite import Lite2Encoder
from openmova.experts.text import TextExpert, without_mask
from openmova.experts.text_lines import Line

THRESHOLD = 0.3
"""Heat from which a peak is a mark."""
LEAST = 2
"""A chart has at least so many marks with a label."""
REACH = 0.6
"""So far from a label, of the distance of two labels, its marks are at most."""
INSIDE = 0.008
"""How far inside a bar its colour is taken, of the picture's longer side."""
LINE, WINDOW = 4, 6
"""Pixels across an error bar at most; so far to both sides they are counted."""
SHARE = 0.4
"""How many of the labels have as many marks as there are series: where lines meet, one is seen."""
ONE_COLOUR, GAP = 0.8, 4
"""Share of the bars that are alike where one that was missed is followed by their colour; pixels
of a line across it."""
BELOW = 1.0
"""So far below an axis's first number, of its span, zero may lie: the lowest may not be read."""
SAME = 0.05
"""So near a tick, of the distance of two, is a curve's highest place told as that of the tick."""
TICK_SIGNS = frozenset("0123456789.,+-−–%×⁻⁰¹²³⁴⁵⁶⁷⁸⁹()|~oO°")
"""What a number at a tick consists of, also where it is not read as one."""
SHADE = 0.1
"""Share of the marks that have the colour of a series at least."""


class ChartExpert(TextExpert):
    """A reader with a head; reader: keywords of a text expert, which reads the labels."""

    def __init__(self, *, reader: Mapping[str, Any] | None = None, **words: Any) -> None:
        super().__init__(**words, **(reader or {}))
        self.encoder = Lite2Encoder(
            name=self.name, descriptions=self.descriptions, size=VIEW, stages=STAGES
        )
        self.head = ChartHead(self.encoder.channels)

    @classmethod
    def file_bytes(cls, keywords: Mapping[str, Any], *, folder: Path | None = None) -> int:
        return super().file_bytes(keywords.get("reader") or {}, folder=folder)

    def texts(self, view: Tensor) -> list[str]:
        """Of uint8 [B, 4, S, S]; empty for what is no chart."""
        charts = map(self.look, view)
        return ["" if chart is None else chart.text for chart in charts]

    def look(self, view: Tensor) -> Chart | None:
        """What is in one view uint8 [4, S, S]."""
        picture = without_mask(view)
        pie = find_pie(picture)
        lines = [line for row in self.lines(view) for line in row]
        if pie is not None:
            chart = read_pie(picture, pie, lines, self.recognise)
            return chart and chart._replace(notes=untold(lines, chart))
        marks = self.marks(picture)
        enough = len(marks) >= LEAST
        chart = read_boxes(picture, lines, self.recognise)
        if chart is None and enough:
            chart = read_chart(picture, lines, marks, self.recognise)
        chart = chart or read_dots(picture, lines)
        titles = read_titles(lines, picture.shape[2])
        if chart is None and not titles:
            return None
        if chart is None and titles.keys() == {"title"}:  # which pages have too: a note as others
            titles = {}
        if chart is not None and {*titles.get("title", "").split()} & {*chart.series}:
            titles.pop("title")  # a legend above the plot
        chart = (chart or Chart((), (), (), 0.0))._replace(titles=titles)
        return chart._replace(notes=untold(lines, chart))

    def marks(self, picture: Tensor) -> list[Mark]:
        """The marks of a picture uint8 [3, h, w], in its pixels."""
        height, width = picture.shape[1:]
        size = torch.tensor([[height, width]], device=picture.device)
        view = self.encoder.view(picture[None], size)
        view = view.to(self.encoder.stem.conv.weight.dtype)
        output = self.head(self.encoder.features(view))[0]
        side = max(height, width)
        left, top = (side - width) // 2, (side - height) // 2
        return [
            mark._replace(x=mark.x * side / VIEW - left, y=mark.y * side / VIEW - top)
            for mark in find_marks(output, THRESHOLD)
        ]


def untold(lines: Sequence[Line], chart: Chart) -> tuple[str, ...]:
    """Lines of which the chart's titles, labels and series do not tell, in their order; what looks
    like numbers at ticks is none."""
    told = {
        word
        for text in (*chart.titles.values(), *chart.labels, *chart.series)
        for word in text.split()
    }
    return tuple(
        line.text
        for line in lines
        if any(
            number(word) is None and not TICK_SIGNS.issuperset(word) and word not in told
            for word in line.text.split()
        )
    )


def read_chart(
    picture: Tensor, lines: Sequence[Line], marks: Sequence[Mark], recognise: Recogniser
) -> Chart | None:
    """The data of a picture uint8 [3, h, w] with these texts and marks, all in its pixels.

    recognise: reads what `lines` lack beside the plot. The surest kind of marks is told that has a
    value axis and labels; None where none has.
    """
    marks = [mark for mark in marks if not _is_error_bar(picture, mark)]
    kinds = [[mark for mark in marks if mark.kind == kind] for kind in range(len(KINDS))]
    for own in sorted(kinds, key=lambda own: -sum(mark.score for mark in own)):
        if len(own) >= LEAST:
            chart = _read_kind(picture, lines, own, recognise)
            if chart is not None:
                return chart
    return None


def _read_kind(
    picture: Tensor, lines: Sequence[Line], own: Sequence[Mark], recognise: Recogniser
) -> Chart | None:
    """The data of marks of one kind."""
    kind = KINDS[own[0].kind]
    upwards = kind != "end"
    height, width = picture.shape[1:]
    margin: tuple[float, float, float, float] = (0, 0, min(mark.x for mark in own), height)
    if not upwards:
        margin = (0, max(mark.y for mark in own), width, height)
    small = recognise(picture, specks(picture, lines, margin))
    lines = [*lines, *(line for line in small if number(line.text) is not None)]
    axis = fit_axis(lines, upwards=upwards)
    if axis is None:
        return None
    rest = [line for i, line in enumerate(lines) if i not in axis.ticks]
    ticks = [lines[i].box for i in axis.ticks]
    places = columns([mark.x if upwards else mark.y for mark in own])
    if kind != "point" and len(places) > 1:  # the first and the last bar may be missing
        apart = spacing(places)
        around = [min(places) - apart, *places, max(places) + apart]
    else:
        around = places
    if upwards:
        bottom = max(max(box.y for box in ticks), max(mark.y for mark in own))
        row = label_row(rest, around, bottom)
        scale = find_scale(row, rest)
        if scale is None:
            row += recognise(picture, unread(picture, row, places, bottom))
            labels = labels_of(row, around)
        else:
            grid = scale.finer(places)
            at_ticks = grid is not None and grid.has_marks(places)
            if kind == "point" and grid is not None:
                at_ticks &= grid.step > 0.9 * scale.step
            if kind == "top" or not at_ticks:
                bottom = min(line.box.bounds[1] for line in row)
                least = TOUCHING if at_ticks else WHOLE
                chart = _read_curves(picture, rest, own, (axis, scale), bottom, least)
                if chart is not None:
                    return chart
            values = [scale.axis.value(place) for place in places]
            is_grouped = len(_shades([_colour(picture, mark) for mark in own])) > 1
            if grid is None and kind == "top" and is_grouped:
                grid = scale.reaching(places)  # some bars are missing
            labels = grid.labels() if grid else [scale.label(value) for value in values]
    else:
        zero = axis.pixel(0.0) if axis.low <= 0 <= axis.high else min(box.x for box in ticks)
        labels = labels_beside(rest, around, zero)
    labels = sorted(labels, key=lambda label: label.place)
    colours = {mark: _colour(picture, mark) for mark in own}
    groups = _groups(labels, own, upwards=upwards)
    has_zero = not axis.is_log and axis.low - BELOW * (axis.high - axis.low) <= 0 <= axis.high
    apart = spacing([label.place for label in labels])
    if kind != "point" and has_zero and is_stacked(groups, apart, upwards=upwards):
        chart = read_stacks(picture, rest, labels, groups, axis, upwards=upwards)
        if chart is not None:
            return chart
    groups = [_unlike(group, colours) for group in groups]
    if kind != "point" and len(own) > LEAST and has_zero:
        bars = _bar_series(picture, labels, groups, colours)
        for group, label in zip(groups, labels, strict=True):
            there = [colours[mark] for mark in group]
            for colour, off in bars:
                if all((other - colour).norm() > ALIKE for other in there):
                    mark = _follow_bar(picture, label.place + off, own[0].kind, colour, axis)
                    end = mark.y if upwards else mark.x
                    if len(bars) == 1 or abs(end - axis.pixel(0.0)) > GAP:
                        group.append(mark)
                        colours[mark] = colour
    labels = [label for label, group in zip(labels, groups, strict=True) if group]
    groups = [group for group in groups if group]
    if len(groups) < LEAST:
        return None
    series = _series(groups, colours)
    names: tuple[str, ...] = ()
    if len(series) > 1:
        seen = [[colours[mark] for mark in one if mark is not None] for one in series]
        used = {label.text for label in labels}
        if kind == "point":
            _fill(series, groups)
        free = [x for x in rest if x.text not in used and not is_tilted(x)]
        named = read_legend(
            picture, free, [torch.stack(list(one)).median(0).values for one in seen]
        )
        names = tuple(named.get(k, f"series {k + 1}") for k in range(len(series)))
    rows = [
        [None if mark is None else mark.y if upwards else mark.x for mark in one] for one in series
    ]
    return _chart(labels, names, rows, axis)


def _read_curves(
    picture: Tensor,
    lines: Sequence[Line],
    own: Sequence[Mark],
    axes: tuple[Axis, Scale],
    bottom: float,
    least: float,
) -> Chart | None:
    """Lines or touching bars above an axis of numbers: their values at its ticks, and the largest
    and the smallest, with the number below them for a label."""
    axis, scale = axes
    is_bar = KINDS[own[0].kind] == "top"
    shades = _shades([_colour(picture, mark) for mark in own])
    if (is_bar and len(shades) > 1) or any(is_grey(shade) for shade in shades):
        return None
    free = [line for line in lines if line.box.y < bottom and not is_tilted(line)]
    named = read_legend(picture, free, shades) if len(shades) > 1 else {}
    samples = [line.box for line in free if line.text in named.values()]
    left, right = scale.axis.pixel(scale.ticks[0]), scale.axis.pixel(scale.ticks[-1])
    region = (left - scale.spacing, 0.0, right + scale.spacing, bottom)
    found = [follow(picture, x, region, samples, is_bar=is_bar, least=least) for x in shades]
    curves = [curve for curve in found if curve is not None]
    if not curves:
        return None
    reach = NEAR * scale.spacing
    heights = {
        label: [curve.height(label.place, reach) for curve in curves] for label in scale.labels()
    }
    ticks = list(heights)
    ends = [(k, *end) for k, curve in enumerate(curves) for end in curve.extremes()]
    for k, x, y in {max(ends, key=lambda end: end[2]), min(ends, key=lambda end: end[2])}:
        near = [label for label in ticks if abs(label.place - x) < SAME * scale.spacing]
        label = near[0] if near else scale.label(scale.axis.value(x))
        heights.setdefault(label, [curve.height(x, reach) for curve in curves])[k] = y
    labels = sorted(heights, key=lambda label: label.place)
    labels = [label for label in labels if any(y is not None for y in heights[label])]
    rows = list(zip(*(heights[label] for label in labels), strict=True))
    names = (
        tuple(named.get(k, f"series {k + 1}") for k in range(len(curves)))
        if len(curves) > 1
        else ()
    )
    return _chart(labels, names, rows, axis)


def _chart(
    labels: Sequence[Label],
    names: tuple[str, ...],
    rows: Sequence[Sequence[float | None]],
    axis: Axis,
) -> Chart:
    """rows: places on the value axis, of each series one for each label."""
    values = tuple(tuple(None if y is None else axis.value(y) for y in one) for one in rows)
    told = [abs(value) for one in values for value in one if value is not None]
    span = min(told) if axis.is_log else axis.high - axis.low
    return Chart(tuple(label.text for label in labels), names, values, span)


def _shades(colours: Sequence[Tensor]) -> list[Tensor]:
    """The colours float [3] that several of these are alike to."""
    alike: list[list[Tensor]] = []
    for colour in colours:
        own = next((one for one in alike if (one[0] - colour).norm() < ALIKE), None)
        if own is None:
            alike.append([colour])
        else:
            own.append(colour)
    most = sorted(alike, key=len, reverse=True)[:MOST_SERIES]
    least = max(2, SHADE * len(colours))
    return [torch.stack(one).median(0).values for one in most if len(one) >= least]


def _groups(labels: Sequence[Label], marks: Sequence[Mark], *, upwards: bool) -> list[list[Mark]]:
    """The marks of each label, ordered along the axis."""
    groups: list[list[Mark]] = [[] for _ in labels]
    reach = REACH * spacing([label.place for label in labels])
    for mark in sorted(marks, key=lambda mark: (mark.x, mark.y) if upwards else (mark.y, mark.x)):
        place = mark.x if upwards else mark.y
        off = [abs(label.place - place) for label in labels]
        if off and min(off) < reach:
            groups[off.index(min(off))].append(mark)
    return groups


def _bar_series(
    picture: Tensor,
    labels: Sequence[Label],
    groups: Sequence[Sequence[Mark]],
    colours: Mapping[Mark, Tensor],
) -> list[tuple[Tensor, float]]:
    """Of each series of bars the colour float [3] and how far from a label its bars stand, in
    pixels; [] for bars that stand on each other, are hollow or have no colour in common."""
    paper = picture[:, ::4, ::4].float().flatten(1).median(1).values
    marks = [
        (mark, label.place) for label, group in zip(labels, groups, strict=True) for mark in group
    ]
    shades = _shades([colours[mark] for mark, _ in marks])
    found = []
    for shade in [shade for shade in shades if (shade - paper).norm() > ALIKE]:
        alike = [
            (mark.x if KINDS[mark.kind] == "top" else mark.y) - place
            for mark, place in marks
            if (colours[mark] - shade).norm() < ALIKE
        ]
        found.append((shade, alike))
    if not found or sum(len(alike) for _, alike in found) < ONE_COLOUR * len(marks):
        return []
    series = [(shade, median(alike)) for shade, alike in found]
    apart = spacing([off for _, off in series])
    spread = max(
        abs(one - off) for (_, off), (_, own) in zip(series, found, strict=True) for one in own
    )
    return series if len(series) == 1 or spread < apart / 2 else []


def _follow_bar(picture: Tensor, place: float, kind: int, colour: Tensor, axis: Axis) -> Mark:
    """The end of a bar where the head saw none, as far as a colour float [3] goes from zero along
    the value axis, at `place` on the other; at zero if there is none."""
    upwards = KINDS[kind] == "top"
    plane = picture.float() if upwards else picture.float().transpose(1, 2)
    column = min(max(int(place), 0), plane.shape[2] - 1)
    along = (plane[:, :, column] - colour[:, None]).norm(dim=0) < ALIKE
    zero = min(max(round(axis.pixel(0.0)), 0), len(along) - 1)
    ends = [zero]
    for step in (-1, 1):
        end, missing = zero, 0
        for at in range(zero, len(along) if step > 0 else -1, step):
            missing = 0 if along[at] else missing + 1
            if missing > GAP:
                break
            if along[at]:
                end = at
        ends.append(end)
    last = float(max(ends, key=lambda end: abs(end - zero)))
    x, y = (place, last) if upwards else (last, place)
    return Mark(kind, x, y, 0.0)


def _unlike(group: Sequence[Mark], colours: Mapping[Mark, Tensor]) -> list[Mark]:
    """The marks of a label without those in the colour of a surer one: a series has one."""
    kept: list[Mark] = []
    for mark in sorted(group, key=lambda mark: -mark.score):
        if all((colours[mark] - colours[other]).norm() > ALIKE / 2 for other in kept):
            kept.append(mark)
    return [mark for mark in group if mark in kept]


def _series(
    groups: Sequence[Sequence[Mark]], colours: Mapping[Mark, Tensor]
) -> list[list[Mark | None]]:
    """Of each series the mark at each label: as many series as several labels have marks, told
    apart by their colours."""
    filled = [len(group) for group in groups]
    enough = [n for n in set(filled) if sum(m >= n for m in filled) >= SHARE * len(filled)]
    count = min(max(enough), MOST_SERIES)
    if count == 1:
        return [[max(group, key=lambda mark: mark.score) for group in groups]]
    full = [group for group in groups if len(group) == count]
    means = [colours[mark] for mark in full[0]]
    for _ in range(2):
        orders = [_match([colours[mark] for mark in group], means) for group in full]
        means = [
            torch.stack(
                [colours[group[order[k]]] for group, order in zip(full, orders, strict=True)]
            )
            .median(0)
            .values
            for k in range(count)
        ]
    series: list[list[Mark | None]] = [[] for _ in range(count)]
    for group in groups:
        kept = sorted(group, key=lambda mark: -mark.score)[:count]
        order = _match([colours[mark] for mark in kept], means)
        for k, one in enumerate(series):
            one.append(kept[order[k]] if order[k] < len(kept) else None)
    return series


def _fill(series: Sequence[list[Mark | None]], groups: Sequence[Sequence[Mark]]) -> None:
    """Where lines meet in one mark, it is that of the line without one too: the one nearest to the
    line's neighbours."""
    for one in series:
        for i, mark in enumerate(one):
            beside = [other.y for other in one[max(i - 1, 0) : i + 2] if other is not None]
            if mark is None and beside:
                one[i] = min(groups[i], key=lambda m: abs(m.y - sum(beside) / len(beside)))


def _match(found: Sequence[Tensor], means: Sequence[Tensor]) -> tuple[int, ...]:
    """For each of the means the number of the colour that goes with it, so that all together are
    nearest; the number of colours or more where none is left."""
    count = len(means)
    costs = [[float((f - m).norm()) for f in found] + [0.0] * (count - len(found)) for m in means]
    return min(
        permutations(range(count)), key=lambda order: sum(costs[k][i] for k, i in enumerate(order))
    )


def _is_error_bar(picture: Tensor, mark: Mark) -> bool:
    """Whether what ends in a bar's mark is a thin dark line."""
    colour = _colour(picture, mark)
    if KINDS[mark.kind] == "point" or not is_grey(colour):
        return False
    inside, (across, down) = _inside(picture), (WINDOW, 0)
    x, y = mark.x, mark.y + inside
    if KINDS[mark.kind] == "end":
        x, y, across, down = mark.x - inside, mark.y, down, across
    seen = pixels(picture, x, y, across, down)
    return int(((seen - colour[:, None]).norm(dim=0) < ALIKE).sum()) <= LINE


def _inside(picture: Tensor) -> int:
    return max(2, round(INSIDE * max(picture.shape[1:])))


def _colour(picture: Tensor, mark: Mark) -> Tensor:
    """RGB float [3] of a mark: just inside a bar; of a point what differs most around it."""
    if KINDS[mark.kind] == "point":
        patch = pixels(picture, mark.x, mark.y, 2, 2)
        around = pixels(picture, mark.x, mark.y, 12, 12).median(1).values
        return patch[:, (patch - around[:, None]).norm(dim=0).argmax()]
    inside = _inside(picture)
    down, across = (inside, 0) if KINDS[mark.kind] == "top" else (0, -inside)
    return pixels(picture, mark.x + across, mark.y + down, 1, 1).median(1).values

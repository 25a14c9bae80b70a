"""Lines and touching bars over an axis of numbers are told at its ticks."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from openmova.experts.chart_curve import Scale, find_scale
from openmova.experts.chart_head import Mark
from openmova.experts.text_lines import Box, Line

from .test_chart import BLUE, POINT, RED, TOP, by_series, fill, line, paper, read

YEARS = (1950, 1960, 1970, 1980, 1990)


def place(year: float) -> float:
    """The x of a year."""
    return 60 + 5 * (year - 1950)


def year_row(*left_out: int) -> list[Line]:
    return [line(str(year), place(year), 220) for year in YEARS if year not in left_out]


def heights() -> list[Line]:
    return [line(str(v), 20, 200 - v) for v in (0, 50, 100, 150)]


def draw(picture: Tensor, y_of: dict[float, float], colour: tuple[int, int, int]) -> None:
    """A line, two pixels thick, through the y of some x."""
    xs = sorted(y_of)
    for a, b in pairwise(xs):
        before = y_of[a]
        for x in range(int(a), int(b)):
            y = y_of[a] + (y_of[b] - y_of[a]) * (x + 1 - a) / (b - a)
            top, bottom = sorted((before, y))
            fill(picture, (x, int(top), x + 1, int(bottom) + 2), colour)
            before = y


def scale(row: list[Line]) -> Scale:
    found = find_scale(row, row)
    assert found is not None
    return found


def test_numbers_at_equal_distances_are_a_scale() -> None:
    found = scale(year_row())
    assert found.ticks == YEARS
    assert found.spacing == pytest.approx(50)
    assert [label.text for label in found.labels()] == [str(year) for year in YEARS]
    names = [line(text, x, 220) for text, x in (("a", 50), ("b", 90), ("3", 130))]
    assert find_scale(names, names) is None


def test_a_tick_that_was_misread_has_its_value() -> None:
    row = [*year_row(1970), line("I97O:", place(1970), 220)]
    assert scale(row).ticks == YEARS
    assert scale(year_row(1970)).ticks == YEARS


def test_marks_may_stand_between_the_ticks() -> None:
    found = scale(year_row())
    marks = [place(year) for year in range(1950, 1991, 5)]
    finer = found.finer(marks)
    assert finer is not None
    assert finer.ticks == tuple(range(1950, 1991, 5))
    assert finer.has_marks(marks)
    assert finer.labels()[1].text == "1955"
    assert found.finer([place(year) for year in (1951.3, 1957.4, 1963.2, 1977.1, 1981)]) is None


def test_a_scale_reaches_as_far_as_there_are_marks() -> None:
    found = scale(year_row())
    first, last = YEARS[0], YEARS[-1]
    wider = found.reaching([place(first - 11), place(first + 3), place(last + 12)])
    assert wider.ticks == (first - 10, *YEARS, last + 10)
    assert found.reaching([place(first + 3)]).ticks == YEARS


def test_bars_between_ticks_have_their_numbers_for_labels() -> None:
    picture, marks = paper(), []
    for year in range(1951, 1987, 7):
        x, height = round(place(year)), year - 1900
        fill(picture, (x - 3, 200 - height, x + 3, 200), (90, 90, 90))
        marks.append(Mark(TOP, x, 200 - height, 0.9))
    chart = read(picture, [*heights(), *year_row()], marks)
    assert chart.labels == ("1951", "1958", "1965", "1972", "1979", "1986")
    assert chart.values[0] == pytest.approx((51, 58, 65, 72, 79, 86))


def test_a_curve_is_told_at_the_ticks_and_at_its_ends() -> None:
    picture = paper()
    peaks = {1950: 150, 1957: 40, 1966: 120, 1974: 60, 1990: 180}
    draw(picture, {place(x): y for x, y in peaks.items()}, BLUE)
    marks = [Mark(POINT, place(x), y + 1, 0.9) for x, y in peaks.items()]
    chart = read(picture, [*heights(), *year_row()], marks)
    assert chart.series == ()
    told = dict(zip(chart.labels, chart.values[0], strict=True))
    assert told["1957"] == pytest.approx(159, abs=2)
    assert told["1980"] == pytest.approx(200 - (60 + 120 * 6 / 16), abs=3)
    assert chart.text.splitlines()[1].endswith(" at 1957")
    assert chart.text.splitlines()[2].endswith(" at 1990")


def test_an_error_bar_is_no_end_of_a_curve() -> None:
    picture = paper()
    line_of = {1950: 150.0, 1957: 80.0, 1966: 120.0, 1990: 180.0}
    draw(picture, {place(x): y for x, y in line_of.items()}, BLUE)
    for year in (1952, 1957, 1980):
        x, y = round(place(year)), round(float(np.interp(year, [*line_of], [*line_of.values()])))
        fill(picture, (x, y - 35, x + 2, y + 35), BLUE)
    marks = [Mark(POINT, place(x), y + 1, 0.9) for x, y in line_of.items()]
    chart = read(picture, [*heights(), *year_row()], marks)
    told = dict(zip(chart.labels, chart.values[0], strict=True))
    assert told["1957"] == pytest.approx(120, abs=4)
    assert told["1980"] == pytest.approx(45, abs=4)
    assert chart.text.splitlines()[1].endswith(" at 1957")


def test_curves_have_the_names_of_the_legend_and_do_not_see_its_samples() -> None:
    picture = paper()
    marks, lines = [], [*heights(), *year_row()]
    for name, colour, y in (("up", RED, 20), ("down", BLUE, 36)):
        points = (
            {1953: 160, 1964: 110, 1986: 70} if name == "up" else {1953: 60, 1975: 140, 1986: 150}
        )
        draw(picture, {place(x): y for x, y in points.items()}, colour)
        marks += [Mark(POINT, place(x), y + 1, 0.9) for x, y in points.items()]
        fill(picture, (200, y, 220, y + 2), colour)
        lines.append(line(name, 240, y + 1))
    chart = read(picture, lines, marks)
    told = by_series(chart)
    at = dict(zip(chart.labels, told["up"], strict=True))
    assert at["1980"] == pytest.approx(200 - (110 - 40 * 16 / 22) - 1, abs=3)
    assert max(value for value in told["up"] if value is not None) < 135


def test_a_histogram_tells_its_highest_bar() -> None:
    picture = paper()
    for i in range(20):  # touching, ten pixels wide
        height = round(140 * math.exp(-(((i - 9.5) / 5) ** 2)))
        fill(picture, (60 + 10 * i, 200 - height, 70 + 10 * i, 200), BLUE)
    marks = [Mark(TOP, place(1960), 200 - 60, 0.9), Mark(TOP, place(1970) + 2, 65, 0.9)]
    chart = read(picture, [*heights(), *year_row()], marks)
    assert chart.text.splitlines()[1].startswith("largest 139")


def test_what_is_grey_is_told_at_its_marks() -> None:
    points = {1953: 150, 1957: 40, 1966: 120}
    picture = paper()
    draw(picture, {place(x): y for x, y in points.items()}, (0, 0, 0))
    marks = [Mark(POINT, place(x), y, 0.9) for x, y in points.items()]
    chart = read(picture, [*heights(), *year_row()], marks)
    assert chart.labels == ("1953", "1957", "1966")
    assert torch.tensor(chart.values[0]).tolist() == pytest.approx([50, 160, 80])


def test_an_axis_title_is_no_label() -> None:
    picture = paper()
    fill(picture, (130, 233, 190, 240), (0, 0, 0))  # the title's strokes
    lines = [*heights(), line("hi", 80, 220), line("low", 240, 220)]
    marks = [Mark(POINT, x, 100, 0.9) for x in (80, 160, 240)]
    asked: list[Box] = []

    def recognise(_: Tensor, boxes: list[Box]) -> list[Line]:
        asked.extend(boxes)
        return []

    chart = read(picture, lines, marks, recognise)
    assert asked == []
    assert chart.labels == ("hi", "low")

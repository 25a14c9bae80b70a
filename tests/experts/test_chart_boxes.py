"""A box plot: five numbers of each box, standing or lying, hollow or filled."""

from __future__ import annotations

import pytest
from torch import Tensor

from openmova.experts.chart_boxes import NAMES, find_boxes, read_boxes
from openmova.experts.text_lines import Line

from .test_chart import BLUE, RED, bars, by_series, fill, line, nothing, paper

FIVE = {"Mon": (20, 50, 70, 95, 140), "Tue": (60, 65, 80, 110, 130), "Wed": (10, 40, 41, 90, 100)}
"""Lower whisker, lower quartile, median, upper quartile, upper whisker."""


def boxes(
    *, upwards: bool, filled: bool = False, outlier: bool = False
) -> tuple[Tensor, list[Line]]:
    """Boxes 40 pixels wide, whose lines are two pixels thick; a value is a pixel."""
    picture, lines = paper(240, 240), []

    def ink(x0: int, y0: int, x1: int, y1: int, colour: tuple[int, int, int] = BLUE) -> None:
        """Of a standing plot, y upwards from 220."""
        box = (x0, 220 - y1, x1, 220 - y0)
        if not upwards:
            box = (60 + y0, x0, 60 + y1, x1)
        fill(picture, box, colour)

    for i, (name, (low, first, middle, third, high)) in enumerate(FIVE.items()):
        x = 80 + 60 * i
        ink(x - 1, low, x + 1, first)
        ink(x - 1, third, x + 1, high)
        for end in (low, high):
            ink(x - 10, end - 1, x + 10, end + 1)
        ink(x - 20, first - 1, x + 20, third + 1)
        if not filled:
            ink(x - 18, first + 1, x + 18, third - 1, (255, 255, 255))
        ink(x - 20, middle - 1, x + 20, middle + 1, RED)
        if outlier:
            ink(x - 4, high + 1, x + 4, high + 9)
        lines.append(line(name, x, 232) if upwards else line(name, 30, x))
    for value in (0, 50, 100, 150):
        lines.append(
            line(str(value), 20, 220 - value) if upwards else line(str(value), 60 + value, 225)
        )
    return picture, lines


@pytest.mark.parametrize("upwards", [True, False])
@pytest.mark.parametrize("filled", [True, False])
@pytest.mark.parametrize("outlier", [True, False])
def test_each_box_has_five_numbers(upwards: bool, filled: bool, outlier: bool) -> None:
    picture, lines = boxes(upwards=upwards, filled=filled, outlier=outlier)
    chart = read_boxes(picture, lines, nothing)
    assert chart is not None
    assert chart.labels == (*FIVE,)
    largest, smallest = chart.text.splitlines()[1:3]
    assert largest == "largest 80 at Tue" and smallest.startswith("smallest 4")
    told = by_series(chart)
    for i, (low, first, middle, third, high) in enumerate(FIVE.values()):
        expected = dict(zip(NAMES, (middle, first, third, low, high), strict=True))
        for name, value in expected.items():
            assert told[name][i] == pytest.approx(value, abs=2.5), name


def test_bars_and_texts_are_no_boxes() -> None:
    picture, lines, _ = bars()
    assert find_boxes(picture) == []
    assert read_boxes(picture, lines, nothing) is None
    picture, lines = boxes(upwards=True)
    assert read_boxes(picture, lines[:3], nothing) is None  # no axis


def test_letters_are_no_boxes() -> None:
    picture, _ = boxes(upwards=True)
    large = paper(2400, 2400)
    large[:, :240, :240] = picture
    assert find_boxes(picture) and not find_boxes(large)


@pytest.mark.parametrize("width", range(2, 14))
def test_a_small_piece_of_ink_is_no_box(width: int) -> None:
    picture = paper(60, 40)
    fill(picture, (10, 10, 10 + width, 30), BLUE)
    assert find_boxes(picture) == []


def test_a_box_without_a_name_has_its_number() -> None:
    picture, lines = boxes(upwards=True)
    chart = read_boxes(picture, [x for x in lines if x.text not in FIVE], nothing)
    assert chart is not None
    assert chart.labels == ("1", "2", "3")

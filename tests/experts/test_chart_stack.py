"""Bars that stand on each other are told part by part, and as a whole."""

from __future__ import annotations

import pytest
from torch import Tensor

from openmova.experts.chart import read_chart
from openmova.experts.chart_head import KINDS, Mark
from openmova.experts.chart_stack import is_stacked
from openmova.experts.text_lines import Line

from .test_chart import BLUE, RED, by_series, fill, line, nothing, paper

GREEN, WHITE = (30, 150, 30), (255, 255, 255)
COLOURS = {"rail": RED, "road": BLUE, "water": GREEN}
PARTS = {"2019": (50, 30, 20), "2020": (20, 60, 0), "2021": (40, 10, 70), "2022": (30, 35, 25)}


def stacks(*, upwards: bool, edge: int = 0) -> tuple[Tensor, list[Line], list[Mark]]:
    """Bars in parts with a legend, some pixels of white between the parts."""
    picture, marks = paper(320, 320), []
    for i, parts in enumerate(PARTS.values()):
        across, end = 80 + 45 * i, 0
        for part, colour in zip(parts, COLOURS.values(), strict=True):
            start, end = end, end + part
            if part and upwards:
                fill(picture, (across - 12, 250 - end, across + 12, 250 - start), colour)
                fill(picture, (across - 12, 250 - end, across + 12, 250 - end + edge), WHITE)
                marks.append(Mark(KINDS.index("top"), across, 250 - end, 0.9))
            elif part:
                fill(picture, (80 + start, across - 12, 80 + end, across + 12), colour)
                fill(picture, (80 + end - edge, across - 12, 80 + end, across + 12), WHITE)
                marks.append(Mark(KINDS.index("end"), 80 + end, across, 0.9))
    lines = [
        line(text, *((80 + 45 * i, 268) if upwards else (40, 80 + 45 * i)))
        for i, text in enumerate(PARTS)
    ]
    for value in (0, 50, 100, 150):
        lines.append(line(str(value), *((20, 250 - value) if upwards else (80 + value, 300))))
    for i, (name, colour) in enumerate(COLOURS.items()):
        fill(picture, (240, 20 + 20 * i, 252, 28 + 20 * i), colour)
        lines.append(line(name, 280, 24 + 20 * i))
    return picture, lines, marks


@pytest.mark.parametrize("upwards", [True, False])
@pytest.mark.parametrize("edge", [0, 2])
def test_every_part_has_its_value_and_the_whole_its_own(upwards: bool, edge: int) -> None:
    chart = read_chart(*stacks(upwards=upwards, edge=edge), nothing)
    assert chart is not None
    assert chart.series == (*COLOURS, "total")
    largest, smallest = chart.text.splitlines()[1:3]
    assert largest.startswith("largest 1") and largest.endswith(" at 2021")
    assert smallest.endswith(" at 2020")
    told = by_series(chart)
    for label, parts in PARTS.items():
        place = chart.labels.index(label)
        for name, part in zip(COLOURS, parts, strict=True):
            assert told[name][place] == (pytest.approx(part, abs=3) if part else None)
        assert told["total"][place] == pytest.approx(sum(PARTS[label]), abs=3)


def test_bars_beside_each_other_are_no_stack() -> None:
    one = [Mark(0, 50, 10, 1.0), Mark(0, 51, 40, 1.0)]
    beside = [Mark(0, 40, 10, 1.0), Mark(0, 60, 40, 1.0)]
    assert is_stacked([one, one, [Mark(0, 150, 10, 1.0)]], 50, upwards=True)
    assert not is_stacked([one, beside, beside], 50, upwards=True)
    assert not is_stacked([beside, beside], 50, upwards=True)
    assert not is_stacked([one, [], []], 50, upwards=True)

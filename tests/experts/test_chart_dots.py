"""A dot plot: a name on each row, and the place of its dot on an axis of numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from openmova.experts.chart_dots import read_dots
from openmova.experts.text_lines import Line

from .test_chart import RED, fill, line, paper

VALUES = {"Adelie": 36.0, "Chinstrap": 17.0, "Gentoo": 4.0, "Macaroni": 29.5}
GREY = (120, 120, 120)


def plot(radius: int = 5, *, interval: int = 0, box: int = 0) -> tuple[Tensor, list[Line]]:
    """Dots over intervals and boxes of so many pixels to both sides, and a line at 20."""
    picture = paper(220, 320)
    lines = [line(str(v), 100 + 5 * v, 205) for v in (0, 10, 20, 30, 40)]
    fill(picture, (200, 10, 202, 190), GREY)
    ys, xs = torch.meshgrid(torch.arange(220), torch.arange(320), indexing="ij")
    for i, (name, value) in enumerate(VALUES.items()):
        x, y = round(100 + 5 * value), 30 + 45 * i
        fill(picture, (max(x - interval, 96), y - 1, x + interval, y + 1), GREY)
        fill(picture, (max(x - box, 96), y - 3, x + box, y + 4), GREY)
        inside = (ys - y).square() + (xs - x).square() <= radius**2
        picture[:, inside] = torch.tensor(RED, dtype=torch.uint8)[:, None]
        lines.append(line(name, 45, y))
    return picture, lines


@pytest.mark.parametrize(("interval", "box"), [(0, 0), (60, 0), (60, 15)])
def test_dots_are_told_by_the_names_of_their_rows(interval: int, box: int) -> None:
    chart = read_dots(*plot(interval=interval, box=box))
    assert chart is not None
    assert chart.labels == (*VALUES,)
    assert chart.values[0] == pytest.approx((*VALUES.values(),), abs=0.5)
    assert "largest 36" in chart.text and "at Adelie" in chart.text


def test_rows_without_one_dot_are_no_dot_plot() -> None:
    picture, lines = plot()
    assert read_dots(*plot(radius=0, interval=60)) is None
    assert read_dots(*plot(radius=0, box=60)) is None  # bars
    assert read_dots(picture, [x for x in lines if x.text not in ("Adelie", "Gentoo")]) is None
    assert read_dots(picture, lines[5:]) is None
    assert read_dots(torch.minimum(picture, picture.roll(40, 2)), lines) is None  # two in each

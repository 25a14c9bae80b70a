"""Title and names of the axes, by where they stand around the ticks."""

from __future__ import annotations

import math

from openmova.experts.chart_titles import read_titles
from openmova.experts.text_lines import Line

from .test_chart import line

UP = -math.pi / 2
TICKS = [(str(v), 60, 200 - v) for v in (0, 50, 100, 150)]


def bars(*more: Line) -> list[Line]:
    """The texts of upright bars with two labels."""
    return [*(line(*tick) for tick in TICKS), line("Apr", 120, 220), line("May", 220, 220), *more]


def test_title_and_axes_of_upright_bars() -> None:
    title, month = line("Rain in Riga", 180, 20), line("Month", 170, 240)
    assert read_titles(bars(line("Rain (mm)", 30, 125, angle=UP), month, title), 320) == {
        "title": "Rain in Riga",
        "x axis": "Month",
        "y axis": "Rain (mm)",
    }


def test_what_is_not_written_is_not_told() -> None:
    assert read_titles(bars(), 320) == {}
    assert read_titles([line("Rain in Riga", 180, 20), line("Month", 170, 240)], 320) == {}


def test_names_of_two_lines_are_joined_in_their_order() -> None:
    rows = [line("Coefficients of the model", 180, 10), line("with ability", 182, 27)]
    columns = [line("Mean Squared", 20, 125, angle=UP), line("Error", 40, 125, angle=UP)]
    titles = read_titles(bars(*columns[::-1], *rows[::-1]), 320)
    assert titles["title"] == "Coefficients of the model with ability"
    assert titles["y axis"] == "Mean Squared Error"


def test_a_legend_beside_is_no_title_and_turned_labels_no_axis() -> None:
    legend = [line("white", 120, 20), line("black", 220, 20)]
    turned = [line("Monday", 100, 240, angle=UP), line("Tuesday", 140, 240, angle=UP)]
    assert read_titles([*(line(*tick) for tick in TICKS), *turned, *legend], 320) == {}


def test_below_lying_bars_the_axis_of_values_is_named() -> None:
    ticks = [line(str(v), 80 + v, 200) for v in (0, 50, 100)]
    labels = [line("Coal", 40, 60), line("Gas", 40, 120)]
    assert read_titles([*ticks, *labels, line("Output", 130, 222)], 320) == {"x axis": "Output"}

"""A chart in words: axes from numbers that were read, labels beside marks, series by colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from openmova.experts.chart import read_chart, untold
from openmova.experts.chart_axis import (
    Label,
    columns,
    fit_axis,
    label_row,
    labels_beside,
    labels_of,
    number,
)
from openmova.experts.chart_head import KINDS, ChartHead, Mark, find_marks
from openmova.experts.chart_ink import Recogniser, specks
from openmova.experts.chart_text import Chart
from openmova.experts.text_lines import Box, Line

from .pictures import assert_batch_changes_nothing, padded_batch
from .words import read_back, word_expert

TOP, END, POINT = range(len(KINDS))
RED, BLUE = (200, 30, 30), (30, 30, 200)


def line(text: str, x: float, y: float, *, angle: float = 0.0, height: float = 14) -> Line:
    return Line(text, 1.0, Box(x, y, 7.0 * len(text) + 5, height, angle))


def paper(height: int = 240, width: int = 320) -> Tensor:
    return torch.full((3, height, width), 255, dtype=torch.uint8)


def fill(picture: Tensor, box: tuple[int, int, int, int], colour: tuple[int, int, int]) -> None:
    left, top, right, bottom = box
    picture[:, top:bottom, left:right] = torch.tensor(colour, dtype=torch.uint8)[:, None, None]


def nothing(picture: Tensor, boxes: Sequence[Box]) -> list[Line]:
    """A recogniser that reads nothing more."""
    return []


def read(
    picture: Tensor, lines: Sequence[Line], marks: Sequence[Mark], recognise: Recogniser = nothing
) -> Chart:
    chart = read_chart(picture, lines, marks, recognise)
    assert chart is not None
    return chart


def by_series(chart: Chart) -> dict[str, Sequence[float | None]]:
    return dict(zip(chart.series, chart.values, strict=True))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,000", 1000),
        ("12,500.5", 12500.5),
        ("1 000", 1000),
        ("1000 1500", None),
        ("0,5", 0.5),
        ("10k", 10_000),
        ("2.5M", 2.5e6),
        ("-5", -5),
        ("−5", -5),
        ("20%", 20),
        ("$ 30", 30),
        ("1e3", 1000),
        (".5", 0.5),
        ("60-", 60),
        ("1O0", 100),
        ("Q1", None),
        ("May", None),
        ("12 kg", None),
        ("1.2.3", None),
    ],
)
def test_numbers_at_ticks(text: str, value: float | None) -> None:
    assert number(text) == (None if value is None else pytest.approx(value))


def test_an_axis_ignores_numbers_that_are_off() -> None:
    ticks = [line(str(v), 30, 200 - v) for v in (0, 50, 100, 150)]
    others = [line("37", 100, 150), line("2024", 250, 230), line("9", 30, 70), line("Sales", 9, 90)]
    axis = fit_axis([*others, *ticks], upwards=True)
    assert axis is not None
    assert axis.ticks == (4, 5, 6, 7)
    assert axis.value(125) == pytest.approx(75)
    assert axis.pixel(75) == pytest.approx(125)
    assert (axis.low, axis.high) == (0, 150)


def test_an_axis_grows_upwards_or_to_the_right() -> None:
    downwards = [line(str(v), 30, 50 + v) for v in (0, 50, 100)]
    assert fit_axis(downwards, upwards=True) is None
    across = [line(str(v), 50 + 2 * v, 220) for v in (0, 50, 100)]
    axis = fit_axis(across, upwards=False)
    assert axis is not None
    assert axis.value(150) == pytest.approx(50)


def test_a_row_of_ticks_that_was_read_as_one_line() -> None:
    (first, *others) = range(0, 250, 50)
    row = Line("50 100 150 200", 1.0, Box(175, 220, 171, 14, 0))
    axis = fit_axis([line(str(first), 50, 220), row], upwards=False)
    assert axis is not None
    assert axis.high == others[-1]
    assert axis.ticks == (0, 1)
    assert axis.value(150) == pytest.approx(100, abs=5)


def test_an_axis_of_powers() -> None:
    ticks = [
        line(text, 30, y) for text, y in (("1", 200), ("10", 150), ("100", 100), ("1,000", 50))
    ]
    axis = fit_axis(ticks, upwards=True)
    assert axis is not None
    assert axis.is_log
    assert axis.value(75) == pytest.approx(10**2.5)


def test_bars_of_one_label_are_one_column() -> None:
    assert columns([10, 20, 60, 70, 110, 120]) == [15, 65, 115]
    assert columns([10, 60, 110, 210]) == [10, 60, 110, 210]  # one is missing
    assert columns([10, 10, 60, 60]) == [10, 60]


def test_the_row_that_names_most_marks_has_the_labels() -> None:
    marks = [50.0, 100.0, 150.0]
    names = [line(text, x, 220) for text, x in zip(("a", "b", "c"), marks, strict=True)]
    lines = [line("legend", 60, 190), *names, line("Month", 100, 238)]
    assert label_row(lines, marks, 180) == names


def test_a_turned_label_that_was_read_in_two_pieces() -> None:
    up = -math.pi / 2
    pieces = [line("Class", 100, 240, angle=up), line("B", 100, 212)]
    (label,) = label_row([*pieces, line("no label", 30, 20)], [100.0], 190)
    assert label.text == "Class B"
    assert label.box.bounds == pytest.approx((93, 205, 107, 260))


def test_words_that_were_read_as_one_are_cut_at_the_marks() -> None:
    marks = [50.0, 100.0, 150.0]
    row = [Line("Jan Feb Mar", 1.0, Box(100, 220, 122, 14, 0))]
    assert labels_of(row, marks) == [Label("Jan", 50), Label("Feb", 100), Label("Mar", 150)]
    (whole,) = labels_of([Line("one long label", 1.0, Box(100, 220, 60, 14, 0))], marks)
    assert whole == Label("one long label", 100)


@pytest.mark.parametrize("angle", [-0.8, 0.8])
def test_a_tilted_label_belongs_to_its_upper_end(angle: float) -> None:
    marks = [100.0, 150.0, 200.0]
    width = 50 / math.cos(angle)  # the lower end of each stands below the mark beside its own
    middles = [x + math.copysign(25, angle) for x in marks]
    row = [Line("Berlin", 1.0, Box(x, 230, width, 12, angle)) for x in middles]
    assert [label.place for label in labels_of(row, marks)] == pytest.approx(marks)


def test_labels_of_lying_bars_stand_left_of_them() -> None:
    lines = [line("Red", 30, 50), line("wine", 62, 50), line("Beer", 40, 100), line("12", 200, 50)]
    found = labels_beside(lines, [50, 100], 90)
    assert found == [Label("Red wine", 50), Label("Beer", 100)]


def test_an_axis_title_beside_the_labels_is_none_of_them() -> None:
    lines = [line("Kind", 20, 50), line("Red", 80, 50), line("wine", 112, 50)]
    lines += [line("Beer", 100, 100), line("Tea", 100, 150)]
    labels = labels_beside(lines, [50, 100, 150], 140)
    assert [label.text for label in labels] == ["Red wine", "Beer", "Tea"]


COLUMN = ((250, 20, "2024", BLUE), (250, 40, "2025", RED))
ROW = ((100, 30, "2025", RED), (165, 30, "2024", BLUE))


def bars(legend: Any = COLUMN) -> tuple[Tensor, list[Line], list[Mark]]:
    """Two bars for each of two labels, and a legend: samples with a name on their right."""
    picture = paper()
    lines = [line(str(v), 20, 200 - v) for v in (0, 50, 100, 150)]
    marks = []
    for x, label, values in ((80, "Cats", (100, 40)), (180, "Dogs", (60, 130))):
        lines.append(line(label, x + 20, 220))
        for k, (value, colour) in enumerate(zip(values, (RED, BLUE), strict=True)):
            fill(picture, (x + 20 * k, 200 - value, x + 20 * k + 18, 200), colour)
            marks.append(Mark(TOP, x + 20 * k + 9, 200 - value, 0.9))
    for x, y, text, colour in legend:
        fill(picture, (x, y - 4, x + 12, y + 4), colour)
        lines.append(line(text, x + 34, y))
    return picture, lines, marks


@pytest.mark.parametrize("legend", [COLUMN, ROW], ids=["column", "row"])
def test_series_are_told_apart_by_the_colours_of_the_legend(legend: Any) -> None:
    chart = read(*bars(legend))
    assert chart.labels == ("Cats", "Dogs")
    told = by_series(chart)
    assert told["2025"] == pytest.approx((100, 60))
    assert told["2024"] == pytest.approx((40, 130))


def points() -> tuple[Tensor, list[Line], list[Mark]]:
    """Two lines over three labels: their points, and texts without the names of the lines."""
    picture = paper()
    lines = [line(str(v), 20, 200 - v) for v in (0, 50, 100, 150)]
    marks = []
    for x, label, values in (
        (80, "Mon", (100, 40)),
        (160, "Tue", (60, 130)),
        (240, "Wed", (90, 20)),
    ):
        lines.append(line(label, x, 220))
        for value, colour in zip(values, (RED, BLUE), strict=True):
            fill(picture, (x - 3, 197 - value, x + 4, 204 - value), colour)
            marks.append(Mark(POINT, x, 200 - value, 0.9))
    return picture, lines, marks


def test_a_sample_may_be_a_thin_line_that_is_mixed_with_its_ground() -> None:
    picture, lines, marks = points()
    for x, text, colour in ((100, "up", RED), (165, "down", BLUE)):
        half = [(c + 255) // 2 - 20 for c in colour]
        fill(picture, (x, 20, x + 14, 21), (half[0], half[1], half[2]))
        lines.append(line(f"{text} —" if text == "up" else text, x + 40, 20))
    told = by_series(read(picture, lines, marks))
    assert told["up"] == pytest.approx((100, 60, 90), abs=1)
    assert told["down"] == pytest.approx((40, 130, 20), abs=1)


def test_a_point_that_was_read_as_a_letter_names_no_line() -> None:
    picture, lines, marks = points()
    lines += [Line("o", 0.9, Box(80, 100, 10, 10, 0.0)), line("red", 130, 20)]
    fill(picture, (95, 19, 112, 21), RED)
    told = by_series(read(picture, lines, marks))
    assert "red" in told and "o" not in told


def test_a_mark_that_is_missing_is_no_value() -> None:
    picture, lines, marks = bars()
    third = [line("Fish", 270, 220)]
    fill(picture, (250, 130, 268, 200), BLUE)
    alone = Mark(TOP, 259, 130, 0.9)
    chart = read(picture, [*lines, *third], [*marks, alone])
    told = by_series(chart)
    assert told["2024"] == pytest.approx((40, 130, 70))
    assert told["2025"][2] is None
    assert chart.text.splitlines()[-1] == "Fish, 2024: 70"


def test_a_bar_of_a_group_that_the_head_missed_stands_where_its_colour_does() -> None:
    picture, lines, marks = bars()
    third = [line("Fish", 280, 220)]
    fill(picture, (260, 130, 278, 200), RED)
    fill(picture, (280, 90, 298, 200), BLUE)
    chart = read(picture, [*lines, *third], [*marks, Mark(TOP, 289, 90, 0.9)])
    told = by_series(chart)
    assert told["2025"] == pytest.approx((100, 60, 70), abs=1)
    assert told["2024"] == pytest.approx((40, 130, 110))


HEIGHTS = {"Mon": 90, "Tue": 12, "Wed": 60, "Thu": 0, "Fri": 110}


def single_bars(colours: Sequence[tuple[int, int, int]]) -> tuple[Tensor, list[Line], list[Mark]]:
    """Bars of one series with a line across, of which the head sees the first, third and fifth;
    colours: of the bars, in turn."""
    picture = paper(width=400)
    lines = [line(str(v), 20, 200 - v) for v in (0, 50, 100, 150)]
    marks = []
    for place, (label, height) in enumerate(HEIGHTS.items()):
        x = 80 + 70 * place
        lines.append(line(label, x, 220))
        fill(picture, (x - 15, 200 - height, x + 15, 200), colours[place % len(colours)])
        if place % 2 == 0:
            marks.append(Mark(TOP, x, 200 - height, 0.9))
    fill(picture, (40, 194, 400, 195), (0, 0, 0))
    return picture, lines, marks


def test_a_bar_that_the_head_missed_is_as_high_as_its_colour_goes() -> None:
    picture, lines, marks = single_bars([RED])
    for seen in (marks, [*marks[1:], Mark(TOP, 150, 188, 0.9)]):  # the first one missing too
        chart = read(picture, lines, seen)
        assert chart.labels == tuple(HEIGHTS)
        assert chart.values[0] == pytest.approx(tuple(HEIGHTS.values()), abs=1)
    turned = picture.transpose(1, 2).flip(2)  # lying: the values grow to the right
    beside = [line(str(v), 40 + v, 390) for v in (0, 50, 100, 150)]
    beside += [line(label, 18, 80 + 70 * n, height=8) for n, label in enumerate(HEIGHTS)]
    ends = [Mark(END, 40 + 200 - mark.y, mark.x, 0.9) for mark in marks]
    assert read(turned, beside, ends).values[0] == pytest.approx(tuple(HEIGHTS.values()), abs=1)


def test_of_bars_in_several_colours_a_missed_one_stays_missing() -> None:
    assert read(*single_bars([RED, BLUE, (30, 200, 30)])).labels == ("Mon", "Wed", "Fri")


def test_the_end_of_an_error_bar_is_no_bar() -> None:
    picture, lines, marks = bars()
    expected = by_series(read(picture, lines, marks))
    for mark in list(marks):
        x, y = round(mark.x), round(mark.y)
        fill(picture, (x - 1, y - 20, x + 1, y), (0, 0, 0))
        marks.append(Mark(TOP, x, y - 20, 0.95))
    assert by_series(read(picture, lines, marks)) == expected


def test_hollow_bars_are_not_followed() -> None:
    white = (255, 255, 255)
    assert read(*single_bars([white])).labels == ("Mon", "Wed", "Fri")


def test_lying_bars() -> None:
    lines = [line(str(v), 80 + v, 220) for v in (0, 50, 100, 150)]
    lines += [line("Tea", 50, 60), line("Coffee", 40, 120)]
    marks = [Mark(END, 140, 60, 0.9), Mark(END, 205, 120, 0.9)]
    chart = read(paper(), lines, marks)
    assert chart.labels == ("Tea", "Coffee")
    assert chart.values[0] == pytest.approx((60, 125))


def test_a_digit_that_was_not_read_is_looked_for_beside_the_plot() -> None:
    picture = paper()
    for top in (45, 145):  # strokes of a digit's height where no line was read
        fill(picture, (16, top, 19, top + 9), (0, 0, 0))
        fill(picture, (22, top, 25, top + 9), (0, 0, 0))
    lines = [line("A", 100, 220), line("B", 180, 220), line("10", 18, 100)]
    marks = [Mark(TOP, 100, 50, 0.9), Mark(TOP, 180, 150, 0.9)]
    asked: list[Box] = []

    def recognise(_: Tensor, boxes: Sequence[Box]) -> list[Line]:
        asked.extend(boxes)
        return [Line("20" if box.y < 100 else "0", 1.0, box) for box in boxes]

    chart = read(picture, lines, marks, recognise)
    assert [(box.x, box.y) for box in asked] == [(20.5, 49.5), (20.5, 149.5)]
    assert chart.values[0] == pytest.approx((20, 0), abs=0.5)


def test_long_lines_are_no_specks() -> None:
    picture = paper()
    fill(picture, (40, 10, 42, 200), (0, 0, 0))
    fill(picture, (40, 100, 300, 101), (0, 0, 0))
    assert specks(picture, [line("10", 18, 100)], (0, 0, 320, 240)) == []


def test_a_text_as_high_as_the_picture_tells_no_height_of_specks() -> None:
    picture = paper()
    fill(picture, (150, 60, 200, 180), (0, 0, 0))
    whole = line("O", 60, 120, height=200)
    assert specks(picture, [whole], (0, 0, 320, 240)) == []
    assert specks(picture, [line("10", 18, 100, height=150)], (0, 0, 320, 2400)) != []


def test_marks_without_an_axis_or_labels_are_no_chart() -> None:
    picture, lines, marks = bars()
    assert read_chart(picture, lines[4:], marks, nothing) is None
    assert read_chart(picture, lines[:4], marks, nothing) is None


def test_the_words_of_a_chart() -> None:
    one = Chart(("Apr", "May"), (), ((453.21, 509.0),), 600)
    assert one.text == "2 labels\nlargest 509 at May\nsmallest 453 at Apr\nApr: 453\nMay: 509"
    two = Chart(("Apr",), ("white", "black"), ((11,), (81,)), 90)
    assert two.text.splitlines()[0] == "1 labels, 2 series"
    assert two.text.splitlines()[3:] == [
        "white: largest 11 at Apr, smallest 11 at Apr",
        "black: largest 81 at Apr, smallest 81 at Apr",
        "Apr, white: 11",
        "Apr, black: 81",
    ]
    assert Chart((), (), (), 1).text == ""
    assert Chart((), (), (), 1, {"x axis": "Month"}).text == "x axis (horizontal): Month"
    twice = Chart(("Nov", "May", "Nov"), (), ((515, 545, 576),), 90, {"title": "Rain"})
    told = ["title: Rain", "3 labels", "largest 576 at Nov", "smallest 515 at Nov"]
    assert twice.text.splitlines() == [*told, "Nov: 515", "May: 545", "Nov: 576"]


def test_the_peaks_of_the_heat_are_the_marks() -> None:
    output = torch.zeros(len(KINDS) + 2, 56, 56)
    output[: len(KINDS)] = -6
    output[END, 10, 20], output[END, 10, 21] = 4, 2
    output[len(KINDS) :, 10, 20] = torch.tensor([0.25, -0.5])
    (mark,) = find_marks(output, 0.3)
    assert (mark.kind, mark.x, mark.y) == (END, 20.75 * 8, 10 * 8)
    assert find_marks(torch.full_like(output, -6), 0.3) == []


def test_the_head_does_not_mind_the_scale_of_its_features() -> None:
    torch.manual_seed(0)
    head, features = ChartHead(6), torch.randn(3, 6, 8, 8)
    head.fit_scale(features)
    plain = head(features)
    head.fit_scale(100 * features + 7)
    torch.testing.assert_close(head(100 * features + 7), plain, atol=1e-4, rtol=1e-4)


def test_an_expert_like_others(tmp_path: Path) -> None:
    expert = word_expert("chart", tmp_path, rows=[16, 19], reader={"size": 128})
    assert_batch_changes_nothing(expert)
    with torch.no_grad():
        assert not any(expert.texts(expert.view(*padded_batch())))
        chart = Chart(("Apr",), (), ((453.0,),), 600)
        maps = expert.write([chart.text])
    assert read_back(expert.codes, maps[0]) == chart.text + "\n"
    assert maps[0, :, :16].count_nonzero() == 0


def test_axes_are_told_of_a_plot_without_marks_and_a_title_alone_as_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expert = word_expert("chart", tmp_path, rows=[16, 19], reader={"size": 128})
    (view, *_) = expert.view(*padded_batch())
    title, speed = line("Fall of a ball", 100, 0), line("Speed", 5, 70, angle=-math.pi / 2)
    ticks = [line(str(v), 40, 100 - v) for v in (0, 20, 40, 60)]
    monkeypatch.setattr(expert, "marks", lambda picture: [])
    monkeypatch.setattr("openmova.experts.chart.find_pie", lambda picture: None)
    monkeypatch.setattr(expert, "lines", lambda view: [[title, *ticks, speed]])
    chart = expert.look(view)
    assert chart is not None
    assert chart.text == "title: Fall of a ball\ny axis (vertical): Speed"
    monkeypatch.setattr(expert, "lines", lambda view: [[title, *ticks]])
    chart = expert.look(view)
    assert chart is not None
    assert chart.text == "Fall of a ball"
    monkeypatch.setattr(expert, "lines", lambda view: [[title]])
    assert expert.look(view) is None


def test_a_legend_above_the_plot_is_no_title(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expert = word_expert("chart", tmp_path, rows=[16, 19], reader={"size": 128})
    (view, *_) = expert.view(*padded_batch())
    found = Chart(("Apr", "May"), ("cats", "dogs"), ((1.0, 2.0), (3.0, 4.0)), 9)
    monkeypatch.setattr("openmova.experts.chart.find_pie", lambda picture: None)
    monkeypatch.setattr(expert, "marks", lambda picture: [Mark(TOP, 0, 0, 1)] * 2)
    monkeypatch.setattr("openmova.experts.chart.read_chart", lambda *_: found)
    monkeypatch.setattr(expert, "lines", lambda view: [])
    for title, kept in (("cats dogs", {}), ("Pets", {"title": "Pets"})):
        titles = {"title": title}
        monkeypatch.setattr("openmova.experts.chart.read_titles", lambda *_, t=titles: dict(t))
        assert expert.look(view) == found._replace(titles=kept)


def test_notes_are_what_neither_titles_nor_labels_nor_ticks_tell() -> None:
    chart = Chart(("Apr", "May"), ("white",), ((1.0, 2.0),), 9, {"title": "Rain of a year"})
    texts = ("Rain of", "a year", "Apr", "white", "1,000", "10⁻³", "AUC = 0.78", "Apr to May")
    lines = [line(text, 100, 20 * i) for i, text in enumerate(texts)]
    assert untold(lines, chart) == ("AUC = 0.78", "Apr to May")
    assert chart._replace(notes=("AUC = 0.78",)).text.splitlines()[-1] == "AUC = 0.78"

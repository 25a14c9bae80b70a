"""Boxes from a map of probabilities, what is in them, a line's cells, and the order of reading."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from openmova.experts.text_lines import Box, Line, cut_out, find_boxes, pieces, reading_order


def bar(shape: tuple[int, int], box: Box) -> np.ndarray:
    """Where the middles of pixels lie inside a box."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    cos, sin = math.cos(box.angle), math.sin(box.angle)
    along = (x - box.x) * cos + (y - box.y) * sin
    down = (y - box.y) * cos - (x - box.x) * sin
    return (np.abs(along) < box.width / 2) & (np.abs(down) < box.height / 2)


def test_every_line_of_a_map_gets_a_box_grown_by_its_shape() -> None:
    upright = Box(50, 20, 80, 6, 0)
    tilted = Box(60, 80, 90, 8, math.radians(20))
    faint, speck = Box(20, 120, 30, 6, 0), Box(100, 120, 2, 2, 0)
    probability = np.zeros((140, 130), np.float32)
    for box, value in ((upright, 0.9), (tilted, 0.8), (faint, 0.4), (speck, 0.9)):
        probability[bar(probability.shape, box)] = value
    found = sorted(find_boxes(probability), key=lambda box: box.y)
    assert len(found) == 2
    for ours, true in zip(found, (upright, tilted), strict=True):
        grown = 1.6 * true.width * true.height / (true.width + true.height)
        assert ours.angle == pytest.approx(true.angle, abs=0.02)
        assert (ours.x, ours.y) == pytest.approx((true.x, true.y), abs=1)
        assert ours.width == pytest.approx(true.width + grown, abs=3)
        assert ours.height == pytest.approx(true.height + grown, abs=3)


@pytest.mark.parametrize("degrees", [55, -90, -60])
def test_a_steep_line_is_not_read_upside_down(degrees: float) -> None:
    true = Box(70, 70, 90, 10, math.radians(degrees))
    probability = np.where(bar((140, 140), true), 0.9, 0).astype(np.float32)
    (found,) = find_boxes(probability)
    assert found.angle == pytest.approx(true.angle, abs=0.03)


def test_touching_corners_are_one_line_and_an_empty_map_has_none() -> None:
    probability = np.zeros((40, 60), np.float32)
    assert find_boxes(probability) == []
    for column in range(50):
        probability[10 + column // 2 : 14 + column // 2, column] = 0.9
    assert len(find_boxes(probability)) == 1


@pytest.mark.parametrize("degrees", [0, 30, -90])
def test_what_is_cut_out_stands_upright(degrees: float) -> None:
    box = Box(60, 60, 64, 16, math.radians(degrees))
    left = bar((120, 120), Box(60, 60, 200, 200, box.angle))
    y, x = np.mgrid[:120, :120] + 0.5
    left &= (x - 60) * math.cos(box.angle) + (y - 60) * math.sin(box.angle) < 0
    picture = torch.from_numpy(np.where(left, 255.0, 0.0)).float().expand(3, -1, -1)
    crop = cut_out(picture, box, 8, 32)
    assert crop.shape == (3, 8, 32)
    assert crop[:, :, :13].min() > 250
    assert crop[:, :, 19:].max() < 5


def test_an_upright_box_of_the_same_size_is_the_pixels_themselves() -> None:
    picture = torch.randint(0, 256, (3, 30, 50)).float()
    crop = cut_out(picture, Box(20.3, 14.8, 30, 10, 0), 10, 30)
    torch.testing.assert_close(crop, picture[:, 10:20, 5:35], atol=0.01, rtol=0)


def line(left: float, top: float, width: float, height: float = 10) -> Box:
    return Box(left + width / 2, top + height / 2, width, height, 0)


def test_columns_of_running_text_come_one_after_the_other_between_title_and_page_number() -> None:
    left = [line(0, 40 + 15 * i, 180) for i in range(8)]
    right = [line(220, 40 + 15 * i, 180) for i in range(8)]
    title, foot = line(80, 0, 240, 20), line(195, 200, 12)
    pairs = [box for pair in zip(left, right, strict=True) for box in pair]
    boxes = [foot, *pairs, title]
    rows = reading_order(boxes)
    assert [[boxes[i] for i in row] for row in rows] == [[b] for b in [title, *left, *right, foot]]


@pytest.mark.parametrize("slope", [0, 0.02])
def test_cells_of_a_table_stay_rows_also_when_the_page_lies_askew(slope: float) -> None:
    cells = [[line(x, 20 * y + slope * x, 50) for x in (0, 150, 300)] for y in range(10)]
    boxes = [box for row in cells for box in reversed(row)]
    rows = reading_order(boxes)
    assert [[boxes[i] for i in row] for row in rows] == cells


def test_short_lines_that_do_not_stand_side_by_side_are_columns() -> None:
    left = [line(0, 20 * i, 50) for i in range(12)]
    right = [line(200, 17 * i, 50) for i in range(13)]
    boxes = [*right, *left]
    assert [boxes[i] for (i,) in reading_order(boxes)] == [*left, *right]


def test_lines_above_each_other_are_no_row_however_close() -> None:
    boxes = [line(0, 0, 50, 20), line(0, 8, 50, 20), line(100, 4, 50, 20)]
    assert reading_order(boxes) == [[0, 2], [1]]
    assert reading_order([]) == []


HEIGHT, PITCH = 20.0, 7.0


def spelt(written: str, *, angle: float = 0.0) -> tuple[Line, list[float]]:
    """A line as it is read that is written with characters of one width; "_" is a space that is
    not read."""
    width = PITCH * len(written)
    kept = [(c, (i + 0.5) / len(written)) for i, c in enumerate(written) if c != "_"]
    while "  " in "".join(c for c, _ in kept):  # of several spaces one is read
        i = "".join(c for c, _ in kept).index("  ")
        del kept[i]
    text = "".join(c for c, _ in kept)
    box = Box(width / 2, 50.0, width, HEIGHT, angle)
    return Line(text, 0.9, box), [place for _, place in kept]


@pytest.mark.parametrize(
    ("written", "cells"),
    [
        ("a line of plain words", ["a line of plain words"]),
        ("a  justified  line", ["a justified line"]),
        ("Oslo    22.4     13.3", ["Oslo", "22.4", "13.3"]),
        ("Valid Percent____Mean", ["Valid Percent", "Mean"]),
        ("2__Applications", ["2 Applications"]),
        (" Total ", ["Total"]),
        ("1    2    3", ["1", "2", "3"]),
        ("  ", []),
    ],
)
def test_wide_gaps_part_cells(written: str, cells: list[str]) -> None:
    assert [piece.text for piece in pieces(*spelt(written))] == cells


def test_cells_lie_where_their_characters_are() -> None:
    (first, second) = pieces(*spelt("Oslo     22"))
    assert first.box.bounds == pytest.approx((0, 40, 4 * PITCH, 60))
    assert second.box.bounds == pytest.approx((9 * PITCH, 40, 11 * PITCH, 60))


def test_a_line_falls_with_its_cells_and_an_upward_one_stays_whole() -> None:
    line, places = spelt("Oslo     22", angle=0.1)
    first, second = (piece.box for piece in pieces(line, places))
    assert second.y - first.y == pytest.approx(math.tan(0.1) * (second.x - first.x))
    upward = line._replace(box=line.box._replace(angle=-math.pi / 2))
    (whole,) = pieces(upward, places)
    assert whole.text == "Oslo 22"
    assert whole.box.width == line.box.width

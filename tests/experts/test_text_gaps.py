"""A line is parted at its wide gaps, and nowhere else."""

from __future__ import annotations

import math

import pytest

from openmova.experts.text_gaps import pieces
from openmova.experts.text_lines import Box

HEIGHT, PITCH = 20.0, 7.0


def spelt(written: str, *, angle: float = 0.0) -> tuple[str, list[float], Box]:
    """A line as it is read that is written with characters of one width; "_" is a space that is
    not read."""
    width = PITCH * len(written)
    kept = [(c, (i + 0.5) / len(written)) for i, c in enumerate(written) if c != "_"]
    while "  " in "".join(c for c, _ in kept):  # of several spaces one is read
        i = "".join(c for c, _ in kept).index("  ")
        del kept[i]
    text = "".join(c for c, _ in kept)
    return text, [place for _, place in kept], Box(width / 2, 50.0, width, HEIGHT, angle)


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
    text, places, box = spelt("Oslo     22", angle=0.1)
    first, second = (piece.box for piece in pieces(text, places, box))
    assert second.y - first.y == pytest.approx(math.tan(0.1) * (second.x - first.x))
    (whole,) = pieces(text, places, box._replace(angle=-math.pi / 2))
    assert whole.text == "Oslo 22"
    assert whole.box.width == box.width

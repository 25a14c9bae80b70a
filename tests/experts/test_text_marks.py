"""Which line of a menu is said to be highlighted."""

from __future__ import annotations

import torch
from torch import Tensor

from openmova.experts.text_lines import Box, Line
from openmova.experts.text_marks import MARK, mark_highlights

WHITE, BLUE, GREY = (255, 255, 255), (40, 90, 200), (225, 225, 225)
PITCH, HEIGHT, WIDTH = 30, 20, 120


def menu(*rows: tuple[int, int, int], cells: int = 1) -> tuple[Tensor, list[list[Line]]]:
    """A picture whose rows have these backgrounds, and its lines: one or more a row."""
    picture = torch.full((3, PITCH * len(rows), 2 * WIDTH * cells), 255, dtype=torch.uint8)
    lines = []
    for number, colour in enumerate(rows):
        top = PITCH * number
        picture[:, top : top + PITCH] = torch.tensor(colour, dtype=torch.uint8)[:, None, None]
        picture[:, top + 10 : top + 20, 10:100:4] = 0  # what is written
        boxes = [
            Box(10 + 2 * WIDTH * cell + WIDTH / 2, top + PITCH / 2, WIDTH, HEIGHT, 0.0)
            for cell in range(cells)
        ]
        lines.append([Line(f"{number}.{cell}", 0.9, box) for cell, box in enumerate(boxes)])
    return picture, lines


def marked(picture: Tensor, rows: list[list[Line]]) -> list[str]:
    texts = [line.text for row in mark_highlights(picture, rows) for line in row]
    return [text.removeprefix(MARK) for text in texts if text.startswith(MARK)]


def test_the_line_with_another_background_is_highlighted_wherever_it_stands() -> None:
    for place in range(4):
        colours = [WHITE] * 4
        colours[place] = BLUE
        assert marked(*menu(*colours)) == [f"{place}.0"]


def test_nothing_is_highlighted_in_a_plain_list_or_one_of_many_colours() -> None:
    assert marked(*menu(WHITE, WHITE, WHITE, WHITE)) == []
    assert marked(*menu(WHITE, GREY, WHITE, GREY, WHITE)) == []
    assert marked(*menu(WHITE, BLUE, WHITE, WHITE, BLUE, WHITE)) == []


def test_uneven_light_highlights_nothing() -> None:
    picture, rows = menu(BLUE, WHITE, WHITE)
    torch.manual_seed(0)
    noise = (30 * torch.randn(picture.shape)).round()
    assert marked((picture + noise).clamp(0, 255).byte(), rows) == []


def test_two_lines_are_no_list() -> None:
    assert marked(*menu(BLUE, WHITE)) == []


def test_a_menu_with_keys_says_it_in_front_and_a_table_says_nothing() -> None:
    assert marked(*menu(WHITE, BLUE, WHITE, cells=2)) == ["1.0"]
    assert marked(*menu(BLUE, WHITE, WHITE, cells=3)) == []


def test_lines_that_begin_elsewhere_are_no_list() -> None:
    picture, rows = menu(WHITE, BLUE, WHITE, WHITE)
    moved = [
        [line._replace(box=line.box._replace(x=line.box.x + 40 * number)) for line in row]
        for number, row in enumerate(rows)
    ]
    assert marked(picture, moved) == []

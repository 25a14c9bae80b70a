"""The numbers of a table get the heads of their columns."""

from __future__ import annotations

import pytest

from openmova.experts.text_lines import Box, Line
from openmova.experts.text_tables import is_number, name_cells

PITCH, HEIGHT, CHARACTER = 24, 16, 9


def lines(*rows: str) -> list[list[Line]]:
    """Rows as they are drawn in one width a character; two spaces part lines of a row."""
    made = []
    for number, row in enumerate(rows):
        pieces: list[Line] = []
        place = 0
        for text in row.split("  "):
            if text.strip():
                left, width = CHARACTER * row.index(text, place), CHARACTER * len(text)
                place = row.index(text, place) + len(text)
                box = Box(left + width / 2, PITCH * (number + 1), width, HEIGHT, 0.0)
                pieces.append(Line(text.strip(), 0.9, box))
        made.append(pieces)
    return made


def said(*rows: str) -> list[str]:
    return [" | ".join(line.text for line in row) for row in name_cells(lines(*rows))]


def test_every_number_says_the_head_of_its_column() -> None:
    assert said(
        "          Observed  Expected  Residual",
        "Male            22     20.00      2.00",
        "Female          18     20.00     -2.00",
    ) == [
        "Observed | Expected | Residual",
        "Male | Observed: 22 | Expected: 20.00 | Residual: 2.00",
        "Female | Observed: 18 | Expected: 20.00 | Residual: -2.00",
    ]


def test_heads_and_numbers_that_were_read_in_one_piece_are_parted() -> None:
    assert said(
        "City  Temp (c) Rain (mm)",
        "Oslo      22.4 13.3",
        "Bergen    19.0 40.1",
    )[1:] == [
        "Oslo | Temp (c): 22.4 | Rain (mm): 13.3",
        "Bergen | Temp (c): 19.0 | Rain (mm): 40.1",
    ]


def test_a_head_of_two_rows_is_joined_and_a_title_is_no_head() -> None:
    assert said(
        "              Occupation of all",
        "                      Valid   Cumulative",
        "       Frequency    Percent      Percent",
        "Cook           7       12.5         46.4",
    )[-1] == ("Cook | Frequency: 7 | Valid Percent: 12.5 | Cumulative Percent: 46.4")


def test_a_cell_that_is_missing_moves_no_other() -> None:
    named = said(
        "        First  Second  Third",
        "Apples     10      20     30",
        "Pears              21     31",
        "Plums      12      22     32",
    )
    assert named[2] == "Pears | Second: 21 | Third: 31"


def test_a_row_with_one_number_does_not_end_a_table() -> None:
    named = said(
        "        First  Second",
        "Apples     10      20",
        "Pears      11",
        "Plums      12      22",
    )
    assert named[2:] == ["Pears | First: 11", "Plums | First: 12 | Second: 22"]


@pytest.mark.parametrize(
    "rows",
    [
        ("Please call us at any time of the day if something is wrong", "Phone  1800  208"),
        ("Menu  File  Edit", "Open recent", "Close window"),
        ("Mo  Tu  We", " 1   2   3", " 4   5   6"),
        ("Total  2.50  3.50", "Apples  1.00  2.00"),
    ],
    ids=["a sentence above", "no numbers", "no names", "numbers above"],
)
def test_what_is_no_table_stays_as_it_was(rows: tuple[str, ...]) -> None:
    assert name_cells(lines(*rows)) == lines(*rows)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("12.5%", True),
        ("$1,293", True),
        ("-.40", True),
        ("1.93E-015", True),
        ("(81)", True),
        ("31/12/2017", True),
        ("2017-12-31", True),
        ("2.0.8-6.1", False),
        ("Q1", False),
        ("12 kg", False),
        ("", False),
    ],
)
def test_numbers_are_told(text: str, told: bool) -> None:
    assert is_number(text) == told

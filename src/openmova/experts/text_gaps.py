"""A line that was read as one, parted where its characters stand far apart, as a table's cells do.

The recogniser says at which of its steps each character is, so the gaps between them are known. All
lengths are of the line's height.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from openmova.experts.text_lines import LEVEL, Box

CELL, PITCHES = 0.9, 2.2
"""A gap from which on two words are cells of a table; and how many times the line's pitch it is."""
SPACE = 0.6
"""A gap from which on there is a space that was not read."""
PITCH = 0.35
"""From one character to the next, where a line does not show it."""


class Piece(NamedTuple):
    """A part of a line."""

    text: str
    box: Box


def pieces(text: str, places: Sequence[float], box: Box) -> list[Piece]:
    """The cells of a line, left to right; places: of each character, as a part of the box's
    length."""
    size = box.width / box.height
    inked = [i for i, character in enumerate(text) if character != " "]
    steps = [size * (places[j] - places[i]) for i, j in pairwise(inked)]
    beside = [step for step, (i, j) in zip(steps, pairwise(inked), strict=True) if j == i + 1]
    pitch = median(beside) if beside else PITCH
    words, cells = text[inked[0]] if inked else "", []
    start = 0.0
    for step, (i, j) in zip(steps, pairwise(inked), strict=True):
        gap = 0.0 if text[i] == text[j] == "." else step - pitch  # dots that lead to a number
        if gap > max(CELL, PITCHES * pitch) and box.tilt < LEVEL:
            cells.append(Piece(words, _part(box, start, places[i] + pitch / 2 / size)))
            words, start = "", places[j] - pitch / 2 / size
        elif gap > SPACE or j > i + 1:
            words += " "
        words += text[j]
    return [*cells, Piece(words, _part(box, start, 1.0))] if words else []


def _part(box: Box, start: float, end: float) -> Box:
    """What lies between two parts of a box's length."""
    off = ((start + end) / 2 - 0.5) * box.width
    x, y = box.x + off * math.cos(box.angle), box.y + off * math.sin(box.angle)
    return box._replace(x=x, y=y, width=(end - start) * box.width)

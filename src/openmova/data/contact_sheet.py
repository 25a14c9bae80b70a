"""A contact sheet: samples as training will see them, on one picture."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from PIL import Image, ImageDraw, ImageOps

from openmova.data.bad_samples import BadSample
from openmova.data.sample import Sample

SIDE = 200
"""Pixels of a sample's picture, per side."""
TEXT = 92
"""Pixels of height for what is said about it."""
MARGIN = 8
LETTERS = 33
"""In a line of text."""
LINES = 2
"""Of a question, and of an answer."""
COLUMNS = 6


def contact_sheet(samples: Iterable[Sample | BadSample]) -> Image.Image:
    """The good samples: picture, question, answer, and how they are annotated."""
    cells = []
    for sample in samples:
        try:
            if isinstance(sample, Sample):
                cells.append(_cell(sample.open()))
        except BadSample:
            continue
    columns = max(1, min(COLUMNS, len(cells)))
    rows = -(-max(1, len(cells)) // columns)
    width, height = SIDE + MARGIN, SIDE + TEXT + MARGIN
    sheet = Image.new("RGB", (columns * width + MARGIN, rows * height + MARGIN), "white")
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        sheet.paste(cell, (MARGIN + column * width, MARGIN + row * height))
    return sheet


def evenly(length: int, count: int) -> list[int]:
    """At most `count` of `length` indices, evenly spaced, the first of each stretch."""
    return (
        [number * length // count for number in range(count)]
        if count < length
        else [*range(length)]
    )


def _cell(sample: Sample) -> Image.Image:
    cell = Image.new("RGB", (SIDE, SIDE + TEXT), "white")
    draw = ImageDraw.Draw(cell)
    if isinstance(sample.image, Image.Image):
        cell.paste(ImageOps.pad(sample.image, (SIDE, SIDE), color="white"))
    else:
        draw.rectangle((0, 0, SIDE, SIDE), fill=(235, 235, 235))
        draw.text((MARGIN, MARGIN), "no picture", fill="gray", font_size=12)
    lines = [(line, "black") for line in _wrap(sample.question)]
    lines += [(line, "mediumblue") for line in _wrap(sample.turns[1].text)]
    annotated = [] if sample.dependency is None else [f"depends {sample.dependency:.2f}"]
    if sample.experts is not None:
        annotated.append(", ".join(sample.experts) or "no expert")
    lines += [(_wrap(": ".join(annotated))[0], "darkgreen")]
    for number, (line, colour) in enumerate(lines):
        draw.text((0, SIDE + 2 + 16 * number), line, fill=colour, font_size=12)
    return cell


def _wrap(text: str) -> list[str]:
    """At most LINES lines; never none."""
    shown = text[: 4 * LETTERS * LINES]
    return textwrap.wrap(shown, LETTERS, max_lines=LINES, placeholder="...") or [""]

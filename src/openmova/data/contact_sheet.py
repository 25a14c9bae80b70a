"""A contact sheet: samples as training will see them, on one picture."""

from __future__ import annotations

import textwrap

from PIL import Image, ImageDraw, ImageFont

from openmova.data.bad_samples import BadSample
from openmova.data.sample import Sample
from openmova.data.sources import Samples

SIDE = 200
"""Pixels of a sample's picture, per side."""
TEXT = 92
"""Pixels of height for what is said about it."""
MARGIN = 8
LETTERS = 33
"""In a line of text."""
LINES = 2
"""Of a question, and of an answer."""


def contact_sheet(samples: Samples, *, count: int = 24, columns: int = 6) -> Image.Image:
    """Up to `count` good samples, evenly spaced over the source: picture, question, answer, and the
    annotated experts."""
    shown = [sample for index in evenly(len(samples), count) if (sample := _good(samples, index))]
    columns = max(1, min(columns, len(shown)))
    rows = -(-max(1, len(shown)) // columns)
    width, height = SIDE + MARGIN, SIDE + TEXT + MARGIN
    sheet = Image.new("RGB", (columns * width + MARGIN, rows * height + MARGIN), "white")
    for number, sample in enumerate(shown):
        row, column = divmod(number, columns)
        _draw(sheet, sample, (MARGIN + column * width, MARGIN + row * height))
    return sheet


def evenly(length: int, count: int) -> list[int]:
    """At most `count` of `length` indices, evenly spaced, the first of each stretch."""
    return (
        [number * length // count for number in range(count)]
        if count < length
        else [*range(length)]
    )


def _good(samples: Samples, index: int) -> Sample | None:
    try:
        return samples[index].open()
    except BadSample:
        return None


def _draw(sheet: Image.Image, sample: Sample, corner: tuple[int, int]) -> None:
    left, top = corner
    draw = ImageDraw.Draw(sheet)
    if isinstance(sample.image, Image.Image):
        small = sample.image.copy()
        small.thumbnail((SIDE, SIDE))
        sheet.paste(small, (left + (SIDE - small.width) // 2, top + (SIDE - small.height) // 2))
    else:
        draw.rectangle((left, top, left + SIDE, top + SIDE), fill=(235, 235, 235))
        draw.text((left + MARGIN, top + MARGIN), "no picture", fill="gray", font=_font())
    lines = [(line, "black") for line in _lines(sample.question)]
    lines += [(line, "mediumblue") for line in _lines(sample.turns[1].text)]
    if sample.experts is not None:
        lines += [(_lines(", ".join(sample.experts) or "no expert")[0], "darkgreen")]
    for number, (line, colour) in enumerate(lines):
        draw.text((left, top + SIDE + 2 + 16 * number), line, fill=colour, font=_font())


def _lines(text: str) -> list[str]:
    """At most LINES lines; never none."""
    shown = text[: 4 * LETTERS * LINES]
    return textwrap.wrap(shown, LETTERS, max_lines=LINES, placeholder="...") or [""]


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=12)

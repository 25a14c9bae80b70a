"""Forms: three to five lines of a key and its value, in several faces, sizes and layouts."""

from __future__ import annotations

import random
import string

from PIL import ImageDraw, ImageFont

from studies.toy.synthetic.sample import (
    SCALE,
    SIDE,
    Fact,
    Ink,
    Sample,
    canvas,
    dark,
    kind_facts,
    random_font,
    spread,
)

NUMBER_KEYS = [
    "total",
    "tax",
    "room",
    "table",
    "price",
    "code",
    "age",
    "order",
    "seat",
    "gate",
    "size",
    "weight",
    "score",
    "level",
    "group",
    "floor",
]
WORD_KEYS: dict[str, list[str]] = {
    "name": [
        "Anna",
        "Ben",
        "Carl",
        "Emma",
        "David",
        "Maria",
        "Paul",
        "Lucy",
        "Tom",
        "Kate",
        "John",
        "Sara",
        "Mark",
        "Lisa",
    ],
    "city": [
        "Paris",
        "London",
        "Rome",
        "Berlin",
        "Madrid",
        "Tokyo",
        "Boston",
        "Dublin",
        "Vienna",
        "Cairo",
    ],
    "day": [
        "Monday",
        "Tuesday",
        "Friday",
        "Saturday",
        "Sunday",
    ],
    "team": [
        "gold",
        "silver",
        "red",
        "blue",
        "green",
    ],
}
LETTER_KEYS = [
    "row",
    "block",
    "grade",
]
MIN_ADVANCE = 17.0
"""Canvas units between the centres of two characters: more than a cell, so that none holds two."""


def _draw_word(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    word: str,
    font: ImageFont.FreeTypeFont,
    ink: Ink,
) -> tuple[float, float]:
    """Draws a word with its vertical middle at ``at``; returns its left and right edge."""
    x, y = at
    draw.text((x * SCALE, y * SCALE), word, font=font, fill=ink, anchor="lm")
    return x, x + draw.textlength(word, font=font) / SCALE


def _draw_spaced(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    font: ImageFont.FreeTypeFont,
    ink: Ink,
) -> list[float]:
    """Draws characters one by one, over a cell apart; returns their centres."""
    x, y = at
    centres = []
    for character in text:
        advance = max(draw.textlength(character, font=font) / SCALE, MIN_ADVANCE)
        centres.append(x + advance / 2)
        draw.text((centres[-1] * SCALE, y * SCALE), character, font=font, fill=ink, anchor="mm")
        x += advance
    return centres


def draw_form(rng: random.Random) -> Sample:
    """A form of three to five ``key value`` lines."""
    image, draw = canvas(rng)
    sample = Sample(domain="text", image=image)
    sample.write(0, 0, "form")
    ink, size = dark(rng), rng.uniform(21, 27)
    font = random_font(rng, size)
    case = rng.choice([str.capitalize, str.upper, str.lower])
    colon = rng.choice(
        [
            "",
            ":",
        ]
    )
    aligned = rng.random() < 0.4
    left = rng.uniform(4, 18)
    keys = rng.sample(NUMBER_KEYS + [*WORD_KEYS, *LETTER_KEYS] * 2, 9)
    keys = list(dict.fromkeys(keys))[: rng.randint(3, 5)]
    # Row 0 holds the name of the image's kind, so lines begin in row 1.
    for key, y in zip(keys, spread(len(keys), 46, SIDE - 14, 36, rng), strict=True):
        row = int(y // 32)
        start, end = _draw_word(draw, (left, y), case(key) + colon, font, ink)
        column = max(end + rng.uniform(10, 18), 118.0 if aligned else 0.0)
        sample.write(row, round(start / 16), *[key] * (round(end / 16) - round(start / 16)))
        if key in WORD_KEYS:
            value = rng.choice(WORD_KEYS[key])
            width = draw.textlength(value, font=font) / SCALE
            column = min(column, SIDE - 3 - width)
            start, end = _draw_word(draw, (column, y), value, font, ink)
            first = max(round(start / 16), 1)
            sample.write(row, first, *[value] * max(round(end / 16) - first, 1))
        else:
            value = str(rng.randint(1, 10 ** rng.randint(1, 3) - 1))
            if key in LETTER_KEYS:
                value = rng.choice(string.ascii_uppercase)
            column = min(column, SIDE - 3 - 20 * len(value))
            centres = _draw_spaced(draw, (column, y), value, font, ink)
            for character, centre in zip(value, centres, strict=True):
                sample.write(row, int(centre // 16), character)
        sample.facts.append(Fact(kind="read", slots={"key": key}, answer=value, experts=("text",)))
    if rng.random() < 0.3:
        box = [2 * SCALE, 26 * SCALE, (SIDE - 2) * SCALE, (SIDE - 1) * SCALE]
        draw.rectangle(box, outline=ink, width=SCALE)
    sample.facts += kind_facts("text", rng)
    return sample

"""Generated pictures with a question each, as many as wanted: for trying out training and tests."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from openmova.data.sources import Samples

SIDE = 112
"""Pixels of a picture's side."""
COLOURS = ("red", "green", "blue", "orange", "purple")
KEYS = ("total", "code", "age", "size", "page", "room", "price", "gate", "year", "score")
Drawing = tuple[Image.Image, str, str]
"""A picture, a question about it, and its answer."""


def draw_text(rng: random.Random) -> Drawing:
    """Lines of a key and a number."""
    image, draw = _canvas()
    lines = {key: rng.randrange(10, 100) for key in rng.sample(KEYS, 3)}
    for row, (key, value) in enumerate(lines.items()):
        draw.text((8, 10 + 32 * row), f"{key} {value}", fill="black", font_size=20)
    key = rng.choice(list(lines))
    return image, f"What is the {key}?", str(lines[key])


def draw_chart(rng: random.Random) -> Drawing:
    """Bars of a colour and a height."""
    image, draw = _canvas()
    bars = dict(zip(rng.sample(COLOURS, 4), rng.sample(range(1, 10), 4), strict=True))
    for column, (colour, value) in enumerate(bars.items()):
        left = 10 + 25 * column
        draw.rectangle((left, SIDE - 8 - 10 * value, left + 16, SIDE - 8), fill=colour)
    if rng.random() < 0.5:
        return image, "Which bar is the tallest?", max(bars, key=bars.__getitem__)
    colour = rng.choice(list(bars))
    return image, f"What is the value of the {colour} bar?", str(bars[colour])


def draw_shape(rng: random.Random) -> Drawing:
    """One disc in one of four corners."""
    image, draw = _canvas()
    right, low, colour = rng.random() < 0.5, rng.random() < 0.5, rng.choice(COLOURS)
    left, top = 64 if right else 12, 64 if low else 12
    draw.ellipse((left, top, left + 36, top + 36), fill=colour)
    where = f"{'bottom' if low else 'top'} {'right' if right else 'left'}"
    return image, f"Where is the {colour} disc?", where


DRAW: dict[str, Callable[[random.Random], Drawing]] = {
    "text": draw_text,
    "chart": draw_chart,
    "location": draw_shape,
}


class SyntheticSamples(Samples):
    """`count` samples of each domain in turn; annotated with the expert of the domain's name, and
    every tenth with none, as it asks about the picture as a whole."""

    def __init__(self, count: int, *, seed: int = 0) -> None:
        super().__init__("synthetic", Path())
        self.count = count
        self.seed = seed

    def __len__(self) -> int:
        return self.count

    def record(self, index: int) -> Mapping[str, Any]:
        rng = random.Random(f"synthetic-{self.seed}-{index}")
        domain = list(DRAW)[index % len(DRAW)]
        image, question, answer = DRAW[domain](rng)
        if index % 10 == 9:
            question, answer = "What kind of picture is this?", domain
        return {
            "image": image,
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ],
            "experts": () if index % 10 == 9 else (domain,),
            "domain": domain,
        }


def _canvas() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (SIDE, SIDE), "white")
    return image, ImageDraw.Draw(image)

"""Scattered shapes: where is it, how many are there, what colour is it."""

from __future__ import annotations

import math
import random
from collections import Counter

from PIL import ImageDraw

from studies.toy.synthetic.sample import (
    COLOURS,
    SCALE,
    SIDE,
    Fact,
    Ink,
    Sample,
    canvas,
    kind_facts,
)

SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "cross")
LOCATION = ("location",)
HEART = ((1, 13), (2, -5), (3, -2), (4, -1))
_THIRD = SIDE / 3


def _polygon(shape: str, turn: float) -> list[tuple[float, float]]:
    """Corner points of a shape in the unit circle, y downwards."""
    if shape == "square":
        angles = [45, 135, 225, 315]
    elif shape == "diamond":
        return [(0, -1), (0.62, 0), (0, 1), (-0.62, 0)]
    elif shape == "triangle":
        angles = [-90, 30, 150]
    elif shape == "cross":
        a = 0.33
        return [
            (-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a),
            (a, 1), (-a, 1), (-a, a), (-1, a), (-1, -a), (-a, -a),
        ]  # fmt: skip
    else:  # star
        points = []
        for corner in range(10):
            radius = 1.0 if corner % 2 == 0 else 0.42
            angle = math.radians(-90 + 36 * corner + turn)
            points.append((radius * math.cos(angle), radius * math.sin(angle)))
        return points
    return [(math.cos(math.radians(a + turn)), math.sin(math.radians(a + turn))) for a in angles]


def _draw_shape(
    draw: ImageDraw.ImageDraw,
    shape: str,
    x: float,
    y: float,
    radius: float,
    fill: Ink,
    turn: float,
) -> None:
    def scaled(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [((x + radius * px) * SCALE, (y + radius * py) * SCALE) for px, py in points]

    if shape == "circle":
        draw.ellipse(scaled([(-0.92, -0.92), (0.92, 0.92)]), fill=fill)
    elif shape == "heart":
        curve = [math.tau * step / 40 for step in range(40)]
        points = [
            (
                math.sin(t) ** 3,
                -sum(a * math.cos(n * t) for n, a in HEART) / 16,
            )
            for t in curve
        ]
        draw.polygon(scaled(points), fill=fill)
    else:
        draw.polygon(scaled(_polygon(shape, turn)), fill=fill)


def place_name(x: float, y: float) -> tuple[str, str]:
    """The words for a position in canvas units: (top, middle, bottom) and (left, center, right)."""
    vertical = ("top", "middle", "bottom")[min(int(y // _THIRD), 2)]
    horizontal = ("left", "center", "right")[min(int(x // _THIRD), 2)]
    return vertical, horizontal


def _places(count: int, rng: random.Random) -> list[tuple[float, float]]:
    """Centres clear of each other, of each other's cells, and of the borders of thirds."""
    placed: list[tuple[float, float]] = []
    while len(placed) < count:
        x, y = rng.uniform(40, 184), rng.uniform(22, 202)
        if min(abs(x - _THIRD), abs(x - 2 * _THIRD), abs(y - _THIRD), abs(y - 2 * _THIRD)) < 5:
            continue
        near = any(math.hypot(x - a, y - b) < 46 for a, b in placed)
        same_row = any(y // 32 == b // 32 and abs(x // 16 - a // 16) < 5 for a, b in placed)
        if not near and not same_row:
            placed.append((x, y))
        elif rng.random() < 0.01:
            placed.clear()  # a dead end: begin again
    return placed


def draw_shapes(rng: random.Random) -> Sample:
    """Two to seven shapes of one or more kinds and colours."""
    image, draw = canvas(rng)
    sample = Sample(domain="location", image=image)
    sample.write(0, 0, "shapes")
    count = rng.randint(2, 7)
    pool = rng.sample(SHAPES, rng.randint(1, min(3, count)))
    shapes = pool + [rng.choice(pool) for _ in range(count - len(pool))]
    counts = Counter(shapes)
    things: list[tuple[str, str, str, str]] = []
    for shape, (x, y) in zip(shapes, _places(count, rng), strict=True):
        colour = rng.choice(list(COLOURS))
        fill = tuple(min(255, max(0, c + rng.randint(-15, 15))) for c in COLOURS[colour])
        _draw_shape(draw, shape, x, y, rng.uniform(14, 21), fill, rng.uniform(-12, 12))
        vertical, horizontal = place_name(x, y)
        things.append((shape, colour, vertical, horizontal))
        words = [str(counts[shape]), colour, shape, vertical, horizontal]
        sample.write(int(y // 32), int(x // 16) - 2, *words)
    for shape, number in counts.items():
        sample.facts.append(
            Fact(kind="count", slots={"shape": shape}, answer=str(number), experts=LOCATION)
        )
    pairs = Counter((shape, colour) for shape, colour, _, _ in things)
    for shape, colour, vertical, horizontal in things:
        place = f"{vertical} {horizontal}"
        if pairs[shape, colour] == 1:
            slots = {"colour": colour, "shape": shape}
            sample.facts.append(Fact(kind="where", slots=slots, answer=place, experts=LOCATION))
        if counts[shape] == 1:
            sample.facts.append(
                Fact(kind="shape_colour", slots={"shape": shape}, answer=colour, experts=LOCATION)
            )
    sample.facts += kind_facts("location", rng)
    return sample

"""Boxes and polygons that a model writes in its answer, in pixels of the picture.

What is read, in square or round brackets, as often as it occurs:
- a box `[x1, y1, x2, y2]`: LLaVA-1.5 writes 2 decimals, Shikra 3;
- several boxes in one pair of brackets, `[x1,y1,x2,y2;x1,y1,x2,y2]`, as Shikra writes them;
- a polygon `[x1, y1, x2, y2, x3, y3, ...]`: three points or more. The paper uses polygons for
  referring segmentation; the release states no format for them, so it is read like the box's.

Coordinates lie within 0..1, from the left and from the top, and both models mean the square that
they see (frame "pad"): the picture in the middle, filled up to its longer side, with half of the
difference, rounded down, in front (behaviour 1.2). Frame "image" means fractions of the picture's
own width and height. Brackets with anything else in them are just text.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Frame = Literal["pad", "image"]
FRAMES: tuple[str, ...] = get_args(Frame)
Size = tuple[int, int]
"""Width and height in pixels."""
Point = tuple[float, float]

# Brackets around numbers alone; no bracket may be inside, so that the search stays linear.
_BRACKETS = re.compile(r"\[([0-9.,;\s]+)\]|\(([0-9.,;\s]+)\)")
_DIGITS = 2  # hundredths of a pixel


@dataclass(frozen=True)
class Box:
    """Left, top, right and bottom in pixels: 0 <= x1 <= x2 <= width, 0 <= y1 <= y2 <= height."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Polygon:
    """The outline's points (x, y) in pixels, in their order, all inside the picture."""

    points: tuple[Point, ...]


def boxes_in(text: str, size: Size, frame: Frame = "pad") -> tuple[Box, ...]:
    """The boxes of a text, clipped to a picture of this size; those outside it are left out.

    Corners in the wrong order are put right. Never raises, whatever the text.
    """
    boxes = []
    for numbers in _lists(text):
        if len(numbers) == 4:
            (xa, ya), (xb, yb) = _pixels(numbers, size, frame)
            across, down = _clipped(xa, xb, size[0]), _clipped(ya, yb, size[1])
            if across and down:
                boxes.append(Box(across[0], down[0], across[1], down[1]))
    return tuple(boxes)


def polygons_in(text: str, size: Size, frame: Frame = "pad") -> tuple[Polygon, ...]:
    """The polygons of a text, cut to a picture of this size; those outside it are left out.

    Never raises, whatever the text.
    """
    polygons = []
    for numbers in _lists(text):
        if len(numbers) >= 6 and len(numbers) % 2 == 0:
            points = _cut(_pixels(numbers, size, frame), size)
            if len(points) > 2:
                polygons.append(Polygon(tuple(points)))
    return tuple(polygons)


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes; 0 where neither has an area."""
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    shared = max(width, 0.0) * max(height, 0.0)
    union = _area(a) + _area(b) - shared
    return shared / union if union > 0 else 0.0


def _lists(text: str) -> Iterator[list[float]]:
    """The lists of numbers within 0..1."""
    for match in _BRACKETS.finditer(text):
        for part in (match[1] or match[2]).split(";"):
            try:
                numbers = [float(number) for number in part.split(",")]
            except ValueError:
                continue
            if all(number <= 1 for number in numbers):
                yield numbers


def _area(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def _placed(size: Size, frame: Frame) -> tuple[int, int, int, int]:
    """The frame's width and height, and where the picture's corner lies in it: left, top."""
    width, height = size
    if frame == "image":
        return width, height, 0, 0
    side = max(size)
    return side, side, (side - width) // 2, (side - height) // 2


def _pixels(numbers: Sequence[float], size: Size, frame: Frame) -> list[Point]:
    """Fractions x, y, x, y, ... to points in pixels of the picture, which may lie outside it."""
    width, height, left, top = _placed(size, frame)
    return [
        (round(x * width - left, _DIGITS) + 0.0, round(y * height - top, _DIGITS) + 0.0)
        for x, y in zip(numbers[::2], numbers[1::2], strict=True)
    ]  # + 0.0: no minus zero


def _clipped(a: float, b: float, size: int) -> Point | None:
    """The part of an interval within 0..size; None where nothing of it is inside."""
    low, high = min(a, b), max(a, b)
    first, last = max(low, 0.0), min(high, float(size))
    if first > last or (first == last and low < high):
        return None
    return first, last


def _cut(points: list[Point], size: Size) -> list[Point]:
    """The part of a polygon inside the picture, one edge after the other (Sutherland-Hodgman)."""
    for axis, sign, limit in ((0, 1, 0), (0, -1, size[0]), (1, 1, 0), (1, -1, size[1])):
        kept: list[Point] = []
        for i, there in enumerate(points):
            here = points[i - 1]
            if (sign * (here[axis] - limit) >= 0) != (sign * (there[axis] - limit) >= 0):
                share = (limit - here[axis]) / (there[axis] - here[axis])
                other = here[1 - axis] + share * (there[1 - axis] - here[1 - axis])
                edge, other = float(limit), round(other, _DIGITS) + 0.0
                kept.append((edge, other) if axis == 0 else (other, edge))
            if sign * (there[axis] - limit) >= 0:
                kept.append(there)
        points = kept
    return [point for i, point in enumerate(points) if point != points[i - 1]]

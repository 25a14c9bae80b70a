"""Weights on an expert's map, laid over the picture that the expert saw, and said in words.

Shapes: H x W the grid of the weights, w x h the picture.
"""

import numpy as np
from PIL import Image
from torch import Tensor

Corners = tuple[float, float, float, float]
"""Left, top, right, bottom."""
LONGEST = 480
"""Pixels of the drawn picture's longer side."""
RAMP = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
"""From no weight to the largest; brighter in even steps, so that it can be read without colours."""
FAINTEST, STRONGEST = 0.35, 0.85
"""How much of the colour is laid over the picture."""


def map_corners(frame: str, size: tuple[int, int]) -> Corners | None:
    """Where an expert's map lies on a picture of (width, height), in its pixels; frame: the
    expert's, None if it can't be said."""
    width, height = size
    if frame == "stretch" or width == height:
        return (0, 0, width, height)
    if frame == "corner":
        return (0, 0, max(size), max(size))
    if frame not in ("pad", "crop"):
        return None
    side = max(size) if frame == "pad" else min(size)
    left, top = (width - side) / 2, (height - side) / 2
    return (left, top, left + side, top + side)


def draw_heatmap(picture: Image.Image, weights: Tensor, frame: str) -> Image.Image:
    """The weights [H, W] in colours over a small grey copy of the picture, or alone where it can't
    be said how they lie on it. The scale goes from 0 to the largest weight."""
    small = picture.copy()
    small.thumbnail((LONGEST, LONGEST))
    corners = map_corners(frame, small.size)
    if corners is None:
        small = Image.new("RGB", (LONGEST, LONGEST), "grey")
        corners = (0, 0, LONGEST, LONGEST)
    left, top = (round(corner) for corner in corners[:2])
    # Of a picture that is nearly a line, what was cut out may be less than a pixel here.
    size = (max(round(corners[2] - corners[0]), 1), max(round(corners[3] - corners[1]), 1))
    values = weights.float().numpy()
    heat = Image.fromarray(values / max(float(values.max()), 1e-12)).resize(
        size, Image.Resampling.BILINEAR
    )
    heat = heat.crop((-left, -top, small.width - left, small.height - top))
    strength = np.asarray(heat)[..., None]  # [h, w, 1], 0 to 1
    places = np.linspace(0, 1, len(RAMP))
    colour = np.concatenate(
        [np.interp(strength, places, channel) for channel in np.array(RAMP, dtype=float).T], axis=2
    )
    share = FAINTEST + (STRONGEST - FAINTEST) * strength
    grey = np.asarray(small.convert("L"), dtype=float)[..., None]
    mixed = grey * (1 - share) + colour * share
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))


def describe_heatmap(weights: Tensor, frame: str, size: tuple[int, int]) -> str:
    """Where the largest of the weights [H, W] lies, how much it stands out, how far the weights are
    spread, and what share of them is on the filling beside the picture."""
    values = weights.double().numpy()
    total = float(values.sum())
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    times = float(values.max()) * values.size / total
    largest = np.sort(values, axis=None)[::-1].cumsum()
    half = int((largest < total / 2).sum()) + 1
    said = f"{times:.1f} times the mean; half of the attention is on {half / values.size:.0%}"
    corners = map_corners(frame, size)
    if corners is None:
        return f"strongest in row {row + 1}, column {column + 1} of the map, {said} of it"
    left, top, right, bottom = corners
    across = _covered(left, right, size[0], values.shape[1])
    down = _covered(top, bottom, size[1], values.shape[0])
    x = (left + (column + 0.5) * (right - left) / values.shape[1]) / size[0]
    y = (top + (row + 0.5) * (bottom - top) / values.shape[0]) / size[1]
    outside = 1 - float(down @ values @ across) / total
    beside = f", {outside:.0%} beside the picture" if outside >= 0.005 else ""
    return f"strongest {_place(x, y)}, {said} of the map{beside}"


def _covered(start: float, end: float, length: int, cells: int) -> np.ndarray:
    """[cells]: how much of each cell between start and end lies within 0 and length."""
    edges = np.linspace(start, end, cells + 1).clip(0, length)
    return np.diff(edges) / ((end - start) / cells)


def _place(x: float, y: float) -> str:
    """A point of the picture (0 to 1 each) by its ninth."""
    if not (0 <= x <= 1 and 0 <= y <= 1):
        return "beside the picture"
    row = ("upper", "middle", "lower")[min(int(y * 3), 2)]
    column = ("left", "centre", "right")[min(int(x * 3), 2)]
    if row == "middle":
        return "in the centre" if column == "centre" else f"at the {column}"
    edge = "top" if row == "upper" else "bottom"
    return f"at the {edge}" if column == "centre" else f"at the {row} {column}"

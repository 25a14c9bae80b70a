"""What a camera or a scanner does to a picture: perspective, light, blur, noise, JPEG.

The boxes of its words move along.
"""

from __future__ import annotations

import io
import random

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from studies.nano.data.record import Box, Word

Corners = tuple[tuple[float, float], ...]
"""Top left, top right, bottom right, bottom left."""


def homography(source: Corners, target: Corners) -> np.ndarray:
    """The 3 x 3 matrix that takes the four source points to the four target points."""
    rows, right = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    solved = np.linalg.solve(np.array(rows, float), np.array(right, float))
    return np.append(solved, 1.0).reshape(3, 3)


def place(
    image: Image.Image, words: tuple[Word, ...], background: Image.Image, corners: Corners
) -> tuple[Image.Image, tuple[Word, ...]]:
    """The image warped onto the background's four corners, and its words' boxes there."""
    width, height = image.size
    whole: Corners = ((0, 0), (width, 0), (width, height), (0, height))
    back = homography(corners, whole)
    warped = image.convert("RGBA").transform(
        background.size,
        Image.Transform.PERSPECTIVE,
        tuple((back / back[2, 2]).flatten()[:8]),
        Image.Resampling.BICUBIC,
    )
    placed = background.convert("RGB")
    placed.paste(warped, (0, 0), warped.getchannel("A"))
    forth = homography(whole, corners)
    return placed, tuple(Word(text=w.text, box=_moved(forth, w.box)) for w in words)


def _moved(matrix: np.ndarray, box: Box) -> Box:
    x0, y0, x1, y1 = box
    points = matrix @ np.array([[x0, x1, x1, x0], [y0, y0, y1, y1], [1, 1, 1, 1]])
    x, y = points[:2] / points[2]
    return (float(x.min()), float(y.min()), float(x.max()), float(y.max()))


def tilted(
    width: float, height: float, left: float, top: float, rng: random.Random, amount: float
) -> Corners:
    """A rectangle turned and drawn out of shape by up to `amount` of its shorter side."""
    angle = rng.uniform(-1, 1) * amount
    sine, cosine = np.sin(angle), np.cos(angle)
    middle = (left + width / 2, top + height / 2)
    corners = []
    for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)):
        dx = x * width + rng.uniform(-1, 1) * amount * min(width, height) / 4
        dy = y * height + rng.uniform(-1, 1) * amount * min(width, height) / 4
        corners.append(
            (middle[0] + dx * cosine - dy * sine, middle[1] + dx * sine + dy * cosine),
        )
    return tuple((float(x), float(y)) for x, y in corners)


def photographed(
    image: Image.Image, words: tuple[Word, ...], background: Image.Image, rng: random.Random
) -> tuple[Image.Image, tuple[Word, ...]]:
    """A paper on a surface, as a camera sees it; the words stay large enough to be read."""
    width, height = image.size
    border = rng.uniform(0.04, 0.2)
    full = (round(width * (1 + 2 * border)), round(height * (1 + 2 * border)))
    corners = tilted(width, height, width * border, height * border, rng, 0.07)
    placed, moved = place(image, words, cropped(background, full, rng), corners)
    return worn(placed, rng), moved


def cropped(background: Image.Image, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """A part of the background in that size, mirrored at times."""
    width, height = background.size
    scale = min(width / size[0], height / size[1]) * rng.uniform(0.4, 1)
    part = (round(size[0] * scale), round(size[1] * scale))
    left, top = rng.randint(0, width - part[0]), rng.randint(0, height - part[1])
    cut = background.crop((left, top, left + part[0], top + part[1])).resize(size)
    return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else cut


def worn(image: Image.Image, rng: random.Random) -> Image.Image:
    """Uneven light, a little blur and noise, and JPEG's marks."""
    image = image.convert("RGB")
    if rng.random() < 0.5:
        image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.75, 1.15))
    if rng.random() < 0.4:
        image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.75, 1.2))
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
    if rng.random() < 0.5:
        image = _shaded(image, rng)
    if rng.random() < 0.6:
        packed = io.BytesIO()
        image.save(packed, "JPEG", quality=rng.randint(45, 90))
        image = Image.open(packed).convert("RGB")
    return image


def _shaded(image: Image.Image, rng: random.Random) -> Image.Image:
    """Light falls off to one side, and there is noise."""
    pixels = np.asarray(image, np.float32)
    height, width = pixels.shape[:2]
    slope_x, slope_y = rng.uniform(-0.25, 0.25), rng.uniform(-0.25, 0.25)
    light = 1 + slope_x * (np.arange(width) / width - 0.5)[None, :]
    light = light + slope_y * (np.arange(height) / height - 0.5)[:, None]
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(0, 7), pixels.shape)
    return Image.fromarray((pixels * light[..., None] + noise).clip(0, 255).astype(np.uint8))

# ruff: noqa: E501 - tables of words
"""Scenes: cut-outs and signs pasted on real photos, with their boxes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from studies.nano.data.effects import cropped, place, tilted
from studies.nano.data.pictures import Cutout, background, cutouts, load
from studies.nano.data.record import Box, Word

ZONES: dict[str, tuple[float, float]] = {
    "left": (0.19, 0.5), "right": (0.81, 0.5), "top": (0.5, 0.2), "bottom": (0.5, 0.8), "middle": (0.5, 0.5),
    "top left": (0.19, 0.19), "top right": (0.81, 0.19), "bottom left": (0.19, 0.81), "bottom right": (0.81, 0.81),
}  # fmt: skip
"""Where a thing's middle is, as shares of width and height."""


@dataclass
class Scene:
    """A photo on which things are pasted; boxes and words are in its pixels."""

    image: Image.Image
    packages: list[str]
    boxes: list[tuple[Cutout, Box]] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)


def empty(rng: random.Random) -> Scene:
    """A part of a real photo."""
    photo, package = background(rng)
    width, height = rng.choice(
        ((640, 480), (800, 600), (600, 600), (480, 640), (720, 480), (900, 600))
    )
    return Scene(image=cropped(photo, (width, height), rng), packages=[package])


def paste(
    scene: Scene, cutout: Cutout, centre: tuple[float, float], size: float, rng: random.Random
) -> Box:
    """The cut-out with its middle there; size: its longer side as a share of the shorter side."""
    image = load(cutout)
    longer = size * min(scene.image.size)
    scale = longer / max(image.size)
    small = image.resize(
        (max(2, round(image.width * scale)), max(2, round(image.height * scale))),
        Image.Resampling.LANCZOS,
    )
    if rng.random() < 0.5 and cutout.coco not in ("stop sign", "traffic light"):
        small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.4:
        small = _lit(small, rng)
    if rng.random() < 0.3:
        small = small.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC, expand=True)
    left = round(centre[0] * scene.image.width - small.width / 2)
    top = round(centre[1] * scene.image.height - small.height / 2)
    left = min(max(left, 0), max(0, scene.image.width - small.width))
    top = min(max(top, 0), max(0, scene.image.height - small.height))
    soft = small.getchannel("A").filter(ImageFilter.GaussianBlur(0.6))
    scene.image.paste(small, (left, top), soft)
    box = (float(left), float(top), float(left + small.width), float(top + small.height))
    scene.boxes.append((cutout, box))
    if cutout.package not in scene.packages:
        scene.packages.append(cutout.package)
    return box


def _lit(image: Image.Image, rng: random.Random) -> Image.Image:
    alpha = image.getchannel("A")
    changed = ImageEnhance.Brightness(image.convert("RGB")).enhance(rng.uniform(0.7, 1.15))
    changed = ImageEnhance.Color(changed).enhance(rng.uniform(0.7, 1.2))
    changed.putalpha(alpha)
    return changed


def by_class(
    rng: random.Random, *, but: set[str] | frozenset[str] = frozenset()
) -> tuple[str, list[Cutout]]:
    """A class among COCO's and the cut-outs of it; furniture comes less often."""
    known = _classes()
    names = [name for name in known if name not in but]
    weights = [0.3 if known[n][0].package.startswith("sweethome") else 1.0 for n in names]
    name = rng.choices(names, weights)[0]
    return name, known[name]


@cache
def _classes() -> dict[str, list[Cutout]]:
    found: dict[str, list[Cutout]] = {}
    for cutout in cutouts():
        if cutout.coco:
            found.setdefault(cutout.coco, []).append(cutout)
    return dict(sorted(found.items()))


_BOARDS = (
    ("#ffffff", "#111111"), ("#ffffff", "#b00020"), ("#b00020", "#ffffff"), ("#0b5394", "#ffffff"), ("#1b6e2f", "#ffffff"), ("#f6c915", "#111111"),
    ("#222222", "#f5f5f5"), ("#8b5a2b", "#fff4dc"), ("#f2e6c9", "#4a2c10"), ("#e07b00", "#111111"), ("#2e7d74", "#ffffff"), ("#dddddd", "#222255"),
)  # fmt: skip


@cache
def fonts() -> tuple[str, ...]:
    """TrueType fonts of the system that have Latin letters; matplotlib's own where it has none."""
    root = Path("/usr/share/fonts/truetype")
    names = (
        "dejavu/DejaVu*.ttf",
        "liberation/Liberation*.ttf",
        "lato/Lato-[BHMR]*.ttf",
        "roboto/**/Roboto-[BMR]*.ttf",
        "open-sans/OpenSans-[BRS]*.ttf",
    )
    found = [str(f) for name in names for f in sorted(root.glob(name)) if "Math" not in f.name]
    if not found:
        import matplotlib

        folder = Path(matplotlib.get_data_path()) / "fonts/ttf"
        found = [str(f) for f in sorted(folder.glob("DejaVuS*.ttf"))]
    return tuple(found)


def board(
    lines: tuple[str, ...], rng: random.Random, size: int
) -> tuple[Image.Image, tuple[Word, ...]]:
    """A sign with lines of text in `size` pixels, with its words' boxes."""
    font = ImageFont.truetype(rng.choice(fonts()), size)
    gap, space = round(size * 0.35), font.getlength(" ")
    lengths = [
        sum(font.getlength(w) for w in line.split()) + space * line.count(" ") for line in lines
    ]
    margin = round(size * rng.uniform(0.4, 1.1))
    width = round(max(lengths)) + 2 * margin
    height = len(lines) * (size + gap) + 2 * margin
    ground, ink = rng.choice(_BOARDS)
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    drawn = ImageDraw.Draw(image)
    radius = rng.choice((0, 0, size // 3, size // 2))
    bare = rng.random() < 0.12
    if not bare:
        border = rng.choice((0, 0, 2, max(2, size // 10)))
        drawn.rounded_rectangle(
            (0, 0, width - 1, height - 1), radius, fill=ground, outline=ink, width=border
        )
        if rng.random() < 0.2:
            for x, y in ((0.06, 0.1), (0.94, 0.1), (0.06, 0.9), (0.94, 0.9)):
                drawn.ellipse(
                    (x * width - 2, y * height - 2, x * width + 2, y * height + 2), fill="#777777"
                )
    words = []
    centred = rng.random() < 0.75
    for number, (line, length) in enumerate(zip(lines, lengths, strict=True)):
        x = (width - length) / 2 if centred else float(margin)
        y = margin + number * (size + gap)
        for word in line.split():
            stroke = max(1, size // 14) if bare else 0
            drawn.text((x, y), word, font=font, fill=ink, stroke_width=stroke, stroke_fill=ground)
            left, top, right, bottom = drawn.textbbox((x, y), word, font=font)
            words.append(Word(text=word, box=(left, top, right, bottom)))
            x += font.getlength(word) + space
    return image, tuple(words)


def put_sign(scene: Scene, lines: tuple[str, ...], area: Box, rng: random.Random) -> None:
    """A sign inside an area of the scene (in pixels), a little turned."""
    left, top, right, bottom = area
    image, words = board(lines, rng, 44)
    scale = min((right - left) / image.width, (bottom - top) / image.height, 1.6) * rng.uniform(
        0.75, 0.97
    )
    width, height = image.width * scale, image.height * scale
    x = rng.uniform(left, max(left, right - width))
    y = rng.uniform(top, max(top, bottom - height))
    corners = tilted(width, height, x, y, rng, rng.choice((0.0, 0.04, 0.09)))
    scene.image, moved = place(image, words, scene.image, corners)
    scene.words += moved


def noisy(image: Image.Image, rng: random.Random) -> Image.Image:
    """A sensor's noise over everything, so that what was pasted has it too."""
    if rng.random() < 0.5:
        return image
    pixels = np.asarray(image.convert("RGB"), np.float32)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(1, 6), pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))

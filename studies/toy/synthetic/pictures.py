"""Single pictures of known classes, from a folder ``class/file``, placed on a plain page."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from studies.toy.synthetic.sample import (
    COLUMNS,
    ROWS,
    SCALE,
    SIDE,
    Fact,
    Sample,
    canvas,
    kind_facts,
)

CLASSES = [
    "bird",
    "insect",
    "fish",
    "mammal",
    "fruit",
    "dessert",
    "drink",
    "flower",
    "flag",
    "card",
    "clock",
    "building",
    "vehicle",
    "boat",
    "person",
    "face",
    "hand",
    "clothing",
    "tool",
    "computer",
    "arrow",
    "sign",
]


@dataclass(frozen=True)
class PictureSet:
    """Picture files by class name."""

    files: dict[str, list[Path]]

    @classmethod
    def from_folder(cls, folder: Path) -> PictureSet:
        """Reads ``folder/<class>/<picture>``; the order is that of the names."""
        classes = sorted(p for p in folder.iterdir() if p.is_dir())
        return cls({c.name: sorted(f for f in c.iterdir() if f.is_file()) for c in classes})


def draw_picture(
    rng: random.Random, pictures: PictureSet, path: tuple[str, Path] | None = None
) -> Sample:
    """One picture, every class equally likely (or the one given), with jitter of place and size."""
    if path is None:
        name = rng.choice(sorted(pictures.files))
        path = (name, rng.choice(pictures.files[name]))
    name, file = path
    image, _ = canvas(rng)
    sample = Sample(domain="object", image=image)
    sample.cells = [[name] * COLUMNS for _ in range(ROWS)]
    sample.write(0, 0, "picture")
    picture = Image.open(file).convert("RGBA")
    side = rng.uniform(0.72, 0.98) * SIDE * SCALE
    ratio = side / max(picture.size)
    size = (max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio)))
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    room = (image.width - size[0], image.height - size[1])
    at = (round(rng.uniform(0.2, 0.8) * room[0]), round(rng.uniform(0.2, 0.8) * room[1]))
    image.paste(picture, at, picture)
    sample.facts.append(Fact(kind="object", slots={}, answer=name, experts=("object",)))
    sample.facts += kind_facts("object", rng)
    return sample

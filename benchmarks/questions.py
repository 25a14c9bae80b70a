"""Generated pictures with questions, as many as a benchmark wants."""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image

from openmova.data.synthetic import DRAW


@dataclass(frozen=True, kw_only=True)
class Item:
    """A picture, a question about it and the answer."""

    image: Image.Image
    question: str
    answer: str


def items(seed: int, count: int) -> list[Item]:
    """The kinds of pictures in turns; a function of the seed."""
    draws = list(DRAW.values())
    made = (draws[i % len(draws)](random.Random(f"{seed}-{i}")) for i in range(count))
    return [Item(image=image, question=asked, answer=told) for image, asked, told in made]

"""What kind of image a picture is: a linear head on frozen features of EfficientNet-Lite2.

Its map carries the likeliest types in token codes (openmova.experts.token_codes), as in "line chart
71%, bar chart 20%".

Shapes: B batch, C channels, K types, h w the encoder's map.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from openmova.experts.lite import Lite2Encoder
from openmova.experts.token_codes import WordExpert

SIZE, STAGES, GRID = 448, (5, 7), (24, 24)
"""Of the encoder: nano's base before its projection."""
GUESSES, LEAST = 3, 0.1
"""So many types are told at most, each from this probability on."""


class ImageTypeHead(nn.Module):
    """Maps [B, C, h, w] -> logits [B, K], of each channel's mean, deviation and largest value."""

    shift: Tensor
    scale: Tensor

    def __init__(self, channels: int, types: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(3 * channels))
        self.register_buffer("scale", torch.ones(3 * channels))
        self.linear = nn.Linear(3 * channels, types)

    def forward(self, maps: Tensor) -> Tensor:
        return self.linear(self.normalize(self.pool(maps)))

    @staticmethod
    def pool(maps: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, 3 C]."""
        cells = maps.flatten(2)
        return torch.cat([cells.mean(2), cells.std(2), cells.amax(2)], dim=1)

    def normalize(self, pooled: Tensor) -> Tensor:
        """[B, 3 C] -> [B, 3 C], of mean 0 and variance 1 over the pictures that it learnt from."""
        return (pooled - self.shift) * self.scale


class ImageTypeExpert(WordExpert):
    """Tells the type of an image.

    Args:
        types: their names, in the order of the head's rows.
    """

    def __init__(self, *, types: Sequence[str], **words: Any) -> None:
        super().__init__(**words)
        self.types = tuple(types)
        self.encoder = Lite2Encoder(
            name=self.name, descriptions=self.descriptions, size=SIZE, stages=STAGES, grid=GRID
        )
        self.head = ImageTypeHead(self.encoder.channels, len(self.types))

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """See Expert.view. Returns float32 [B, 3, SIZE, SIZE]."""
        return self.encoder.view(images, sizes)

    def texts(self, view: Tensor) -> list[str]:
        """Of float [B, 3, SIZE, SIZE]."""
        chances = self.head(self.encoder(view)).softmax(-1)
        return [type_text(self.types, row) for row in chances]


def type_text(types: Sequence[str], chances: Tensor) -> str:
    """In words, of probabilities [K]: the likeliest types."""
    values, places = chances.float().topk(min(GUESSES, len(types)))
    told = [
        f"{types[place]} {chance:.0%}"
        for number, (chance, place) in enumerate(zip(values.tolist(), places.tolist(), strict=True))
        if number == 0 or chance >= LEAST
    ]
    return ", ".join(told)

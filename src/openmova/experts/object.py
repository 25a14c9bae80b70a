"""What a photo shows: EfficientNet-Lite2 with its classifier of ImageNet's 1,000 classes.

Its map carries the names in token codes (openmova.experts.token_codes), the everyday word before
the exact one, as in "dog 93%: beagle 71%, basset 12%".

Shapes: B batch, K classes, h w the encoder's map.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from openmova.experts.lite import LAYOUT, ConvNorm, Lite2Encoder, convert_lite
from openmova.experts.token_codes import WordExpert

NAMES = Path(__file__).with_name("imagenet_names.txt")
"""Made by studies/nano/imagenet_names.py: a class a line, its name and its everyday word."""
HIDDEN, CLASSES = 1280, 1000
CANDIDATES = 10
"""So many classes are looked at; all 118 dogs together always have some probability."""
GUESSES, NAMES_OF_A_GUESS = 3, 2
LEAST = 0.03
"""Probability from which a word is told."""


@cache
def class_names() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the 1,000 classes, in the order of the weights: the names, and their everyday words."""
    lines = NAMES.read_text(encoding="utf-8").splitlines()
    names, words = zip(*(line.split("\t") for line in lines), strict=True)
    return names, words


class ObjectExpert(WordExpert):
    """Names of what a picture shows."""

    def __init__(self, *, size: int = 260, **words: Any) -> None:
        super().__init__(**words)
        self.encoder = Lite2Encoder(name=self.name, descriptions=self.descriptions, size=size)
        self.head = ConvNorm(LAYOUT[-1][3], HIDDEN, 1)
        self.classifier = nn.Linear(HIDDEN, CLASSES)

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """See Expert.view. Returns float32 [B, 3, size, size]."""
        return self.encoder.view(images, sizes)

    def texts(self, view: Tensor) -> list[str]:
        """Of float [B, 3, size, size]."""
        return [self.text(row) for row in self.chances(self.encoder.features(view))]

    @staticmethod
    def text(chances: Tensor) -> str:
        """In words, of probabilities [K]: the likeliest everyday words, then their exact names."""
        names, words = class_names()
        values, classes = chances.float().topk(CANDIDATES)
        exact = [
            (chance, names[i], words[i])
            for chance, i in zip(values.tolist(), classes.tolist(), strict=True)
        ]
        totals: dict[str, float] = {}
        for chance, _, word in exact:
            totals[word] = totals.get(word, 0) + chance
        lines: list[str] = []
        for word in sorted(totals, key=lambda word: -totals[word])[:GUESSES]:
            if lines and totals[word] < LEAST:
                break
            of_word = [(p, name) for p, name, other in exact if other == word and name != word]
            told = [f"{name} {p:.0%}" for p, name in of_word[:NAMES_OF_A_GUESS] if p >= LEAST]
            lines.append(f"{word} {totals[word]:.0%}" + (f": {', '.join(told)}" if told else ""))
        return "\n".join(lines)

    def chances(self, features: Tensor) -> Tensor:
        """Probabilities [B, K] of the encoder's features [B, 352, h, w]."""
        hidden = F.relu6(self.head(features)).mean((2, 3))
        return self.classifier(hidden).softmax(-1)


def convert_lite_classifier(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's names of the whole network -> those of an `ObjectExpert`, but for the codes."""
    encoder = {f"encoder.{name}": value for name, value in convert_lite(state).items()}
    parts = {"_conv_head": "head.conv", "_bn1": "head.norm", "_fc": "classifier"}
    for key, value in state.items():
        layer, _, leaf = key.partition(".")
        if layer in parts:
            encoder[f"{parts[layer]}.{leaf}"] = value
    return encoder

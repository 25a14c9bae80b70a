"""Stage 1: the experts' pretext, before they are frozen: say what every cell of the image shows.

Forms, and the letters in charts, for the text expert; bar charts without their letters for the
chart expert (so that a question about a lettered bar needs both); scattered shapes for the location
expert. The heads that say it are thrown away.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.experts.cell import CellExpert
from studies.toy.loop import fit
from studies.toy.synthetic import COLUMNS, ROWS, Sample, draw_chart, draw_form, draw_shapes
from studies.toy.synthetic.words import INDEX, WORDS

BLANK_WEIGHT, CHARACTER_WEIGHT = 0.3, 3.0
"""In the loss, beside 1.0 for a word: blanks are many, and single characters hard to tell apart."""
SIDE = 224


def images_tensor(samples: list[Sample]) -> Tensor:
    """The view that nano's encoders make of these images: float32 [B, 3, 224, 224] in -1..1."""
    arrays = [np.asarray(s.image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for s in samples]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1


def cells_tensor(samples: list[Sample]) -> Tensor:
    """Word indices, int64 [B, ROWS, COLUMNS]."""
    return torch.tensor([[[INDEX[w] for w in row] for row in s.cells] for s in samples])


def word_weights() -> Tensor:
    """The weight of every word in a loss over cells, [words]."""
    weights = [CHARACTER_WEIGHT if len(word) == 1 else 1.0 for word in WORDS]
    weights[INDEX[""]] = BLANK_WEIGHT
    return torch.tensor(weights)


IGNORED = -100
LETTERS = set(string.ascii_uppercase)


def draw_for_text(rng: random.Random) -> Sample:
    """A form, or (one in four) a chart of which only the letters count."""
    return draw_form(rng) if rng.random() < 0.75 else draw_chart(rng)


def pretext_target(name: str, samples: list[Sample]) -> Tensor:
    """Like cells_tensor, with the words that are not this expert's business ignored."""
    target = cells_tensor(samples)
    letters = torch.tensor([INDEX[letter] for letter in sorted(LETTERS)])
    for index, sample in enumerate(samples):
        if sample.domain == "chart":
            cells = target[index]
            is_letter = torch.isin(cells, letters)
            ignored = is_letter if name == "chart" else ~is_letter & (cells > 0)
            cells[ignored] = IGNORED
    return target


class Pretext(nn.Module):
    """An expert and its head: [B, 3, 224, 224] -> logits [B, words, ROWS, COLUMNS]."""

    def __init__(self, expert: CellExpert) -> None:
        super().__init__()
        self.expert = expert
        self.head = nn.Conv2d(expert.channels, len(WORDS), 1)

    def forward(self, view: Tensor) -> Tensor:
        maps = self.expert(view)  # [B, C, 28, 28]
        return self.head(F.adaptive_avg_pool2d(maps, (ROWS, COLUMNS)))


def train_expert(
    name: str, draw: Callable[[random.Random], Sample], *, steps: int, folder: Path, seed: int
) -> CellExpert:
    """Trains one expert on images that are drawn as they are needed, 16 a step."""
    torch.manual_seed(seed)
    model = Pretext(CellExpert(name=name, descriptions=(name,)))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weight = word_weights()

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        model.train()
        rng = random.Random(f"{name}-{seed}-{step}")
        samples = [draw(rng) for _ in range(16)]
        target = pretext_target(name, samples)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images_tensor(samples).contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), target, weight=weight)
        filled = target > 0
        right = (logits.argmax(1) == target)[filled].float().mean().item()
        return loss, {"cells": right}

    fit(f"expert-{name}", model, loss_of, steps=steps, lr=3e-3, folder=folder)
    return model.expert


DRAW: dict[str, Callable[[random.Random], Sample]] = {
    "text": draw_for_text,
    "chart": draw_chart,
    "location": draw_shapes,
}

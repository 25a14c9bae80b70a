"""Stage 1b: the object expert, EfficientNet-Lite0 with its last stages tuned to the pictures.

The ImageNet weights know photographs; most pictures here are drawings. Everything before block
`FIRST` stays as it is, so its output is computed once per image.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from openmova.experts.lite import LiteEncoder
from studies.toy.experts import images_tensor
from studies.toy.loop import fit, is_done, load_trained
from studies.toy.synthetic import PictureSet, Sample, draw_picture
from studies.toy.synthetic.pictures import CLASSES

FIRST = 11
IMAGES = 3300


@torch.no_grad()
def trunk(encoder: LiteEncoder, view: Tensor) -> Tensor:
    """[B, 3, 224, 224] -> the map before block FIRST, [B, 112, 14, 14]."""
    x = F.relu6(encoder.stem(view))
    for block in encoder.blocks[:FIRST]:
        x = block(x)
    return x


def tail(encoder: LiteEncoder, x: Tensor) -> Tensor:
    """[B, 112, 14, 14] -> [B, 320, 7, 7]."""
    for block in encoder.blocks[FIRST:]:
        x = block(x)
    return x


class Classifier(nn.Module):
    """The tuned stages and a head that is thrown away."""

    def __init__(self, encoder: LiteEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.channels, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """[B, 112, 14, 14] -> logits [B, classes]."""
        return self.head(F.dropout(tail(self.encoder, x).mean((2, 3)), 0.2, self.training))


def maps_before(encoder: LiteEncoder, samples: Sequence[Sample]) -> Tensor:
    """[n, 112, 14, 14] in bfloat16, 8 images at a time."""
    starts = tqdm(range(0, len(samples), 8), desc="pictures", mininterval=10)
    return torch.cat(
        [trunk(encoder, images_tensor(list(samples[i : i + 8]))).bfloat16() for i in starts]
    )


def train_picture_expert(
    encoder: LiteEncoder, pictures: PictureSet, *, steps: int, folder: Path, seed: int
) -> LiteEncoder:
    """Tunes ``encoder`` in place. Batch norm keeps its ImageNet averages."""
    torch.manual_seed(seed)
    encoder.requires_grad_(False).eval()
    model = Classifier(encoder)
    for block in encoder.blocks[FIRST:]:
        block.requires_grad_(True)
    if is_done("expert-object", folder, steps):
        load_trained(model, folder / "expert-object.safetensors")
        return encoder
    draws = random.Random(f"pictures-{seed}")
    samples = [draw_picture(draws, pictures) for _ in range(IMAGES)]
    labels = torch.tensor([CLASSES.index(s.facts[0].answer) for s in samples])
    maps = maps_before(encoder, samples)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        model.head.train()
        rng = random.Random(f"object-{seed}-{step}")
        rows = torch.tensor(rng.sample(range(len(maps)), 32))
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(maps[rows].float())
        right = (logits.argmax(1) == labels[rows]).float().mean().item()
        return F.cross_entropy(logits.float(), labels[rows], label_smoothing=0.1), {"right": right}

    model.train()
    encoder.eval()
    fit("expert-object", model, loss_of, steps=steps, lr=5e-4, folder=folder, weight_decay=0.05)
    return encoder

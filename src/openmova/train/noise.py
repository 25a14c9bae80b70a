"""NoisyGRPO (arXiv 2510.21122): pictures under noise by level, and the advantage that knows of it.

Each answer of a group is sampled on the picture with a noise level of its own. Its advantage is
A_s, of its reward in the group, moved towards A_n, of its level (less noise is better), the more
the less the rewards of the group tell: A = A_s + P/(P+R) (A_n - A_s), with P = alpha/(var + alpha)
of the rewards' variance, normalised in the group once more.

Shapes: B pictures, H x W pixels, Q questions, G answers of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from openmova.runtime.yaml_config import Must, Positive, Share

STEPS = 1000
"""Of the noise schedule; level n is its step 1000 n."""
EPSILON = 1e-4
"""Added to a group's standard deviation."""
SIDE = 200
"""Pixels of a picture's side on the sheet."""


@dataclass(frozen=True, kw_only=True)
class NoiseSettings:
    """Of NoisyGRPO; the defaults are the released ones."""

    levels: Annotated[tuple[Share, ...], Must("name at least one level", bool)] = (0, 0.3, 0.6, 0.9)
    """Of the answers of a group, in turn; 0 is the clean picture."""
    alpha: Positive = 0.01
    """P is alpha / (variance of the group's rewards + alpha)."""
    r: Positive = 0.1
    """R: the larger, the less the level counts."""


def amplitudes(level: float) -> tuple[float, float]:
    """How much of the picture and of the noise there is: of the diffusion's step at this level."""
    rise = torch.linspace(-6, 6, STEPS, dtype=torch.float64).sigmoid()
    shares = (1 - (rise * (5e-3 - 1e-5) + 1e-5)).cumprod(dim=0)  # of the picture's variance
    kept = float(shares[min(round(STEPS * level), STEPS - 1)])
    return kept**0.5, (1 - kept) ** 0.5


def add_noise(
    pixel_values: Tensor,
    image_sizes: Tensor,
    levels: Sequence[float],
    generator: torch.Generator | None = None,
) -> Tensor:
    """Raw pictures uint8 [B, 3, H, W] of sizes [B, 2] under noise of a level each.

    Values stay within 0 to 255, padding and pictures of level 0 as they are.
    """
    noisy = pixel_values.clone()
    for row, (level, (height, width)) in enumerate(zip(levels, image_sizes.tolist(), strict=True)):
        if level:
            kept, added = amplitudes(level)
            picture = pixel_values[row, :, :height, :width] / 255
            noise = torch.randn(picture.shape, device=picture.device, generator=generator)
            mixed = (kept * picture + added * noise).clamp(0, 1)
            noisy[row, :, :height, :width] = (255 * mixed).round().to(torch.uint8)
    return noisy


class Advantages(NamedTuple):
    """values [Q, G]; weights [Q]: P/(P+R), how much the noise level counted."""

    values: Tensor
    weights: Tensor


def fused_advantages(rewards: Tensor, levels: Tensor, settings: NoiseSettings) -> Advantages:
    """Of rewards and noise levels [Q, G]. A group of one level has the advantages of plain GRPO."""
    of_rewards, of_levels = _normalised(rewards), _normalised(-levels)
    p = settings.alpha / (rewards.var(dim=1) + settings.alpha)
    differ = levels.amin(dim=1) < levels.amax(dim=1)
    weights = torch.where(differ, p / (p + settings.r), 0.0)
    fused = _normalised(of_rewards + weights[:, None] * (of_levels - of_rewards))
    return Advantages(torch.where(differ[:, None], fused, of_rewards), weights)


def _normalised(values: Tensor) -> Tensor:
    """By mean and standard deviation of each group."""
    centred = values - values.mean(dim=1, keepdim=True)
    return centred / (values.std(dim=1, keepdim=True) + EPSILON)


def noise_sheet(pictures: Sequence[Image.Image], levels: Sequence[float]) -> Image.Image:
    """A row for each picture, a column for each level: what the answers are sampled on."""
    sheet = Image.new("RGB", (SIDE * len(levels), SIDE * len(pictures) + 20), "white")
    draw = ImageDraw.Draw(sheet)
    generator = torch.Generator().manual_seed(0)
    for column, level in enumerate(levels):
        draw.text((SIDE * column + 4, 2), f"noise {level:g}", fill="black", font_size=12)
        for row, picture in enumerate(pictures):
            pixels = torch.from_numpy(np.array(picture)).movedim(-1, 0)[None]
            sizes = torch.tensor([[picture.height, picture.width]])
            noisy = add_noise(pixels, sizes, [level], generator)[0].movedim(0, -1)
            shown = ImageOps.contain(Image.fromarray(noisy.numpy()), (SIDE - 4, SIDE - 4))
            sheet.paste(shown, (SIDE * column, SIDE * row + 20))
    return sheet

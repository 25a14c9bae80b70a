"""The views are what Pillow makes of a picture, whatever its shape and its batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from openmova.experts.views import (
    Frame,
    Resample,
    flattened_patches,
    picture_view,
    resize_as_pillow,
)

PLAIN: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255,) * 3}
"""Statistics that leave the grey levels as they are."""


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    """uint8 [3, height, width]: the hardest picture to resize alike."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator).to(torch.uint8)


def by_pillow(picture: Tensor, size: tuple[int, int], resample: Resample) -> Tensor:
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    return torch.from_numpy(np.array(image.resize(size[::-1], filters[resample]))).permute(2, 0, 1)


def view_of(picture: Tensor, size: int, frame: Frame, **keywords: Any) -> Tensor:
    return picture_view(
        picture[None], torch.tensor([picture.shape[-2:]]), size=size, frame=frame, **keywords
    )[0]


@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("size", "target"),
    [
        ((50, 50), (96, 96)),
        ((97, 97), (56, 56)),
        ((300, 300), (64, 64)),
        ((60, 90), (96, 144)),
        ((1, 1), (32, 32)),
        ((64, 64), (64, 64)),
        ((200, 31), (224, 24)),
        ((31, 200), (24, 224)),
    ],
)
def test_a_resized_picture_is_pillows_to_the_bit(
    size: tuple[int, int], target: tuple[int, int], resample: Resample
) -> None:
    picture = noise(*size)
    assert torch.equal(
        resize_as_pillow(picture, target, resample), by_pillow(picture, target, resample)
    )


@pytest.mark.parametrize("frame", ["pad", "crop", "corner"])
@pytest.mark.parametrize("size", [(1, 1), (1, 600), (600, 1), (2, 3)])
def test_any_shape_gives_a_square_view(size: tuple[int, int], frame: Frame) -> None:
    view = view_of(noise(*size), 32, frame, **PLAIN)
    assert view.shape == (3, 32, 32) and view.dtype == torch.float32 and view.isfinite().all()


@pytest.mark.parametrize("size", [(1, 1), (1, 600), (600, 1), (7, 5)])
@pytest.mark.parametrize("frame", ["pad", "none"])
def test_any_shape_gives_patches(size: tuple[int, int], frame: Any) -> None:
    picture = noise(*size)[None]
    rows = flattened_patches(picture, torch.tensor([size]), patch=4, max_patches=25, frame=frame)
    assert rows.shape == (1, 25, 2 + 48) and rows.isfinite().all() and rows[0, 0, :2].all()


def test_a_picture_of_one_colour_has_finite_patches() -> None:
    grey = torch.full((1, 3, 30, 30), 90, dtype=torch.uint8)
    rows = flattened_patches(grey, torch.tensor([[30, 30]]), patch=10, max_patches=9)
    assert not rows[0, :, 2:].any()

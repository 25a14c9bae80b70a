"""Raw pictures as the processor hands them over: uint8, padded on the right and below."""

from __future__ import annotations

import torch
from torch import Tensor

from openmova.experts import Expert

SIZES = ((60, 90), (60, 31), (17, 90), (1, 1))


def padded_batch() -> tuple[Tensor, Tensor]:
    """uint8 [4, 3, 60, 90] with noise in the padding too, and integer [4, 2]."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (len(SIZES), 3, 60, 90), generator=generator)
    return images.to(torch.uint8), torch.tensor(SIZES)


def alone(images: Tensor, sizes: Tensor, row: int) -> tuple[Tensor, Tensor]:
    """One row as it comes without the others: with no padding at all."""
    height, width = sizes[row].tolist()
    return images[row : row + 1, :, :height, :width].clone(), sizes[row : row + 1]


def assert_batch_changes_nothing(expert: Expert, tolerance: float = 1e-5) -> None:
    """Every row's view is the same alone and in the batch, and so is its map."""
    images, sizes = padded_batch()
    with torch.no_grad():
        views = expert.view(images, sizes)
        maps = expert(views)
        for row in range(len(sizes)):
            view = expert.view(*alone(images, sizes, row))
            assert torch.equal(view[0], views[row])
            assert torch.allclose(expert(view)[0], maps[row], atol=tolerance, rtol=tolerance)
    assert maps.shape[:2] == (len(sizes), expert.channels)
    assert maps.isfinite().all()

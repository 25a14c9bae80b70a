"""Fewer image tokens for the routing pass (paper, section 3.1: the base features, downsampled)."""

from torch import Tensor
from torch.nn import functional as F


def pool_tokens(tokens: Tensor, from_grid: tuple[int, int], to_grid: tuple[int, int]) -> Tensor:
    """Average image tokens over a coarser grid, adaptively.

    tokens: [B, h * w, D] in row-major order of from_grid (h, w). Returns [B, h' * w', D] in
    row-major order of to_grid (h', w').
    """
    if from_grid == to_grid:
        return tokens
    grid = tokens.transpose(1, 2).unflatten(2, from_grid)  # [B, D, h, w]
    return F.adaptive_avg_pool2d(grid, to_grid).flatten(2).transpose(1, 2)  # [B, h' * w', D]

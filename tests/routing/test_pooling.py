"""Pooling averages the image tokens over a coarser grid."""

from __future__ import annotations

import pytest
import torch

from openmova.routing import pool_tokens


def test_grids_that_do_not_divide_and_grids_that_are_equal() -> None:
    tokens = torch.randn(2, 35, 8)
    assert pool_tokens(tokens, (5, 7), (2, 3)).shape == (2, 6, 8)
    assert torch.equal(pool_tokens(tokens, (5, 7), (5, 7)), tokens)
    assert torch.allclose(pool_tokens(tokens, (5, 7), (1, 1))[:, 0], tokens.mean(1), atol=1e-6)


def test_tokens_that_do_not_fill_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="35 image tokens don't fill a grid of 6x6"):
        pool_tokens(torch.zeros(1, 35, 4), (6, 6), (3, 3))

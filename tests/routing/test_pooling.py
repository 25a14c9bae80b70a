"""Pooling averages the image tokens over a coarser grid."""

from __future__ import annotations

import torch

from openmova.routing import pool_tokens


def test_grids_that_do_not_divide_and_grids_that_are_equal() -> None:
    tokens = torch.randn(2, 35, 8)
    assert pool_tokens(tokens, (5, 7), (2, 3)).shape == (2, 6, 8)
    assert torch.equal(pool_tokens(tokens, (5, 7), (5, 7)), tokens)
    assert torch.allclose(pool_tokens(tokens, (5, 7), (1, 1))[:, 0], tokens.mean(1), atol=1e-6)

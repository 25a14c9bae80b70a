"""Pix2Struct's encoder equals transformers'; rows without a patch stay out of it."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Pix2StructVisionConfig, Pix2StructVisionModel

from .pictures import padded_batch
from .small import randomise, small_expert


def half_empty() -> Tensor:
    """A view of a square and of a wide picture, which leaves rows empty: [2, 36, 50]."""
    view = torch.randn(2, 36, 50, generator=torch.Generator().manual_seed(1))
    for i, columns in enumerate((6, 9)):
        view[i, :, 0] = torch.arange(36) // columns + 1
        view[i, :, 1] = torch.arange(36) % columns + 1
    view[1, 27:] = 0
    return view


@torch.no_grad()
def test_equals_transformers_encoder_also_with_empty_rows() -> None:
    config = Pix2StructVisionConfig(
        hidden_size=20,
        patch_embed_hidden_size=48,
        d_ff=28,
        d_kv=8,
        num_hidden_layers=2,
        num_attention_heads=3,
        seq_len=40,
    )
    oracle = Pix2StructVisionModel(config).eval()
    randomise(oracle)
    encoder = small_expert("pix2struct")
    encoder.load_state_dict(oracle.state_dict())
    view = half_empty()
    expected = oracle(view).last_hidden_state
    torch.testing.assert_close(encoder.tokens(view), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_empty_rows_change_no_other() -> None:
    encoder = small_expert("pix2struct")
    view = half_empty()[1:]
    torch.testing.assert_close(encoder.tokens(view)[:, :27], encoder.tokens(view[:, :27]))


@torch.no_grad()
def test_the_map_is_the_tokens_row_by_row() -> None:
    encoder = small_expert("pix2struct")
    view = half_empty()
    features = encoder(view)
    assert features.shape == (2, 20, 6, 6)
    assert torch.equal(features[0, :, 2, 3], encoder.tokens(view)[0, 2 * 6 + 3])


def test_a_padded_picture_fills_every_row() -> None:
    images, sizes = padded_batch()
    assert small_expert("pix2struct").view(images, sizes).shape == (4, 36, 50)
    assert (small_expert("pix2struct").view(images, sizes)[..., 0] > 0).all()
    assert (small_expert("pix2struct", frame="none").view(images, sizes)[0, :, 0] == 0).any()

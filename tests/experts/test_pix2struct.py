"""Pix2Struct's encoder equals transformers'; rows without a patch stay out of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import Pix2StructVisionConfig, Pix2StructVisionModel

from openmova.errors import UserError
from openmova.experts import build_expert
from openmova.experts.pix2struct import Pix2StructEncoder

from .pictures import assert_batch_changes_nothing, padded_batch

SMALL: dict[str, Any] = {
    "kind": "pix2struct",
    "name": "pix2struct",
    "descriptions": ["reads"],
    "width": 20,
    "layers": 2,
    "heads": 3,
    "head_dim": 8,
    "mlp": 28,
    "positions": 40,
    "patch": 4,
    "max_patches": 36,
}


def build(**keywords: Any) -> Pix2StructEncoder:
    """A small encoder with every parameter random."""
    expert = build_expert(SMALL | keywords)
    assert isinstance(expert, Pix2StructEncoder)
    randomise(expert)
    return expert


@torch.no_grad()
def randomise(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


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
    encoder = build()
    encoder.load_state_dict(oracle.state_dict())
    view = half_empty()
    expected = oracle(view).last_hidden_state
    torch.testing.assert_close(encoder.tokens(view), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_empty_rows_change_no_other() -> None:
    encoder = build()
    view = half_empty()[1:]
    torch.testing.assert_close(encoder.tokens(view)[:, :27], encoder.tokens(view[:, :27]))


@torch.no_grad()
def test_the_map_is_the_tokens_row_by_row() -> None:
    encoder = build()
    view = half_empty()
    features = encoder(view)
    assert features.shape == (2, 20, 6, 6)
    assert torch.equal(features[0, :, 2, 3], encoder.tokens(view)[0, 2 * 6 + 3])


def test_batch_changes_nothing() -> None:
    assert_batch_changes_nothing(build())
    assert_batch_changes_nothing(build(frame="none"))


def test_a_padded_picture_fills_every_row() -> None:
    images, sizes = padded_batch()
    assert build().view(images, sizes).shape == (4, 36, 50)
    assert (build().view(images, sizes)[..., 0] > 0).all()
    assert (build(frame="none").view(images, sizes)[0, :, 0] == 0).any()


@torch.no_grad()
def test_bfloat16_follows_float32() -> None:
    encoder = build()
    view = half_empty()
    wide = encoder(view)
    narrow = encoder.to(torch.bfloat16)(view.to(torch.bfloat16))
    assert narrow.dtype == torch.bfloat16
    assert (narrow - wide).abs().mean() < 0.05 * wide.abs().mean()


@torch.no_grad()
def test_built_on_the_meta_device_it_needs_nothing_but_its_weights() -> None:
    encoder = build()
    with torch.device("meta"):
        empty = build_expert(SMALL)
    empty.load_state_dict(encoder.state_dict(), assign=True)
    assert torch.equal(empty(half_empty()), encoder(half_empty()))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"max_patches": 2048}, "2048, which is no square number: use 2025 or 2116"),
        ({"max_patches": 0}, "0, which is no square number: use 1"),
        ({"frame": "crop"}, 'frame \'crop\' in its spec; choose of "pad", "none"'),
    ],
)
def test_a_spec_that_gives_no_map_is_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**keywords)

"""SAM's encoder equals transformers'; Vary's is it with one more convolution."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import SamVisionConfig, SamVisionModel

from openmova.experts.sam import GridAttention

from .oracles import renamed
from .small import randomise, small_expert

NAMES = (
    ("vision_encoder.", ""),
    (r"patch_embed\.projection", "patch_embed.proj"),
    (r"layers\.", "blocks."),
    ("layer_norm", "norm"),
    (r"neck\.conv1", "neck.0"),
    (r"neck\.norm1", "neck.1"),
    (r"neck\.conv2", "neck.2"),
    (r"neck\.norm2", "neck.3"),
)


@pytest.mark.parametrize("window", [2, 3, 14])
@torch.no_grad()
def test_equals_transformers_encoder(window: int) -> None:
    config = SamVisionConfig(
        hidden_size=24,
        output_channels=12,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=64,
        patch_size=8,
        window_size=window,
        global_attn_indexes=[1],
        mlp_dim=40,
    )
    oracle = SamVisionModel(config).eval()
    randomise(oracle)
    encoder = small_expert("sam", window=window)
    encoder.load_state_dict(renamed(oracle.state_dict(), NAMES))
    view = torch.randn(2, 3, 64, 64)
    expected = oracle(view).last_hidden_state
    torch.testing.assert_close(encoder(view), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_vary_is_sam_and_a_convolution_that_halves_the_map() -> None:
    sam, vary = small_expert("sam"), small_expert("sam", downsample=20)
    vary.load_state_dict(sam.state_dict(), strict=False)
    assert set(vary.state_dict()) - set(sam.state_dict()) == {"net_2.weight"}
    assert (sam.channels, vary.channels) == (12, 20)
    view = torch.randn(1, 3, 64, 64)
    assert vary(view).shape == (1, 20, 4, 4)
    expected = nn.functional.conv2d(sam(view), vary.net_2.weight, stride=2, padding=1)
    torch.testing.assert_close(vary(view), expected)


@torch.no_grad()
def test_global_layers_attend_in_one_picture_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    bias = GridAttention.bias
    monkeypatch.setattr(GridAttention, "bias", lambda self, q: seen.append(len(q)) or bias(self, q))
    small_expert("sam", layers=2)(torch.randn(2, 3, 64, 64))
    assert seen == [2 * 9, 1, 1]


@torch.no_grad()
def test_a_relative_position_is_the_difference_of_query_and_key() -> None:
    attention = GridAttention(8, 1, 3)
    randomise(attention)
    q = torch.randn(1, 1, 3, 3, 8)
    bias = attention.bias(q.flatten(2, 3))[0, 0]
    expected = q[0, 0, 2, 0] @ (attention.rel_pos_h[2 - 1 + 2] + attention.rel_pos_w[0 - 2 + 2])
    torch.testing.assert_close(bias[2 * 3 + 0, 1 * 3 + 2], expected)

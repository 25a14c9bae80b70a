"""SAM's encoder equals transformers'; Vary's is it with one more convolution."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import SamVisionConfig, SamVisionModel

from openmova.errors import UserError
from openmova.experts import build_expert
from openmova.experts.sam import Attention, Block, SamEncoder

from .pictures import assert_batch_changes_nothing

SMALL: dict[str, Any] = {
    "kind": "sam",
    "name": "sam",
    "descriptions": ["cuts out"],
    "width": 24,
    "layers": 3,
    "heads": 2,
    "mlp": 40,
    "patch": 8,
    "size": 64,
    "window": 3,
    "global_layers": [1],
    "neck": 12,
}
NAMES = {
    "vision_encoder.": "",
    "patch_embed.projection": "patch_embed.proj",
    "layers.": "blocks.",
    "layer_norm": "norm",
    "neck.conv1": "neck.0",
    "neck.norm1": "neck.1",
    "neck.conv2": "neck.2",
    "neck.norm2": "neck.3",
}


def build(**keywords: Any) -> SamEncoder:
    """A small encoder with every parameter random."""
    expert = build_expert(SMALL | keywords)
    assert isinstance(expert, SamEncoder)
    randomise(expert)
    return expert


@torch.no_grad()
def randomise(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    out = {}
    for name, tensor in state.items():
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        out[name] = tensor
    return out


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
    encoder = build(window=window)
    encoder.load_state_dict(renamed(oracle.state_dict()))
    view = torch.randn(2, 3, 64, 64)
    expected = oracle(view).last_hidden_state
    torch.testing.assert_close(encoder(view), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_vary_is_sam_and_a_convolution_that_halves_the_map() -> None:
    sam, vary = build(), build(downsample=20)
    vary.load_state_dict(sam.state_dict(), strict=False)
    assert set(vary.state_dict()) - set(sam.state_dict()) == {"net_2.weight"}
    assert (sam.channels, vary.channels) == (12, 20)
    view = torch.randn(1, 3, 64, 64)
    assert vary(view).shape == (1, 20, 4, 4)
    expected = nn.functional.conv2d(sam(view), vary.net_2.weight, stride=2, padding=1)
    torch.testing.assert_close(vary(view), expected)


def test_batch_changes_nothing() -> None:
    assert_batch_changes_nothing(build())
    assert_batch_changes_nothing(build(frame="corner", resample="bilinear"))


@torch.no_grad()
def test_a_window_sees_only_itself_and_a_global_layer_everything() -> None:
    x = torch.randn(1, 8, 8, 24)
    other = x.clone()
    other[0, 0, 0] = torch.randn(24)  # in the first window of 3x3
    for window, reached in ((3, 9), (None, 64)):
        block = Block(24, 2, 40, 8, window)
        randomise(block)
        changed = (block(x) - block(other)).abs().amax(dim=-1) > 1e-6
        assert changed.sum() == reached


@torch.no_grad()
def test_global_layers_attend_in_one_picture_at_a_time() -> None:
    seen: list[int] = []
    encoder = build(layers=2)
    for block in encoder.blocks:
        assert isinstance(block, Block)
        block.attn.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    encoder(torch.randn(2, 3, 64, 64))
    assert seen == [2 * 9, 1, 1]


@torch.no_grad()
def test_a_relative_position_is_the_difference_of_query_and_key() -> None:
    attention = Attention(8, 1, 3)
    randomise(attention)
    q = torch.randn(1, 1, 3, 3, 8)
    bias = attention.relative_positions(q)[0, 0]
    expected = q[0, 0, 2, 0] @ (attention.rel_pos_h[2 - 1 + 2] + attention.rel_pos_w[0 - 2 + 2])
    torch.testing.assert_close(bias[2 * 3 + 0, 1 * 3 + 2], expected)


@torch.no_grad()
def test_bfloat16_follows_float32() -> None:
    encoder = build(downsample=20)
    view = torch.randn(1, 3, 64, 64)
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
    view = torch.randn(1, 3, 64, 64)
    assert torch.equal(empty(view), encoder(view))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"size": 60}, "size 60 and patch 8 in its spec"),
        ({"heads": 5}, "width 24 and heads 5 in its spec"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**keywords)

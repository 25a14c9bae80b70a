"""Co-DETR's backbone: rotary positions, windows, and how its picture and map are resized."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from openmova.experts.codetr import Rotary

from .small import small_expert

CPU = torch.device("cpu")


def products(rotary: Rotary, q: Tensor, k: Tensor, side: int) -> Tensor:
    """Of one query and one key [D], put at every two places: [row, column, row, column]."""
    count = side * side
    turned_q, turned_k = (rotary(x.expand(1, 1, count, -1))[0, 0] for x in (q, k))
    return (turned_q @ turned_k.T).unflatten(0, (side, side)).unflatten(2, (side, side))


def test_rotary_logits_depend_on_the_distance_alone() -> None:
    q, k = torch.randn(2, 8)
    logits = products(Rotary(5, 8, CPU), q, k, 5)
    torch.testing.assert_close(logits[0, 1, 2, 3], logits[2, 2, 4, 4], atol=1e-4, rtol=0)
    torch.testing.assert_close(logits[3, 3, 3, 3], q @ k, atol=1e-4, rtol=0)


def test_half_of_a_head_turns_with_the_row_and_half_with_the_column() -> None:
    x = torch.randn(1, 1, 9, 8)
    constant = x[:, :, :1].expand(-1, -1, 9, -1)
    turned = Rotary(3, 8, CPU)(constant)[0, 0].unflatten(0, (3, 3))
    assert torch.equal(turned[1, 0, :4], turned[1, 2, :4])
    assert torch.equal(turned[0, 1, 4:], turned[2, 1, 4:])
    assert not torch.equal(turned[0, 0, :4], turned[1, 0, :4])


def test_a_finer_grid_spans_the_same_positions() -> None:
    coarse, fine = Rotary(4, 8, CPU), Rotary(8, 8, CPU)
    even = fine.cos.unflatten(0, (8, 8))[::2, ::2].flatten(0, 1)
    torch.testing.assert_close(coarse.cos, even)
    torch.testing.assert_close(coarse.cos.unflatten(0, (4, 4))[1, 0, 0], torch.tensor(4.0).cos())


@torch.no_grad()
def test_a_small_view_is_enlarged_by_repeating_pixels() -> None:
    encoder = small_expert("codetr")
    view = torch.randn(2, 3, 16, 16)
    repeated = view.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(encoder(view), encoder(repeated))


@torch.no_grad()
def test_the_map_is_the_neck_resized_to_the_output_grid() -> None:
    view = torch.randn(1, 3, 32, 32)
    whole, shrunk = small_expert("codetr", output_grid=8)(view), small_expert("codetr")(view)
    assert (whole.shape, shrunk.shape) == ((1, 6, 8, 8), (1, 6, 5, 5))
    expected = nn.functional.interpolate(whole, (5, 5), mode="bilinear")
    torch.testing.assert_close(shrunk, expected)


@torch.no_grad()
def test_positions_of_another_grid_are_resized_without_the_class_token() -> None:
    encoder = small_expert("codetr", table=3)
    encoder.pos_embed[:, 0] = 1e6
    encoder.pos_embed[:, 1:] = torch.arange(16.0)
    positions = encoder.positions()
    assert positions.shape == (1, 8, 8, 16)
    torch.testing.assert_close(positions, torch.arange(16.0).expand(1, 8, 8, 16))


def test_no_table_is_a_parameter_or_a_buffer() -> None:
    encoder = small_expert("codetr")
    assert not list(encoder.buffers())
    attention = sorted(encoder.blocks[0].get_submodule("attn").state_dict())
    assert attention == [
        "k_proj.weight",
        "proj.bias",
        "proj.weight",
        "q_bias",
        "q_proj.weight",
        "v_bias",
        "v_proj.weight",
    ]

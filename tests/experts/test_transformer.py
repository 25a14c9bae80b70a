"""Windows are cut and put together again, positions resized."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from openmova.errors import UserError
from openmova.experts.clip import resize_positions
from openmova.experts.codetr import Attention as CoDetrAttention
from openmova.experts.codetr import Rotary
from openmova.experts.transformer import Block, ChannelNorm, into_windows, out_of_windows

from .oracles import randomise


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))
def test_windows_put_together_are_the_grid(batch: int, h: int, w: int, side: int) -> None:
    x = torch.arange(batch * h * w * 2).view(batch, h, w, 2) + 1
    windows = into_windows(x, side)
    assert windows.shape == (batch * -(-h // side) * -(-w // side), side, side, 2)
    assert torch.equal(out_of_windows(windows, (h, w)), x)
    assert windows.count_nonzero() == x.numel()  # what fills them is zero


def test_windows_follow_row_by_row() -> None:
    x = torch.arange(24).view(1, 4, 6, 1)
    windows = into_windows(x, 2)[..., 0]
    assert windows[1].tolist() == [[2, 3], [8, 9]]
    assert windows[3].tolist() == [[12, 13], [18, 19]]


def test_the_norm_is_over_the_channels_of_each_place() -> None:
    x = torch.randn(2, 16, 3, 4)
    y = ChannelNorm(16)(x)
    torch.testing.assert_close(y.mean(dim=1), torch.zeros(2, 3, 4), atol=1e-6, rtol=0)
    torch.testing.assert_close(y[1, :, 2, 3], torch.nn.LayerNorm(16)(x[1, :, 2, 3]))


@torch.no_grad()
@pytest.mark.parametrize(("window", "reached"), [(4, 16), (3, 9), (None, 64)])
def test_a_window_sees_only_itself_and_a_global_layer_everything(
    window: int | None, reached: int
) -> None:
    x = torch.randn(1, 8, 8, 16)
    other = x.clone()
    other[0, 0, 0] = torch.randn(16)
    attention, rotary = CoDetrAttention(16, 2), Rotary(window or 8, 8, torch.device("cpu"))
    norm = partial(torch.nn.LayerNorm, 16)
    block = Block(norm, attention, torch.nn.Identity(), window=window)
    randomise(block)
    changed = (block(x, rotary) - block(other, rotary)).abs().amax(dim=-1) > 1e-6
    assert changed.sum() == reached


def test_positions_of_another_grid_keep_the_class_row() -> None:
    table = torch.randn(1 + 9, 4)
    resized = resize_positions(table, 6)
    assert resized.shape == (1 + 36, 4)
    assert torch.equal(resized[0], table[0])
    assert torch.equal(resize_positions(table, 3), table)
    grey = torch.full((1 + 9, 4), 0.25)
    torch.testing.assert_close(resize_positions(grey, 7), torch.full((1 + 49, 4), 0.25))


def test_positions_of_half_precision_are_resized_in_float32() -> None:
    table = torch.randn(1 + 16, 4).bfloat16()
    expected = resize_positions(table.float(), 9).bfloat16()
    assert torch.equal(resize_positions(table, 9), expected)


@pytest.mark.parametrize("rows", [0, 1, 9, 578])
def test_a_table_that_is_no_square_is_refused(rows: int) -> None:
    with pytest.raises(UserError, match=f"table of {rows} rows"):
        resize_positions(torch.zeros(rows, 4), 3)

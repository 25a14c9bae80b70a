"""The encoders of this project's own: what holds for all of them, and their tables of positions.

That they compute what the released ones compute is checked on the golden sets (tests/parity).
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from openmova.errors import UserError
from openmova.experts import build_expert
from openmova.experts.clip import resize_positions

from .pictures import assert_batch_changes_nothing, padded_batch
from .small import SIZES, small_expert, small_spec

OTHER_VIEWS: list[tuple[str, dict[str, Any]]] = [
    ("dinov2", {"view_size": 64}),
    ("dinov2", {"view_size": 24}),
    ("vit", {"view_size": 64}),
    ("clip", {"frame": "crop"}),
    ("sam", {"frame": "corner", "resample": "bilinear"}),
    ("pix2struct", {"frame": "none"}),
]
VIEWS = [*((kind, {}) for kind in SIZES), *OTHER_VIEWS]


@pytest.mark.parametrize(("kind", "keywords"), VIEWS)
def test_a_row_is_the_same_alone_and_in_a_batch(kind: str, keywords: dict[str, Any]) -> None:
    assert_batch_changes_nothing(small_expert(kind, **keywords))


@pytest.mark.parametrize(("kind", "keywords"), VIEWS)
@torch.no_grad()
def test_bfloat16_follows_float32(kind: str, keywords: dict[str, Any]) -> None:
    expert = small_expert(kind, **keywords)
    view = expert.view(*padded_batch())
    wide = expert(view)
    narrow = expert.to(torch.bfloat16)(view.to(torch.bfloat16))
    assert narrow.dtype == torch.bfloat16
    assert (narrow - wide).abs().mean() < 0.05 * wide.abs().mean()


@pytest.mark.parametrize("kind", SIZES)
@torch.no_grad()
def test_built_on_the_meta_device_it_needs_nothing_but_its_weights(kind: str) -> None:
    expert = small_expert(kind)
    with torch.device("meta"):
        empty = build_expert(small_spec(kind))
    empty.load_state_dict(expert.state_dict(), assign=True)
    view = expert.view(*padded_batch())
    assert torch.equal(empty(view), expert(view))


@pytest.mark.parametrize(
    ("kind", "keywords", "message"),
    [
        ("clip", {"heads": 5}, "width 24 and heads 5 in its spec"),
        ("clip", {"heads": 0}, "width 24 and heads 0"),
        ("clip", {"patch": 7}, "size 40 and patch 7"),
        ("clip", {"select_layer": 4}, "select_layer 4 .* 3 layers"),
        ("clip", {"select_layer": -5}, "select_layer -5 .* 3 layers"),
        ("dinov2", {"heads": 5}, "width 24 and heads 5"),
        ("dinov2", {"size": 41, "view_size": 64}, "size 41 and patch 8"),
        ("dinov2", {"view_size": 31}, "size 31 and patch 8"),
        ("dinov2", {"select_layer": 4}, "select_layer 4 .* 3 layers"),
        ("vit", {"heads": 5}, "width 24 and heads 5"),
        ("vit", {"size": 41}, "size 41 and patch 8"),
        ("vit", {"frame": "stretch"}, "'vit' has frame 'stretch' in its spec; choose of"),
        ("vit", {"resample": "nearest"}, "'vit' has resample 'nearest' in its spec; choose of"),
        ("vit", {"view_size": 0}, "'vit' has a view of 0 pixels"),
        ("vit", {"mean": [0.5]}, "'vit' has a view of"),
        ("vit", {"std": []}, "'vit' has a view of"),
        ("vit", {"std": [0.2, 0.2, 0.0]}, "'vit' has a view of"),
        ("sam", {"size": 60}, "size 60 and patch 8"),
        ("sam", {"heads": 5}, "width 24 and heads 5"),
        ("codetr", {"size": 30}, "size 30 and patch 4"),
        ("codetr", {"heads": 5}, "width 16 and heads 5"),
        ("codetr", {"heads": 8}, "heads of 2 channels, which must be a multiple of 4"),
        ("pix2struct", {"max_patches": 2048}, "2048, which is no square number: use 2025 or 2116"),
        ("pix2struct", {"max_patches": 0}, "0, which is no square number: use 1"),
        ("pix2struct", {"frame": "crop"}, 'frame \'crop\' in its spec; choose of "pad", "none"'),
    ],
)
def test_sizes_that_do_not_fit_are_named(kind: str, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small_expert(kind, **keywords)


def test_a_padded_picture_fills_every_row() -> None:
    images, sizes = padded_batch()
    assert small_expert("pix2struct").view(images, sizes).shape == (4, 36, 50)
    assert (small_expert("pix2struct").view(images, sizes)[..., 0] > 0).all()
    assert (small_expert("pix2struct", frame="none").view(images, sizes)[0, :, 0] == 0).any()


@torch.no_grad()
def test_positions_of_another_grid_are_resized_without_the_class_token() -> None:
    encoder = small_expert("codetr", table=3)
    encoder.pos_embed[:, 0] = 1e6
    encoder.pos_embed[:, 1:] = torch.arange(16.0)
    positions = encoder.positions()
    assert positions.shape == (1, 8, 8, 16)
    torch.testing.assert_close(positions, torch.arange(16.0).expand(1, 8, 8, 16))


def test_positions_of_half_precision_are_resized_in_float32() -> None:
    table = torch.randn(1 + 16, 4).bfloat16()
    expected = resize_positions(table.float(), 9).bfloat16()
    assert torch.equal(resize_positions(table, 9), expected)


@pytest.mark.parametrize("rows", [0, 1, 9, 578])
def test_a_table_that_is_no_square_is_refused(rows: int) -> None:
    with pytest.raises(UserError, match=f"table of {rows} rows"):
        resize_positions(torch.zeros(rows, 4), 3)

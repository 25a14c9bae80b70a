"""The encoders of this project's own: what holds for all of them, that they compute what
transformers' classes compute, and what the release does in its own way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from openmova.errors import UserError
from openmova.experts import build_expert
from openmova.experts.codetr import Rotary
from openmova.experts.sam import GridAttention

from .oracles import LAYERS, load_known, oracle, randomise
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


@pytest.mark.parametrize("kind", ["clip", "dinov2"])
@pytest.mark.parametrize("select_layer", [*range(LAYERS + 1), -1, -2])
@torch.no_grad()
def test_every_hidden_state_equals_transformers(kind: str, select_layer: int) -> None:
    model, state = oracle(kind)
    encoder = small_expert(kind, select_layer=select_layer)
    unused = load_known(encoder, state)
    built = select_layer % (LAYERS + 1)
    assert {name.split(".")[2] for name in unused if name.startswith("encoder")} == {
        str(layer) for layer in range(built, LAYERS)
    }
    view = torch.randn(2, 3, 40, 40)
    hidden = model(view, output_hidden_states=True).hidden_states[select_layer]
    found = encoder(view).flatten(2).mT
    torch.testing.assert_close(found, hidden[:, 1:], atol=2e-5, rtol=0)


def test_only_what_follows_the_map_is_left_out() -> None:
    unused = load_known(small_expert("dinov2"), oracle("dinov2")[1])
    last = f"encoder.layer.{LAYERS - 1}."
    assert {name for name in unused if not name.startswith(last)} == {
        "embeddings.mask_token",
        "layernorm.weight",
        "layernorm.bias",
    }


@torch.no_grad()
def test_biomedclips_equals_transformers() -> None:
    (model, state), encoder = oracle("vit"), small_expert("vit")
    encoder.load_state_dict(state)
    view = torch.randn(2, 3, 40, 40)
    expected = model(view).last_hidden_state[:, 1:]
    torch.testing.assert_close(encoder(view).flatten(2).mT, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("window", [2, 3, 14])
@torch.no_grad()
def test_sams_equals_transformers(window: int) -> None:
    (model, state), encoder = oracle("sam", window_size=window), small_expert("sam", window=window)
    encoder.load_state_dict(state)
    view = torch.randn(2, 3, 64, 64)
    expected = model(view).last_hidden_state
    torch.testing.assert_close(encoder(view), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["dinov2", "vit"])
@torch.no_grad()
def test_a_larger_view_is_made_smaller_first(kind: str) -> None:
    encoder = small_expert(kind, view_size=120)
    view = torch.randn(1, 3, 120, 120)
    smaller = F.interpolate(view, (40, 40), mode="bilinear", align_corners=False)
    torch.testing.assert_close(smaller, view[:, :, 1::3, 1::3])  # a third: the middle pixel
    assert torch.equal(encoder(view), encoder(smaller))


@torch.no_grad()
def test_a_smaller_view_reads_the_position_table_between_its_cells() -> None:
    encoder = small_expert("dinov2", view_size=24)
    assert encoder(torch.randn(1, 3, 24, 24)).shape == (1, 24, 3, 3)
    table = torch.arange(5.0).expand(5, 5)  # grows by one from column to column
    encoder.embeddings.position_embeddings[:, 1:] = table.reshape(1, 25, 1)
    columns = encoder.embeddings.positions(3)[0, 1:, 0].unflatten(0, (3, 3))[0]
    step = columns[1] - columns[0]
    torch.testing.assert_close(step, torch.tensor(5 / 3.1), atol=0.05, rtol=0)


@torch.no_grad()
def test_vary_is_sam_and_a_convolution_that_halves_the_map() -> None:
    sam, vary = small_expert("sam"), small_expert("sam", downsample=20)
    vary.load_state_dict(sam.state_dict(), strict=False)
    assert set(vary.state_dict()) - set(sam.state_dict()) == {"net_2.weight"}
    assert (sam.channels, vary.channels) == (12, 20)
    view = torch.randn(1, 3, 64, 64)
    assert vary(view).shape == (1, 20, 4, 4)
    expected = F.conv2d(sam(view), vary.net_2.weight, stride=2, padding=1)
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


def half_empty() -> Tensor:
    """A view of a square and of a wide picture, which leaves rows empty: [2, 36, 50]."""
    view = torch.randn(2, 36, 50, generator=torch.Generator().manual_seed(1))
    for i, columns in enumerate((6, 9)):
        view[i, :, 0] = torch.arange(36) // columns + 1
        view[i, :, 1] = torch.arange(36) % columns + 1
    view[1, 27:] = 0
    return view


@torch.no_grad()
def test_pix2structs_equals_transformers_also_with_empty_rows() -> None:
    (model, state), encoder = oracle("pix2struct"), small_expert("pix2struct")
    encoder.load_state_dict(state)
    view = half_empty()
    expected = model(view).last_hidden_state
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
    expected = F.interpolate(whole, (5, 5), mode="bilinear")
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

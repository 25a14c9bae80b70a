"""CLIP: our module computes what transformers' class computes, as far as its map needs."""

from __future__ import annotations

import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel

from openmova.errors import UserError
from openmova.experts.clip import resize_positions

from .oracles import load_known, renamed, with_random_weights
from .small import small_expert

LAYERS = 3


@pytest.mark.parametrize("select_layer", [*range(LAYERS + 1), -1, -2])
def test_every_hidden_state_equals_transformers(select_layer: int) -> None:
    oracle = with_random_weights(
        CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=24,
                num_hidden_layers=LAYERS,
                num_attention_heads=3,
                intermediate_size=40,
                patch_size=8,
                image_size=40,
            )
        )
    )
    encoder = small_expert("clip", select_layer=select_layer)
    state = renamed(oracle.state_dict(), [(r"^vision_model\.", "")])
    unused = load_known(encoder, state)
    built = select_layer % (LAYERS + 1)
    assert {name.split(".")[2] for name in unused if name.startswith("encoder")} == {
        str(layer) for layer in range(built, LAYERS)
    }
    view = torch.randn(2, 3, 40, 40)
    with torch.no_grad():
        hidden = oracle(view, output_hidden_states=True).hidden_states[select_layer]
        found = encoder(view).flatten(2).mT
    torch.testing.assert_close(found, hidden[:, 1:], atol=2e-5, rtol=0)


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

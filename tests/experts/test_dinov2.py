"""DINOv2: our module computes what transformers' class computes, as far as its map needs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Dinov2Config, Dinov2Model

from openmova.experts.dinov2 import Dinov2Encoder

from .oracles import load_known, renamed, with_random_weights
from .small import small_expert

LAYERS, WIDTH, HIDDEN = 3, 24, 64
NEW_NAMES = (
    (r"attention\.q_proj", "attention.attention.query"),
    (r"attention\.k_proj", "attention.attention.key"),
    (r"attention\.v_proj", "attention.attention.value"),
    (r"attention\.o_proj", "attention.output.dense"),
    (r"mlp\.down_proj", "mlp.weights_out"),
)
"""What newer versions of transformers call the public names; older ones have those themselves."""


@pytest.fixture(scope="module")
def oracle() -> Dinov2Model:
    config = Dinov2Config(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=3,
        mlp_ratio=4,
        patch_size=8,
        image_size=40,
        use_swiglu_ffn=True,
    )
    return with_random_weights(Dinov2Model(config))


def public_names(oracle: Dinov2Model) -> dict[str, Tensor]:
    state = renamed(oracle.state_dict(), NEW_NAMES)
    for name in [name for name in state if ".gate_proj." in name]:
        halves = [state.pop(name), state.pop(name.replace("gate_proj", "up_proj"))]
        state[name.replace("gate_proj", "weights_in")] = torch.cat(halves)
    return state


def from_oracle(oracle: Dinov2Model, **keywords: Any) -> Dinov2Encoder:
    encoder: Dinov2Encoder = small_expert("dinov2", **keywords)
    load_known(encoder, public_names(oracle))
    return encoder


@pytest.mark.parametrize("select_layer", [*range(LAYERS + 1), -1, -2])
@torch.no_grad()
def test_every_hidden_state_equals_transformers(oracle: Dinov2Model, select_layer: int) -> None:
    view = torch.randn(2, 3, 40, 40)
    hidden = oracle(view, output_hidden_states=True).hidden_states[select_layer]
    found = from_oracle(oracle, select_layer=select_layer)(view).flatten(2).mT
    torch.testing.assert_close(found, hidden[:, 1:], atol=2e-5, rtol=0)


def test_only_what_follows_the_map_is_left_out(oracle: Dinov2Model) -> None:
    unused = load_known(small_expert("dinov2"), public_names(oracle))
    last = f"encoder.layer.{LAYERS - 1}."
    assert {name for name in unused if not name.startswith(last)} == {
        "embeddings.mask_token",
        "layernorm.weight",
        "layernorm.bias",
    }


@torch.no_grad()
def test_a_larger_view_is_made_smaller_first(oracle: Dinov2Model) -> None:
    view = torch.randn(1, 3, 56, 56)
    smaller = F.interpolate(view, (40, 40), mode="bilinear", align_corners=False)
    encoder = from_oracle(oracle, view_size=56)
    assert torch.equal(encoder(view), encoder(smaller))


@torch.no_grad()
def test_a_smaller_view_reads_the_position_table_between_its_cells(oracle: Dinov2Model) -> None:
    encoder = from_oracle(oracle, view_size=24)
    assert encoder(torch.randn(1, 3, 24, 24)).shape == (1, WIDTH, 3, 3)
    table = torch.arange(5.0).expand(5, 5)  # grows by one from column to column
    encoder.embeddings.position_embeddings[:, 1:] = table.reshape(1, 25, 1)
    columns = encoder.embeddings.positions(3)[0, 1:, 0].unflatten(0, (3, 3))[0]
    step = columns[1] - columns[0]
    torch.testing.assert_close(step, torch.tensor(5 / 3.1), atol=0.05, rtol=0)

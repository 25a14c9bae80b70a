"""BiomedCLIP's encoder: our module computes what transformers' ViTModel computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import ViTConfig, ViTModel

from openmova.errors import UserError
from openmova.experts.vit import VitEncoder

from .oracles import renamed, with_random_weights
from .pictures import assert_batch_changes_nothing

TIMM_NAMES = (
    (r"^embeddings\.cls_token", "cls_token"),
    (r"^embeddings\.position_embeddings", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
    (r"^layernorm", "norm"),
    (r"^layers", "blocks"),
    (r"layernorm_before", "norm1"),
    (r"layernorm_after", "norm2"),
    (r"attention\.o_proj", "attn.proj"),
)


def tiny(**keywords: Any) -> VitEncoder:
    sizes = {"width": 24, "layers": 2, "heads": 3, "mlp": 40, "patch": 8, "size": 40}
    return VitEncoder(name="bio", descriptions=["sees"], **{**sizes, "view_size": 40, **keywords})


def timm_names(oracle: ViTModel) -> dict[str, Tensor]:
    """transformers has query, key and value apart; timm has them as one."""
    state = renamed(oracle.state_dict(), TIMM_NAMES)
    for name in [name for name in state if ".q_proj." in name]:
        parts = [state.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
        state[name.replace("attention.q_proj", "attn.qkv")] = torch.cat(parts)
    return state


@torch.no_grad()
def test_it_equals_transformers() -> None:
    config = ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=40,
        patch_size=8,
        image_size=40,
        layer_norm_eps=1e-6,
    )
    oracle = with_random_weights(ViTModel(config, add_pooling_layer=False))
    encoder = tiny().freeze()
    encoder.load_state_dict(timm_names(oracle))
    view = torch.randn(2, 3, 40, 40)
    expected = oracle(view).last_hidden_state[:, 1:]
    torch.testing.assert_close(encoder(view).flatten(2).mT, expected, atol=2e-5, rtol=0)


@torch.no_grad()
def test_a_view_of_another_size_is_resized_first() -> None:
    encoder = tiny(view_size=120).freeze()
    view = torch.randn(1, 3, 120, 120)
    smaller = F.interpolate(view, (40, 40), mode="bilinear", align_corners=False)
    torch.testing.assert_close(smaller, view[:, :, 1::3, 1::3])  # a third: the middle pixel
    assert torch.equal(encoder(view), encoder(smaller))


def test_a_row_is_the_same_alone_and_in_a_batch() -> None:
    assert_batch_changes_nothing(tiny(view_size=64).freeze())


def test_it_works_in_bfloat16() -> None:
    encoder = tiny(view_size=56).freeze().bfloat16()
    features = encoder(torch.randn(1, 3, 56, 56).bfloat16())
    assert features.dtype == torch.bfloat16 and features.shape == (1, 24, 5, 5)


def test_it_can_be_built_without_memory() -> None:
    with torch.device("meta"):
        encoder = VitEncoder(name="bio", descriptions=["sees"])
    parameters = dict(encoder.named_parameters())
    assert all(parameter.is_meta for parameter in parameters.values())
    assert parameters["pos_embed"].shape == (1, 197, 768)
    assert parameters["blocks.11.attn.qkv.weight"].shape == (2304, 768)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [({"heads": 5}, "width 24 and heads 5"), ({"size": 41}, "size 41 and patch 8")],
)
def test_sizes_that_do_not_fit_are_named(keywords: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tiny(**keywords)

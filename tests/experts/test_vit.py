"""BiomedCLIP's encoder: our module computes what transformers' ViTModel computes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import ViTConfig, ViTModel

from .oracles import renamed, with_random_weights
from .small import small_expert

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
    encoder = small_expert("vit")
    encoder.load_state_dict(timm_names(oracle))
    view = torch.randn(2, 3, 40, 40)
    expected = oracle(view).last_hidden_state[:, 1:]
    torch.testing.assert_close(encoder(view).flatten(2).mT, expected, atol=2e-5, rtol=0)


@torch.no_grad()
def test_a_view_of_another_size_is_resized_first() -> None:
    encoder = small_expert("vit", view_size=120)
    view = torch.randn(1, 3, 120, 120)
    smaller = F.interpolate(view, (40, 40), mode="bilinear", align_corners=False)
    torch.testing.assert_close(smaller, view[:, :, 1::3, 1::3])  # a third: the middle pixel
    assert torch.equal(encoder(view), encoder(smaller))

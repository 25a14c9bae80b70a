"""transformers' classes that compute what encoders of ours do, with random weights, and these
weights under the public names that ours have."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    Pix2StructVisionConfig,
    Pix2StructVisionModel,
    SamVisionConfig,
    SamVisionModel,
    ViTConfig,
    ViTModel,
)

LAYERS = 3
TRANSFORMER = {
    "hidden_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 3,
    "patch_size": 8,
    "image_size": 40,
}
SAM = TRANSFORMER | {"num_attention_heads": 2, "image_size": 64}
NAMES: dict[str, Sequence[tuple[str, str]]] = {
    "clip": [(r"^vision_model\.", "")],
    # What newer versions of transformers call the public names; older ones have those themselves.
    "dinov2": [
        (r"attention\.q_proj", "attention.attention.query"),
        (r"attention\.k_proj", "attention.attention.key"),
        (r"attention\.v_proj", "attention.attention.value"),
        (r"attention\.o_proj", "attention.output.dense"),
        (r"mlp\.down_proj", "mlp.weights_out"),
    ],
    "vit": [
        (r"^embeddings\.cls_token", "cls_token"),
        (r"^embeddings\.position_embeddings", "pos_embed"),
        (r"^embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
        (r"^layernorm", "norm"),
        (r"^layers", "blocks"),
        (r"layernorm_before", "norm1"),
        (r"layernorm_after", "norm2"),
        (r"attention\.o_proj", "attn.proj"),
    ],
    "sam": [
        (r"vision_encoder\.", ""),
        (r"patch_embed\.projection", "patch_embed.proj"),
        (r"layers\.", "blocks."),
        (r"layer_norm", "norm"),
        (r"neck\.conv1", "neck.0"),
        (r"neck\.norm1", "neck.1"),
        (r"neck\.conv2", "neck.2"),
        (r"neck\.norm2", "neck.3"),
    ],
    "pix2struct": [],
}
JOINED = {
    "mlp.weights_in": ("mlp.gate_proj", "mlp.up_proj"),
    "attn.qkv": ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
}
"""What DINOv2's and timm's checkpoints have as one tensor, and transformers as several."""


def oracle(kind: str, **changes: Any) -> tuple[nn.Module, dict[str, Tensor]]:
    """The class for an encoder of `small.py`, in evaluation mode; its weights under our names."""
    model: nn.Module
    match kind:
        case "clip":
            model = CLIPVisionModel(CLIPVisionConfig(**TRANSFORMER, intermediate_size=40))
        case "dinov2":
            model = Dinov2Model(Dinov2Config(**TRANSFORMER, mlp_ratio=4, use_swiglu_ffn=True))
        case "vit":
            config = ViTConfig(**TRANSFORMER, intermediate_size=40, layer_norm_eps=1e-6)
            model = ViTModel(config, add_pooling_layer=False)
        case "sam":
            sizes = SAM | {"output_channels": 12, "mlp_dim": 40, "global_attn_indexes": [1]}
            model = SamVisionModel(SamVisionConfig(**sizes, **changes))
        case _:
            model = Pix2StructVisionModel(
                Pix2StructVisionConfig(
                    hidden_size=20,
                    patch_embed_hidden_size=48,
                    d_ff=28,
                    d_kv=8,
                    num_hidden_layers=2,
                    num_attention_heads=3,
                    seq_len=40,
                )
            )
    randomise(model)
    return model.eval(), _public(model.state_dict(), NAMES[kind])


@torch.no_grad()
def randomise(module: nn.Module) -> None:
    """Every parameter random, so that none may be forgotten; scales near one."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in module.named_parameters():
        is_scale = parameter.ndim == 1 and name.endswith(("weight", "lambda1"))
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2 + is_scale)


def load_known(encoder: nn.Module, state: Mapping[str, Tensor]) -> set[str]:
    """Load all that the encoder has, which must be there; returns what was left over."""
    own = encoder.state_dict()
    encoder.load_state_dict({name: state[name] for name in own})
    return set(state) - set(own)


def _public(state: Mapping[str, Tensor], names: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    for whole, (first, *others) in JOINED.items():
        for name in [name for name in renamed if f".{first}." in name]:
            parts = [renamed.pop(name.replace(first, part)) for part in (first, *others)]
            renamed[name.replace(first, whole)] = torch.cat(parts)
    return renamed

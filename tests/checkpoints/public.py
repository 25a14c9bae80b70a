"""Tiny random checkpoints in the public layouts, written by transformers' own classes where it has
them, and by hand in the names of the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    Pix2StructConfig,
    Pix2StructForConditionalGeneration,
    PreTrainedModel,
    SamConfig,
    SamModel,
)

from openmova.checkpoints.encoder_layouts import config_sizes
from openmova.checkpoints.tiny import WIDTH, tiny_mova
from openmova.experts import Expert, build_expert
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration

PICTURE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 7,
}
CLIP_SIZES = {**PICTURE, "intermediate_size": 48}
SAM_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 64,
    "patch_size": 16,
    "window_size": 3,
    "global_attn_indexes": [1],
    "output_channels": 8,
    "mlp_dim": 64,
    "num_pos_feats": 4,
}
SAM_SPEC = config_sizes("sam", SAM_SIZES)
"""The same as keywords of ours: SAM's own files don't tell their sizes."""
TEXT = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}


def random_weights(model: nn.Module, seed: int = 0) -> None:
    """The same ones in every model of this kind, also where it starts at zeros or ones."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            values = torch.randn(parameter.shape, generator=random)
            parameter.copy_(0.2 * values if parameter.ndim > 1 else 0.5 + 0.1 * values)


def save_tiny_mova(folder: Path) -> Path:
    """A model of three experts whose adapter is not that of the start."""
    mova, processor = tiny_mova()
    random_weights(mova.model.adapter)
    mova.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_tiny_mova_with_names(folder: Path) -> Path:
    """The tiny model with an object expert in place of its last one."""
    start, processor = tiny_mova()
    processor.save_pretrained(folder)
    stated = start.config.to_dict()
    words = {"tokenizer": str(folder / "tokenizer.json"), "width": WIDTH, "grid": [8, 8]}
    named = {"kind": "object", "name": "object", "descriptions": ["This model names things."]}
    stated["experts"][-1] = {**named, **words, "size": 32}
    stated["adapter"]["expert_channels"] = [*stated["adapter"]["expert_channels"][:-1], WIDTH]
    torch.manual_seed(0)
    mova = MovaForConditionalGeneration(MovaConfig.from_dict(stated))
    mova.generation_config = start.generation_config
    codes: Any = mova.model.experts.get(len(stated["experts"]) - 1).codes
    codes.fit(torch.randn(len(codes.table), WIDTH))
    mova.save_pretrained(folder)
    return folder


def clip() -> CLIPModel:
    return filled(CLIPModel(CLIPConfig(vision_config=CLIP_SIZES, text_config=TEXT)))


def clip_vision() -> CLIPVisionModel:
    return filled(CLIPVisionModel(CLIPVisionConfig(**CLIP_SIZES)))


def dinov2(**changes: Any) -> Dinov2Model:
    return filled(Dinov2Model(Dinov2Config(**{**PICTURE, "use_swiglu_ffn": True, **changes})))


def sam() -> SamModel:
    few = {"hidden_size": 8, "mlp_dim": 8, "num_attention_heads": 1, "num_hidden_layers": 1}
    config = SamConfig(
        vision_config=SAM_SIZES,
        prompt_encoder_config={"hidden_size": 8, "image_size": 64, "patch_size": 16},
        mask_decoder_config={**few, "iou_head_hidden_dim": 8},
    )
    return filled(SamModel(config))


def pix2struct() -> Pix2StructForConditionalGeneration:
    vision = {
        "hidden_size": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "seq_len": 32,
        "patch_embed_hidden_size": 3 * 16 * 16,
    }
    text = {"hidden_size": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    config = Pix2StructConfig(vision_config=vision, text_config={**text, "vocab_size": 20})
    return filled(Pix2StructForConditionalGeneration(config))


def bert() -> BertForMaskedLM:
    return filled(BertForMaskedLM(BertConfig(**TEXT, max_position_embeddings=64)))


def filled(model: Any) -> Any:
    random_weights(model)
    return model.eval()


def save_as_pickle(model: PreTrainedModel, folder: Path) -> None:
    """As older checkpoints are: the state dict under the public names, and config.json."""
    model.save_pretrained(folder)
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")


def under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def sam_file(path: Path) -> Expert:
    """The original release of SAM: one .pth with its own names, which are ours; the encoder."""
    encoder = filled(build_expert({"kind": "sam", "name": "sam", "descriptions": [""], **SAM_SPEC}))
    others = {"mask_decoder.iou_token.weight": torch.zeros(1, 8)}
    torch.save(under("image_encoder.", encoder.state_dict()) | others, path)
    return encoder

"""The paper's encoders and MoVA-8B at full size, as data: specs, order of the pool, sizes.

Encoders: paper, table 12; views and layers as the released code has them. The descriptions are
those of the released routing prompt, which never name a model.
"""

from typing import Any

CLIP: dict[str, Any] = {
    "kind": "clip",
    "name": "clip",
    "descriptions": ["This model understands the content of natural images as a whole."],
    "width": 1024,
    "layers": 24,
    "heads": 16,
    "mlp": 4096,
    "patch": 14,
    "size": 672,
    "select_layer": -2,
}
"""The base encoder, CLIP ViT-L/14-336 run at 672 pixels. The router is not told of it."""
CLIP_PUBLISHED_SIZE = 336

_SAM = {"kind": "sam", "patch": 16, "size": 1024, "window": 14, "neck": 256}
_PIX2STRUCT = {
    "kind": "pix2struct",
    "head_dim": 64,
    "positions": 4096,
    "patch": 16,
    "max_patches": 2025,
}
SAM_SIZES: dict[int, dict[str, Any]] = {
    width: {
        "width": width,
        "layers": layers,
        "heads": heads,
        "mlp": 4 * width,
        "global_layers": [layers // 4 * (i + 1) - 1 for i in range(4)],
    }
    for width, layers, heads in ((768, 12, 12), (1024, 24, 16), (1280, 32, 16))
}
"""What differs between SAM's three published sizes, B, L and H, by their width."""

EXPERTS: dict[str, dict[str, Any]] = {
    "dinov2": {
        "kind": "dinov2",
        "descriptions": [
            "This model can effectively extract the accurate spatial and semantic information "
            "from natural images."
        ],
        "width": 1536,
        "layers": 40,
        "heads": 24,
        "mlp": 4096,
        "patch": 14,
        "size": 518,
        "table": 37,
        "view_size": 672,
        "select_layer": -2,
    },
    "vary": {
        "descriptions": [
            "This model can handle images with text accurately and efficiently but fails to "
            "process natural images."
        ],
        **_SAM,
        **SAM_SIZES[768],
        "downsample": 512,
    },
    "codetr": {
        "kind": "codetr",
        "descriptions": [
            "This model is a state-of-the-art object detector that can identify objects in images."
        ],
        "width": 1024,
        "layers": 24,
        "heads": 16,
        "mlp": 2730,
        "patch": 16,
        "size": 1280,
        "table": 80,
        "view_size": 1024,
        "window": 16,
        "global_layers": [5, 11, 17, 23],
        "neck": 256,
        "output_grid": 37,
    },
    "pix2struct": {
        "descriptions": [
            "This model shows remarkable skill in text recognition, attaining top-tier text "
            "analysis outcomes across diverse areas"
        ],
        **_PIX2STRUCT,
        "width": 1536,
        "layers": 18,
        "heads": 24,
        "mlp": 3968,
    },
    "deplot": {
        "descriptions": [
            "This model is a specialized model designed to achieve state-of-the-art plot and "
            "chart understanding performance."
        ],
        **_PIX2STRUCT,
        "width": 768,
        "layers": 12,
        "heads": 12,
        "mlp": 2048,
    },
    "biomedclip": {
        "kind": "vit",
        "descriptions": [
            "This model is a foundation model designed for biomedical vision-language processing."
        ],
        "width": 768,
        "layers": 12,
        "heads": 12,
        "mlp": 3072,
        "patch": 16,
        "size": 224,
        "view_size": 672,
    },
    "sam": {
        "descriptions": [
            "This model is a leading image segmentation framework and achieves strong zero-shot "
            "segmentation performance."
        ],
        **_SAM,
        **SAM_SIZES[1280],
    },
}
"""The seven experts by name, without the name in the spec (see `pool`)."""
RELEASED_ORDER = tuple(EXPERTS)
"""The released checkpoint's letters A to G."""

_LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
LLAMA3_8B: dict[str, Any] = {
    **_LLAMA,
    "vocab_size": 128256,
    "intermediate_size": 14336,
    "max_position_embeddings": 8192,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
    "bos_token_id": 128000,
    "eos_token_id": 128001,
}
VICUNA_7B: dict[str, Any] = {
    **_LLAMA,
    "vocab_size": 32000,
    "intermediate_size": 11008,
    "num_key_value_heads": 32,
}
YI_34B: dict[str, Any] = {
    **_LLAMA,
    "vocab_size": 64000,
    "hidden_size": 7168,
    "intermediate_size": 20480,
    "num_hidden_layers": 60,
    "num_attention_heads": 56,
    "rope_parameters": {"rope_type": "default", "rope_theta": 5000000.0},
}
"""Nous-Hermes-2-Yi-34B."""
BERT_LARGE: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}
"""The gate's text encoder, bert-large-uncased."""


def pool() -> list[dict[str, Any]]:
    """The specs of the seven experts in the released order, each with its name."""
    return [{"name": name, **EXPERTS[name]} for name in RELEASED_ORDER]


def map_channels(spec: dict[str, Any]) -> int:
    """The channels of the map that an encoder of the paper gives."""
    return spec.get("downsample") or spec.get("neck") or spec["width"]


def mova_8b() -> dict[str, Any]:
    """The keywords of MoVA-8B's `MovaConfig`: Llama-3-8B, CLIP at 672 pixels, seven experts."""
    return {
        "text_config": LLAMA3_8B,
        "base": CLIP,
        "experts": pool(),
        "adapter": {"expert_channels": [map_channels(spec) for spec in pool()]},
        "gate_text_config": BERT_LARGE,
        "image_token_id": LLAMA3_8B["vocab_size"],  # added behind: beyond the embedding
    }

"""How the paper's encoders are published: the names of their checkpoints, as a table.

Our modules have the parameter names of the public checkpoints, so most layouts only take a prefix
off. A new layout of a known kind is one more entry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BERT = "bert"
"""The kind of the gate's text encoder, which is no expert."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way in which an encoder is published."""

    title: str
    kind: str
    sign: str
    """A key, after the prefix, that no other layout has."""
    prefixes: Sequence[str] = ("",)
    """What its keys may begin with; the first that fits counts."""
    renames: Sequence[tuple[str, str]] = ()
    """Patterns in its keys, and what we say instead."""
    sizes: Mapping[str, str] = field(default_factory=dict)
    """Our keyword -> that of config.json, for what the shapes don't tell."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """What our module computes with; a config.json that says otherwise is refused."""

    def prefix(self, keys: Mapping[str, Any]) -> str | None:
        """What the encoder's keys begin with; None if it isn't there."""
        return next((prefix for prefix in self.prefixes if prefix + self.sign in keys), None)

    def our_name(self, key: str) -> str:
        """Our name for a key without its prefix."""
        for pattern, ours in self.renames:
            key = re.sub(pattern, ours, key)
        return key


LAYOUTS: tuple[Layout, ...] = (
    Layout(
        title="CLIP",
        kind="clip",
        sign="pre_layrnorm.weight",
        prefixes=("vision_model.", ""),
        sizes={"heads": "num_attention_heads"},
        fixed={"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
    ),
    Layout(
        title="DINOv2",
        kind="dinov2",
        sign="encoder.layer.0.layer_scale1.lambda1",
        prefixes=("", "dinov2."),
        sizes={"heads": "num_attention_heads"},
        fixed={"layer_norm_eps": 1e-6, "use_swiglu_ffn": True},
    ),
    Layout(
        title="SAM or Vary",
        kind="sam",
        sign="blocks.0.attn.rel_pos_h",
        prefixes=("image_encoder.", "model.vision_tower_high.", "model.vision_tower.", ""),
    ),
    Layout(
        title="SAM of transformers",
        kind="sam",
        sign="layers.0.attn.rel_pos_h",
        prefixes=("vision_encoder.",),
        renames=(
            (r"^patch_embed\.projection\.", "patch_embed.proj."),
            (r"^layers\.(\d+)\.layer_norm(\d)\.", r"blocks.\1.norm\2."),
            (r"^layers\.", "blocks."),
            (r"^neck\.conv1\.", "neck.0."),
            (r"^neck\.layer_norm1\.", "neck.1."),
            (r"^neck\.conv2\.", "neck.2."),
            (r"^neck\.layer_norm2\.", "neck.3."),
        ),
        fixed={"hidden_act": "gelu", "layer_norm_eps": 1e-6},
    ),
    Layout(
        title="Co-DETR",
        kind="codetr",
        sign="blocks.0.attn.q_bias",
        prefixes=("module.backbone.", "backbone.", "module.", ""),
    ),
    Layout(
        title="BiomedCLIP, or another vision transformer of timm",
        kind="vit",
        sign="cls_token",
        prefixes=("visual.trunk.", "trunk.", ""),
    ),
    Layout(
        title="Pix2Struct or Deplot",
        kind="pix2struct",
        sign="embeddings.row_embedder.weight",
        prefixes=("encoder.", ""),
        sizes={"head_dim": "d_kv"},
        fixed={"dense_act_fn": "gelu_new", "layer_norm_eps": 1e-6},
    ),
    Layout(
        title="BERT",
        kind=BERT,
        sign="embeddings.word_embeddings.weight",
        prefixes=("bert.", ""),
        renames=(
            (r"LayerNorm\.gamma$", "LayerNorm.weight"),
            (r"LayerNorm\.beta$", "LayerNorm.bias"),
        ),
    ),
)

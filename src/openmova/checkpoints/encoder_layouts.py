"""How the paper's encoders are published: the names and sizes of their checkpoints, as a table.

Our modules have the parameter names of the public checkpoints, so most layouts only take a prefix
off. Sizes are those of config.json where transformers writes one, else the published ones
(mova_specs.py). A new layout of a known kind is one more entry.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import (
    BertConfig,
    CLIPVisionConfig,
    Dinov2Config,
    Pix2StructVisionConfig,
    PreTrainedConfig,
    SamVisionConfig,
)

from openmova.checkpoints.mova_specs import BERT_LARGE
from openmova.experts.transformer import count_layers

BERT = "bert"
"""The kind of the gate's text encoder, which is no expert."""
RECOMPUTED = "recomputed when the model is built"
_RECOMPUTED = re.compile(
    r"(.*\.)?(position_ids|inv_freq|relative_position_index|(cos|sin)_cached|freqs_(cos|sin))"
)
_LATE = "not used: the map is the hidden state {select_layer}"
_UNUSED: dict[str, tuple[str, str]] = {
    "clip": (r"post_layernorm\.(weight|bias)", _LATE),
    "dinov2": (r"layernorm\.(weight|bias)|embeddings\.mask_token", _LATE),
    "vit": (r"head\..*|fc_norm\..*", "not used: the map is made of the patches, before the head"),
    "sam": (r"net_3\..*", "not used: the map is what net_2 gives"),
    BERT: (r"pooler\..*", "not used: the gate reads the first token itself"),
}
"""Of a kind: names that no map needs, and why."""


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
    config: type[PreTrainedConfig] | None = None
    """Of transformers, if it is published with a config.json."""
    sizes: Mapping[str, str | Callable[[Any], object]] = field(default_factory=dict)
    """The keywords of our module: what that config calls them, or how they follow from it."""
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


def recomputed(name: str) -> bool:
    """Whether a tensor is a table that the model makes for itself."""
    return bool(_RECOMPUTED.fullmatch(name))


def unused(kind: str, name: str, spec: Mapping[str, Any]) -> str | None:
    """Why an encoder does without one of its public checkpoint's tensors; None: it does not.

    name: ours; spec: of the encoder, for its layers.
    """
    if recomputed(name):
        return RECOMPUTED
    if kind not in _UNUSED:
        return None
    pattern, reason = _UNUSED[kind]
    if "select_layer" in spec:
        layer = re.match(r"encoder\.layers?\.(\d+)\.", name)
        built = count_layers(spec["name"], spec["layers"], spec["select_layer"])
        if layer and built <= int(layer[1]) < spec["layers"]:
            return reason.format(**spec)
    return reason.format(**spec) if re.fullmatch(pattern, name) else None


def config_sizes(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes that a config.json of transformers says of an encoder of a kind."""
    for layout in LAYOUTS:
        if layout.kind == kind and layout.config is not None:
            config = layout.config(**settings.get("vision_config", settings))
            found = {
                ours: getattr(config, theirs) if isinstance(theirs, str) else theirs(config)
                for ours, theirs in layout.sizes.items()
            }
            return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}
    return {}


def _swiglu_width(config: Any) -> int:
    """Two thirds of a plain MLP's, in whole eights."""
    return math.ceil(int(config.hidden_size * config.mlp_ratio) * 2 // 3 / 8) * 8


_TRANSFORMER = {
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
}
_PICTURE = {**_TRANSFORMER, "patch": "patch_size", "size": "image_size"}

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        title="CLIP",
        kind="clip",
        sign="pre_layrnorm.weight",
        prefixes=("vision_model.", ""),
        config=CLIPVisionConfig,
        sizes={**_PICTURE, "mlp": "intermediate_size"},
        fixed={"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
    ),
    Layout(
        title="DINOv2",
        kind="dinov2",
        sign="encoder.layer.0.layer_scale1.lambda1",
        prefixes=("", "dinov2."),
        config=Dinov2Config,
        sizes={
            **_PICTURE,
            "mlp": _swiglu_width,
            "table": lambda config: config.image_size // config.patch_size,
        },
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
        config=SamVisionConfig,
        sizes={
            **_PICTURE,
            "mlp": "mlp_dim",
            "window": "window_size",
            "global_layers": "global_attn_indexes",
            "neck": "output_channels",
        },
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
        config=Pix2StructVisionConfig,
        sizes={
            **_TRANSFORMER,
            "head_dim": "d_kv",
            "mlp": "d_ff",
            "positions": "seq_len",
            "patch": lambda config: math.isqrt(config.patch_embed_hidden_size // 3),  # of 3 colours
        },
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
        config=BertConfig,
        sizes={key: key for key in BERT_LARGE},
    ),
)

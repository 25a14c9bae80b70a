"""The released MoVA's layout (LLaVA-style names): what its keys are called here, and its config.

Names and shapes decide everything: the sizes of the eight towers, the adapter and the question's
encoder come from the tensors, the language model's from config.json. Every key of the checkpoint is
taken, or dropped for a reason; any other is an error (behaviour, sections 5 and 8).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import LlamaConfig

from openmova.checkpoints import mova_specs
from openmova.checkpoints.layouts import RECOMPUTED, Measure, encoder_sizes, recomputed, unused
from openmova.checkpoints.plan import Drop, Plan, Take, expert_place, plan_names
from openmova.checkpoints.released import ADAPTER_PREFIX, TEXT_ENCODER_PREFIX, released_names
from openmova.checkpoints.tensors import TensorInfo, Tensors
from openmova.errors import UserError
from openmova.experts.registry import build_expert
from openmova.model.adapter import AdapterConfig, MoVAdapter
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration

TOWER = re.compile(r"model\.vision_tower\.vision_tower_(\d+)\.(.+)")
TOWERS = ("clip", *mova_specs.RELEASED_ORDER)
"""The release's towers by number."""
TOWER_PREFIXES = {"clip": "vision_model.", "biomedclip": "trunk."}
"""What stands before the encoder's own names in some towers."""
TEXT_ENCODER = ADAPTER_PREFIX + TEXT_ENCODER_PREFIX
PROJECTOR = "mov_adapter"
HEAD_DIM = 128
"""Of a Llama, where there is no config.json to tell."""
TIED = "tied to the embeddings"
_LLAMA_FIELDS = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "num_key_value_heads", "max_position_embeddings", "rms_norm_eps"),
    *("hidden_act", "attention_bias", "mlp_bias", "head_dim", "initializer_range"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings"),
)

Names = Mapping[str, TensorInfo]


@dataclass(frozen=True, kw_only=True)
class ReleasedViews:
    """How the release's processors make the views: keywords of the experts, by name."""

    frame: str = "pad"
    """Of pictures that are not square: "pad" or "crop"."""
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def is_release(config: Mapping[str, Any] | None, names: Names) -> bool:
    """Whether a checkpoint is of the released layout, by its config.json or by its keys."""
    named = config is not None and config.get("mm_projector_type") == PROJECTOR
    return named or any(TOWER.fullmatch(name) for name in names)


def plan_release(
    config: Mapping[str, Any] | None,
    tensors: Tensors,
    *,
    views: ReleasedViews | None = None,
    dtype: str | None = None,
) -> tuple[MovaConfig, Plan]:
    """Our config of a released checkpoint, and what becomes of every tensor.

    config: its config.json, or None where there are only names and shapes; views: what the folders
    of its towers say of preprocessing; dtype: of the floating tensors, default as they are.
    The plan holds what does not fit; `Plan.check` raises it. Raises UserError where config.json is
    of another model.
    """
    names = tensors.names()
    if config is not None:
        _check_config(config, names)
    ours = _config(config or {}, names, views or ReleasedViews())
    plan = plan_names(names, _fates(names, ours), expected_places(ours), dtype=dtype)
    types = Counter(entry.dtype for entry in plan.entries)
    if types:
        ours.dtype = getattr(torch, types.most_common(1)[0][0])
        ours.text_config.dtype = ours.dtype
    return ours, plan


def expected_places(config: MovaConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that a checkpoint of this config holds, with its shape; none is allocated."""
    with torch.device("meta"):
        state = MovaForConditionalGeneration(config).state_dict()
        experts = {spec["name"]: build_expert(spec).state_dict() for spec in config.experts}
    if config.tie_word_embeddings:
        del state["lm_head.weight"]
    places = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for expert, own in experts.items():
        places |= {expert_place(expert, name): tuple(t.shape) for name, t in own.items()}
    return places


def _fates(names: Names, config: MovaConfig) -> dict[str, Take | Drop]:
    """What becomes of every key that is known."""
    with torch.device("meta"):
        adapter = MoVAdapter(config.adapter).state_dict()
    fates: dict[str, Take | Drop] = {
        ADAPTER_PREFIX + released: Take(place=f"model.adapter.{ours}")
        for ours, released in released_names(adapter).items()
    }
    specs = (config.base, *config.experts)
    for key in names:
        if recomputed(key):
            fates[key] = Drop(reason=RECOMPUTED)
        elif tower := TOWER.fullmatch(key):
            number, name = int(tower[1]), tower[2]
            if number < len(specs):
                _add_tower_key(fates, key, name, specs[number], is_base=number == 0)
        elif key.startswith(TEXT_ENCODER):
            fates[key] = Take(place=f"model.gate_text_encoder.{key.removeprefix(TEXT_ENCODER)}")
        elif key == "lm_head.weight":
            tied = config.tie_word_embeddings
            fates[key] = Drop(reason=TIED) if tied else Take(place=key)
        elif key.startswith("model.") and key not in fates:
            fates[key] = Take(place=f"model.language_model.{key.removeprefix('model.')}")
    return fates


def _add_tower_key(
    fates: dict[str, Take | Drop], key: str, name: str, spec: Mapping[str, Any], *, is_base: bool
) -> None:
    name = name.removeprefix(TOWER_PREFIXES.get(spec["name"], ""))
    if reason := unused(spec["kind"], name, spec):
        fates[key] = Drop(reason=reason)
    else:
        place = f"model.base.{name}" if is_base else expert_place(spec["name"], name)
        fates[key] = Take(place=place)


def _config(config: Mapping[str, Any], names: Names, views: ReleasedViews) -> MovaConfig:
    measure = _measure(names)
    text = _text_config(config, measure)
    bert = _bert_config(measure)
    base, *experts = _specs(config, names, views)
    blocks = measure.layers(re.escape(ADAPTER_PREFIX) + r"blocks\.(\d+)\.")
    grid = base["size"] // base["patch"]
    if config.get("image_feat_size", grid) != grid:
        raise UserError(
            f"config.json says image_feat_size {config['image_feat_size']}, but CLIP's position "
            f"table is for {grid}: take the config.json that belongs to the weights"
        )
    routing_side = math.isqrt(config.get("num_routing_tokens", 144))
    return MovaConfig(
        architectures=["MovaForConditionalGeneration"],
        text_config=text,
        base=base,
        experts=experts,
        adapter={
            "width": base["width"],
            "expert_channels": [_channels(spec) for spec in experts],
            "text_width": bert["hidden_size"],
            "output_width": text["hidden_size"],
            "grid": (grid, grid),
            "blocks": AdapterConfig().blocks if blocks is None else blocks,
            "top_k": config.get("topk_experts", config.get("topk", AdapterConfig().top_k)),
        },
        gate_text_config=bert,
        routing={"grid": (routing_side, routing_side)},
        image_token_id=text["vocab_size"],
        box_frame="pad" if views.frame == "pad" else "image",
    )


def _specs(config: Mapping[str, Any], names: Names, views: ReleasedViews) -> list[dict[str, Any]]:
    """The base's spec and the experts', with the sizes of the tensors."""
    shapes: dict[str, dict[str, tuple[int, ...]]] = {tower: {} for tower in TOWERS}
    for key, info in names.items():
        match = TOWER.fullmatch(key)
        if match and int(match[1]) < len(TOWERS):
            tower = TOWERS[int(match[1])]
            shapes[tower][match[2].removeprefix(TOWER_PREFIXES.get(tower, ""))] = info.shape
    side = _measure(names).side(f"{ADAPTER_PREFIX}pos_embed", 1)
    clip = mova_specs.CLIP
    if side is not None:  # CLIP's own table may be missing
        clip = clip | {"size": side * clip["patch"]}
    specs = []
    for known in (clip, *mova_specs.pool()):
        spec = known | encoder_sizes(known["kind"], shapes[known["name"]], known)
        if "select_layer" in spec:
            spec["select_layer"] = config.get("mm_vision_select_layer", spec["select_layer"])
        specs.append(spec)
    by_name = {spec["name"]: spec for spec in specs}
    for spec in specs:
        if "view_size" in spec:  # the picture that it shares with another tower
            spec["view_size"] = by_name["vary" if spec["kind"] == "codetr" else "clip"]["size"]
        if views.frame != "pad":
            spec["frame"] = "none" if spec["kind"] == "pix2struct" else views.frame
        spec |= views.changes.get(spec["name"], {})
    return specs


def _text_config(config: Mapping[str, Any], measure: Measure) -> dict[str, Any]:
    """The language model's config: of config.json, and without one of the shapes."""
    text = {**mova_specs.LLAMA3_8B, **{k: config[k] for k in _LLAMA_FIELDS if k in config}}
    if "rope_parameters" in config:
        text["rope_parameters"] = config["rope_parameters"]
    elif "rope_theta" in config:
        scaling = config.get("rope_scaling") or {}
        llama = LlamaConfig(rope_theta=config["rope_theta"], rope_scaling=dict(scaling) or None)
        text["rope_parameters"] = llama.to_dict()["rope_parameters"]
    if not config:
        text |= _measured(measure)
        keys = measure.common(r"model\.layers\.\d+\.self_attn\.k_proj\.weight", 0)
        if keys is not None:
            both = math.gcd(text["hidden_size"], keys)
            head_dim = HEAD_DIM if both % HEAD_DIM == 0 else both
            text["num_attention_heads"] = text["hidden_size"] // head_dim
            text["num_key_value_heads"] = keys // head_dim
    return text


def _measure(names: Names) -> Measure:
    return Measure({name: info.shape for name, info in names.items()})


def _measured(measure: Measure) -> dict[str, int]:
    """What the shapes tell of the language model."""
    found = {
        "vocab_size": measure.common(r"model\.embed_tokens\.weight|lm_head\.weight", 0),
        "hidden_size": measure.common(r"model\.layers\.\d+\.\w+_layernorm\.weight", 0),
        "intermediate_size": measure.common(r"model\.layers\.\d+\.mlp\.gate_proj\.weight", 0),
        "num_hidden_layers": measure.layers(r"model\.layers\.(\d+)\."),
    }
    return {key: value for key, value in found.items() if value is not None}


def _bert_config(measure: Measure) -> dict[str, Any]:
    """The question's encoder, from the shapes."""
    start = re.escape(TEXT_ENCODER)
    hidden = measure.common(start + r"(.+\.)?LayerNorm\.\w+", 0)
    found = {
        "vocab_size": measure.common(start + r"embeddings\.word_embeddings\.weight", 0),
        "hidden_size": hidden,
        "num_hidden_layers": measure.layers(start + r"encoder\.layer\.(\d+)\."),
        "num_attention_heads": None if hidden is None else max(hidden // 64, 1),
        "intermediate_size": measure.common(
            start + r"encoder\.layer\.\d+\.intermediate\.dense\.\w+", 0
        ),
        "max_position_embeddings": measure.common(
            start + r"embeddings\.position_embeddings\.weight", 0
        ),
        "type_vocab_size": measure.common(start + r"embeddings\.token_type_embeddings\.weight", 0),
    }
    return mova_specs.BERT_LARGE | {k: value for k, value in found.items() if value is not None}


def _check_config(config: Mapping[str, Any], names: Names) -> None:
    """Raises UserError if config.json is of another model, or of one that can't be run."""
    remedy = "take the config.json that belongs to the weights"
    if config.get("mm_projector_type") != PROJECTOR:
        raise UserError(
            f"config.json is of another model (model_type {config.get('model_type')!r}, "
            f"mm_projector_type {config.get('mm_projector_type')!r} instead of {PROJECTOR!r}): "
            f"{remedy}"
        )
    towers = config.get("mm_vision_tower", TOWERS)
    if isinstance(towers, str) or len(towers) != len(TOWERS):
        raise UserError(
            f"config.json names other towers in mm_vision_tower than the {len(TOWERS)} of MoVA: "
            f"{remedy}"
        )
    if config.get("mm_vision_select_feature", "patch") != "patch":
        raise UserError(
            "config.json asks for mm_vision_select_feature "
            f"{config['mm_vision_select_feature']!r}: only 'patch' can be converted"
        )
    if config.get("mm_use_im_start_end"):
        raise UserError(
            "config.json sets mm_use_im_start_end, which puts tokens around the picture that the "
            "released prompts have not: only a model without them can be converted"
        )
    for field_name, size in _measured(_measure(names)).items():
        if field_name in config and config[field_name] != size and field_name != "vocab_size":
            raise UserError(
                f"config.json says {field_name} {config[field_name]}, but the tensors of "
                f"model.layers have {size}: it is of another model; {remedy}"
            )


def _channels(spec: Mapping[str, Any]) -> int:
    """Of the map that an expert gives."""
    return spec.get("downsample") or spec.get("neck") or spec["width"]

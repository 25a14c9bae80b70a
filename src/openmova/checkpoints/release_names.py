"""The parameter names of the released MoVA's adapter, and ours for them.

Only names differ: no weight changes its shape or values. The rotary tables of the released
checkpoint are left out, because they are recomputed (behaviour 8.3). The question encoder, which
the release keeps inside the adapter, is MovaModel's `gate_text_encoder` here.
"""

import re
from collections.abc import Iterable, Mapping

ADAPTER_PREFIX = "model.mm_projector."  # of every name below, in the whole checkpoint
TEXT_ENCODER_PREFIX = "text_encoder.bert."  # then the names of transformers' BertModel

# Released module path -> ours; "#" stands for an index that both carry.
ATTENTION_NAMES: Mapping[str, str] = {
    "q_proj": "q_proj",
    "k_proj": "k_proj",
    "v_proj": "v_proj",
    "inner_attn_ln": "norm",
    "proj": "out_proj",
}
BLOCK_NAMES: Mapping[str, str] = {
    **{f"cross_attn.#.{a}": f"extractors.#.attention.{b}" for a, b in ATTENTION_NAMES.items()},
    "norm1.#": "extractors.#.query_norm",
    "norm2.#": "extractors.#.expert_norm",
    **{f"self_attn.{a}": f"attention.{b}" for a, b in ATTENTION_NAMES.items()},
    "norm3": "attention_norm",
    "norm4": "mlp_norm",
    "mlp.w1": "mlp.gate_proj",
    "mlp.w2": "mlp.up_proj",
    "mlp.ffn_ln": "mlp.norm",
    "mlp.w3": "mlp.down_proj",
    "gate.0": "gate.hidden",
    "gate.2": "gate.score",
}
_STAGE = {
    "conv1.conv": "conv_in",
    "conv1.bn": "norm_in",
    "conv2.conv": "conv_mid",
    "conv2.bn": "norm_mid",
    "se.fc1": "squeeze",
    "se.fc2": "excite",
    "conv3.conv": "conv_out",
    "conv3.bn": "norm_out",
}
ADAPTER_NAMES: Mapping[str, str] = {
    **{f"blocks.#.{a}": f"blocks.#.{b}" for a, b in BLOCK_NAMES.items()},
    **{f"downsample.0.b1.{a}": f"before_pool.{b}" for a, b in _STAGE.items()},
    **{f"downsample.2.b1.{a}": f"after_pool.{b}" for a, b in _STAGE.items()},
    "mlp.0": "projector.0",
    "mlp.2": "projector.2",
    "pos_embed": "position",
}


def released_names(ours: Iterable[str], names: Mapping[str, str] = ADAPTER_NAMES) -> dict[str, str]:
    """Our parameter name -> the released one. Raises KeyError for a name that no table has."""
    patterns = {
        re.compile(re.escape(new).replace(r"\#", r"(\d+)") + r"(\.weight|\.bias|)"): old
        for old, new in names.items()
    }

    def released(name: str) -> str:
        for pattern, old in patterns.items():
            if match := pattern.fullmatch(name):
                *indices, suffix = match.groups()
                return old.replace("#", "{}").format(*indices) + suffix
        raise KeyError(f"no adapter parameter of the release is called: {name}")

    return {name: released(name) for name in ours}

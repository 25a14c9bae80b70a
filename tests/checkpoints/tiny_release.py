"""A folder laid out as the released MoVA-8B is, of a few thousand random numbers.

The names are those of the release, written down here once more; sizes and numbers of layers are
small, and `published` puts them in the place of the published ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from openmova.checkpoints import mova_specs

W = 64  # width of everything
HIDDEN = int(W * 8 / 3)
SPECIAL = (
    *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
    "<|eot_id|>",
)
VOCABULARY = 256 + len(SPECIAL)
QUESTION_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "question", "0", ":", "what", "is"]
GRID = 4  # of CLIP and of the adapter
EXPERT_CHANNELS = (W, 24, 12, W, W, W, 16)
Shapes = Iterator[tuple[str, tuple[int, ...]]]
_TRANSFORMER = {"width": W, "layers": 2, "heads": 1, "mlp": 96}
_SAM = {**_TRANSFORMER, "heads": 2, "size": 64, "window": 2, "global_layers": [1], "neck": 16}
_PIX2STRUCT = {**_TRANSFORMER, "layers": 1, "positions": 20}
SIZES: dict[str, dict[str, Any]] = {
    "clip": {**_TRANSFORMER, "layers": 3, "size": 14 * GRID},
    "dinov2": {**_TRANSFORMER, "mlp": 48, "size": 42, "table": 3},
    "vary": {**_SAM, "downsample": EXPERT_CHANNELS[1]},
    "codetr": {
        **_TRANSFORMER,
        "mlp": 50,
        "size": 64,
        "table": 3,
        "window": 2,
        "global_layers": [1],
        "neck": EXPERT_CHANNELS[2],
    },
    "pix2struct": _PIX2STRUCT,
    "deplot": _PIX2STRUCT,
    "biomedclip": {**_TRANSFORMER, "layers": 1, "size": 32},
    "sam": _SAM,
}
BERT = {
    "vocab_size": len(QUESTION_WORDS),
    "hidden_size": W,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 96,
}


@contextmanager
def published() -> Iterator[None]:
    """The sizes of the tiny release are taken for the published ones."""
    known = mova_specs.EXPERTS
    language = {key: config()[key] for key in mova_specs.LLAMA3_8B if key in config()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mova_specs, "CLIP", mova_specs.CLIP | SIZES["clip"])
        patch.setattr(mova_specs, "EXPERTS", {name: known[name] | SIZES[name] for name in known})
        patch.setattr(mova_specs, "BERT_LARGE", mova_specs.BERT_LARGE | BERT)
        patch.setattr(
            mova_specs, "LLAMA3_8B", mova_specs.LLAMA3_8B | language | {"model_type": "llama"}
        )
        yield


def config() -> dict[str, Any]:
    """The fields of the released config.json."""
    return {
        "architectures": ["MovaLlamaForCausalLM"],
        "model_type": "mova_llama",
        "vocab_size": VOCABULARY,
        "hidden_size": W,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "rope_scaling": None,
        "hidden_act": "silu",
        "bos_token_id": 256,
        "eos_token_id": 257,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.37.2",
        "image_aspect_ratio": "pad",
        "image_feat_size": GRID,
        "expert_channels": list(EXPERT_CHANNELS),
        "topk_experts": 2,
        "num_projector_layers": 2,
        "num_routing_tokens": 1,
        "mm_projector_freeze_text_encoder": True,
        "mm_projector_text_encoder": "checkpoints/bert",
        "mm_hidden_size": W,
        "mm_projector_type": "mov_adapter",
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": [
            *("towers/clip", "towers/dinov2", "towers/vary", "towers/codetr.pth"),
            *("towers/pix2struct", "towers/deplot", "towers/biomedclip", "towers/sam.pth"),
        ],
        "tokenizer_model_max_length": 4096,
        "tokenizer_padding_side": "right",
    }


def shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor of the tiny release."""
    found = dict(_language_model())
    for number, tower in enumerate(
        (_clip, _dinov2, _vary, _codetr, _pix2struct, _pix2struct, _biomedclip, _sam)
    ):
        start = f"model.vision_tower.vision_tower_{number}."
        found |= {start + name: shape for name, shape in tower()}
    found |= {f"model.mm_projector.{name}": shape for name, shape in _adapter()}
    start = "model.mm_projector.text_encoder.bert."
    return found | {start + name: shape for name, shape in _bert()}


def state(seed: int = 0, dtype: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
    """Random tensors, small enough for numbers to stay numbers."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (torch.randn(shape, generator=generator) * 0.1 + (len(shape) == 1)).to(dtype)
        for name, shape in shapes().items()
    }


def write_release(folder: Path, tensors: dict[str, Tensor] | None = None, shards: int = 2) -> Path:
    """The whole folder: shards with their index, config, tokenizers, and the towers' processors."""
    folder.mkdir(parents=True)
    tensors = state() if tensors is None else tensors
    names = list(tensors)
    weight_map = {}
    for number in range(shards):
        own = names[number::shards]
        file = f"pytorch_model-{number + 1:05d}-of-{shards:05d}.bin"
        torch.save({name: tensors[name] for name in own}, folder / file)
        weight_map |= dict.fromkeys(own, file)
    _write(folder / "pytorch_model.bin.index.json", {"metadata": {}, "weight_map": weight_map})
    _write(folder / "config.json", config())
    _write_tokenizer(folder)
    question = folder / "checkpoints" / "bert"
    question.mkdir(parents=True)
    (question / "vocab.txt").write_text("\n".join(QUESTION_WORDS) + "\n")
    for tower, fields in (
        ("vary", {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25] * 3, "resample": 2}),
        ("pix2struct", {"max_patches": 9}),
    ):
        (folder / "towers" / tower).mkdir(parents=True)
        _write(folder / "towers" / tower / "preprocessor_config.json", fields)
    return folder


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def _write_tokenizer(folder: Path) -> None:
    """Bytes and Llama-3's special tokens, in the files of the time."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {letter: number for number, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    fields = {"bos_token": SPECIAL[0], "eos_token": SPECIAL[1]}
    _write(folder / "special_tokens_map.json", fields)
    _write(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 4096, **fields},
    )


def _linear(name: str, out: int, inner: int, bias: bool = True) -> Shapes:
    yield f"{name}.weight", (out, inner)
    if bias:
        yield f"{name}.bias", (out,)


def _norm(name: str, width: int = W) -> Shapes:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _language_model() -> Shapes:
    yield "model.embed_tokens.weight", (VOCABULARY, W)
    for i in range(2):
        layer = f"model.layers.{i}"
        for part, out in (("q", W), ("k", W // 2), ("v", W // 2), ("o", W)):
            yield from _linear(f"{layer}.self_attn.{part}_proj", out, W, bias=False)
        yield from _linear(f"{layer}.mlp.gate_proj", 96, W, bias=False)
        yield from _linear(f"{layer}.mlp.up_proj", 96, W, bias=False)
        yield from _linear(f"{layer}.mlp.down_proj", W, 96, bias=False)
        yield f"{layer}.input_layernorm.weight", (W,)
        yield f"{layer}.post_attention_layernorm.weight", (W,)
    yield "model.norm.weight", (W,)
    yield "lm_head.weight", (VOCABULARY, W)


def _clip() -> Shapes:
    start = "vision_model."
    yield f"{start}embeddings.class_embedding", (W,)
    yield f"{start}embeddings.patch_embedding.weight", (W, 3, 14, 14)
    yield f"{start}embeddings.position_embedding.weight", (1 + GRID * GRID, W)
    yield from _norm(f"{start}pre_layrnorm")
    for i in range(3):
        layer = f"{start}encoder.layers.{i}"
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            yield from _linear(f"{layer}.self_attn.{part}", W, W)
        yield from _norm(f"{layer}.layer_norm1")
        yield from _linear(f"{layer}.mlp.fc1", 96, W)
        yield from _linear(f"{layer}.mlp.fc2", W, 96)
        yield from _norm(f"{layer}.layer_norm2")
    yield from _norm(f"{start}post_layernorm")


def _dinov2() -> Shapes:
    yield "embeddings.cls_token", (1, 1, W)
    yield "embeddings.mask_token", (1, W)
    yield "embeddings.position_embeddings", (1, 1 + 9, W)
    yield "embeddings.patch_embeddings.projection.weight", (W, 3, 14, 14)
    yield "embeddings.patch_embeddings.projection.bias", (W,)
    for i in range(2):
        layer = f"encoder.layer.{i}"
        yield from _norm(f"{layer}.norm1")
        for part in ("query", "key", "value"):
            yield from _linear(f"{layer}.attention.attention.{part}", W, W)
        yield from _linear(f"{layer}.attention.output.dense", W, W)
        yield f"{layer}.layer_scale1.lambda1", (W,)
        yield from _norm(f"{layer}.norm2")
        yield from _linear(f"{layer}.mlp.weights_in", 2 * 48, W)
        yield from _linear(f"{layer}.mlp.weights_out", W, 48)
        yield f"{layer}.layer_scale2.lambda1", (W,)
    yield from _norm("layernorm")


def _sam() -> Shapes:
    grid, window, global_layer = 4, 2, 1
    yield "pos_embed", (1, grid, grid, W)
    yield "patch_embed.proj.weight", (W, 3, 16, 16)
    yield "patch_embed.proj.bias", (W,)
    for i in range(2):
        side = grid if i == global_layer else window
        block = f"blocks.{i}"
        yield from _norm(f"{block}.norm1")
        yield f"{block}.attn.rel_pos_h", (2 * side - 1, W // 2)
        yield f"{block}.attn.rel_pos_w", (2 * side - 1, W // 2)
        yield from _linear(f"{block}.attn.qkv", 3 * W, W)
        yield from _linear(f"{block}.attn.proj", W, W)
        yield from _norm(f"{block}.norm2")
        yield from _linear(f"{block}.mlp.lin1", 96, W)
        yield from _linear(f"{block}.mlp.lin2", W, 96)
    yield "neck.0.weight", (16, W, 1, 1)
    yield from _norm("neck.1", 16)
    yield "neck.2.weight", (16, 16, 3, 3)
    yield from _norm("neck.3", 16)


def _vary() -> Shapes:
    yield from _sam()
    yield "net_2.weight", (EXPERT_CHANNELS[1], 16, 3, 3)


def _codetr() -> Shapes:
    rows = {"win": 4, "glb": 16}
    neck = EXPERT_CHANNELS[2]
    yield "pos_embed", (1, 1 + 9, W)
    yield "patch_embed.proj.weight", (W, 3, 16, 16)
    yield "patch_embed.proj.bias", (W,)
    for part, count in rows.items():
        yield f"rope_{part}.freqs_cos", (count, W)
        yield f"rope_{part}.freqs_sin", (count, W)
    for i in range(2):
        block = f"blocks.{i}"
        yield from _norm(f"{block}.norm1")
        yield f"{block}.attn.q_bias", (W,)
        yield f"{block}.attn.v_bias", (W,)
        for part in ("q", "k", "v"):
            yield f"{block}.attn.{part}_proj.weight", (W, W)
        count = rows["glb" if i == 1 else "win"]
        yield f"{block}.attn.rope.freqs_cos", (count, W)
        yield f"{block}.attn.rope.freqs_sin", (count, W)
        yield from _linear(f"{block}.attn.proj", W, W)
        yield from _norm(f"{block}.norm2")
        yield from _swiglu(f"{block}.mlp", 50)
    yield from _norm("out_norm")
    yield "neck.0.weight", (neck, W, 1, 1)
    yield from _norm("neck.1", neck)
    yield "neck.3.weight", (neck, neck, 3, 3)
    yield from _norm("neck.4", neck)


def _pix2struct() -> Shapes:
    yield from _linear("embeddings.patch_projection", W, 3 * 16 * 16)
    yield "embeddings.row_embedder.weight", (20, W)
    yield "embeddings.column_embedder.weight", (20, W)
    for part in ("query", "key", "value", "output"):
        yield f"encoder.layer.0.attention.{part}.weight", (W, W)
    yield "encoder.layer.0.mlp.wi_0.weight", (96, W)
    yield "encoder.layer.0.mlp.wi_1.weight", (96, W)
    yield "encoder.layer.0.mlp.wo.weight", (W, 96)
    yield "encoder.layer.0.pre_mlp_layer_norm.weight", (W,)
    yield "encoder.layer.0.pre_attention_layer_norm.weight", (W,)
    yield "layernorm.weight", (W,)


def _biomedclip() -> Shapes:
    yield "trunk.cls_token", (1, 1, W)
    yield "trunk.pos_embed", (1, 1 + 4, W)
    yield "trunk.patch_embed.proj.weight", (W, 3, 16, 16)
    yield "trunk.patch_embed.proj.bias", (W,)
    yield from _norm("trunk.blocks.0.norm1")
    yield from _linear("trunk.blocks.0.attn.qkv", 3 * W, W)
    yield from _linear("trunk.blocks.0.attn.proj", W, W)
    yield from _norm("trunk.blocks.0.norm2")
    yield from _linear("trunk.blocks.0.mlp.fc1", 96, W)
    yield from _linear("trunk.blocks.0.mlp.fc2", W, 96)
    yield from _norm("trunk.norm")
    yield "head.proj.weight", (8, W)


def _attention(name: str, channels: int) -> Shapes:
    yield f"{name}.q_proj.weight", (W, W)
    yield f"{name}.k_proj.weight", (W, channels)
    yield f"{name}.v_proj.weight", (W, channels)
    yield from _norm(f"{name}.inner_attn_ln")
    yield from _linear(f"{name}.proj", W, W)
    yield f"{name}.rope.freqs_cos", (GRID * GRID, W)
    yield f"{name}.rope.freqs_sin", (GRID * GRID, W)


def _swiglu(name: str, hidden: int) -> Shapes:
    yield from _linear(f"{name}.w1", hidden, W)
    yield from _linear(f"{name}.w2", hidden, W)
    yield from _norm(f"{name}.ffn_ln", hidden)
    yield from _linear(f"{name}.w3", W, hidden)


def _adapter() -> Shapes:
    yield "pos_embed", (1, GRID * GRID, W)
    for i in range(2):
        block = f"blocks.{i}"
        for j, channels in enumerate(EXPERT_CHANNELS):
            yield from _attention(f"{block}.cross_attn.{j}", channels)
            yield from _norm(f"{block}.norm1.{j}")
            yield from _norm(f"{block}.norm2.{j}", channels)
        yield from _swiglu(f"{block}.mlp", HIDDEN)
        yield from _attention(f"{block}.self_attn", W)
        yield from _norm(f"{block}.norm3")
        yield from _norm(f"{block}.norm4")
        yield from _linear(f"{block}.gate.0", W, W + W)
        yield from _linear(f"{block}.gate.2", len(EXPERT_CHANNELS), W)
    yield from _linear("mlp.0", W, W)
    yield from _linear("mlp.2", W, W)
    for i in (0, 2):
        stage = f"downsample.{i}.b1"
        for name, shape in (("1", (W, W, 1, 1)), ("2", (W, 1, 3, 3)), ("3", (W, W, 1, 1))):
            yield f"{stage}.conv{name}.conv.weight", shape
            yield from _norm(f"{stage}.conv{name}.bn")
        yield f"{stage}.se.fc1.weight", (W // 4, W, 1, 1)
        yield f"{stage}.se.fc1.bias", (W // 4,)
        yield f"{stage}.se.fc2.weight", (W, W // 4, 1, 1)
        yield f"{stage}.se.fc2.bias", (W,)


def _bert() -> Shapes:
    yield "embeddings.word_embeddings.weight", (len(QUESTION_WORDS), W)
    yield "embeddings.position_embeddings.weight", (512, W)
    yield "embeddings.token_type_embeddings.weight", (2, W)
    yield from _norm("embeddings.LayerNorm")
    layer = "encoder.layer.0"
    for part in ("query", "key", "value"):
        yield from _linear(f"{layer}.attention.self.{part}", W, W)
    yield from _linear(f"{layer}.attention.output.dense", W, W)
    yield from _norm(f"{layer}.attention.output.LayerNorm")
    yield from _linear(f"{layer}.intermediate.dense", 96, W)
    yield from _linear(f"{layer}.output.dense", W, 96)
    yield from _norm(f"{layer}.output.LayerNorm")

"""A folder laid out as the released MoVA-8B is, of a few thousand random numbers.

The names are those of the release, as its manifest lists them; sizes and numbers of layers are
small, and `published` puts them in the place of the published ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from openmova.checkpoints import mova_specs
from openmova.checkpoints.release import plan_release
from openmova.checkpoints.tensors import Tensors

MANIFEST = Path(__file__).parents[1] / "golden" / "manifest_mova_8b.json"
THIRD_BLOCK = "mm_projector.blocks.2."
QUESTION_TABLE = "model.mm_projector.text_encoder.bert.embeddings.word_embeddings.weight"
W = 64  # width of everything
SPECIAL = (
    *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
    "<|eot_id|>",
)
VOCABULARY = 256 + len(SPECIAL)
QUESTION_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "question", "0", ":", "what", "is"]
GRID = 4  # of CLIP and of the adapter
EXPERT_CHANNELS = (W, 24, 12, W, W, W, 16)
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


@cache
def shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor of the tiny release: the released keys that its sizes have a place for."""
    listed = json.loads(MANIFEST.read_text(encoding="utf-8"))["tensors"]
    names = {key: fields["shape"] for key, fields in listed.items() if THIRD_BLOCK not in key}
    names[QUESTION_TABLE] = [len(QUESTION_WORDS), W]
    tensors = Tensors({key: torch.empty(shape, device="meta") for key, shape in names.items()})
    with published():
        _, plan = plan_release(config(), tensors)
    taken = {entry.source: entry.shape for entry in plan.entries}
    return taken | dict.fromkeys(plan.dropped, (W,))


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

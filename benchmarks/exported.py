"""The language model as torch runs it, and as `openmova export` writes it: reading and writing.

    python benchmarks/exported.py                  # nano's, in float32, in 8 and in 4 bits
    python benchmarks/exported.py --size 8b        # MoVA-8B's shape in 4 bits, random weights

Prompts are random embeddings; every token that is written goes through the head. The ways take
turns in one run: medians over `--repeats`, with the least and the most. `8b` writes 5 GB into a
temporary folder and has no float32 beside it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from measuring import ratio, timed, told
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedConfig

from openmova.checkpoints.locate import checkpoint_folder
from openmova.checkpoints.mova_specs import mova_8b
from openmova.checkpoints.onnx_decoder import write_decoder, write_head
from openmova.inference.fast_linear import (
    multiplies_in_bfloat16,
    multiply_in_bfloat16,
    quicken_single_rows,
)
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.onnx_language_model import HEAD, LANGUAGE_MODEL, OnnxHead, OnnxLanguageModel
from openmova.model.pretrained import CACHE

PROMPTS = {"nano": (16, 150, 300), "8b": (16, 150)}
"""Tokens that are read."""
ROWS = {"nano": (1, 16), "8b": (1,)}
"""That are written together."""
TOKENS, BEHIND = 16, 150
"""That are written, and the tokens before them."""

Decoder = tuple[Callable[..., Any], Callable[[Tensor], Tensor]]
"""The layers and the head."""


class RandomWeights(Mapping[str, Tensor]):
    """A language model's tensors by their names, in bfloat16, made when they are asked for; those
    of the same shape are the same."""

    def __init__(self, config: PreTrainedConfig) -> None:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config).model
        self._shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
        del self._shapes["embed_tokens.weight"]

    def __getitem__(self, name: str) -> Tensor:
        return random_weight(self._shapes[name])

    def __iter__(self) -> Any:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


@cache
def random_weight(shape: torch.Size) -> Tensor:
    return torch.ones(shape) if len(shape) == 1 else torch.randn(shape).mul_(0.02).bfloat16()


def exported(
    config: PreTrainedConfig, tensors: Mapping[str, Tensor], head: Tensor, folder: Path, bits: int
) -> Decoder:
    folder.mkdir()
    began = time.perf_counter()
    write_decoder(config, tensors, folder / LANGUAGE_MODEL, bits=bits)
    write_head(head, folder / HEAD)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    print(f"{bits} bits: written in {time.perf_counter() - began:.0f} s, {size:,.0f} MB")
    return OnnxLanguageModel(config, folder), OnnxHead(folder)


@torch.no_grad()
def read(decoder: Decoder, embeddings: Tensor) -> Any:
    """The cache of prompts [B, T, D]; the head sees their last places."""
    layers, head = decoder
    output = layers(
        inputs_embeds=embeddings, use_cache=True, return_dict=True, **{CACHE: DynamicCache()}
    )
    head(output.last_hidden_state[:, -1:])
    return output[CACHE]


@torch.no_grad()
def write(decoder: Decoder, kept: Any, embeddings: Tensor) -> None:
    """Further tokens [B, T, D], one after the other, behind what was read."""
    layers, head = decoder
    for token in embeddings.split(1, dim=1):
        output = layers(inputs_embeds=token, use_cache=True, return_dict=True, **{CACHE: kept})
        head(output.last_hidden_state)


def nano(folder: Path) -> tuple[int, dict[str, Decoder]]:
    source = checkpoint_folder("nano")
    model = MovaForConditionalGeneration.from_pretrained(source, dtype=torch.float32).eval()
    core, config = model.model.language_model, model.config.text_config
    tensors = {k: t for k, t in core.state_dict().items() if k != "embed_tokens.weight"}
    ways = {
        f"{bits} bits": exported(config, tensors, model.lm_head.weight, folder / str(bits), bits)
        for bits in (8, 4)
    }
    parts = nn.ModuleList([core, model.lm_head])
    quicken_single_rows(parts)
    own = "float32"
    if multiplies_in_bfloat16():
        own = "bfloat16"
        multiply_in_bfloat16(core)
    return config.hidden_size, {own: (core, model.lm_head), **ways}


def mova_8b_in_4_bits(folder: Path) -> tuple[int, dict[str, Decoder]]:
    config = MovaConfig(**mova_8b()).text_config
    head = torch.randn(config.vocab_size, config.hidden_size).mul_(0.02).bfloat16()
    decoder = exported(config, RandomWeights(config), head, folder / "4", 4)
    random_weight.cache_clear()
    return config.hidden_size, {"4 bits": decoder}


SIZES = {"nano": nano, "8b": mova_8b_in_4_bits}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="nano")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        width, ways = SIZES[options.size](Path(folder))
        compare(options.size, width, ways, options.repeats)


def compare(size: str, width: int, ways: Mapping[str, Decoder], repeats: int) -> None:
    print(f"{torch.get_num_threads()} threads; seconds, and of those of the first way")
    torch.manual_seed(0)
    work: dict[str, dict[str, Callable[[], Any]]] = {}
    for length in PROMPTS[size]:
        prompt = torch.randn(1, length, width) * 0.1
        work[f"read {length} tokens"] = {
            name: lambda way=way, prompt=prompt: read(way, prompt) for name, way in ways.items()
        }
    for rows in ROWS[size]:
        prompt = torch.randn(rows, BEHIND, width) * 0.1
        answer = torch.randn(rows, TOKENS, width) * 0.1
        kept = {name: read(way, prompt) for name, way in ways.items()}
        work[f"write {TOKENS} tokens of {rows} rows"] = {
            name: lambda way=way, name=name, kept=kept, answer=answer: write(
                way, kept[name], answer
            )
            for name, way in ways.items()
        }
    for title, turns in work.items():
        seconds = timed(turns, repeats)
        first = next(iter(seconds.values()))
        for name, found in seconds.items():
            print(f"{title}, {name}: {told(found)}; {ratio(found, first)}")


if __name__ == "__main__":
    main()

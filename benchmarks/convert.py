"""Converts a random release of real-size tensors in two shards of more than 5 GB each, and says
what that took: seconds, and the peak memory of the converting process against the largest shard.

    python benchmarks/convert.py FOLDER --manifest manifest_mova_8b.json

The manifest names the tensors; of the language model only as many layers are made as fill the
shards. FOLDER needs 22 GB, and is emptied of them afterwards. Takes some minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

SHARD_BYTES = 5.2e9  # two of them, so that the second, which gets the rest, has as many
SPECIAL = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>")
SPECIAL += ("<|eot_id|>",)
Shapes = dict[str, list[int]]


def chosen(listed: Shapes) -> tuple[Shapes, int]:
    """All but the language model's later layers, and how many of these are left."""
    layer = re.compile(r"model\.layers\.(\d+)\.")
    rest = {name: shape for name, shape in listed.items() if not layer.match(name)}
    layers = 0
    while 2 * sum(map(math.prod, rest.values())) < 2 * SHARD_BYTES:
        rest |= {
            name: shape
            for name, shape in listed.items()
            if name.startswith(f"model.layers.{layers}.")
        }
        layers += 1
    return {name: listed[name] for name in listed if name in rest}, layers


def make(folder: Path, shapes: Shapes, layers: int) -> None:
    """The release's folder: two shards of random bfloat16, index, config, tokenizer."""
    folder.mkdir(parents=True)
    shards: list[list[str]] = [[], []]
    used = 0.0
    for name, shape in shapes.items():
        shards[used >= SHARD_BYTES].append(name)
        used += 2 * math.prod(shape)
    weight_map = {}
    for number, names in enumerate(shards, 1):
        file = f"pytorch_model-{number:05d}-of-00002.bin"
        state = {
            name: torch.empty(shapes[name], dtype=torch.bfloat16).normal_(std=0.02)
            for name in names
        }
        torch.save(state, folder / file)
        del state
        weight_map |= dict.fromkeys(names, file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    config = {
        "model_type": "mova_llama",
        "mm_projector_type": "mov_adapter",
        "image_aspect_ratio": "pad",
        "num_hidden_layers": layers,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "rope_theta": 500000.0,
        "topk_experts": 3,
    }
    (folder / "config.json").write_text(json.dumps(config))
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={x: i for i, x in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    fields = {"bos_token": SPECIAL[0], "eos_token": SPECIAL[-1]}
    fields["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(fields))


def measured(*arguments: str) -> tuple[float, float]:
    """Seconds and peak memory in bytes of one openmova command."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "openmova", *arguments])
    _, code, usage = os.wait4(process.pid, 0)
    if code:
        raise SystemExit("the command failed")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where 22 GB may be written")
    parser.add_argument("--manifest", type=Path, required=True)
    given = parser.parse_args()
    tensors = json.loads(given.manifest.read_text())["tensors"]
    shapes, layers = chosen({name: fields["shape"] for name, fields in tensors.items()})
    source, target = given.folder / "release", given.folder / "converted"
    try:
        # In a process of its own: what this one took would count as its children's memory.
        maker = multiprocessing.get_context("spawn").Process(
            target=make, args=(source, shapes, layers)
        )
        maker.start()
        maker.join()
        if maker.exitcode:
            raise SystemExit("the release could not be made")
        shards = sorted(file.stat().st_size for file in source.glob("*.bin"))
        print(f"shards: {', '.join(f'{size / 1e9:.2f} GB' for size in shards)}; {layers} layers")
        for what in ((), ("--verify",)):
            seconds, peak = measured("convert", str(source), str(target), *what)
            print(
                f"{what[0] if what else 'convert'}: {seconds:.0f} s, peak {peak / 1e9:.2f} GB, "
                f"{peak / shards[-1]:.2f} of the largest shard"
            )
    finally:
        for folder in (source, target, target.with_name("converted.partial")):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

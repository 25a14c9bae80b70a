"""Trains nano from the packages that ship its parts: `python -m openmova.train.nano`.

Each stage resumes where it stopped. On 2 cores the whole takes about two hours.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, BertModel

from openmova.adapter import MoVAdapter
from openmova.assets import NANO_WEIGHTS, asset_folder
from openmova.checkpoints.nano import Parts, language_model_folder, nano_parts
from openmova.checkpoints.nano_spec import EXPERTS, adapter_config, base_spec
from openmova.data.synthetic import (
    PictureSet,
    Sample,
    draw_chart,
    draw_form,
    draw_picture,
    draw_shapes,
)
from openmova.experts.base import Expert
from openmova.experts.lite import LiteEncoder
from openmova.train.nano.align import (
    Aligned,
    Encoded,
    GateText,
    align,
    encode,
    look_at_same_place,
    word_embeddings,
)
from openmova.train.nano.experts import DRAW, train_expert
from openmova.train.nano.export import export
from openmova.train.nano.instruct import Instruct, instruct
from openmova.train.nano.loop import read_tensors, write_tensors
from openmova.train.nano.picture_expert import train_picture_expert
from openmova.train.nano.pictures import gather_pictures

STEPS = {"text": 1000, "chart": 420, "location": 820, "object": 300, "align": 1000, "instruct": 420}
IMAGES = {"text": 1800, "chart": 1800, "location": 1200, "object": 1500}
"""Training images of each domain, for the alignment and the instruction tuning."""


def base_encoder(parts: Parts) -> LiteEncoder:
    """The base: the packaged weights, frozen, and a fresh projection to the adapter's width."""
    spec = base_spec()
    base = LiteEncoder(**{key: value for key, value in spec.items() if key != "kind"})
    base.load_state_dict(parts.lite0(), strict=False)
    base.requires_grad_(False).eval()
    assert base.neck is not None
    base.neck.requires_grad_(True)
    return base


def trained_experts(parts: Parts, pictures: PictureSet, folder: Path, seed: int) -> list[Expert]:
    """The pool, in the order of EXPERTS, trained or read from the run folder."""
    experts: list[Expert] = [
        train_expert(name, DRAW[name], steps=STEPS[name], folder=folder, seed=seed)
        for name in EXPERTS[:3]
    ]
    picture = LiteEncoder(name="object", descriptions=["object"])
    picture.load_state_dict(parts.lite0(), strict=False)
    experts.append(
        train_picture_expert(picture, pictures, steps=STEPS["object"], folder=folder, seed=seed)
    )
    return [expert.freeze() for expert in experts]


def encoded_images(
    base: LiteEncoder, experts: list[Expert], pictures: PictureSet, folder: Path, seed: int
) -> Encoded:
    """The training images through the frozen encoders; the tensors are kept in the run folder."""
    draw = {
        "text": draw_form,
        "chart": draw_chart,
        "location": draw_shapes,
        "object": lambda rng: draw_picture(rng, pictures),
    }
    samples: list[Sample] = []
    for name, count in IMAGES.items():
        rng = random.Random(f"images-{seed}-{name}")
        samples += [draw[name](rng) for _ in range(count)]
    path = folder / "encoded.safetensors"
    if path.exists():
        tensors, _ = read_tensors(path)
        return Encoded(
            base=tensors["base"],
            maps=[tensors[name] for name in EXPERTS],
            cells=tensors["cells"],
            facts=[s.facts for s in samples],
            domains=[s.domain for s in samples],
        )
    data = encode(samples, base, experts)
    maps = dict(zip(EXPERTS, data.maps, strict=True))
    write_tensors(path, {"base": data.base, "cells": data.cells, **maps})
    return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/nano"), help="the run folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--until", choices=["experts", "align", "instruct"], default="instruct")
    options = parser.parse_args()
    folder, seed = options.out, options.seed
    torch.manual_seed(seed)
    parts = nano_parts()
    pictures = gather_pictures(folder / "pictures")
    base, experts = base_encoder(parts), trained_experts(parts, pictures, folder, seed)
    if options.until == "experts":
        return
    data = encoded_images(base, experts, pictures, folder, seed)

    lm_folder = language_model_folder()
    tokenizer = AutoTokenizer.from_pretrained(lm_folder)
    with safe_open(lm_folder / "model.safetensors", framework="pt") as file:
        targets = word_embeddings(tokenizer, file.get_tensor("model.embed_tokens.weight").float())
    minilm = parts.text_encoder
    gate = GateText(
        AutoTokenizer.from_pretrained(minilm),
        BertModel.from_pretrained(minilm, add_pooling_layer=False).eval(),
    )
    torch.manual_seed(seed)
    adapter = MoVAdapter(adapter_config())
    look_at_same_place(adapter)
    aligned = Aligned(base, adapter)
    align(aligned, data, targets, gate, steps=STEPS["align"], folder=folder, seed=seed)
    if options.until == "align":
        return

    torch.manual_seed(seed)
    language_model = AutoModelForCausalLM.from_pretrained(lm_folder, dtype=torch.bfloat16)
    model = Instruct(language_model, tokenizer)
    instruct(model, aligned, data, targets, gate, steps=STEPS["instruct"], folder=folder, seed=seed)
    export(folder, experts, aligned, asset_folder(NANO_WEIGHTS))


if __name__ == "__main__":
    main()

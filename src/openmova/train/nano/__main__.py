"""The parts of nano's training that only nano has: `python -m openmova.train.nano STAGE`.

experts     gathers pictures and trains the four experts by their pretext, which then are frozen
align       aligns the adapter's tokens with the language model's, and writes DIR/start
data        draws the finetuning's images and writes their conversations into DIR/data
export      if the new nano is better than the embedded one, puts it and its model card in its place

recipes/nano.sh runs them, with the finetuning and the evaluation between. Each goes on where it was
stopped.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoTokenizer, BertModel

from openmova.adapter import MoVAdapter
from openmova.assets import NANO_WEIGHTS, asset_folder
from openmova.checkpoints.nano import Parts, assemble_nano, language_model_folder, nano_parts
from openmova.checkpoints.nano_spec import EXPERTS, adapter_config, base_spec
from openmova.data.synthetic import PictureSet, Sample
from openmova.errors import UserError
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
from openmova.train.nano.card import report, write_card
from openmova.train.nano.conversations import draw, write_conversations
from openmova.train.nano.experts import DRAW, train_expert
from openmova.train.nano.export import export_aligned, export_lora
from openmova.train.nano.loop import read_tensors, write_tensors
from openmova.train.nano.picture_expert import train_picture_expert
from openmova.train.nano.pictures import gather_pictures

STEPS = {"text": 2800, "chart": 600, "location": 1800, "object": 300, "align": 1000}
IMAGES = {"text": 1800, "chart": 1800, "location": 1800, "object": 1500}
"""Images of each domain, for the alignment."""


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
    experts: list[Expert] = []
    for name in EXPERTS[:3]:
        experts.append(train_expert(name, DRAW[name], steps=STEPS[name], folder=folder, seed=seed))
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
    samples: list[Sample] = []
    for name, count in IMAGES.items():
        rng = random.Random(f"images-{seed}-{name}")
        samples += [draw(name, pictures, rng) for _ in range(count)]
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


def aligned_model(folder: Path, seed: int) -> None:
    """Train the alignment; then DIR/carried holds its weights, and DIR/start the whole model."""
    start = folder / "start"
    if start.exists():
        return
    parts, pictures = nano_parts(), gather_pictures(folder / "pictures")
    base, experts = base_encoder(parts), trained_experts(parts, pictures, folder, seed)
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
    export_aligned(experts, aligned, folder / "carried")
    unfinished = folder / ".start"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    assemble_nano(folder / "carried", unfinished)
    unfinished.rename(start)


def export(folder: Path) -> None:
    """Put DIR/carried, the finetuning's LoRA and the card into the repository's folder, unless the
    embedded model answers more of the suite.

    Raises UserError if the finetuning or its evaluation is not done.
    """
    final, embedded = folder / "finetune" / "final", asset_folder(NANO_WEIGHTS)
    if not final.exists():
        raise UserError(f"{str(final)!r} is not there: finetune first, as recipes/nano.sh does")
    new, old = report(folder / "eval.json"), report(embedded / "eval.json")
    better, worse = (r["domains"]["overall"]["routed"]["value"] for r in (new, old))
    print(f"right: {100 * better:.1f}%, the embedded nano {100 * worse:.1f}%")
    if better <= worse:
        print(f"the embedded nano stays; the new one is {final}")
        return
    export_lora(folder / "start", final, folder / "carried")
    shutil.copytree(folder / "carried", embedded, dirs_exist_ok=True)
    shutil.copyfile(folder / "eval.json", embedded / "eval.json")
    write_card(folder, embedded / "README.md")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["experts", "align", "data", "export"])
    parser.add_argument("--folder", type=Path, default=Path("runs/nano"), help="the run folder")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder, seed = options.folder, options.seed
    torch.manual_seed(seed)
    try:
        if options.stage == "experts":
            trained_experts(nano_parts(), gather_pictures(folder / "pictures"), folder, seed)
        elif options.stage == "align":
            aligned_model(folder, seed)
        elif options.stage == "data":
            write_conversations(folder / "data", gather_pictures(folder / "pictures"), seed)
        else:
            export(folder)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

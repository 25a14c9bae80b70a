"""Nano's training images through its frozen encoders, once, for all that learns from them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from openmova.checkpoints.nano import Parts
from openmova.checkpoints.nano_spec import EXPERTS, base_spec
from openmova.experts.base import Expert
from openmova.experts.lite import LiteEncoder
from studies.toy.align import Encoded, encode
from studies.toy.conversations import draw
from studies.toy.experts import DRAW, train_expert
from studies.toy.loop import read_tensors, write_tensors
from studies.toy.picture_expert import train_picture_expert
from studies.toy.synthetic import PictureSet, Sample

STEPS = {"text": 2800, "chart": 600, "location": 1800, "object": 300}
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
    path = folder / "encoded.safetensors"
    if not path.exists():
        data = encode(list(_drawn(pictures, seed)), base, experts)
        maps = dict(zip(EXPERTS, data.maps, strict=True))
        write_tensors(path, {"base": data.base, "cells": data.cells, **maps})
        return data
    tensors, _ = read_tensors(path)
    told = [(sample.facts, sample.domain) for sample in _drawn(pictures, seed)]
    return Encoded(
        base=tensors["base"],
        maps=[tensors[name] for name in EXPERTS],
        cells=tensors["cells"],
        facts=[facts for facts, _ in told],
        domains=[domain for _, domain in told],
    )


def _drawn(pictures: PictureSet, seed: int) -> Iterator[Sample]:
    for name, count in IMAGES.items():
        rng = random.Random(f"images-{seed}-{name}")
        for _ in range(count):
            yield draw(name, pictures, rng)

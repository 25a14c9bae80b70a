"""Nano's adapter at the start: it hands the experts' words on, and leaves the rest to be learnt.

A code is linear in the embedding of its token, so the weights that turn one into the other can be
written down: every cell attends to the same cell of an expert's map, the code goes into channels
that the base leaves free, and the projector undoes the projection on principal components.
`measure` says how near the tokens come to the embeddings:

    python -m studies.nano.align --data runs/nano-data

Shapes: B rows, T tokens, D width of the language model.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.checkpoints import nano_spec as spec
from openmova.checkpoints.nano import language_model_folder
from openmova.experts.token_codes import (
    TokenCodes,
    principal_directions,
    token_frequency,
)
from openmova.model.adapter import ExpertMap, MoVAdapter

PICTURES = ("kinds", "photos", "places", "signs", "charts", "pages", "receipts", "screens")
WIDTH = spec.CODE_WIDTH
OF_BASE = spec.WIDTH - WIDTH
"""Channels that the base map fills; the codes have the others."""
SHARPNESS = 60.0
"""Of the attention to one's own cell."""
LINEAR = 8.0
"""Where GELU and SiLU are all but linear: a unit's mean, of a standard deviation of about 1."""
STEADY = 4.0
"""So many times the code is added that does not depend on the gate to the one that does."""


@cache
def embeddings() -> Tensor:
    """The language model's input embedding [V, D]."""
    with safe_open(language_model_folder() / "model.safetensors", "pt") as weights:
        table: Tensor = weights.get_tensor("model.embed_tokens.weight")
    return table.float()


@cache
def token_codes() -> TokenCodes:
    """The codes that the experts write."""
    codes = TokenCodes(str(language_model_folder() / "tokenizer.json"), WIDTH)
    codes.fit(embeddings())
    return codes


@torch.no_grad()
def new_neck(data: Path) -> nn.ModuleDict:
    """The base's projection: the directions of most variance of what pictures' regions show, in
    the first channels; the others are zero. It stays as it is."""
    parts = [np.load(data / name / "base.npy", mmap_mode="r")[:60] for name in PICTURES]
    pooled = [F.adaptive_avg_pool2d(torch.from_numpy(p).float(), spec.SUMMARY_GRID) for p in parts]
    vectors = torch.cat(pooled).movedim(1, -1).flatten(0, 2)
    scale = vectors.std(0)
    centre, directions = principal_directions(vectors / scale, OF_BASE, torch.ones(len(vectors)))
    projected = (vectors / scale).double() @ directions
    weight = (directions / projected.std(0)).mT.float() / scale
    neck = nn.ModuleDict(
        {"proj": nn.Linear(len(scale), spec.WIDTH), "norm": nn.LayerNorm(spec.WIDTH)}
    ).requires_grad_(False)
    projection, norm = _parts(neck)
    for parameter in (projection.weight, projection.bias, norm.weight):
        parameter.zero_()
    projection.weight[:OF_BASE] = weight
    projection.bias[:OF_BASE] = -(weight * scale) @ centre.float()
    norm.weight[:OF_BASE] = 1
    return neck


def _parts(neck: nn.ModuleDict) -> tuple[Any, Any]:
    return neck["proj"], neck["norm"]


def project(neck: nn.ModuleDict, maps: Tensor) -> Tensor:
    """The frozen layers' maps [B, 472, h, w] -> base maps [B, C, *grid]."""
    projection, norm = _parts(neck)
    maps = F.interpolate(maps, spec.GRID, mode="bilinear", align_corners=False)
    base: Tensor = norm(projection(maps.movedim(1, -1))).movedim(-1, 1)
    return base


@torch.no_grad()
def new_adapter() -> MoVAdapter:
    """The adapter whose tokens are the embeddings of the words, as far as codes tell them."""
    torch.manual_seed(1)
    adapter = MoVAdapter(spec.adapter_config())
    blocks: Any = adapter.blocks
    share = WIDTH / spec.WIDTH  # the attention's norm divides by its root
    centring = torch.eye(WIDTH) - 1 / WIDTH  # takes the constant away that the keys are made of
    for block in blocks:
        for extractor in block.extractors:
            attention = extractor.attention
            extractor.query_norm.weight.zero_()
            extractor.query_norm.bias.fill_(1.0)
            extractor.expert_norm.bias.fill_(1.0)
            attention.q_proj.weight.fill_(SHARPNESS / spec.WIDTH)
            attention.k_proj.weight.fill_(1 / WIDTH)
            attention.v_proj.weight.zero_()
            attention.v_proj.weight[OF_BASE:] = centring
            attention.out_proj.weight[OF_BASE:, OF_BASE:] = 2 * share**0.5 * torch.eye(WIDTH)
    _normalize_codes(adapter.before_pool)
    frequency = token_frequency(len(embeddings()))
    centre, directions = principal_directions(embeddings(), WIDTH, frequency)
    codes = token_codes()(torch.arange(len(frequency)))
    length = ((codes.std(1) * frequency).sum() / frequency.sum()).item()  # of a code's entries
    unit = 0.12  # about the standard deviation of an embedding's entries
    projector: Any = adapter.projector
    first, _, second = projector
    first.weight.zero_()
    first.weight[:, OF_BASE:] = directions.float() * length / unit / (1 + STEADY)
    first.bias.fill_(LINEAR)
    second.weight.copy_(unit * torch.eye(len(second.weight)))
    second.bias.copy_(centre.float() - unit * LINEAR)
    nn.init.normal_(adapter.summary.weight, std=unit / OF_BASE**0.5 / 2)
    nn.init.zeros_(adapter.summary.bias)
    return adapter


@torch.no_grad()
def _normalize_codes(stage: Any) -> None:
    """The stage adds to a cell its code at a length of its own: a code that the gate made short
    stays readable."""
    codes = torch.zeros(spec.WIDTH)
    codes[OF_BASE:] = 1
    stage.conv_in.weight.copy_(torch.diag(codes)[..., None, None])
    centring = torch.diag(codes) - torch.outer(codes, codes) / WIDTH
    stage.conv_out.weight.copy_(centring[..., None, None])
    stage.conv_mid.weight.zero_()
    stage.conv_mid.weight[:, :, 1, 1] = 1
    for norm in (stage.norm_in, stage.norm_mid):
        norm.weight.fill_(1.0)
        norm.bias.fill_(1.5 * LINEAR)
    stage.excite.weight.zero_()
    nn.init.zeros_(stage.excite.bias)
    stage.norm_out.weight.copy_(codes * STEADY * (WIDTH / spec.WIDTH) ** 0.5)
    stage.norm_out.bias.zero_()


def maps_of(rows: Sequence[Mapping[str, str]]) -> tuple[dict[int, ExpertMap], Tensor]:
    """The experts' maps of what they say in each row, and the routing bool [B, E]."""
    routing = torch.zeros(len(rows), len(spec.EXPERTS), dtype=torch.bool)
    maps = {}
    for j, name in enumerate(spec.EXPERTS):
        having = [i for i, row in enumerate(rows) if name in row]
        routing[having, j] = True
        if having:
            texts = [rows[i][name] for i in having]
            written = token_codes().write(texts, spec.GRID, spec.ROWS[name])
            maps[j] = ExpertMap(torch.tensor(having), written)
    return maps, routing


def targets_of(rows: Sequence[Mapping[str, str]]) -> Tensor:
    """The token of every cell, long [B, h*w]; -1 where nobody says anything."""
    columns = spec.GRID[1]
    targets = torch.full((len(rows), spec.GRID[0] * columns), -1)
    for target, row in zip(targets, rows, strict=True):
        for name, text in row.items():
            first, end = spec.ROWS[name]
            cells = target[first * columns : end * columns]
            ids = token_codes().encode(f"{text}\n" if text else "")[: len(cells)]
            cells[: len(ids)] = torch.tensor(ids, dtype=torch.long)
    return targets


def alignment_loss(tokens: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """1 - cosine plus squared distance of tokens [B, 25 + T, D] from the embeddings of targets
    [B, T]; and the mean cosine."""
    spoken = targets >= 0
    made = tokens[:, -targets.shape[1] :][spoken].float()
    wanted = embeddings()[targets[spoken]]
    cosine = F.cosine_similarity(made, wanted, dim=-1)
    return (1 - cosine).mean() + (made - wanted).square().sum(-1).mean() / 10, cosine.mean()


@torch.no_grad()
def measure(data: Path) -> None:
    """Print how near tokens come to embeddings, for words of the data's pictures."""
    adapter, neck = new_adapter().eval(), new_neck(data)
    base = torch.from_numpy(np.load(data / "pages" / "base.npy", mmap_mode="r")[:4].copy()).float()
    said = [json.loads(line) for line in (data / "pairs" / "words.jsonl").open(encoding="utf-8")]
    rng = random.Random(0)
    unit = F.normalize(embeddings(), dim=1)
    for names in (("text",), ("object",), ("text", "location")):
        rows = [{e: row[e] for e in names} for row in rng.sample([r for r in said if r["text"]], 4)]
        maps, routing = maps_of(rows)
        tokens, _ = adapter(project(neck, base), maps, routing, torch.zeros(4, 384))
        targets = targets_of(rows)
        made = F.normalize(tokens[:, -targets.shape[1] :][targets >= 0], dim=1)
        ids = targets[targets >= 0]
        right = ((made @ unit.mT).argmax(1) == ids).float().mean()
        cosine = alignment_loss(tokens, targets)[1]
        print(f"{' + '.join(names)}: {len(ids)} tokens, cosine {cosine:.3f}, nearest {right:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    measure(parser.parse_args().data)


if __name__ == "__main__":
    main()

"""Nano's adapter at the start, and the base's projection (openmova.checkpoints.nano_adapter).

How near the adapter's tokens come to the embeddings of the words that experts say:

    python -m studies.nano.align --data runs/nano-data

Shapes: B rows, T tokens, D width of the language model.
"""

from __future__ import annotations

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
from openmova.checkpoints.nano_adapter import word_adapter
from openmova.experts.token_codes import TokenCodes, principal_directions
from openmova.model.adapter import ExpertMap, MoVAdapter
from studies import new_parser
from studies.nano.data.record import read

PICTURES = ("kinds", "photos", "places", "signs", "charts", "pages", "receipts", "screens")
WIDTH = spec.CODE_WIDTH
OF_BASE = spec.WIDTH - WIDTH
"""Channels that the base map fills; the codes have the others."""


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


def new_adapter() -> MoVAdapter:
    """Nano's adapter before anything is learnt."""
    return word_adapter(spec.adapter_config(), token_codes(), embeddings())


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


@torch.no_grad()
def measure(data: Path) -> None:
    """Print how near tokens come to embeddings, for words of the data's pictures."""
    adapter, neck = new_adapter().eval(), new_neck(data)
    base = torch.from_numpy(np.load(data / "pages" / "base.npy", mmap_mode="r")[:4].copy()).float()
    said = [row for row in read(data / "pairs" / "words.jsonl") if row["text"]]
    rng = random.Random(0)
    unit = F.normalize(embeddings(), dim=1)
    for names in (("text",), ("object",), ("text", "location")):
        rows = [{e: row[e] for e in names} for row in rng.sample(said, 4)]
        maps, routing = maps_of(rows)
        tokens, _ = adapter(project(neck, base), maps, routing, torch.zeros(4, 384))
        targets = targets_of(rows)
        made = F.normalize(tokens[:, -targets.shape[1] :][targets >= 0], dim=1)
        ids = targets[targets >= 0]
        right = ((made @ unit.mT).argmax(1) == ids).float().mean()
        cosine = (made * unit[ids]).sum(1).mean()
        print(f"{' + '.join(names)}: {len(ids)} tokens, cosine {cosine:.3f}, nearest {right:.3f}")


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    measure(parser.parse_args().data)


if __name__ == "__main__":
    main()

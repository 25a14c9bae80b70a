"""The adapter learns to hand the experts' words on: its tokens become the words' embeddings.

    python -m studies.nano.align runs/nano/align --data runs/nano-data --steps 600

Every filled half of a cell is trained to be the language model's input embedding of the token whose
code the expert wrote there, over base maps of real pictures. Nothing of the language model runs.
The folder has adapter.safetensors; a run that was stopped goes on.

Shapes: B rows, T tokens, D width of the language model.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.checkpoints import nano_spec as spec
from openmova.checkpoints.nano import language_model_folder
from openmova.experts.token_codes import TokenCodes
from openmova.model.adapter import ExpertMap, MoVAdapter
from openmova.runtime.files import new_file

EXPERTS = spec.EXPERTS
PICTURES = ("kinds", "photos", "places", "signs", "charts", "pages", "receipts", "screens")
TEXTS = ("text_2", "page_text")
SHARPNESS = 60.0
"""Of the attention to one's own cell, at the start."""
BATCH = 6
CELL_STEPS = 1500


@cache
def embeddings() -> Tensor:
    """The language model's input embedding [V, D]."""
    with safe_open(language_model_folder() / "model.safetensors", "pt") as weights:
        table: Tensor = weights.get_tensor("model.embed_tokens.weight")
    return table.float()


@cache
def token_codes() -> TokenCodes:
    """The codes that the experts write."""
    codes = TokenCodes(str(language_model_folder() / "tokenizer.json"))
    codes.fit(embeddings())
    return codes


def new_neck(folder: Path, names: Sequence[str] = PICTURES) -> nn.ModuleDict:
    """The base's projection: channels of like variance, turned at random. It stays as it is."""
    maps = torch.from_numpy(
        np.concatenate([np.load(folder / name / "base.npy", mmap_mode="r")[:20] for name in names])
    ).float()
    width = maps.shape[1]
    torch.manual_seed(0)
    turn = torch.linalg.qr(torch.randn(width, width))[0][: spec.WIDTH]
    scale, mean = maps.std((0, 2, 3)), maps.mean((0, 2, 3))
    neck = nn.ModuleDict(
        {"proj": nn.Linear(width, spec.WIDTH), "norm": nn.LayerNorm(spec.WIDTH)}
    ).requires_grad_(False)
    projection: Any = neck["proj"]
    projection.weight.copy_(turn / scale)
    projection.bias.copy_(-(turn / scale) @ mean)
    return neck


def project(neck: nn.ModuleDict, maps: Tensor) -> Tensor:
    """The frozen layers' maps [B, 472, h, w] -> base maps [B, C, h, w]."""
    projection: Any = neck["proj"]
    base: Tensor = neck["norm"](projection(maps.movedim(1, -1))).movedim(-1, 1)
    return base


@torch.no_grad()
def new_adapter() -> MoVAdapter:
    """An adapter whose cells attend to the same cell of an expert's map, and to nothing else."""
    torch.manual_seed(1)
    adapter = MoVAdapter(spec.adapter_config())
    blocks: Any = adapter.blocks
    for block in blocks:
        for extractor in block.extractors:
            attention = extractor.attention
            extractor.query_norm.weight.zero_()
            extractor.query_norm.bias.fill_(1.0)
            extractor.expert_norm.bias.fill_(1.0)
            attention.q_proj.weight.fill_(SHARPNESS / attention.q_proj.in_features)
            attention.k_proj.weight.fill_(1 / attention.k_proj.in_features)
            nn.init.orthogonal_(attention.v_proj.weight)
            nn.init.orthogonal_(attention.out_proj.weight)
    return adapter


def pretrain_cells(
    adapter: MoVAdapter, bases: Sequence[Any], neck: nn.ModuleDict, steps: int, rate: float = 2e-3
) -> None:
    """What the adapter does to one cell, learnt without its neighbours: from the codes of two
    tokens and a base cell to their embeddings. The same for every expert."""
    blocks: Any = adapter.blocks
    (block,) = blocks
    extractor = block.extractors[0]
    attention = extractor.attention
    path = nn.ModuleList(
        [extractor.expert_norm, attention.v_proj, attention.norm, attention.out_proj]
    ).append(adapter.projector)
    optimizer = torch.optim.AdamW(path.parameters(), lr=rate, weight_decay=0.01)
    pictures = torch.from_numpy(np.concatenate([maps[:20] for maps in bases])).float()
    cells = project(neck, pictures).movedim(1, -1).flatten(0, 2)  # [M, C]
    size = len(embeddings())
    chances = 1 / (torch.arange(size) + 100.0)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min((step + 1) / 50, 1.0) * (1 - step / steps)
        ids = torch.multinomial(chances, 3000, replacement=True, generator=generator).view(-1, 2)
        base = cells[torch.randint(len(cells), (len(ids),), generator=generator)]
        weight = torch.rand(len(ids), 1, generator=generator) * 0.7 + 0.3  # of the gate
        codes = token_codes()(ids).flatten(1)
        value = attention.v_proj(extractor.expert_norm(codes))
        x = base + weight / 2 * attention.out_proj(attention.norm(value))
        made = adapter.projector(x).unflatten(-1, (2, -1)).flatten(0, 1)
        loss, cosine = embedding_loss(made, ids.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 99:
            print(f"cells {step + 1} loss {loss:.3f} cosine {cosine:.3f}", flush=True)
    for other in block.extractors:
        other.load_state_dict(extractor.state_dict())


class Words:
    """What experts say, drawn from the data; a pure function of seed and number."""

    def __init__(self, data: Path, seed: int) -> None:
        self._seed = seed
        self._texts = [
            json.loads(line)["text"]
            for name in TEXTS
            for line in (data / name / "samples.jsonl").open(encoding="utf-8")
        ]
        files = sorted(data.glob("*/words.jsonl"))
        self._said = [json.loads(line) for f in files for line in f.open(encoding="utf-8")]

    def draw(self, number: int) -> dict[str, str]:
        """Texts by expert, one expert or more."""
        rng = random.Random(f"words-{self._seed}-{number}")
        kind = rng.random()
        if kind < 0.15:  # any tokens at all
            size = len(embeddings())
            ids = [min(int(100 * (size / 100) ** rng.random()), size - 1) for _ in range(400)]
            text = token_codes().tokenizer.decode(ids, skip_special_tokens=False)
            return {rng.choice(EXPERTS): text, rng.choice(EXPERTS): text[::-1]}
        if kind < 0.5:
            chosen = {"text": rng.choice(self._texts)}
            if rng.random() < 0.5:
                return chosen
        else:
            chosen = {}
        row = rng.choice(self._said)
        names = [name for name in EXPERTS if row.get(name)]
        for name in rng.sample(names, rng.randint(min(1, len(names)), len(names))):
            chosen.setdefault(name, row[name])
        return chosen or {"text": rng.choice(self._texts)}


def maps_of(rows: Sequence[Mapping[str, str]]) -> tuple[dict[int, ExpertMap], Tensor]:
    """The experts' maps of what they say in each row, and the routing bool [B, E]."""
    routing = torch.zeros(len(rows), len(EXPERTS), dtype=torch.bool)
    maps = {}
    for j, name in enumerate(EXPERTS):
        having = [i for i, row in enumerate(rows) if name in row]
        routing[having, j] = True
        if having:
            texts = [rows[i][name] for i in having]
            written = token_codes().write(texts, spec.GRID, spec.ROWS[name])
            maps[j] = ExpertMap(torch.tensor(having), written)
    return maps, routing


def targets_of(rows: Sequence[Mapping[str, str]]) -> Tensor:
    """The token of every half of a cell, long [B, h*w*2]; -1 where nobody says anything."""
    cells = spec.GRID[0] * spec.GRID[1]
    targets = torch.full((len(rows), cells, 2), -1)
    for target, row in zip(targets, rows, strict=True):
        for name, text in row.items():
            first, end = spec.ROWS[name]
            slots = target[first * spec.GRID[1] : end * spec.GRID[1]].view(-1)
            ids = token_codes().encode(f"{text}\n" if text else "")[: len(slots)]
            slots[: len(ids)] = torch.tensor(ids, dtype=torch.long)
    return targets.flatten(1)


def alignment_loss(tokens: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """1 - cosine plus squared distance of tokens [B, 32 + T, D] from the embeddings of targets
    [B, T]; and the mean cosine."""
    spoken = targets >= 0
    return embedding_loss(tokens[:, -targets.shape[1] :][spoken].float(), targets[spoken])


def embedding_loss(made: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Of vectors [T, D] against the embeddings of ids [T]."""
    wanted = embeddings()[ids]
    cosine = F.cosine_similarity(made, wanted, dim=-1)
    return (1 - cosine).mean() + (made - wanted).square().sum(-1).mean() / 10, cosine.mean()


def train(folder: Path, data: Path, steps: int, rate: float) -> None:
    """Learn up to so many steps; the same command goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    adapter, neck = new_adapter(), new_neck(data)
    bases = [np.load(data / name / "base.npy", mmap_mode="r") for name in PICTURES]
    words = Words(data, seed=0)
    file = folder / "adapter.safetensors"
    done = 0
    if file.is_file():
        saved = load_file(file)
        done = int(saved.pop("step"))
        adapter.load_state_dict(
            {k.removeprefix("adapter."): v for k, v in saved.items() if k.startswith("adapter.")}
        )
    else:
        pretrain_cells(adapter, bases, neck, CELL_STEPS)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=rate, weight_decay=0.01)
    while done < steps:
        start = time.time()
        rng = random.Random(f"align-{done}")
        rows = [words.draw(done * BATCH + i) for i in range(BATCH)]
        drawn = [rng.choice(bases) for _ in rows]
        pictures = np.stack([maps[rng.randrange(min(len(maps), 250))] for maps in drawn])
        base = project(neck, torch.from_numpy(pictures).float())
        maps, routing = maps_of(rows)
        question = torch.randn(len(rows), 384, generator=torch.Generator().manual_seed(done)) * 0.3
        for group in optimizer.param_groups:
            warm = min((done + 1) / 20, 1.0)
            group["lr"] = rate * warm * (0.525 + 0.475 * math.cos(math.pi * done / steps))
        with torch.autocast("cpu", torch.bfloat16):
            tokens, _ = adapter(base, maps, routing, question)
        loss, cosine = alignment_loss(tokens, targets_of(rows))
        loss.backward()
        nn.utils.clip_grad_norm_(adapter.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        done += 1
        print(done, f"loss {loss:.3f} cosine {cosine:.3f} {time.time() - start:.1f} s", flush=True)
        if done % 25 == 0 or done == steps:
            state = {f"adapter.{k}": v for k, v in adapter.state_dict().items()}
            state |= {f"neck.{k}": v for k, v in neck.state_dict().items()}
            with new_file(file) as unfinished:
                save_file(state | {"step": torch.tensor(done)}, unfinished)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.folder, arguments.data, arguments.steps, arguments.rate)


if __name__ == "__main__":
    main()

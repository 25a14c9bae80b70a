"""Train a side for every set of nano's encoders, and write what it answers (docs/roles.md).

    python -m studies.roles.train runs/roles --texts runs/nano-data/text/samples.jsonl
    openmova roles runs/roles/plain

RUN/data has the pictures, what every expert says of them and what the base encoder makes of them
(studies/roles/run.sh). The reader learns to read once, from words alone; each side then trains with
a copy of it. What is done is kept: the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, combinations, islice
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from openmova import Mova
from openmova.analysis.masking import expert_parameters
from openmova.analysis.roles import join
from openmova.checkpoints.nano import language_model_folder
from openmova.experts.token_codes import TokenCodes
from openmova.runtime.files import new_file
from studies.nano.align import embeddings
from studies.nano.encode import base_encoder
from studies.roles.questions import CHOICES, Choice, made_up, read_choices, split
from studies.roles.side import (
    ASKED,
    CHOICE,
    EXPERTS,
    FUSIONS,
    GRID,
    WIDTH,
    Reader,
    Words,
)

BATCH = 32
READING, STEPS = 5000, 160
"""Training steps of the reader, and of a side with it."""
HELD_OUT = 100
"""Questions of a domain at most."""
ENCODERS = ("base", *EXPERTS)
RATE = 1.5e-3
MOST = 8000
"""Tokens that ranks are measured on."""


class Data:
    """Questions as tensors. base: [pictures, 472, *GRID] of each folder, as stored."""

    def __init__(self, words: Words, base: Mapping[str, Tensor]) -> None:
        self.words, self.base = words, base

    def batch(
        self, choices: Sequence[Choice], encoders: Sequence[str]
    ) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        """Maps of the encoders, questions, choices and mask as `Reader.forward` takes them."""
        maps = {
            name: torch.stack([self.words.map(c.words.get(name, ""), name) for c in choices])
            for name in encoders
            if name != "base"
        }
        if "base" in encoders:
            maps["base"] = torch.stack([self.base[c.folder][c.number] for c in choices])
        asked = torch.zeros(len(choices), ASKED, WIDTH)
        given = torch.zeros(len(choices), CHOICES, CHOICE, WIDTH)
        mask = torch.zeros(len(choices), CHOICES, ASKED + CHOICE, dtype=torch.bool)
        for i, choice in enumerate(choices):
            text = self.words(choice.question, ASKED)
            asked[i, : len(text)] = text
            mask[i, :, : len(text)] = True
            for k, answer in enumerate(choice.choices):
                said = self.words(answer, CHOICE)
                given[i, k, : len(said)] = said
                mask[i, k, ASKED : ASKED + len(said)] = True
        return maps, asked, given, mask


class Side(nn.Module):
    """A fusion of encoders and a reader."""

    def __init__(self, fusion: nn.Module, reader: Reader) -> None:
        super().__init__()
        self.fusion, self.reader = fusion, reader

    def forward(
        self, maps: Mapping[str, Tensor], asked: Tensor, given: Tensor, mask: Tensor
    ) -> Tensor:
        """Scores of the choices [B, K]."""
        return self.reader(self.fusion(maps, mean_word(asked, mask)), asked, given, mask)


class Spoken(nn.Module):
    """No fusion: the words of all experts, each in its cells."""

    def forward(self, maps: Mapping[str, Tensor], question: Tensor) -> Tensor:
        return torch.stack(list(maps.values())).sum(0).flatten(2).mT


def fit(
    side: nn.Module,
    batches: Iterator[tuple[dict[str, Tensor], Tensor, Tensor, Tensor]],
    steps: int,
    tell: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Train for so many steps; the rate rises for a tenth of them, then falls to zero."""
    side.train()
    optimiser = torch.optim.AdamW(side.parameters(), lr=RATE, weight_decay=0.01, fused=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, RATE, total_steps=steps, pct_start=0.1, anneal_strategy="linear"
    )
    for step, batch in enumerate(islice(batches, steps)):
        scores = side(*batch)
        loss = F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(side.parameters(), 1.0)
        optimiser.step()
        rate.step()
        tell(step, loss.item())
    side.eval()


@torch.no_grad()
def answers(
    side: nn.Module, data: Data, asked: Sequence[Choice], encoders: Sequence[str]
) -> list[bool]:
    """Which questions are answered rightly."""
    right: list[bool] = []
    for start in range(0, len(asked), BATCH):
        scores = side(*data.batch(asked[start : start + BATCH], encoders))
        right += (scores.argmax(1) == 0).tolist()
    return right


def learn_to_read(file: Path, data: Data, texts: Path) -> Reader:
    """The reader that all sides start from."""
    torch.manual_seed(0)
    reader = Reader()
    if file.is_file():
        reader.load_state_dict(load_file(file))
        return reader
    endless = made_up(texts)
    test = list(islice(endless, 600))
    side = Side(Spoken(), reader)
    bar = tqdm(total=READING, desc="reader", unit=" steps")

    def tell(step: int, loss: float) -> None:
        bar.update()
        if step % 100 == 99:
            bar.set_postfix(loss=f"{loss:.2f}", refresh=False)

    batches = (data.batch(list(islice(endless, BATCH)), EXPERTS) for _ in range(READING))
    fit(side, batches, READING, tell)
    right = answers(side, data, test, EXPERTS)
    for domain in sorted({choice.domain for choice in test}):
        own = [r for r, choice in zip(right, test, strict=True) if choice.domain == domain]
        print(f"reader, {domain}: {fmean(own):.2f} of {len(own)}")
    with new_file(file) as unfinished:
        save_file(reader.state_dict(), unfinished)
    return reader


def train_side(
    data: Data,
    reader: Reader,
    fusion: str,
    encoders: Sequence[str],
    seed: int,
    train: Sequence[Choice],
    test: Sequence[Choice],
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `openmova roles` reads of one side, and features for its ranks."""
    torch.manual_seed(seed)
    side = Side(FUSIONS[fusion](encoders), Reader())
    side.reader.load_state_dict(reader.state_dict())
    rng = random.Random(seed)
    by_domain: dict[str, list[Choice]] = {}
    for choice in train:
        by_domain.setdefault(choice.domain, []).append(choice)

    def draw() -> list[Choice]:
        domains = rng.choices(sorted(by_domain), k=BATCH)
        return [rng.choice(by_domain[domain]) for domain in domains]

    fit(side, (data.batch(draw(), encoders) for _ in range(STEPS)), STEPS)
    right = answers(side, data, test, encoders)
    told = [name for name in encoders if fusion == "plain" or name != "base"]
    pool = ENCODERS if fusion == "plain" else EXPERTS
    ranked = seed == 0 and len(told) in (1, len(pool))
    return {
        "encoders": told,
        "seed": seed,
        "answers": [
            {"id": choice.id, "domain": choice.domain, "right": one}
            for choice, one in zip(test, right, strict=True)
        ],
    }, features(side.fusion, data, test, encoders, told) if ranked else {}


@torch.no_grad()
def features(
    fusion: nn.Module,
    data: Data,
    test: Sequence[Choice],
    encoders: Sequence[str],
    told: Sequence[str],
) -> dict[str, Tensor]:
    """Tokens of each encoder where it has something, before and after the fusion."""
    found: dict[str, list[Tensor]] = {}
    for start in range(0, len(test), BATCH):
        maps, asked, _, mask = data.batch(test[start : start + BATCH], encoders)
        tokens = fusion(maps, mean_word(asked, mask))
        for name in told:
            before = maps[name].flatten(2).mT
            there = (before != 0).any(-1)
            found.setdefault(f"before/{name}", []).append(before[there])
            found.setdefault(f"after/{name}", []).append(tokens[there])
    return {key: torch.cat(parts)[:MOST].contiguous() for key, parts in found.items()}


def mean_word(asked: Tensor, mask: Tensor) -> Tensor:
    """The question feature [B, C]."""
    return asked.sum(1) / mask[:, 0, :ASKED].sum(1, keepdim=True)


def sets(fusion: str) -> list[tuple[str, ...]]:
    """Of encoders; the MoV-Adapter always has the base, and what the others add is asked."""
    least = 1 if fusion == "plain" else 0
    names = ENCODERS if fusion == "plain" else EXPERTS
    chosen = chain.from_iterable(combinations(names, n) for n in range(least, len(names) + 1))
    return [some if fusion == "plain" else ("base", *some) for some in chosen]


def read_base(data: Path, folders: Sequence[str]) -> dict[str, Tensor]:
    """The base encoder's maps of each folder on the grid [pictures, 472, *GRID]."""
    return {
        name: F.adaptive_avg_pool2d(
            torch.from_numpy(np.load(data / name / "base.npy")).float(), GRID
        )
        for name in folders
    }


def encoder_parameters() -> dict[str, int]:
    """Of nano's encoders; an expert's files count as float32."""
    mova = Mova.from_pretrained("nano", device="cpu")
    base = sum(parameter.numel() for parameter in base_encoder().parameters())
    return {"base": base, **{name: expert_parameters(mova, name) or 0 for name in EXPERTS}}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--texts", type=Path, required=True, help="of studies.nano.data text")
    parser.add_argument("--fusion", choices=sorted(FUSIONS), nargs="+", default=sorted(FUSIONS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    codes = TokenCodes(str(language_model_folder() / "tokenizer.json"), WIDTH)
    codes.fit(embeddings())
    choices = read_choices(arguments.run / "data")
    data = Data(
        Words(codes), read_base(arguments.run / "data", sorted({c.folder for c in choices}))
    )
    train, held_out = split(choices)
    test = [
        choice
        for domain in sorted({c.domain for c in choices})
        for choice in [c for c in held_out if c.domain == domain][:HELD_OUT]
    ]
    parameters = encoder_parameters()
    reader = learn_to_read(arguments.run / "reader.safetensors", data, arguments.texts)
    for fusion in arguments.fusion:
        folder = arguments.run / fusion
        folder.mkdir(exist_ok=True)
        todo = [
            (encoders, seed)
            for seed in range(arguments.seeds)
            for encoders in sets(fusion)
            if not (folder / f"{join(encoders)}-{seed}.json").is_file()
        ]
        for encoders, seed in tqdm(todo, desc=fusion, unit=" sides"):
            side, tokens = train_side(data, reader, fusion, encoders, seed, train, test)
            name = f"{join(encoders)}-{seed}"
            if len(side["encoders"]) == 1:
                side["parameters"] = parameters[side["encoders"][0]]
            if tokens:
                side["features"] = f"{name}.safetensors"
                with new_file(folder / side["features"]) as unfinished:
                    save_file(tokens, unfinished)
            with new_file(folder / f"{name}.json") as unfinished:
                unfinished.write_text(json.dumps(side))


if __name__ == "__main__":
    main()

"""Train a side on the study's questions; the reader first, from words alone.

Shapes: B questions, K choices, C width of a word.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from openmova.checkpoints.nano import language_model_folder
from openmova.experts.token_codes import TokenCodes
from openmova.runtime.files import new_file
from studies.nano.align import embeddings
from studies.sides.questions import CHOICES, Choice, made_up, read_choices, split
from studies.sides.side import (
    ASKED,
    CHOICE,
    EXPERTS,
    FINER,
    GRID,
    LARGE,
    WIDTH,
    MoVAFusion,
    PlainFusion,
    Reader,
    Words,
)

BATCH = 32
READING, STEPS = 5000, 80
"""Training steps of the reader, and of a side with it."""
CHECK, MOST_STEPS = 40, 1600
"""Of training until flat: steps between two checks, and of the rate's rise; steps at most."""
KEPT_BACK = 0.35
"""Share of all pictures that are not trained with until flat; 0.25 are the study's own."""
HELD_OUT = 100
"""Questions of a domain at most."""
READING_RATE, RATE = 1.5e-3, 5e-4
FUSION_RATE, GATE_RATE = 0.2, 0.02
"""Shares of the rate: what joins the encoders begins with words passing; the gate's is a tenth of
the fusion's, as in the recipes."""
NEW = ("fusion.base.", ".summary.")
"""Layers of the fusion that begin at random, and have the whole rate."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What every side starts from."""

    codes: TokenCodes
    data: Data
    train: Sequence[Choice]
    test: Sequence[Choice]
    reader: Reader


def open_study(run: Path, texts: Path) -> Study:
    """RUN/data has pictures, words and base maps (studies/sides/run.sh); RUN keeps the reader."""
    torch.set_flush_denormal(True)  # sharp attention has many, and they take twice the time
    codes = TokenCodes(str(language_model_folder() / "tokenizer.json"), WIDTH)
    codes.fit(embeddings())
    choices = read_choices(run / "data")
    folders = sorted({choice.folder for choice in choices})
    data = Data(Words(codes), {"base": read_maps(run / "data", folders, "base")})
    train, held_out = split(choices)
    by_domain = [[c for c in held_out if c.domain == d] for d in sorted({c.domain for c in train})]
    test = [choice for own in by_domain for choice in own[:HELD_OUT]]
    reader = learn_to_read(run / "reader.safetensors", data, texts)
    return Study(codes=codes, data=data, train=train, test=test, reader=reader)


def read_maps(data: Path, folders: Sequence[str], name: str) -> dict[str, Tensor]:
    """An encoder's stored maps of each folder on the grid [pictures, c, *GRID], float32: cells of a
    finer map side by side in the channels of one."""
    found = {}
    for folder in folders:
        maps = torch.from_numpy(np.load(data / folder / f"{name}.npy"))
        finer = FINER if name == LARGE else 1
        grid = (GRID[0] * finer, GRID[1] * finer)
        pooled = [F.adaptive_avg_pool2d(one.float(), grid) for one in maps.split(BATCH)]
        found[folder] = F.pixel_unshuffle(torch.cat(pooled), finer)
    return found


Choose = Callable[[Choice], Sequence[str]]
"""The experts that are given for a question."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a side is asked: maps [B, c, *GRID] of the encoders, routing bool [B, encoders] (the
    base's column too), and question, choices and mask as `Reader.forward` takes them."""

    maps: Mapping[str, Tensor]
    routing: Tensor
    asked: Tensor
    given: Tensor
    mask: Tensor

    @property
    def question(self) -> Tensor:
        """The mean word [B, C]."""
        return self.asked.sum(1) / self.mask[:, 0, :ASKED].sum(1, keepdim=True)


class Data:
    """Questions as tensors. stored: of encoders without words the maps [pictures, c, *GRID] of each
    folder."""

    def __init__(self, words: Words, stored: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.words, self.stored = words, dict(stored)
        self._maps: dict[tuple[str, int, str], Tensor] = {}

    def batch(
        self, choices: Sequence[Choice], encoders: Sequence[str], choose: Choose | None = None
    ) -> Batch:
        """choose: None gives all of the encoders."""
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
        chosen = [encoders if choose is None else ("base", *choose(c)) for c in choices]
        return Batch(
            maps={name: torch.stack([self._map(c, name) for c in choices]) for name in encoders},
            routing=torch.tensor([[name in names for name in encoders] for names in chosen]),
            asked=asked,
            given=given,
            mask=mask,
        )

    def _map(self, choice: Choice, name: str) -> Tensor:
        """Of one encoder [c, *GRID]; those of pictures are kept."""
        if name in self.stored:
            return self.stored[name][choice.folder][choice.number]
        key = choice.folder, choice.number, name
        if not choice.folder:
            return self.words.map(choice.words.get(name, ""), name)
        if key not in self._maps:
            self._maps[key] = self.words.map(choice.words.get(name, ""), name)
        return self._maps[key]


class Side(nn.Module):
    """A fusion of encoders and a reader."""

    def __init__(self, fusion: nn.Module, reader: Reader) -> None:
        super().__init__()
        self.fusion, self.reader = fusion, reader

    def forward(self, batch: Batch) -> Tensor:
        """Scores of the choices [B, K]."""
        tokens = self.fusion(batch.maps, batch.routing, batch.question)
        scores: Tensor = self.reader(tokens, batch.asked, batch.given, batch.mask)
        return scores


class Spoken(nn.Module):
    """No fusion: the words of all experts, each in its cells."""

    def forward(self, maps: Mapping[str, Tensor], routing: Tensor, question: Tensor) -> Tensor:
        return torch.stack(list(maps.values())).sum(0).flatten(2).mT


def fit(
    side: nn.Module,
    batches: Iterator[Batch],
    steps: int,
    *,
    rate: float = RATE,
) -> None:
    """Train for so many steps; the rate rises for a tenth of them, then falls to zero."""
    optimiser = new_optimiser(side, rate, GATE_RATE)
    rates = [group["lr"] for group in optimiser.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rates, total_steps=steps, pct_start=0.1, anneal_strategy="linear"
    )
    for batch in islice(batches, steps):
        update(side, batch, optimiser)
        schedule.step()


def fit_until_flat(
    side: nn.Module,
    batches: Iterator[Batch],
    held_out: Callable[[], float],
    *,
    gate_rate: float = GATE_RATE,
) -> int:
    """Train until the loss of held-out questions is flat, and keep the best weights: where two
    checks were no better the rate falls to 0.3 of it, and the third fall is the end.

    Returns the steps that were taken.
    """
    optimiser = new_optimiser(side, RATE, gate_rate)
    rise = torch.optim.lr_scheduler.LinearLR(optimiser, 1 / CHECK, total_iters=CHECK)
    fall = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.3, patience=1)
    best, state = math.inf, {}
    for step, batch in enumerate(islice(batches, MOST_STEPS), start=1):
        update(side, batch, optimiser)
        if step <= CHECK:
            rise.step()
        if step % CHECK == 0:
            loss = held_out()
            if loss < best:
                best, state = loss, {k: v.clone() for k, v in side.state_dict().items()}
            fall.step(loss)
            if max(group["lr"] for group in optimiser.param_groups) < 0.05 * RATE:
                break
    side.load_state_dict(state)
    return step


def new_optimiser(side: nn.Module, rate: float, gate_rate: float) -> torch.optim.Optimizer:
    """AdamW; what the fusion begins with and the gate have shares of the rate."""
    parts: dict[float, list[nn.Parameter]] = {}
    for name, parameter in side.named_parameters():
        if not parameter.requires_grad:
            continue
        is_new = any(part in name for part in NEW)
        share = FUSION_RATE if name.startswith("fusion.") and not is_new else 1.0
        share = gate_rate if ".gate." in name else share
        parts.setdefault(rate * share, []).append(parameter)
    groups = [{"params": own, "lr": share} for share, own in parts.items()]
    return torch.optim.AdamW(groups, weight_decay=0.01, fused=True)


def update(side: nn.Module, batch: Batch, optimiser: torch.optim.Optimizer) -> None:
    """A step."""
    side.train()
    loss = loss_of(side(batch))
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(side.parameters(), 1.0)
    optimiser.step()
    side.eval()


def loss_of(scores: Tensor) -> Tensor:
    """The mean cross-entropy of the right choices; scores [B, K]."""
    return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long))


@torch.no_grad()
def answers(
    side: nn.Module,
    data: Data,
    asked: Sequence[Choice],
    encoders: Sequence[str],
    choose: Choose | None = None,
) -> list[bool]:
    """Which questions are answered rightly."""
    right: list[bool] = []
    for start in range(0, len(asked), BATCH):
        scores = side(data.batch(asked[start : start + BATCH], encoders, choose))
        right += (scores.argmax(1) == 0).tolist()
    return right


def new_fusion(study: Study, fusion: str, encoders: Sequence[str]) -> nn.Module:
    """fusion: plain or mova."""
    return PlainFusion(encoders) if fusion == "plain" else MoVAFusion(encoders, study.codes)


def new_side(study: Study, fusion: nn.Module) -> Side:
    """A side with a copy of the study's reader."""
    side = Side(fusion, Reader())
    side.reader.load_state_dict(study.reader.state_dict())
    return side


def draws(train: Sequence[Choice], seed: int) -> Iterator[list[Choice]]:
    """Endless batches; each domain is drawn as often."""
    rng = random.Random(seed)
    by_domain: dict[str, list[Choice]] = {}
    for choice in train:
        by_domain.setdefault(choice.domain, []).append(choice)
    while True:
        yield [rng.choice(by_domain[d]) for d in rng.choices(sorted(by_domain), k=BATCH)]


def train_side(study: Study, fusion: nn.Module, encoders: Sequence[str], seed: int) -> Side:
    """A side of all its encoders, for STEPS."""
    side = new_side(study, fusion)
    fit(side, (study.data.batch(drawn, encoders) for drawn in draws(study.train, seed)), STEPS)
    return side


def train_side_until_flat(
    study: Study,
    fusion: nn.Module,
    encoders: Sequence[str],
    seed: int,
    *,
    choose: Choose | None = None,
    gate_rate: float = GATE_RATE,
) -> tuple[Side, int]:
    """A side under a choice of its encoders, and the steps that it took. Of the pictures to train
    with, some are held out for the loss that tells when it is done."""
    train, kept = split(study.train, KEPT_BACK)
    side = new_side(study, fusion)
    checks = [
        study.data.batch(kept[start : start + BATCH], encoders, choose)
        for start in range(0, len(kept), BATCH)
    ]

    @torch.no_grad()
    def held_out() -> float:
        return fmean(loss_of(side(batch)).item() for batch in checks)

    batches = (study.data.batch(drawn, encoders, choose) for drawn in draws(train, seed))
    return side, fit_until_flat(side, batches, held_out, gate_rate=gate_rate)


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
    steps = tqdm(range(READING), desc="reader", unit=" steps")
    batches = (data.batch(list(islice(endless, BATCH)), EXPERTS) for _ in steps)
    fit(side, batches, READING, rate=READING_RATE)
    right = answers(side, data, test, EXPERTS)
    for domain in sorted({choice.domain for choice in test}):
        own = [r for r, choice in zip(right, test, strict=True) if choice.domain == domain]
        print(f"reader, {domain}: {fmean(own):.2f} of {len(own)}")
    with new_file(file) as unfinished:
        save_file(reader.state_dict(), unfinished)
    return reader

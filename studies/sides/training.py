"""Train a side on the study's questions; the reader first, from words alone.

Shapes: B questions, K choices, C width of a word.
"""

from __future__ import annotations

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
    GRID,
    WIDTH,
    MoVAFusion,
    PlainFusion,
    Reader,
    Words,
)

BATCH = 32
READING, STEPS = 5000, 80
"""Training steps of the reader, and of a side with it."""
HELD_OUT = 100
"""Questions of a domain at most."""
READING_RATE, RATE = 1.5e-3, 5e-4
FUSION_RATE, GATE_RATE = 0.2, 0.1
"""Shares of the rate: what joins the encoders begins with words passing; the gate's is that of the
recipes, of the fusion's."""
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
    data = Data(Words(codes), read_base(run / "data", folders))
    train, held_out = split(choices)
    by_domain = [[c for c in held_out if c.domain == d] for d in sorted({c.domain for c in train})]
    test = [choice for own in by_domain for choice in own[:HELD_OUT]]
    reader = learn_to_read(run / "reader.safetensors", data, texts)
    return Study(codes=codes, data=data, train=train, test=test, reader=reader)


def read_base(data: Path, folders: Sequence[str]) -> dict[str, Tensor]:
    """The base encoder's maps of each folder on the grid [pictures, 472, *GRID]."""
    return {
        name: F.adaptive_avg_pool2d(
            torch.from_numpy(np.load(data / name / "base.npy")).float(), GRID
        )
        for name in folders
    }


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
    """Questions as tensors. base: [pictures, 472, *GRID] of each folder, as stored."""

    def __init__(self, words: Words, base: Mapping[str, Tensor]) -> None:
        self.words, self.base = words, base
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
        if name == "base":
            return self.base[choice.folder][choice.number]
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
    gate_rate: float = GATE_RATE,
    tell: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Train for so many steps; the rate rises for a tenth of them, then falls to zero."""
    side.train()
    parts: dict[float, list[nn.Parameter]] = {}
    for name, parameter in side.named_parameters():
        if not parameter.requires_grad:
            continue
        is_new = any(part in name for part in NEW)
        share = FUSION_RATE if name.startswith("fusion.") and not is_new else 1.0
        share *= gate_rate if ".gate." in name else 1.0
        parts.setdefault(rate * share, []).append(parameter)
    optimiser = torch.optim.AdamW(
        [{"params": own, "lr": share} for share, own in parts.items()],
        weight_decay=0.01,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [*parts], total_steps=steps, pct_start=0.1, anneal_strategy="linear"
    )
    for step, batch in enumerate(islice(batches, steps)):
        scores = side(batch)
        loss = F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(side.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        tell(step, loss.item())
    side.eval()


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


def train_side(
    study: Study,
    fusion: nn.Module,
    encoders: Sequence[str],
    seed: int,
    *,
    steps: int = STEPS,
    choose: Choose | None = None,
    gate_rate: float = GATE_RATE,
) -> Side:
    """A side from the study's reader; each domain is drawn as often."""
    side = Side(fusion, Reader())
    side.reader.load_state_dict(study.reader.state_dict())
    rng = random.Random(seed)
    by_domain: dict[str, list[Choice]] = {}
    for choice in study.train:
        by_domain.setdefault(choice.domain, []).append(choice)

    def draw() -> list[Choice]:
        domains = rng.choices(sorted(by_domain), k=BATCH)
        return [rng.choice(by_domain[domain]) for domain in domains]

    batches = (study.data.batch(draw(), encoders, choose) for _ in range(steps))
    fit(side, batches, steps, gate_rate=gate_rate)
    return side


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
    fit(side, batches, READING, rate=READING_RATE, tell=tell)
    right = answers(side, data, test, EXPERTS)
    for domain in sorted({choice.domain for choice in test}):
        own = [r for r, choice in zip(right, test, strict=True) if choice.domain == domain]
        print(f"reader, {domain}: {fmean(own):.2f} of {len(own)}")
    with new_file(file) as unfinished:
        save_file(reader.state_dict(), unfinished)
    return reader

"""Other routers than the language model (tables 10 and 14): a sentence encoder, and an MLP.

The sentence encoder is MiniLM, a small BERT, which nano's gate carries: chosen is the expert whose
description is nearest to the question by cosine; nothing is trained. The MLP reads MiniLM's
features: over nano's own pool those of the question, with one output an expert; over pools never
seen those of the question and of all descriptions, with one output a place of the pool.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.checkpoints.nano_spec import DESCRIPTIONS, EXPERTS
from openmova.inference.mova import Mova
from openmova.runtime.assets import NANO_SUITE, asset_folder
from studies.claims.open_world import open_world
from studies.claims.open_world_suite import Item
from studies.claims.questions import Question
from studies.toy.conversations import draw
from studies.toy.synthetic import PictureSet
from studies.toy.synthetic.questions import ask

Loss = Callable[[Tensor, Tensor], Tensor]
COUNT = 2000
"""Questions that an MLP learns from: as many as the paper's language model does."""
EPOCHS, BATCH, HIDDEN = 50, 64, 256
IMAGES = 100
"""Of each domain, whose facts are asked."""


class SentenceEncoder:
    """MiniLM's sentence features: the mean of its last states, of length one; kept by text."""

    def __init__(self, mova: Mova) -> None:
        self.tokenizer = mova.processor.question_tokenizer
        self.encoder = mova.model.model.gate_text_encoder
        self.known: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, texts: Sequence[str], batch: int = 64) -> Tensor:
        """[texts, D]"""
        new = sorted({text for text in texts if text not in self.known}, key=len)
        for start in range(0, len(new), batch):
            part = new[start : start + batch]
            encoded = self.tokenizer(part, return_tensors="pt", padding=True, truncation=True)
            encoded = encoded.to(self.encoder.device)
            states = self.encoder(**encoded).last_hidden_state  # [B, T, D]
            mask = encoded["attention_mask"][..., None]
            means = (states * mask).sum(dim=1) / mask.sum(dim=1)
            self.known.update(zip(part, F.normalize(means, dim=-1).float().cpu(), strict=True))
        return torch.stack([self.known[text] for text in texts])


def nearest(encoder: SentenceEncoder, question: str, descriptions: Sequence[str]) -> int:
    """The place of the description that is nearest to the question."""
    return int((encoder(descriptions) @ encoder([question])[0]).argmax())


def nearest_in_pool(encoder: SentenceEncoder, asked: Sequence[Question]) -> list[set[str]]:
    """The nearest expert of nano's pool, by the descriptions that nano's router reads."""
    read = [texts[0] for texts in DESCRIPTIONS.values()]
    return [{EXPERTS[nearest(encoder, question.text, read)]} for question in asked]


def mlp_in_pool(
    encoder: SentenceEncoder, asked: Sequence[Question], *, seed: int
) -> list[set[str]]:
    """What an MLP chooses of nano's pool, trained on COUNT generated questions."""
    held_out = PictureSet.from_folder(asset_folder(NANO_SUITE) / "pictures")
    rng = random.Random(f"mini-mlp-{seed}")
    facts = {
        domain: [f for _ in range(IMAGES) for f in draw(domain, held_out, rng).facts]
        for domain in EXPERTS
    }
    learned = [rng.choice(facts[rng.choice(EXPERTS)]) for _ in range(COUNT)]
    features = encoder([ask(fact, rng) for fact in learned])
    needed = torch.tensor([[name in fact.experts for name in EXPERTS] for fact in learned]).float()
    model = _trained(features, needed, seed, F.binary_cross_entropy_with_logits)
    chosen = model(encoder([question.text for question in asked])) > 0
    return [
        {name for name, is_chosen in zip(EXPERTS, row, strict=True) if is_chosen}
        for row in chosen.tolist()
    ]


def nearest_in_open_world(encoder: SentenceEncoder, asked: Sequence[Item]) -> list[str]:
    """The nearest expert of each question's pool."""
    return [i.pool[nearest(encoder, i.question, i.descriptions)] for i in asked]


def mlp_in_open_world(encoder: SentenceEncoder, asked: Sequence[Item], *, seed: int) -> list[str]:
    """What an MLP chooses, trained on COUNT questions to augmented pools of the training experts:
    shuffled, each described anew."""
    rng = random.Random(f"mini-open-world-mlp-{seed}")
    experts = open_world().training
    size = len(asked[0].pool)
    rows, places = [], []
    for _ in range(COUNT):
        names = rng.sample(list(experts), size)
        places.append(rng.randrange(size))
        texts = [rng.choice(experts[name].descriptions) for name in names]
        rows.append([rng.choice(experts[names[places[-1]]].questions), *texts])
    model = _trained(_together(encoder, rows), torch.tensor(places), seed, F.cross_entropy)
    found = model(_together(encoder, [[i.question, *i.descriptions] for i in asked])).argmax(dim=1)
    return [item.pool[place] for item, place in zip(asked, found.tolist(), strict=True)]


def _together(encoder: SentenceEncoder, rows: Sequence[Sequence[str]]) -> Tensor:
    """[rows, texts * D]"""
    encoder([text for row in rows for text in row])
    return torch.stack([encoder(row).flatten() for row in rows])


def _trained(features: Tensor, targets: Tensor, seed: int, loss_of: Loss) -> nn.Module:
    """features [n, D], targets float [n, outputs] or places int [n]."""
    torch.manual_seed(seed)
    outputs = targets.shape[1] if targets.ndim == 2 else int(targets.max()) + 1
    model = nn.Sequential(
        nn.Linear(features.shape[1], HIDDEN), nn.GELU(), nn.Linear(HIDDEN, outputs)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(features)).split(BATCH):
            optimizer.zero_grad()
            loss_of(model(features[rows]), targets[rows]).backward()
            optimizer.step()
    return model

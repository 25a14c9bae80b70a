"""Stage 3: instruction tuning of the language model by LoRA: answers and routing, mixed.

Answers are learned behind the aligned tokens of real images and behind pages of true word
embeddings (no image: the task without the noise of seeing). Routing follows the paper's recipe:
instructions over a pool of described experts, descriptions paraphrased, the pool shuffled and
truncated (section 3.2). Several questions share one prefix: each sees the prefix and itself only,
so that every one is exactly the sequence it would be alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.checkpoints.nano_spec import (
    DESCRIPTIONS,
    EXPERTS,
    INSTRUCTION,
    LORA_RANK,
    LORA_SCALE,
    ROUTING_GRID,
)
from openmova.data.synthetic import COLUMNS, ROWS, Fact, Sample
from openmova.data.synthetic.questions import ask
from openmova.data.synthetic.words import INDEX
from openmova.routing.pool import pool_tokens
from openmova.routing.prompt import routing_prompt
from openmova.train.nano.align import (
    Aligned,
    Encoded,
    GateText,
    random_routing,
)
from openmova.train.nano.experts import DRAW
from openmova.train.nano.loop import fit

USER, TURN = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
END = "<|im_end|>"


@dataclass(kw_only=True)
class Pack:
    """A prefix of embeddings [P, D] and branches of (ids, number of ids that are the answer)."""

    prefix: Tensor
    branches: list[tuple[list[int], int]]


def collate(packs: Sequence[Pack], embeddings: nn.Embedding) -> dict[str, Tensor]:
    """Packs -> one padded batch.

    Returns inputs_embeds [B, T, D], mask bool [B, 1, T, T] (what each position sees),
    positions [B, T], labels [B, T] (the next id where it is part of an answer, else -100).
    """
    lengths = [len(p.prefix) + sum(len(ids) for ids, _ in p.branches) for p in packs]
    batch, total, width = len(packs), max(lengths), packs[0].prefix.shape[1]
    embeds = torch.zeros(batch, total, width)
    mask = torch.eye(total, dtype=torch.bool).repeat(batch, 1, 1)
    positions = torch.zeros(batch, total, dtype=torch.long)
    labels = torch.full((batch, total), -100)
    causal = torch.ones(total, total, dtype=torch.bool).tril()
    for row, pack in enumerate(packs):
        start = len(pack.prefix)
        embeds[row, :start] = pack.prefix
        mask[row, :start, :start] = causal[:start, :start]
        positions[row, :start] = torch.arange(start)
        at = start
        for ids, answer in pack.branches:
            end = at + len(ids)
            tokens = torch.tensor(ids)
            embeds[row, at:end] = embeddings(tokens).float()
            mask[row, at:end, :start] = True
            mask[row, at:end, at:end] = causal[: len(ids), : len(ids)]
            positions[row, at:end] = torch.arange(start, start + len(ids))
            labels[row, end - answer - 1 : end - 1] = tokens[-answer:]
            at = end
    return {"embeds": embeds, "mask": mask[:, None], "positions": positions, "labels": labels}


class Instruct(nn.Module):
    """The language model with LoRA on its attention; the loss on the answers."""

    def __init__(self, language_model: Any, tokenizer: Any) -> None:
        super().__init__()
        config = LoraConfig(
            r=LORA_RANK,
            lora_alpha=int(LORA_SCALE * LORA_RANK),
            target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
        )
        self.lm: Any = get_peft_model(language_model, config)
        self.tokenizer = tokenizer

    @property
    def embeddings(self) -> nn.Embedding:
        return self.lm.get_input_embeddings()

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def answer_pack(self, tokens: Tensor, asked: Sequence[tuple[str, str]]) -> Pack:
        """tokens [N, D] and (question, answer) pairs."""
        prefix = torch.cat([self.embed(USER), tokens])
        branches = []
        for question, answer in asked:
            end = self.ids(answer + END)
            branches.append((self.ids(f"\n{question}{TURN}") + end, len(end)))
        return Pack(prefix=prefix, branches=branches)

    def routing_pack(
        self,
        tokens: Tensor,
        pool: Sequence[str],
        descriptions: Sequence[str],
        asked: Sequence[tuple[str, Fact]],
    ) -> Pack:
        """tokens [n, D] pooled, names and descriptions of the pool, (question, fact) pairs."""
        text = routing_prompt(INSTRUCTION, descriptions, "")
        prefix = torch.cat([self.embed(USER), tokens, self.embed("\n" + text)])
        branches = []
        for question, fact in asked:
            letters = ["ABCDEFGH"[i] for i, name in enumerate(pool) if name in fact.experts]
            end = self.ids((", ".join(letters) or "none") + END)
            branches.append((self.ids(question + TURN) + end, len(end)))
        return Pack(prefix=prefix, branches=branches)

    @torch.no_grad()
    def embed(self, text: str) -> Tensor:
        return self.embeddings(torch.tensor(self.ids(text))).float()

    def loss(self, packs: Sequence[Pack]) -> tuple[Tensor, float]:
        """Cross-entropy on the answers, and the share of right answer tokens."""
        batch = collate(packs, self.embeddings)
        dtype = self.embeddings.weight.dtype
        decoder = self.lm.base_model.model.model
        hidden = decoder(
            inputs_embeds=batch["embeds"].to(dtype),
            attention_mask=batch["mask"],
            position_ids=batch["positions"],
            use_cache=False,
        ).last_hidden_state
        asked = batch["labels"] >= 0
        logits = F.linear(hidden[asked], self.embeddings.weight).float()
        target = batch["labels"][asked]
        right = (logits.argmax(-1) == target).float().mean().item()
        return F.cross_entropy(logits, target), right


def _family(facts: Sequence[Fact], rng: random.Random, most: int) -> list[Fact]:
    """Facts that need the same experts as one drawn at random, each at most twice."""
    chosen = rng.choice(facts)
    same = [f for f in facts if f.experts == chosen.experts] * 2
    return rng.sample(same, min(most, len(same)))


@torch.no_grad()
def true_page(sample: Sample, targets: Tensor, rng: random.Random) -> Tensor:
    """The tokens that a perfect alignment would give, with a little noise: [ROWS * COLUMNS, D]."""
    cells = torch.tensor([[INDEX[w] for w in row] for row in sample.cells]).flatten()
    tokens = targets[cells]
    noise = torch.randn(tokens.shape, generator=torch.Generator().manual_seed(rng.getrandbits(31)))
    return tokens + rng.uniform(0, 0.6) * noise * tokens.norm(dim=-1, keepdim=True) / 24.0


IMAGES = ("text", "text", "text", "chart", "chart", "location", "object")
"""The domains of the images of one step."""


def instruct(
    model: Instruct,
    aligned: Aligned,
    data: Encoded,
    targets: Tensor,
    gate: GateText,
    *,
    steps: int,
    folder: Path,
    seed: int,
    lr: float = 1e-3,
    questions: int = 8,
) -> None:
    """Seven images, one true page and two routing prompts a step, several questions each.

    The adapter stays as the alignment left it. Half of the routing prompts show the pool as it is,
    half an augmented one.
    """
    by_domain = {name: [i for i, d in enumerate(data.domains) if d == name] for name in EXPERTS}

    @torch.no_grad()
    def tokens_of(rows: Sequence[int], routing: list[list[bool]], asked: list[str]) -> Tensor:
        return aligned(data, torch.tensor(rows), torch.tensor(routing), gate(asked))

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = random.Random(f"instruct-{seed}-{step}")
        rows = [rng.choice(by_domain[name]) for name in IMAGES]
        families = [_family(data.facts[row], rng, questions) for row in rows]
        routing = [random_routing(family[0].experts, rng) for family in families]
        asked = [[(ask(f, rng), f.answer) for f in family] for family in families]
        tokens = tokens_of(rows, routing, [pairs[0][0] for pairs in asked])
        packs = [model.answer_pack(t, pairs) for t, pairs in zip(tokens, asked, strict=True)]
        sample = DRAW[rng.choice(["text", "chart", "location"])](rng)
        facts = rng.sample(sample.facts, min(questions, len(sample.facts)))
        page = true_page(sample, targets, rng)
        packs.append(model.answer_pack(page, [(ask(f, rng), f.answer) for f in facts]))
        answer_loss, right = model.loss(packs)

        rows = [rng.choice(by_domain[name]) for name in rng.sample(EXPERTS, 2)]
        none = [[False] * len(EXPERTS)] * len(rows)
        seen = tokens_of(rows, none, [""] * len(rows))
        pooled = pool_tokens(seen, (ROWS, COLUMNS), ROUTING_GRID)
        routing_packs = []
        for row, few, augmented in zip(rows, pooled, (False, True), strict=True):
            facts = [rng.choice(data.facts[row]) for _ in range(questions)]
            pool = list(EXPERTS)
            if augmented:
                pool = rng.sample(EXPERTS, len(EXPERTS) - (rng.random() < 0.2))
            texts = [
                rng.choice(DESCRIPTIONS[name]) if augmented else DESCRIPTIONS[name][0]
                for name in pool
            ]
            questions_ = [(ask(f, rng), f) for f in facts]
            routing_packs.append(model.routing_pack(few, pool, texts, questions_))
        routing_loss, routed = model.loss(routing_packs)
        return answer_loss + 0.5 * routing_loss, {"answers": right, "routing": routed}

    fit("instruction", model, loss_of, steps=steps, lr=lr, folder=folder, weight_decay=0.0)

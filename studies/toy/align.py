"""Stage 2: dense alignment of the MoV-Adapter's tokens with the language model's token space.

Every fused token is trained to be the language model's input embedding of the word in its cell, the
empty cells that of `BLANK`. It stands beside the paper's own pretraining objective (section 3.4),
which alone does not move a model of this size; trained are the same parts: the adapter, and of the
base encoder its projection. The routing of a sample is that of a question about it, and at times
another one (none, all, random), so that every routing is seen.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import AutoTokenizer, BertModel

from openmova.checkpoints.nano import language_model_folder, nano_parts
from openmova.checkpoints.nano_spec import EXPERTS, GRID
from openmova.experts.base import Expert
from openmova.experts.lite import LiteEncoder
from openmova.model.adapter import ExpertKnowledgeExtractor, ExpertMap, MoVAdapter
from openmova.model.layers import resize_map
from openmova.routing.prompt import gate_text
from studies.toy.conversations import a_fact
from studies.toy.experts import cells_tensor, images_tensor, word_weights
from studies.toy.loop import fit
from studies.toy.picture_expert import tail, trunk
from studies.toy.synthetic import Fact, Sample
from studies.toy.synthetic.questions import ask
from studies.toy.synthetic.words import WORDS

BLANK = " ."
TEMPERATURE = 20.0
DOMAINS = ("text", "location", "chart", "text", "location", "text", "chart", "object")
"""Of the images of a batch, over and over: most often what has most to read."""


@dataclass(kw_only=True)
class Encoded:
    """What the frozen encoders say of some images.

    base: [n, 320, 7, 7]; maps: expert -> [n, C, 14, 14]; cells: int64 [n, ROWS, COLUMNS].
    """

    base: Tensor
    maps: list[Tensor]
    cells: Tensor
    facts: list[list[Fact]]
    domains: list[str]

    def __len__(self) -> int:
        return len(self.facts)


@torch.no_grad()
def encode(samples: Sequence[Sample], base: LiteEncoder, experts: Sequence[Expert]) -> Encoded:
    """Runs the frozen encoders once, 8 images at a time; kept in bfloat16.

    The last expert, the object expert, shares the base's stages before it was tuned.
    """
    bases: list[Tensor] = []
    maps: list[list[Tensor]] = [[] for _ in experts]
    *small, picture = experts
    assert isinstance(picture, LiteEncoder)
    for start in tqdm(range(0, len(samples), 8), desc="encoding", mininterval=10):
        view = images_tensor(list(samples[start : start + 8]))
        shared = trunk(base, view)
        bases.append(tail(base, shared).bfloat16())
        for kept, expert in zip(maps, small, strict=False):
            kept.append(resize_map(expert(view), GRID).bfloat16())
        maps[-1].append(resize_map(tail(picture, shared), GRID).bfloat16())
    return Encoded(
        base=torch.cat(bases),
        maps=[torch.cat(kept) for kept in maps],
        cells=cells_tensor(list(samples)),
        facts=[s.facts for s in samples],
        domains=[s.domain for s in samples],
    )


def word_embeddings(tokenizer: Any, embeddings: Tensor) -> Tensor:
    """The target of every word, [words, D]: its token with a space before it, a digit without.

    Raises ValueError for a word of several tokens.
    """
    ids = []
    for word in WORDS:
        text = BLANK if word == "" else word if word.isdigit() else f" {word}"
        tokens = tokenizer(text, add_special_tokens=False).input_ids
        if len(tokens) != 1:
            raise ValueError(f"{word!r} is {len(tokens)} tokens; choose words of one token")
        ids += tokens
    return embeddings[torch.tensor(ids)]


class GateText:
    """The gate's text features, kept by question."""

    def __init__(self, tokenizer: Any, encoder: BertModel) -> None:
        self.tokenizer, self.encoder = tokenizer, encoder
        self.known: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, questions: Sequence[str]) -> Tensor:
        """[B, D]: the encoder's last state of [CLS]."""
        new = list(dict.fromkeys(q for q in questions if q not in self.known))
        if new:
            texts = [gate_text([q]) for q in new]
            batch = self.tokenizer(texts, return_tensors="pt", padding=True, truncation=True)
            states = self.encoder(**batch.to(self.encoder.device)).last_hidden_state[:, 0].cpu()
            self.known.update(zip(new, states, strict=True))
        return torch.stack([self.known[q] for q in questions])


def words_and_gate() -> tuple[Tensor, GateText]:
    """What every alignment needs of the packages: the words' targets [words, D], the gate's text.

    Raises UserError where a package is missing.
    """
    language_model, minilm = language_model_folder(), nano_parts().text_encoder
    tokenizer = AutoTokenizer.from_pretrained(language_model)
    with safe_open(language_model / "model.safetensors", framework="pt") as file:
        targets = word_embeddings(tokenizer, file.get_tensor("model.embed_tokens.weight").float())
    encoder = BertModel.from_pretrained(minilm, add_pooling_layer=False).eval()
    return targets, GateText(AutoTokenizer.from_pretrained(minilm), encoder)


def random_routing(needed: Sequence[str], rng: random.Random) -> list[bool]:
    """The experts that a question needs; one time in six none, all or any of them."""
    draw = rng.random()
    if draw < 0.84:
        return [name in needed for name in EXPERTS]
    if draw < 0.90:
        return [False] * len(EXPERTS)
    if draw < 0.95:
        return [True] * len(EXPERTS)
    return [rng.random() < 0.5 for _ in EXPERTS]


class Aligned(nn.Module):
    """The trained parts: the base encoder's projection and the adapter."""

    def __init__(self, base: LiteEncoder, adapter: MoVAdapter) -> None:
        super().__init__()
        self.base, self.adapter = base, adapter

    def forward(self, data: Encoded, rows: Tensor, routing: Tensor, text: Tensor) -> Tensor:
        """rows int [B], routing bool [B, E], text [B, D] -> tokens [B, ROWS * COLUMNS, width]."""
        maps = {}
        for j in range(routing.shape[1]):
            if routing[:, j].any():
                chosen = routing[:, j].nonzero().flatten()
                maps[j] = ExpertMap(chosen, data.maps[j][rows[chosen]].float())
        tokens, _ = self.adapter(self.base.project(data.base[rows].float()), maps, routing, text)
        return tokens


@torch.no_grad()
def look_at_same_place(adapter: MoVAdapter, sharpness: float = 4.0) -> None:
    """Starts every expert's cross-attention as a look-up of the same place of the map.

    Query and key get a constant part (through the biases of their layer norms) whose rotary product
    is largest at offset zero, by about ``sharpness`` over the nearest neighbour.
    """
    head_dim, theta = adapter.config.head_dim, adapter.config.rope_theta
    frequencies = theta ** (-torch.arange(head_dim // 4) / (head_dim // 4))
    gap = (1 - frequencies.cos()).sum().item()  # of the product, one cell away, per squared length
    amplitude = (sharpness * head_dim**0.5 / gap) ** 0.5
    for extractor in adapter.modules():
        if isinstance(extractor, ExpertKnowledgeExtractor):
            attention = extractor.attention
            heads = attention.q_proj.out_features // attention.head_dim
            constant = torch.tensor([amplitude, 0.0]).repeat(heads * attention.head_dim // 2)
            for norm, projection in (
                (extractor.query_norm, attention.q_proj),
                (extractor.expert_norm, attention.k_proj),
            ):
                bias = torch.randn_like(norm.bias).sign()
                norm.bias.copy_(bias)
                wanted = constant - projection.weight @ bias
                projection.weight += torch.outer(wanted, bias) / bias.square().sum()


def alignment_loss(tokens: Tensor, cells: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy on scaled cosines, pull of direction and of length.

    tokens [B, N, D], cells int [B, N], targets [words, D]. Returns the loss and the best words.
    """
    cosines = F.normalize(tokens, dim=-1) @ F.normalize(targets, dim=-1).T  # [B, N, words]
    weight = word_weights()
    flat = cells.flatten()
    entropy = F.cross_entropy(TEMPERATURE * cosines.flatten(0, 1), flat, weight=weight)
    wanted = targets[cells]  # [B, N, D]
    own = cosines.flatten(0, 1).gather(1, flat[:, None]).squeeze(1)
    share = weight[flat] / weight[flat].sum()
    length = (tokens.norm(dim=-1) - wanted.norm(dim=-1)).square().flatten()
    return entropy + ((0.5 * (1 - own) + 0.1 * length) * share).sum(), cosines.argmax(-1)


def align(
    model: nn.Module,
    data: Encoded,
    targets: Tensor,
    gate: GateText,
    *,
    steps: int,
    folder: Path,
    seed: int,
    batch: int = 32,
    lr: float = 2e-3,
    gate_rate: float = 1.0,
) -> None:
    """Trains the alignment; every batch holds all four domains.

    model: (data, rows, routing, text) -> tokens, as `Aligned`. Its checkpoint, and with it the way
    on after a kill, is in the folder. gate_rate: of the learning rate, what the gates learn at.
    """
    by_domain = {name: [i for i, d in enumerate(data.domains) if d == name] for name in EXPERTS}

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = random.Random(f"align-{seed}-{step}")
        domains = [DOMAINS[i % len(DOMAINS)] for i in range(batch)]
        rows = [rng.choice(by_domain[domain]) for domain in domains]
        facts = [a_fact(data.facts[row], rng) for row in rows]
        questions = [ask(fact, rng) for fact in facts]
        routing = torch.tensor([random_routing(fact.experts, rng) for fact in facts])
        index = torch.tensor(rows)
        cells = data.cells[index].flatten(1)
        with torch.autocast("cpu", torch.bfloat16):
            tokens = model(data, index, routing, gate(questions))
        loss, best = alignment_loss(tokens.float(), cells, targets)
        right = (best == cells) & (cells > 0)
        figures = {}
        for name in EXPERTS:
            mine = torch.tensor([domain == name for domain in domains])
            figures[name] = right[mine].sum().item() / max((cells[mine] > 0).sum().item(), 1)
        return loss, figures

    def rate(name: str) -> float:
        return gate_rate if ".gate." in name else 1.0

    fit("alignment", model, loss_of, steps=steps, lr=lr, rate=rate, folder=folder)

"""A visual side, and the small reader in the place of the language model.

Shapes: B questions, N cells of the grid, C width, K choices, T words of a question and a choice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.checkpoints.nano_adapter import word_adapter
from openmova.experts.token_codes import TokenCodes
from openmova.model.adapter import AdapterConfig, ExpertMap

WIDTH = 96
GRID = (12, 10)
CELLS = GRID[0] * GRID[1]
ROWS = {"text": (0, 5), "layout": (5, 6), "object": (6, 8), "location": (8, 10), "chart": (10, 12)}
"""Where each expert's words lie."""
EXPERTS = tuple(ROWS)
KEPT = ("extractors.", "before_pool.", "projector.")
"""Of the MoV-Adapter: written layers that are not trained. 80 steps at a rate of 1e-4 broke them:
with all experts 53% of the questions were right before and 31 to 38% after."""
FREE, SUMMARY = 24, (4, 4)
"""Of the MoV-Adapter: channels of the base map, and the grid of its own tokens."""
BASE = 472
"""Channels of the base encoder's stored map."""
LARGE, FINER = "large", 2
"""The base encoder on a larger picture, as costly as several encoders; its map is so much finer."""
CHANNELS = {"base": BASE, LARGE: BASE * FINER**2}
ASKED, CHOICE = 12, 5
"""Words of a question and of a choice."""
HEADS, LAYERS = 4, 2


class Words:
    """Vectors of words [C]: the mean code of their tokens, of length sqrt(C)."""

    def __init__(self, codes: TokenCodes) -> None:
        self._codes = codes
        self.vector = lru_cache(maxsize=200_000)(self._vector)

    def _vector(self, word: str) -> Tensor:
        ids = torch.tensor(self._codes.encode(word) or self._codes.encode("?"))
        return F.normalize(self._codes(ids).mean(0), dim=0) * WIDTH**0.5

    def __call__(self, text: str, most: int) -> Tensor:
        """The first words of a text [T, C]; at least one."""
        return torch.stack([self.vector(word) for word in split_words(text)[:most]])

    def map(self, text: str, expert: str) -> Tensor:
        """What an expert says as its map [C, *GRID], a word a cell."""
        first, end = ROWS[expert]
        cells = torch.zeros(CELLS, WIDTH)
        if text.strip():
            said = self(text, (end - first) * GRID[1])
            cells[first * GRID[1] :][: len(said)] = said
        return cells.T.reshape(WIDTH, *GRID)


def split_words(text: str) -> list[str]:
    """Words, numbers and signs; case does not count."""
    return re.findall(r"[\w.,'-]*\w%?|[^\w\s]", text.lower()) or ["?"]


class PlainFusion(nn.Module):
    """The maps of all encoders side by side, zeros for those not chosen, then two linear layers."""

    def __init__(self, encoders: Sequence[str]) -> None:
        super().__init__()
        self.encoders = tuple(encoders)
        channels = sum(CHANNELS.get(name, WIDTH) for name in encoders)
        first, second = nn.Linear(channels, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.projector = nn.Sequential(first, nn.GELU(), second)
        with torch.no_grad():  # words pass: GELU(x) - GELU(-x) is x
            first.weight *= 0.1
            start = 0
            both = torch.cat([torch.eye(WIDTH), -torch.eye(WIDTH)])
            for name in self.encoders:
                if name not in CHANNELS:
                    first.weight[:, start : start + WIDTH] = both
                start += CHANNELS.get(name, WIDTH)
            second.weight.copy_(both.T)

    def forward(self, maps: Mapping[str, Tensor], routing: Tensor, question: Tensor) -> Tensor:
        """maps [B, c, *GRID] of each encoder, routing bool [B, encoders], question [B, C]
        -> tokens [B, N, C], those of the cells first."""
        beside = torch.cat(
            [maps[name] * routing[:, j, None, None, None] for j, name in enumerate(self.encoders)],
            dim=1,
        )
        tokens: Tensor = self.projector(beside.flatten(2).mT)
        return tokens


class MoVAFusion(nn.Module):
    """The MoV-Adapter, which begins as nano's: words pass, and cells without any give no token. The
    first encoder is the base. uniform: all experts chosen weigh the same, whatever is asked."""

    def __init__(
        self,
        encoders: Sequence[str],
        codes: TokenCodes,
        *,
        blocks: int = 1,
        uniform: bool = False,
    ) -> None:
        super().__init__()
        self.experts = tuple(encoders[1:])
        self.base = nn.Sequential(nn.Linear(BASE, FREE), nn.LayerNorm(FREE))
        config = AdapterConfig(
            width=FREE + WIDTH,
            expert_channels=(WIDTH,) * len(self.experts),
            text_width=WIDTH,
            output_width=WIDTH,
            grid=GRID,
            token_grid=GRID,
            summary_grid=SUMMARY,
            blocks=blocks,
            top_k=max(len(self.experts), 1),
            head_dim=24,
        )
        table = codes(torch.arange(len(codes.table)))
        with torch.random.fork_rng(devices=[]):
            self.adapter = word_adapter(config, codes, table)
        self.adapter.summary.reset_parameters()
        self.length = WIDTH**0.5 / float(table.norm(dim=1).mean())
        for name, parameter in self.adapter.named_parameters():
            stays = [*KEPT, *([".gate."] if uniform else [])]  # the gate begins uniform
            parameter.requires_grad_(not any(part in name for part in stays))
        self.gates = torch.zeros(0)
        """Of the last batch [B, blocks, experts]."""

    def forward(self, maps: Mapping[str, Tensor], routing: Tensor, question: Tensor) -> Tensor:
        """As `PlainFusion.forward`."""
        base = F.pad(self.base(maps["base"].flatten(2).mT), (0, WIDTH)).mT.unflatten(2, GRID)
        chosen = routing[:, 1:]
        rows = [chosen[:, j].nonzero()[:, 0] for j in range(len(self.experts))]
        given = {
            j: ExpertMap(rows[j], maps[name][rows[j]])
            for j, name in enumerate(self.experts)
            if len(rows[j])
        }
        tokens, gates = self.adapter(base, given, chosen, question)
        self.gates = gates.detach()
        summary, cells = tokens.split([tokens.shape[1] - CELLS, CELLS], dim=1)
        return torch.cat([cells * self.length, summary], dim=1)


class Reader(nn.Module):
    """Says of each choice how well it answers, from image tokens and question; tokens beyond the
    cells have no place."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(CELLS, WIDTH) * 0.1)
        self.text_place = nn.Parameter(torch.randn(ASKED + CHOICE, WIDTH) * 0.1)
        self.near = nn.Conv1d(WIDTH, WIDTH, 5, padding=2)
        self.alike = nn.Linear(1, WIDTH)
        self.layers = nn.ModuleList(ReaderLayer() for _ in range(LAYERS))
        self.score = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 1))

    def forward(self, tokens: Tensor, asked: Tensor, choices: Tensor, mask: Tensor) -> Tensor:
        """tokens [B, N, C], asked [B, ASKED, C], choices [B, K, CHOICE, C], mask bool
        [B, K, ASKED + CHOICE], which words are there -> scores [B, K]."""
        count = choices.shape[1]
        text = torch.cat([asked[:, None].expand(-1, count, -1, -1), choices], dim=2)
        near = F.normalize(text, dim=-1) @ F.normalize(tokens, dim=-1)[:, None].mT
        best = near.amax(dim=-1, keepdim=True)  # [B, K, T, 1]
        x = text + self.text_place + self.alike(best)
        place = F.pad(self.place, (0, 0, 0, tokens.shape[1] - CELLS))
        seen = tokens + place + F.gelu(self.near(tokens.mT)).mT
        x = x.flatten(0, 1)
        words = mask.flatten(0, 1)
        for layer in self.layers:
            x = layer(x, words, seen, count)
        said = words[:, ASKED:, None].to(x.dtype)
        own = (said * x[:, ASKED:]).sum(1) / said.sum(1).clamp(min=1)
        scores: Tensor = self.score(own)
        return scores.view(-1, count).masked_fill(~mask[:, :, ASKED], -1e4)


class ReaderLayer(nn.Module):
    """Attention of the words to each other and to the image tokens, and an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(3))
        self.own = Attention()
        self.image = Attention()
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor, words: Tensor, seen: Tensor, count: int) -> Tensor:
        """x [B*K, T, C], words bool [B*K, T], seen [B, N, C], count K."""
        h = self.norms[0](x)
        x = x + self.own(h, h, words)
        h = self.norms[1](x).unflatten(0, (-1, count)).flatten(1, 2)  # [B, K*T, C]
        x = x + self.image(h, seen, None).view_as(x)
        mlp: Tensor = self.mlp(self.norms[2](x))
        return x + mlp


class Attention(nn.Module):
    """Queries and keys begin as what they are given: like words find each other."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.value, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        with torch.no_grad():
            for linear in (self.query, self.key):
                linear.weight += torch.eye(WIDTH)

    def forward(self, x: Tensor, to: Tensor, mask: Tensor | None) -> Tensor:
        """x [B, T, C], to [B, N, C], mask bool [B, N]."""
        query, key, value = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2)
            for part in (self.query(x), self.key(to), self.value(to))
        )
        allowed = None if mask is None else mask[:, None, None]
        attended: Any = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        out: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return out

"""The visual sides that the paper compares (tables 1, 7 and 11), as small modules.

All take what the frozen encoders said of some images and give image tokens for nano's language
model. They differ only in which encoders enter, and how: after that come the same self-attention
blocks, convolution stages and projector, so that no side has more to think with than another.

Shapes: B rows of a batch, E experts of the pool, N places of the map, C channels, D text width.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from openmova.checkpoints.nano_spec import EXPERTS, GRID, WIDTH, adapter_config
from openmova.model.adapter import ExpertMap, MoVAdapter
from openmova.model.layers import resize_map
from studies.toy.align import Encoded, look_at_same_place

BASE = "base"
BASE_CHANNELS = 320
CHANNELS = {
    BASE: BASE_CHANNELS,
    **dict(zip(EXPERTS, adapter_config().expert_channels, strict=True)),
}


def encoder_map(data: Encoded, name: str, rows: Tensor) -> Tensor:
    """What one encoder said of these images, float32 [B, C, *GRID]; rows int [B]."""
    kept = data.base if name == BASE else data.maps[EXPERTS.index(name)]
    return resize_map(kept[rows].float(), GRID)


class Neck(nn.Module):
    """A linear layer and a norm to the adapter's width, as nano's base encoder has one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, maps: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, WIDTH, h, w]."""
        return self.norm(self.proj(maps.movedim(1, -1))).movedim(-1, 1)


def without_experts(blocks: int) -> MoVAdapter:
    """The adapter for a pool of none: self-attention blocks, convolution stages, projector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the gate's layer for no expert has no weights
        adapter = MoVAdapter(replace(adapter_config(), expert_channels=(), blocks=blocks))
    for block in adapter.blocks:
        block.gate.requires_grad_(False)  # has nothing to weigh
    return adapter


class Joined(nn.Module):
    """One encoder, or the concatenation of several (plain fusion), through one linear layer."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.neck = Neck(sum(CHANNELS[name] for name in names))
        self.adapter = without_experts(adapter_config().blocks)

    def forward(self, data: Encoded, rows: Tensor, routing: Tensor, text: Tensor) -> Tensor:
        """rows int [B]; routing bool [B, E] and text [B, D] play no part -> tokens."""
        x = self.neck(torch.cat([encoder_map(data, name, rows) for name in self.names], dim=1))
        tokens, _ = self.adapter(x, {}, routing[:, :0], text)
        return tokens


class RoutedLinear(nn.Module):
    """The base and the chosen experts through a linear layer each, added up: no MoV-Adapter."""

    def __init__(self) -> None:
        super().__init__()
        self.necks = nn.ModuleDict({name: Neck(channels) for name, channels in CHANNELS.items()})
        self.adapter = without_experts(adapter_config().blocks)

    def forward(self, data: Encoded, rows: Tensor, routing: Tensor, text: Tensor) -> Tensor:
        """rows int [B], routing bool [B, E]; text [B, D] plays no part -> tokens."""
        x = self.necks[BASE](encoder_map(data, BASE, rows))
        for j, name in enumerate(EXPERTS):
            chosen = routing[:, j].nonzero().flatten()
            if len(chosen):
                added = self.necks[name](encoder_map(data, name, rows[chosen]))
                x = x.index_add(0, chosen, added.to(x.dtype))
        tokens, _ = self.adapter(x, {}, routing[:, :0], text)
        return tokens


class UniformGate(nn.Module):
    """The same weight for every chosen expert, whatever picture and question (table 11)."""

    def forward(self, x: Tensor, text: Tensor, routing: Tensor) -> Tensor:
        """x [B, N, C], text [B, D], routing bool [B, E] -> weights [B, E]."""
        chosen = routing.to(x.dtype)
        return chosen / chosen.sum(dim=-1, keepdim=True).clamp(min=1)


class Fused(nn.Module):
    """The base fused with the chosen experts by the MoV-Adapter.

    everybody: all experts run, whoever was chosen (no routing, table 7).
    """

    def __init__(
        self, *, blocks: int | None = None, uniform: bool = False, everybody: bool = False
    ) -> None:
        super().__init__()
        config = adapter_config()
        self.everybody = everybody
        self.neck = Neck(BASE_CHANNELS)
        self.adapter = MoVAdapter(
            replace(
                config,
                blocks=config.blocks if blocks is None else blocks,
                top_k=len(EXPERTS) if everybody else config.top_k,
            )
        )
        look_at_same_place(self.adapter)
        if uniform:
            for block in self.adapter.blocks:
                block.gate = UniformGate()

    def forward(self, data: Encoded, rows: Tensor, routing: Tensor, text: Tensor) -> Tensor:
        """rows int [B], routing bool [B, E], text [B, D] -> tokens."""
        if self.everybody:
            routing = torch.ones_like(routing)
        maps = {}
        for j, name in enumerate(EXPERTS):
            chosen = routing[:, j].nonzero().flatten()
            if len(chosen):
                maps[j] = ExpertMap(chosen, encoder_map(data, name, rows[chosen]))
        x = self.neck(encoder_map(data, BASE, rows))
        tokens, _ = self.adapter(x, maps, routing, text)
        return tokens


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One visual side."""

    what: str
    """What it is, in the words of the table."""
    build: Callable[[], nn.Module]
    routed: bool = True
    """Whether the routing plays a part in it."""
    gate_rate: float = 1.0
    """Of the learning rate, what its gates learn at."""


def _joined(what: str, *names: str) -> Variant:
    return Variant(what=what, build=lambda: Joined(names), routed=False)


VARIANTS: dict[str, Variant] = {
    "base": _joined("base encoder alone", BASE),
    **{name: _joined(f"expert {name} alone", name) for name in EXPERTS},
    "plain-fusion": _joined("all encoders, concatenated", BASE, *EXPERTS),
    "mova": Variant(what="MoVA, 2 blocks", build=Fused),
    "all-experts": Variant(
        what="no routing: all experts", build=lambda: Fused(everybody=True), routed=False
    ),
    "linear": Variant(what="no MoV-Adapter: a linear layer an expert", build=RoutedLinear),
    "blocks-1": Variant(what="1 block", build=lambda: Fused(blocks=1)),
    "blocks-3": Variant(what="3 blocks", build=lambda: Fused(blocks=3)),
    "blocks-4": Variant(what="4 blocks", build=lambda: Fused(blocks=4)),
    "uniform": Variant(what="uniform gating", build=lambda: Fused(uniform=True)),
    "slow-gate": Variant(what="gate at a tenth of the learning rate", build=Fused, gate_rate=0.1),
}
"""By name; what a file of weights is called."""

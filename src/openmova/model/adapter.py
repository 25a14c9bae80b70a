"""The MoV-Adapter: fuses the base map with the maps of the chosen experts (paper, eq. 1 to 4).

Two or three blocks of expert knowledge extraction (one rotary cross-attention per expert), dynamic
gating (one weight per expert and picture, from the question and the picture), self-attention and a
gated MLP; then a pooling stage and the projection to the language model's width.

Shapes: B pictures, b of them with one given expert, C base channels (width), E experts of the pool,
H x W the base map's grid, N = H*W, h x w the grid of tokens given to the language model,
D the question feature's width.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from openmova.experts.transformer import resize_map
from openmova.model.layers import (
    ALL,
    NORM_EPS,
    ConvStage,
    RotaryAttention,
    RotaryGrid,
    SwiGLU,
    adds_nothing,
)

_MASKED = -1e6
"""Added to the logit of an expert that was not chosen: its softmax weight is exactly 0."""
GATE_PLACES = 32
"""A gate computes with a multiple of so many columns, those of no expert masked. The order of a sum
in a library depends on their number: so an expert that is added changes no bit of the others."""


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """Sizes of the adapter; the defaults are those of MoVA-8B.

    summary_grid: where given, the number of tokens follows the routing: the base map pooled to this
    grid gives the first tokens, which the router reads too; of the cells only those give a token in
    which an expert that was chosen has something other than zero.
    Raises ValueError where the sizes do not fit together.
    """

    width: int = 1024
    expert_channels: tuple[int, ...] = (1536, 512, 256, 1536, 768, 768, 256)
    text_width: int = 1024
    output_width: int = 4096
    grid: tuple[int, int] = (48, 48)
    token_grid: tuple[int, int] | None = None  # default: half of the grid
    summary_grid: tuple[int, int] | None = None
    blocks: int = 3
    top_k: int = 3
    head_dim: int = 64
    rope_theta: float = 10000.0

    def __post_init__(self) -> None:
        rows, columns = self.grid
        token_grid = self.token_grid or (max(rows // 2, 1), max(columns // 2, 1))
        object.__setattr__(self, "expert_channels", tuple(self.expert_channels))
        object.__setattr__(self, "grid", (rows, columns))
        object.__setattr__(self, "token_grid", (token_grid[0], token_grid[1]))
        if self.summary_grid is not None:
            object.__setattr__(self, "summary_grid", (self.summary_grid[0], self.summary_grid[1]))
            if self.token_grid != self.grid:
                raise ValueError(
                    f"with a summary_grid the token_grid {self.token_grid} must be the grid "
                    f"{self.grid}: a cell that an expert left empty gives no token"
                )
        if self.head_dim % 4:
            raise ValueError(
                f"head_dim is {self.head_dim}: choose a multiple of 4, because a head carries "
                "rotated pairs for the row and for the column"
            )
        if self.width % self.head_dim:
            raise ValueError(
                f"width {self.width} is no multiple of head_dim {self.head_dim}: change one of them"
            )

    @property
    def tokens(self) -> int:
        """Number of image tokens that the language model gets at most."""
        assert self.token_grid is not None
        return math.prod(self.token_grid) + self.summary_tokens

    @property
    def summary_tokens(self) -> int:
        """How many of them are of the summary grid, in front of the others."""
        return 0 if self.summary_grid is None else math.prod(self.summary_grid)


class ExpertMap(NamedTuple):
    """The feature maps of one expert, for the rows of the batch that chose it."""

    rows: Tensor  # long [b]
    features: Tensor  # [b, channels, h', w'], any grid


class ExpertKnowledgeExtractor(nn.Module):
    """What the base map asks one expert (eq. 2): attention of x over the expert's map."""

    def __init__(self, width: int, channels: int, head_dim: int):
        super().__init__()
        self.query_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.expert_norm = nn.LayerNorm(channels, eps=NORM_EPS)
        self.attention = RotaryAttention(width, channels, head_dim)

    def forward(
        self, x: Tensor, features: Tensor, rotary: RotaryGrid, cells: Tensor | slice = ALL
    ) -> Tensor:
        """x [b, M, C], which are these cells, features [b, N, c] -> [b, M, C]."""
        return self.attention(self.query_norm(x), self.expert_norm(features), rotary, cells)


class GateScore(nn.Linear):
    """A linear layer in which no column depends, to the bit, on how many others there are."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, in] -> [B, out]"""
        more = -self.out_features % GATE_PLACES
        scores = F.linear(x, F.pad(self.weight, (0, 0, 0, more)), F.pad(self.bias, (0, more)))
        return scores[:, : self.out_features]


class DynamicGate(nn.Module):
    """One weight per expert and picture, from the question and the mean of the map (eq. 3)."""

    def __init__(self, width: int, text_width: int, experts: int, top_k: int):
        super().__init__()
        self.top_k = min(top_k, experts)
        self.hidden = nn.Linear(text_width + width, width)
        self.score = GateScore(width, experts)

    def forward(self, x: Tensor, text: Tensor, routing: Tensor) -> Tensor:
        """x [B, N, C], text [B, D], routing bool [B, E] -> weights [B, E].

        The weights of a row sum to 1 over at most top_k chosen experts; all 0 if it chose none.
        """
        logits = self.score(F.gelu(self.hidden(torch.cat([text, x.mean(dim=1)], dim=-1))))
        masked = logits.float() + (~routing).float() * _MASKED
        places = F.pad(masked, (0, -masked.shape[1] % GATE_PLACES), value=-torch.inf)
        weights = places.softmax(dim=-1)
        kept, chosen = weights.topk(self.top_k, dim=-1)
        kept = kept / kept.sum(dim=-1, keepdim=True) * routing.any(dim=-1, keepdim=True)
        gates = torch.zeros_like(weights).scatter(-1, chosen, kept).to(x.dtype)
        return gates[:, : routing.shape[1]]


class AdapterBlock(nn.Module):
    """Expert knowledge, weighted by the gate (eq. 4), then self-attention and MLP."""

    def __init__(self, config: AdapterConfig):
        super().__init__()
        width, head_dim = config.width, config.head_dim
        self.gate = DynamicGate(width, config.text_width, len(config.expert_channels), config.top_k)
        self.extractors = nn.ModuleList(
            ExpertKnowledgeExtractor(width, channels, head_dim)
            for channels in config.expert_channels
        )
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = RotaryAttention(width, width, head_dim)
        self.mlp_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = SwiGLU(width)

    def forward(
        self,
        x: Tensor,
        experts: Mapping[int, tuple[Tensor, Tensor]],
        routing: Tensor,
        text: Tensor,
        rotary: RotaryGrid,
        cells: Tensor | slice = ALL,
    ) -> tuple[Tensor, Tensor]:
        """x [B, N, C], experts j -> (rows [b], features [b, N, c_j]), routing bool [B, E],
        text [B, D] -> x [B, M, C] of these cells, weights [B, E]."""
        weights = self.gate(x, text, routing)
        fused = x = x[:, cells]
        for j, (rows, features) in experts.items():
            knowledge = self.extractors[j](x[rows], features, rotary, cells)  # [b, M, C]
            weighted = weights[rows, j, None, None] * knowledge
            fused = fused.index_add(0, rows, weighted.to(fused.dtype))
        if not self.cells_are_apart():
            h = self.attention_norm(fused)
            fused = fused + self.attention(h, h, rotary)
        if not adds_nothing(self.mlp.down_proj):
            fused = fused + self.mlp(self.mlp_norm(fused))
        return fused, weights

    def cells_are_apart(self) -> bool:
        """Whether no cell asks another: the self-attention adds nothing."""
        return adds_nothing(self.attention.out_proj)


class MoVAdapter(nn.Module):
    """The whole adapter: base map, expert maps and question -> tokens for the language model."""

    def __init__(self, config: AdapterConfig):
        super().__init__()
        self.config = config
        assert config.token_grid is not None
        self.position = nn.Parameter(torch.zeros(1, math.prod(config.grid), config.width))
        self.rotary = RotaryGrid(config.grid, config.head_dim, config.rope_theta)
        self.blocks = nn.ModuleList(AdapterBlock(config) for _ in range(config.blocks))
        self.before_pool = ConvStage(config.width)
        self.pool = nn.AdaptiveAvgPool2d(config.token_grid)
        self.after_pool = ConvStage(config.width)
        self.projector = nn.Sequential(
            nn.Linear(config.width, config.output_width),
            nn.GELU(),
            nn.Linear(config.output_width, config.output_width),
        )
        if config.summary_grid is not None:
            self.summary = nn.Linear(config.width, config.output_width)
        self.every_cell = False
        """Whether those without a token are computed too, as who watches the attention needs."""
        # The two names under which transformers switches checkpointing on.
        self.gradient_checkpointing = False
        self._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise: every residual branch starts at zero, every gate uniform."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.LayerNorm):
                module.reset_parameters()
        nn.init.zeros_(self.position)
        for block in self.blocks:
            assert isinstance(block, AdapterBlock)
            for module in block.modules():
                if isinstance(module, RotaryAttention):
                    _zero(module.out_proj)
            _zero(block.mlp.down_proj)
            _zero(block.gate.score)
        _zero(self.before_pool.norm_out)
        _zero(self.after_pool.norm_out)

    def forward(
        self, base: Tensor, expert_maps: Mapping[int, ExpertMap], routing: Tensor, text: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fuse the maps.

        base [B, C, H, W]; expert_maps: expert index -> its maps for the rows that chose it;
        routing bool [B, E]; text [B, D], the question feature.
        Returns tokens [B, config.tokens, output_width] (row-major; all zero where a cell gives
        none) and the gate weights [B, blocks, E] (0 for an expert that was not chosen).
        Raises ValueError for a base map on another grid and for a chosen expert without a map.
        """
        if tuple(base.shape[1:]) != (self.config.width, *self.config.grid):
            raise ValueError(
                f"the base map has shape {tuple(base.shape[1:])}, the adapter is built for "
                f"{(self.config.width, *self.config.grid)}: set width and grid of the adapter's "
                "config to the base encoder's channels and map size"
            )
        routing = routing.bool()
        self._check_complete(expert_maps, routing)
        return self.fuse(base, expert_maps, routing, text)

    def fuse(
        self, base: Tensor, expert_maps: Mapping[int, ExpertMap], routing: Tensor, text: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What `forward` computes, of inputs that are known to fit; no value in them is looked at,
        so that it also runs on tensors without numbers."""
        experts = {
            j: (rows, resize_map(maps, self.config.grid).flatten(2).mT.to(base.dtype))  # eq. 1
            for j, (rows, maps) in expert_maps.items()
        }
        if self.config.summary_grid is not None and not experts:  # no cell gives a token
            summary = self.summarize(base)
            empty = summary.new_zeros(len(base), math.prod(self.config.grid), summary.shape[2])
            none = summary.new_zeros(len(base), len(self.blocks), routing.shape[1])
            return torch.cat([summary, empty], dim=1), none
        cells: Tensor | slice = ALL
        some = False
        if self.config.summary_grid is not None:
            filled = self._filled(experts, base)
            # Others need not be computed; where all are others, convolutions take no empty map.
            some = self._cells_are_apart() and bool(filled.any())
            cells = filled.any(dim=0).nonzero()[:, 0] if some else ALL
        residual = base.flatten(2).mT  # [B, N, C]
        x = residual + self.position
        gates = []
        for block in self.blocks:
            inputs = (x, experts, routing, text, self.rotary, cells)
            if self.gradient_checkpointing and self.training:
                x, weights = self._gradient_checkpointing_func(block.__call__, *inputs)
            else:
                x, weights = block(*inputs)
            gates.append(weights)
        x = ((x + residual[:, cells]) / 2).mT  # [B, C, M]
        x = x.unflatten(2, (-1, 1) if some else self.config.grid)  # [B, C, H, W]
        x = self.before_pool(x)
        x = self.after_pool(x if some else self.pool(x))  # [B, C, h, w]
        tokens = self.projector(x.flatten(2).mT)  # [B, h*w, D]
        if some:
            of_cells, tokens = tokens, tokens.new_zeros(*filled.shape, tokens.shape[2])
            tokens[:, cells] = of_cells
        if self.config.summary_grid is not None:
            tokens = torch.cat([self.summarize(base), tokens * filled[..., None]], dim=1)
        return tokens, torch.stack(gates, dim=1)

    def _filled(self, experts: Mapping[int, tuple[Tensor, Tensor]], base: Tensor) -> Tensor:
        """bool [B, N]: the cells in which an expert says something."""
        filled = base.new_zeros(len(base), math.prod(self.config.grid))
        for rows, features in experts.values():
            filled = filled.index_add(0, rows, (features != 0).any(dim=-1).to(filled.dtype))
        return filled > 0

    def _cells_are_apart(self) -> bool:
        """Whether a token is made of its own cell and the experts' maps alone."""
        parts: tuple[Any, ...] = (*self.blocks, self.before_pool, self.after_pool)
        return (
            not self.every_cell
            and len(self.blocks) == 1
            and all(part.cells_are_apart() for part in parts)
        )

    def summarize(self, base: Tensor) -> Tensor:
        """The base map [B, C, H, W] as the first tokens [B, summary, D]."""
        assert self.config.summary_grid is not None
        pooled = F.adaptive_avg_pool2d(base, self.config.summary_grid)
        return self.summary(pooled.flatten(2).mT)

    def _check_complete(self, expert_maps: Mapping[int, ExpertMap], routing: Tensor) -> None:
        missing = routing.clone()
        for j, (rows, _) in expert_maps.items():
            missing[rows, j] = False
        if missing.any():
            row, j = missing.nonzero()[0].tolist()
            raise ValueError(
                f"row {row} chose expert {j} but its map is not given: pass an ExpertMap for "
                "every chosen expert and row"
            )


def _zero(module: nn.Linear | nn.LayerNorm) -> None:
    nn.init.zeros_(module.weight)
    nn.init.zeros_(module.bias)

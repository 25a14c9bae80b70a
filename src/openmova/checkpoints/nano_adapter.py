"""An adapter that hands the words of experts on: its weights are written down, not trained.

A code (openmova.experts.token_codes) is linear in the embedding of its token, so the weights that
turn one into the other are known: every cell attends to the same cell of an expert's map, the code
goes into channels that the base leaves free, a stage brings codes that the gate made short back to
their length, and the projector undoes the projection on principal components. Training may go on
from there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from openmova.experts.token_codes import TokenCodes, principal_directions, token_frequency
from openmova.model.adapter import AdapterConfig, MoVAdapter

SHARPNESS = 60.0
"""Of the attention to one's own cell."""
LINEAR = 8.0
"""Where GELU and SiLU are all but linear: a unit's mean, of a standard deviation of about 1."""
STEADY = 4.0
"""So many times the code is added that does not depend on the gate to the one that does."""
UNIT = 0.12
"""About the standard deviation of an embedding's entries."""


@torch.no_grad()
def word_adapter(config: AdapterConfig, codes: TokenCodes, embedding: Tensor) -> MoVAdapter:
    """The adapter whose tokens are the embeddings [V, D] of the words that experts write in codes.

    Codes of width W fill the last W channels; the base map should have its own before them. The
    summary starts at random.
    """
    torch.manual_seed(1)
    adapter = MoVAdapter(config)
    width, free = len(codes.step), config.width - len(codes.step)
    blocks: Any = adapter.blocks
    share = width / config.width  # the attention's norm divides by its root
    centring = torch.eye(width) - 1 / width  # takes the constant away that the keys are made of
    for block in blocks:
        for extractor in block.extractors:
            attention = extractor.attention
            extractor.query_norm.weight.zero_()
            extractor.query_norm.bias.fill_(1.0)
            extractor.expert_norm.bias.fill_(1.0)
            attention.q_proj.weight.fill_(SHARPNESS / config.width)
            attention.k_proj.weight.fill_(1 / width)
            attention.v_proj.weight.zero_()
            attention.v_proj.weight[free:] = centring
            attention.out_proj.weight[free:, free:] = 2 * share**0.5 * torch.eye(width)
    _normalize_codes(adapter.before_pool, config.width, width)
    frequency = token_frequency(len(codes.table))
    centre, directions = principal_directions(embedding[: len(codes.table)], width, frequency)
    entries = codes(torch.arange(len(frequency))).std(1)
    length = ((entries * frequency).sum() / frequency.sum()).item()
    projector: Any = adapter.projector
    first, _, second = projector
    first.weight.zero_()
    first.weight[:, free:] = directions.float() * length / UNIT / (1 + STEADY)
    first.bias.fill_(LINEAR)
    second.weight.copy_(UNIT * torch.eye(config.output_width))
    second.bias.copy_(centre.float() - UNIT * LINEAR)
    nn.init.normal_(adapter.summary.weight, std=UNIT / free**0.5 / 2)
    nn.init.zeros_(adapter.summary.bias)
    return adapter


def _normalize_codes(stage: Any, channels: int, width: int) -> None:
    """The stage adds to a cell its code at a length of its own: a code that the gate made short
    stays readable."""
    codes = torch.zeros(channels)
    codes[-width:] = 1
    stage.conv_in.weight.copy_(torch.diag(codes)[..., None, None])
    centring = torch.diag(codes) - torch.outer(codes, codes) / width
    stage.conv_out.weight.copy_(centring[..., None, None])
    stage.conv_mid.weight.zero_()
    stage.conv_mid.weight[:, :, 1, 1] = 1
    for norm in (stage.norm_in, stage.norm_mid):
        norm.weight.fill_(1.0)
        norm.bias.fill_(1.5 * LINEAR)
    stage.excite.weight.zero_()
    nn.init.zeros_(stage.excite.bias)
    stage.norm_out.weight.copy_(codes * STEADY * (width / channels) ** 0.5)
    stage.norm_out.bias.zero_()

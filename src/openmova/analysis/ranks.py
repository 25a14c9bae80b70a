"""Effective rank of an encoder's tokens (Roy and Vetterli, EUSIPCO 2007).

exp(H(p)) of the singular values' shares p: n where n directions carry the same, 1 where one carries
all. The tokens are centred, and few tokens of many channels have no rank that means anything, so
none is measured below TOKENS_A_CHANNEL. Sums over the tokens are kept, not the tokens.

Shapes: T tokens, C channels.
"""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import Tensor, nn

TOKENS_A_CHANNEL = 10


def effective_rank(singular_values: Tensor) -> float:
    """Of any number of singular values; 0 if all are 0."""
    found = singular_values.double()
    shares = found[found > 0] / found.sum()
    return math.exp(-float((shares * shares.log()).sum())) if len(shares) else 0.0


class TokenSums:
    """What the rank of tokens is computed from, added up picture by picture."""

    def __init__(self) -> None:
        self.count = 0
        self.sums = self.products = torch.zeros(())  # then [C] and [C, C]

    def add(self, tokens: Tensor) -> Self:
        """[T, C]"""
        tokens = tokens.detach().double()
        self.sums = self.sums + tokens.sum(dim=0)
        self.products = self.products + tokens.T @ tokens
        self.count += len(tokens)
        return self

    def add_output(self, module: nn.Module, given: object, output: Tensor) -> None:
        """As a forward hook: output [b, T, C]."""
        self.add(output.flatten(0, 1))

    def measure(self) -> dict[str, Any]:
        """tokens, channels, and the rank of the centred tokens, None of too few."""
        if not self.count:
            return {"tokens": 0, "channels": 0, "rank": None}
        channels = len(self.sums)
        rank = None
        if self.count >= TOKENS_A_CHANNEL * channels:
            centred = self.products - torch.outer(self.sums, self.sums) / self.count
            squares = torch.linalg.eigvalsh(centred)
            rounding = channels * torch.finfo(torch.float64).eps * self.products.trace()
            rank = effective_rank(squares.where(squares > rounding, 0).sqrt())
        return {"tokens": self.count, "channels": channels, "rank": rank}

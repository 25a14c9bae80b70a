"""Which token comes next: the likeliest, or one drawn with a row's own temperature and seed.

Every row draws from its own generator, so that it gets the same answer in any company.
"""

import math
import secrets
from dataclasses import dataclass

import torch
from torch import Tensor

SEEDS = 2**63


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How an answer's tokens are chosen."""

    temperature: float = 0.0
    """0: always the likeliest, as `Mova.ask` does."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that together have at least this probability."""
    seed: int | None = None
    """None: another one each time."""


class Sampler:
    """Chooses the tokens of one answer; number: which of the answers to one question it is."""

    def __init__(self, sampling: Sampling, number: int = 0) -> None:
        self.sampling = sampling
        seed = secrets.randbits(63) if sampling.seed is None else sampling.seed + number
        self._generator = torch.Generator().manual_seed(seed % SEEDS)

    def __call__(self, logits: Tensor) -> int:
        """The next token, from logits [V]."""
        temperature, top_p = self.sampling.temperature, self.sampling.top_p
        if temperature == 0:
            return int(logits.argmax())
        scores = logits.double().cpu()
        probabilities = ((scores - scores.max()) / temperature).softmax(dim=-1)
        if not math.isclose(top_p, 1):
            ordered, order = probabilities.sort(descending=True, stable=True)
            beyond = ordered.cumsum(dim=0) - ordered >= top_p  # enough without this token
            probabilities[order[beyond]] = 0
        return int(torch.multinomial(probabilities, 1, generator=self._generator))

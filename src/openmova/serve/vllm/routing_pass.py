"""The routing pass as vLLM runs it: how the router is asked, and what it said.

Shapes: E experts of the pool.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Protocol

import torch
from transformers import PreTrainedTokenizerBase

from openmova.errors import UserError
from openmova.model.configuration_mova import MovaConfig
from openmova.routing import Routing, RoutingResult, expert_letters, parse_routing
from openmova.routing.decoding import letter_tokens
from openmova.routing.prompt import NO_EXPERT, PIECES
from openmova.routing.selection import ExpertSelection

MOST_TOKENS = 128
"""Of which vLLM gives the probability at each step."""


class LogProb(Protocol):
    logprob: float


class Written(Protocol):
    """What vLLM has written: its `CompletionOutput`."""

    text: str
    logprobs: Sequence[Mapping[int, LogProb]] | None


class RoutingPass:
    """Asks and reads the router as the model's own routing pass (`two_pass.py`) does."""

    def __init__(self, config: MovaConfig, tokenizer: PreTrainedTokenizerBase) -> None:
        self._rules = config.routing
        if config.routing.text_prior and config.routing.unlearned:
            raise UserError(
                f"in vLLM the router can't choose {', '.join(config.routing.unlearned)}, which it "
                "was not trained on: train it (openmova add-expert --data), or use openmova serve"
            )
        self._names = config.expert_names
        self._letters = expert_letters(len(self._names))
        share = MOST_TOKENS // max(len(self._letters), 1)
        said = letter_tokens(tokenizer, len(tokenizer), self._letters)
        self._tokens = [ids[:share] for ids in said]

    def without_asking(self, selection: ExpertSelection) -> Routing | None:
        """Where the experts are given, or the pool is empty; else None."""
        if selection.fixed is not None:
            return Routing.given(selection.fixed, self._names)
        return None if self._letters else Routing.given((), ())

    def sampling(self) -> dict[str, Any]:
        """Of vLLM's `SamplingParams`: greedy, few tokens, with the probabilities of the letters."""
        return {
            "temperature": 0.0,
            "max_tokens": self._rules.max_new_tokens,
            "logprob_token_ids": sorted({token for ids in self._tokens for token in ids}),
        }

    def answers(self) -> list[str] | None:
        """All that the router may write, where the config lets it write nothing else: letters in
        ascending order, or "none", with a space in front or without."""
        if not self._rules.constrained:
            return None
        answers = [
            ", ".join(some)
            for count in range(1, PIECES + 1)
            for some in combinations(self._letters, count)
        ]
        return [space + answer for answer in (NO_EXPERT, *answers) for space in ("", " ")]

    def read(self, written: Written, selection: ExpertSelection) -> Routing:
        """The router's choice, within the limits of the selection."""
        text = written.text.strip()
        scores = torch.tensor([self._scores(written.logprobs or [])])
        named = torch.zeros_like(scores, dtype=torch.bool)
        named[0, list(parse_routing(text, self._letters))] = True
        result = RoutingResult(named, scores, [text], scores.new_zeros(1, 0, 0))
        limited = selection.limited(self._rules.max_experts)
        chosen = limited.apply(named[0], scores[0], self._names)
        return Routing.of(chosen, self._names, result)

    def _scores(self, steps: Sequence[Mapping[int, LogProb]]) -> list[float]:
        """Of each expert the highest probability that any step gave to the tokens of its letter."""
        return [
            max(
                (
                    sum(math.exp(step[token].logprob) for token in ids if token in step)
                    for step in steps
                ),
                default=0.0,
            )
            for ids in self._tokens
        ]

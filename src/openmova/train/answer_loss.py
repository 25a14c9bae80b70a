"""The loss of answers, token by token: what training, its evaluation and annotation all compute.

Shapes: B samples, T tokens, M of them predicted tokens of answers, E experts of the pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from openmova.model.processing_mova import IGNORED


class AnswerLoss(NamedTuple):
    """Losses and where they are; sums over T are those of the samples."""

    losses: Tensor
    """float32 [B, T], at the position before each token of an answer; 0 elsewhere."""
    answered: Tensor
    """bool [B, T]: these positions."""
    gates: Tensor
    """[B, blocks, E]"""


def answer_loss(model: nn.Module, batch: Mapping[str, Any], *, pack: int = 0) -> AnswerLoss:
    """One forward pass over a batch of `Collator`; with gradients where they are wanted.

    pack: if given, with several samples in each row of so many tokens, which changes no loss.
    """
    device = next(model.parameters()).device
    inputs = {
        name: value.to(device, non_blocking=True)
        for name, value in batch.items()
        if isinstance(value, Tensor)
    }
    targets = inputs.pop("labels")
    answered = answer_positions(targets)
    # A vocabulary is wide and most of a sample is no answer: logits are [M, V].
    output = model(**inputs, logits_to_keep=answered, use_cache=False, pack=pack)
    losses = F.cross_entropy(
        output.logits.float(), targets[:, 1:][answered[:, :-1]], reduction="none"
    )
    spread = losses.new_zeros(targets.shape).masked_scatter(answered, losses)
    return AnswerLoss(spread, answered, output.gates)


def answer_positions(labels: Tensor) -> Tensor:
    """Where the next token is one of an answer, bool [B, T], of labels [B, T]: the only positions
    whose logits a loss needs."""
    return F.pad(labels[:, 1:] != IGNORED, (0, 1))

"""A routing prompt is not read again where it begins as one that was: its keys and values are kept.

The routing prompts of a picture share what stands in front of the question, with nano nine tenths.
What an image token is, no id tells: only prompts of the same picture may be compared.

Shapes: B rows, T places, t tokens of one prompt, H heads, d width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer


@dataclass(frozen=True, eq=False)
class ReadPrompt:
    """What the language model kept of one prompt: for each layer keys and values [H, t, d]."""

    ids: list[int]
    keys: list[Tensor]
    values: list[Tensor]

    def same(self, ids: Sequence[int]) -> int:
        """How many tokens from the first on these ids have in common with the prompt's."""
        pairs = zip(self.ids, ids, strict=False)
        return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def read_prompts(
    cache: Cache | None, input_ids: Tensor, attention_mask: Tensor
) -> list[ReadPrompt] | None:
    """What was kept of each row of prompts [B, T], padded on the left.

    None for a language model that keeps something else than keys and values of all places.
    """
    if cache is None or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    end = input_ids.shape[1]
    return [
        ReadPrompt(
            input_ids[row, blank:].tolist(),
            [layer.keys[row, :, blank:end].clone() for layer in cache.layers],  # not a part of
            [layer.values[row, :, blank:end].clone() for layer in cache.layers],  # the batch
        )
        for row, blank in enumerate(_blanks(attention_mask))
    ]


def begin(
    read: Sequence[ReadPrompt], input_ids: Tensor, attention_mask: Tensor, image_token_id: int
) -> DynamicCache | None:
    """The first places of prompts [B, T], padded on the left, from one prompt read before for each.

    So many places as are known of all rows, and at most T - 1: the last one is read for its logits.
    None if there are none, or if image tokens come after them.
    """
    blanks = _blanks(attention_mask)
    places = [
        blank + prompt.same(ids[blank:])
        for prompt, ids, blank in zip(read, input_ids.tolist(), blanks, strict=True)
    ]
    first = min(*places, input_ids.shape[1] - 1)
    if first < 1 or bool((input_ids[:, first:] == image_token_id).any()):
        return None

    def laid(kept: Sequence[Tensor]) -> Tensor:
        """Keys or values of each row [H, t, d] at their places, [B, H, first, d]."""
        rows = zip(kept, (min(blank, first) for blank in blanks), strict=True)
        return torch.stack([pad(row[:, : first - blank], (0, 0, blank, 0)) for row, blank in rows])

    cache = DynamicCache()
    for layer in range(len(read[0].keys)):
        keys, values = ([row.keys[layer] for row in read], [row.values[layer] for row in read])
        cache.update(laid(keys), laid(values), layer)
    return cache


def _blanks(attention_mask: Tensor) -> list[int]:
    """How many places of padding each row [B, T] begins with."""
    blanks: list[int] = (attention_mask.cumsum(dim=1) == 0).sum(dim=1).tolist()
    return blanks
